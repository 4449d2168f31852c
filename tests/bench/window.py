"""What the log holds of one load: the topics read again, from where they stood before it to where they stand after."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import Transitions
from tasker_kafka.schemas.words import CLOSED_TASK_STATES
from tasker_kafka.topics.log import Isolation, TopicPartition
from tests.bench.reading import Raw, consumer, fetched, read_range
from tests.support.system import PARTITIONS, System

__all__ = ["Closings", "Window", "closes", "payload_bytes"]

_FOLLOW_MS = 10
_FOLLOW_BYTES = 256 * 1024
_TASK_ID = 16


def closes(value: bytes | None) -> bool:
    """Whether a value of the transitions topic closes its task."""
    decoded = codec.decode_transition_record(value or b"")
    return isinstance(decoded, Transitions) and any(
        each.step is None and each.to_state in CLOSED_TASK_STATES for each in decoded.transitions
    )


def payload_bytes(record: Raw) -> int:
    """Key, value and headers."""
    size = len(record.key or b"") + len(record.value or b"")
    return size + sum(len(name) + len(value) for name, value in record.headers)


class Closings:
    """Tells which tasks have closed by counting their records: one for the start and one per step, if nothing fails.

    So nothing is decoded while the clock runs. `Window.read` looks afterwards whether it was so.
    """

    def __init__(self, plan: Plan) -> None:
        self._per_task = len(plan.steps) + 1
        self._left: dict[bytes, int] = {}

    def take(self, key: bytes) -> bool:
        """One more record of this task: whether it is the last."""
        if len(key) != _TASK_ID:  # a reserved key
            return False
        left = self._left.get(key, self._per_task) - 1
        if left:
            self._left[key] = left
            return False
        self._left.pop(key, None)
        return True


class Window:
    """A load's part of the log. `open` it before the load."""

    def __init__(self, system: System, plan: Plan, begin: Mapping[TopicPartition, int]) -> None:
        self._system = system
        self._plan = plan
        self._begin = begin
        self.requested: dict[bytes, int] = {}
        """Broker time of each task's request, ms; filled by `read`."""
        self.closed: dict[bytes, int] = {}
        """Time of each task's terminal record, ms; filled by `read`."""
        self.records = 0
        self.payload_bytes = 0

    @classmethod
    async def open(cls, system: System, plan: Plan) -> Window:
        """Note where every topic ends that a task of this plan writes to."""
        names = system.names
        topics = [names.task_requests, names.commands, names.transitions, names.task_state]
        topics += [names.steps(queue) for queue in plan.queues]
        places = [TopicPartition(topic, number) for topic in topics for number in range(PARTITIONS)]
        return cls(system, plan, {place: await _end(system, place) for place in places})

    async def follow_closed(self) -> AsyncGenerator[list[bytes], None]:
        """Tasks as they close, those of one fetch together. Ends never; close it.

        The broker collects for up to 10 ms, so that following costs as little as it can.
        """
        topic, closings = self._system.names.transitions, Closings(self._plan)
        begin = {place: offset for place, offset in self._begin.items() if place.topic == topic}
        async with consumer(
            self._system.bootstrap, begin, wait_ms=_FOLLOW_MS, least_bytes=_FOLLOW_BYTES
        ) as made:
            while True:
                yield [
                    record.key
                    for batch in await fetched(made)
                    for record in batch
                    if closings.take(record.key)
                ]

    async def written(self, topic: str) -> int:
        """How many offsets a topic has gained."""
        places = [place for place in self._begin if place.topic == topic]
        return sum([await _end(self._system, place) - self._begin[place] for place in places])

    async def closed_about(self) -> float:
        """How many tasks' worth of transitions has been written: cheap, and right once the tasks are closed."""
        return await self.written(self._system.names.transitions) / (len(self._plan.steps) + 1)

    async def read(self) -> None:
        """Read all of it, as far as it is written. AssertionError when a task took other records than it should."""
        ends = {place: await _end(self._system, place) for place in self._begin}
        names, closings = self._system.names, Closings(self._plan)
        async for batch in read_range(self._system.bootstrap, self._begin, ends):
            self.records += len(batch)
            self.payload_bytes += sum(map(payload_bytes, batch))
            topic = batch[0].topic if batch else ""
            if topic == names.task_requests:
                self.requested.update((record.key, record.timestamp) for record in batch)
            elif topic == names.transitions:
                for record in batch:
                    if closings.take(record.key):
                        if not closes(record.value):
                            raise AssertionError(
                                f"task {record.key.hex()} took more records than its shape says"
                            )
                        self.closed[record.key] = record.timestamp


async def _end(system: System, place: TopicPartition) -> int:
    return await system.log.end_offset(place, isolation=Isolation.UNCOMMITTED)
