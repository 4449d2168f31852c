"""A recording laid out as a log in memory, offset by offset, for readers of the log to read."""

from __future__ import annotations

from tasker_kafka.topics.log import TopicDescription, TopicPartition, Write
from tasker_kafka.topics.memory import MemoryCluster, MemoryLog
from tasker_kafka.topics.names import TopicNames
from tests.support.recording import Recording

__all__ = ["PlayedLog", "played"]


class PlayedLog(MemoryLog):
    """The log, at a moment after the recording."""

    now = 0

    def now_ms(self) -> int:
        """A second after the last record."""
        return self.now


async def played(recording: Recording, names: TopicNames | None = None) -> PlayedLog:
    """The recorded topics with their offsets, times and gaps, and the others that readers look into, empty."""
    names = names or TopicNames()
    cluster = MemoryCluster()
    log = PlayedLog(cluster)
    topics = {"templates": names.templates, "transitions": names.transitions, "task_state": names.task_state}
    count = max(recording.records["transitions"]) + 1
    for name in (names.templates, names.payloads, names.workers):
        cluster.create(TopicDescription(name, 1, 1, {}))
    for name in (names.transitions, names.task_state, names.commands):
        cluster.create(TopicDescription(name, count, 1, {}))
    for topic, name in topics.items():
        for partition, records in recording.records[topic].items():
            store = cluster.store(TopicPartition(name, partition))
            for record in records:
                store.end = record.offset
                write = Write(name, record.key, record.value, record.headers)
                store.append([write], now_ms=record.timestamp, append_time=True)
                log.now = max(log.now, record.timestamp + 1000)
    await log.start()
    return log
