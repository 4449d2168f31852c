"""What the log holds of one load: the topics read again from where they stood before it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import Transitions
from tasker_kafka.schemas.words import CLOSED_TASK_STATES
from tasker_kafka.topics.log import Isolation, Record, TopicPartition
from tests.support.system import PARTITIONS, System

__all__ = ["Window", "closes", "payload_bytes"]


def closes(record: Record) -> bool:
    """Whether a record of the transitions topic closes its task."""
    decoded = codec.decode_transition_record(record.value or b"")
    return isinstance(decoded, Transitions) and any(
        each.step is None and each.to_state in CLOSED_TASK_STATES for each in decoded.transitions
    )


def payload_bytes(record: Record) -> int:
    """Key, value and headers."""
    size = len(record.key or b"") + len(record.value or b"")
    return size + sum(len(name) + len(value) for name, value in record.headers)


class Window:
    """A load's part of the log. `open` it before the load."""

    def __init__(self, system: System, begin: Mapping[TopicPartition, int]) -> None:
        self._system = system
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
        return cls(system, {place: await _end(system, place) for place in places})

    async def follow_closed(self) -> AsyncGenerator[set[bytes]]:
        """Tasks as their terminal records arrive, those of one fetch together. Ends never; close it."""
        topic = self._system.names.transitions
        reader = await self._system.log.reader(
            {place: offset for place, offset in self._begin.items() if place.topic == topic}
        )
        try:
            while True:
                batches = (await reader.fetch(timeout=0.5)).values()
                yield {record.key or b"" for batch in batches for record in batch.records if closes(record)}
        finally:
            await reader.close()

    async def written(self, topic: str) -> int:
        """How many offsets a topic has gained."""
        places = [place for place in self._begin if place.topic == topic]
        return sum([await _end(self._system, place) - self._begin[place] for place in places])

    async def wait_closed(self, tasks: Iterable[bytes]) -> None:
        """Wait until these are closed."""
        open_tasks = set(tasks)
        async with aclosing(self.follow_closed()) as closing:
            async for found in closing:
                open_tasks -= found
                if not open_tasks:
                    return

    async def read(self) -> None:
        """Read all of it, as far as it is written."""
        ends = {place: await _end(self._system, place) for place in self._begin}
        unread = {place for place, end in ends.items() if end > self._begin[place]}
        reader = await self._system.log.reader({place: self._begin[place] for place in unread})
        try:
            while unread:
                for batch in (await reader.fetch(timeout=0.5)).values():
                    for record in batch.records:
                        self._take(record)
                unread = {place for place in unread if reader.position(place) < ends[place]}
        finally:
            await reader.close()

    def _take(self, record: Record) -> None:
        self.records += 1
        self.payload_bytes += payload_bytes(record)
        key, names = record.key or b"", self._system.names
        if record.topic == names.task_requests:
            self.requested[key] = record.timestamp
        elif record.topic == names.transitions and closes(record):
            self.closed[key] = record.timestamp


async def _end(system: System, place: TopicPartition) -> int:
    return await system.log.end_offset(place, isolation=Isolation.COMMITTED)
