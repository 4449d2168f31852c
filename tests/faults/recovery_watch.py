"""Who owns which partition, and when it decided something new: what recovery is measured by."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.errors import LogError
from tasker_kafka.schemas.records import AttemptGranted, OwnerMarker, Transitions
from tasker_kafka.schemas.words import CLOSED_TASK_STATES
from tasker_kafka.topics.history import AcceptedHistory
from tasker_kafka.topics.log import Record
from tests.support.system import PARTITIONS, System

__all__ = ["Watch", "watching"]


@dataclass
class Watch:
    """What the transitions have said so far. Times are `time.monotonic()` of this process, in seconds."""

    owners: dict[int, str] = field(default_factory=dict)
    """The partition's owner in office: its member id."""
    taken: Counter[int] = field(default_factory=Counter)
    """How often each partition was taken by an owner."""
    first_of: dict[tuple[int, int], float] = field(default_factory=dict)
    """By partition and owner number: when the first accepted record arrived here."""
    closed: dict[bytes, float] = field(default_factory=dict)
    """When each closed task was seen closed."""
    granted: int = 0
    """Attempts granted by accepted records."""
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def until(self, is_so: Callable[[], bool]) -> float:
        """Wait until it is so: the time then."""
        async with self._changed:
            await self._changed.wait_for(is_so)
        return time.monotonic()

    async def until_closed(self, tasks: set[bytes]) -> None:
        """Wait until all of these are closed."""
        await self.until(lambda: tasks <= self.closed.keys())

    def firsts_since(self, moment: float, partitions: set[int]) -> dict[int, float]:
        """For each partition that a later owner has decided in: seconds from `moment` to its first new record."""
        return {
            partition: arrived - moment
            for (partition, _), arrived in sorted(self.first_of.items(), reverse=True)
            if arrived >= moment and partition in partitions
        }

    async def follow(self, system: System) -> None:
        """Take the whole log in, and what arrives; until cancelled."""
        histories = {each: AcceptedHistory() for each in system.transitions()}
        reader = await system.log.reader(dict.fromkeys(system.transitions(), 0))
        while True:
            try:
                batches = await reader.fetch(timeout=0.5)
            except LogError:  # the broker is down: that is what is being tested
                await asyncio.sleep(0.2)
                continue
            for place, batch in batches.items():
                for record in batch.records:
                    self._take(record, histories[place])
            async with self._changed:
                self._changed.notify_all()

    def _take(self, record: Record, history: AcceptedHistory) -> None:
        decoded = codec.decode_transition_record(record.value or b"")
        is_new = history.accept(record, decoded)
        if isinstance(decoded, OwnerMarker):
            self.taken[record.partition] += 1
            self.owners[record.partition] = decoded.instance
        if not is_new or not isinstance(decoded, Transitions):
            return
        key, now = (record.partition, history.owner), time.monotonic()
        self.first_of.setdefault(key, now)
        for each in decoded.transitions:
            self.granted += isinstance(each.data, AttemptGranted)
            if each.step is None and each.to_state in CLOSED_TASK_STATES:
                self.closed[record.key or b""] = now


@asynccontextmanager
async def watching(system: System) -> AsyncIterator[Watch]:
    """A watch that follows the system until the end of the block. What it meets is raised there."""
    watch = Watch()
    async with asyncio.TaskGroup() as group:
        following = group.create_task(watch.follow(system))
        await watch.until(lambda: len(watch.owners) == PARTITIONS)
        yield watch
        following.cancel()
