"""What is on its way: batches of records, who waits for them, and in which order they go.

The parts of `topics.pipeline`, which decides what happens to them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Protocol

from tasker_kafka.topics.log import LogFailure, TopicPartition, TopicPartitionOffset, Write

__all__ = ["Barriers", "Delivery", "DeliveryLane", "DeliveryTrack", "Owner", "Payload"]


class Payload(Protocol):
    """What a side collects the records of one batch in."""

    def append(self, write: Write) -> bool:
        """Add a record; False when the batch is full. The first record always fits."""
        ...


class Barriers:
    """Futures that wait for sets of deliveries."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[tuple[asyncio.Future[None], set[Delivery]]] = []

    async def wait(self, deliveries: Iterable[Delivery]) -> None:
        """Until all of these are settled."""
        remaining = set(deliveries)
        if not remaining:
            return
        entry = (asyncio.get_running_loop().create_future(), remaining)
        self._waiting.append(entry)
        try:
            await entry[0]
        finally:
            if entry in self._waiting:
                self._waiting.remove(entry)

    def release(self) -> None:
        """Wait no longer."""
        waiting, self._waiting = self._waiting, []
        for done, _ in waiting:
            if not done.done():
                done.set_result(None)

    def settled(self, delivery: Delivery, parts: Sequence[Delivery] = ()) -> None:
        """One is settled, or replaced by `parts`."""
        for entry in self._waiting[:]:
            done, remaining = entry
            if delivery in remaining:
                remaining.discard(delivery)
                remaining.update(parts)
                if not remaining:
                    self._waiting.remove(entry)
                    if not done.done():
                        done.set_result(None)


class DeliveryTrack:
    """The `Track` of both sides: what one lane has sent and not yet got acknowledged."""

    __slots__ = ("_barriers", "_deliveries", "failure", "in_flight")

    def __init__(self) -> None:
        self.in_flight = 0
        self.failure: LogFailure | None = None
        self._deliveries: dict[Delivery, None] = {}
        self._barriers = Barriers()

    async def barrier(self) -> None:
        """Wait until everything sent before the call is acknowledged; raises the first failure."""
        if self.failure is None:
            await self._barriers.wait(self._deliveries)
        if self.failure is not None:
            raise self.failure

    def fail(self, failure: LogFailure) -> None:
        """A record of this track could not be written: end the track, and let its barriers say so."""
        if self.failure is None:
            self.failure = failure
        self._barriers.release()

    def joined(self, delivery: Delivery) -> None:
        """A delivery now carries records of this track."""
        self._deliveries[delivery] = None

    def settled(self, delivery: Delivery, count: int, parts: Sequence[Delivery] = ()) -> None:
        """A delivery with `count` records of this track is settled, or goes on as `parts`."""
        self.in_flight -= count
        self._deliveries.pop(delivery, None)
        for part in parts:
            self._deliveries[part] = None
        self._barriers.settled(delivery, parts)


Owner = DeliveryTrack | asyncio.Future[TopicPartitionOffset]


class Delivery:
    """A batch on its way: records of one topic-partition with those who wait for them."""

    __slots__ = ("_append", "counts", "deadline", "entries", "payload", "place", "waiting")

    def __init__(self, place: TopicPartition, payload: Payload) -> None:
        self.place = place
        self.payload = payload
        self._append = payload.append
        self.entries: list[tuple[Write, Owner]] = []
        self.counts: dict[DeliveryTrack, int] = {}
        self.waiting: list[tuple[int, asyncio.Future[TopicPartitionOffset]]] = []
        self.deadline = 0.0

    def add(self, write: Write, owner: Owner) -> bool:
        """Append a record; False when the batch is full."""
        if not self._append(write):
            return False
        entries, counts = self.entries, self.counts
        if owner in counts:
            counts[owner] += 1
        elif isinstance(owner, DeliveryTrack):
            counts[owner] = 1
            owner.joined(self)
        else:
            self.waiting.append((len(entries), owner))
        entries.append((write, owner))
        return True


class DeliveryLane:
    """The deliveries of one topic-partition, in order."""

    __slots__ = ("backlog", "in_flight", "open", "place", "scheduled")

    def __init__(self, place: TopicPartition) -> None:
        self.place = place
        self.in_flight: Delivery | None = None
        self.backlog: deque[Delivery] = deque()
        self.open: Delivery | None = None
        self.scheduled = False
