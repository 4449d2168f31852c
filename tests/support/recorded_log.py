"""A recording laid out as a log in memory, offset by offset, for readers of the log to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import TaskCreated, Transitions
from tasker_kafka.schemas.state import TaskState
from tasker_kafka.streams.domain import evolve
from tasker_kafka.topics.history import AcceptedHistory
from tasker_kafka.topics.log import Record, TopicDescription, TopicPartition, Write
from tasker_kafka.topics.memory import MemoryCluster, MemoryLog
from tasker_kafka.topics.names import TopicNames
from tests.support.recording import Recording

__all__ = ["PlayedLog", "played", "states_below"]


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


def states_below(
    records: Sequence[Record], plans: Mapping[bytes, Plan], offset: int
) -> dict[bytes, TaskState]:
    """The last life of every task, transition by transition; told apart from the code under test."""
    history = AcceptedHistory()
    states: dict[bytes, TaskState] = {}
    for record in records:
        decoded = codec.decode_transition_record(record.value)
        if record.offset >= offset or not history.accept(record, decoded):
            continue
        if not isinstance(decoded, Transitions) or not decoded.seq or record.key is None:
            continue
        for transition in decoded.transitions:
            data = transition.data
            before = None if isinstance(data, TaskCreated) else states[record.key]
            plan_hash = data.plan_hash if isinstance(data, TaskCreated) else states[record.key].plan_hash
            states[record.key] = evolve(before, transition, plans[plan_hash])
    return states
