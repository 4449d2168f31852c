"""Turns logs in memory, and recordings, into the form the checker judges."""

from __future__ import annotations

from tasker_kafka.topics.log import Isolation, Record, TopicPartition
from tasker_kafka.topics.memory import MemoryCluster
from tests.checker import RawLog, RawPartition, RawRecord
from tests.support.recording import Recording

__all__ = ["raw_of_cluster", "raw_of_recording"]


def raw_of_cluster(cluster: MemoryCluster, prefix: str = "tasker") -> RawLog:
    """Every topic of the cluster; records of aborted and open transactions are marked."""
    raw = RawLog(prefix)
    for topic in cluster.topics:
        for number in range(cluster.partitions(topic)):
            store = cluster.store(TopicPartition(topic, number))
            committed = {each.offset for each in store.read(0, 10_000_000, Isolation.COMMITTED)[0]}
            every, end = store.read(0, 10_000_000, Isolation.UNCOMMITTED)[:2]
            partition = raw.partition(topic, number)
            partition.records = [_record(each, each.offset in committed) for each in every]
            partition.end = end
    return raw


def raw_of_recording(recording: Recording) -> RawLog:
    """A recording as if it were a whole log; topics that it leaves out are missing."""
    raw = RawLog("recorded")
    for topic, partitions in recording.records.items():
        name = raw.topic(topic.replace("_", "-"))
        for number, records in partitions.items():
            own = RawPartition(name, number, [_record(each, True) for each in records])
            own.end = own.records[-1].offset + 1 if own.records else 0
            raw.partitions.setdefault(name, {})[number] = own
    return raw


def _record(record: Record, committed: bool) -> RawRecord:
    return RawRecord(
        record.offset, record.timestamp, record.key, record.value, tuple(record.headers), committed
    )
