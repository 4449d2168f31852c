"""The order of writes: the part of an outbox that is the same on Kafka and in memory.

Per topic-partition there is one open batch; it grows while the one before it is in flight, and goes when that is
settled. So order needs no waiting, batches grow with load, and an idle partition adds no delay. A side for which a
request is dear lets them grow a little more: for some turns of the loop, and some milliseconds, while records still
come (`most_turns`), and while the broker is busy that the batch would have to wait for anyway (`_may_go`).

What may follow a failure is decided here, because the readers' rules stand on it:

- A record sent with a track that fails ends the track: nothing of it that is still queued is sent, and nothing more
  is accepted. So what a track has written in a partition is always a prefix of what it sent, never a row with a gap.
- A record given to `write` fails alone; its caller decides what to do.
- A batch that is too large for its topic is sent again record by record, so that only the guilty one fails.

A side (`topics.kafka`, `topics.memory`) provides `_new_payload`, `_deliver`, `_partitions`, `_expired`, `_may_go` and
`_stop`, and answers each delivered batch with `_settle`.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar

from tasker_kafka.schemas.errors import LogError, RecordTooLarge
from tasker_kafka.topics.delivery import Barriers, Delivery, DeliveryLane, DeliveryTrack, Owner, Payload
from tasker_kafka.topics.log import LogFailure, TopicPartition, TopicPartitionOffset, Track, Write
from tasker_kafka.topics.partitioner import partition_for

__all__ = ["MAX_RECORD_BYTES", "PipelinedOutbox"]

# Above this no broker is asked: a larger request would only break the connection.
MAX_RECORD_BYTES = 16 * 1024 * 1024
# A turn of a busy loop may be long: whoever waits for an acknowledgement must not wait for many of them.
_GATHER_SECONDS = 0.01


class PipelinedOutbox(ABC):
    """An `Outbox` without the wire."""

    most_turns: ClassVar[int] = 0
    """How many turns of the loop batches wait at most for more records; they go after the first that brings none."""

    def __init__(self, *, delivery_timeout: float, on_failure: Callable[[LogFailure], None] | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._delivery_timeout = delivery_timeout
        self._on_failure = on_failure
        self._failure: LogFailure | None = None
        self._some_track_failed = False
        self._topics: dict[str, list[DeliveryLane]] = {}
        self._keyless = 0
        self._ready: list[DeliveryLane] = []
        self._is_awake = False
        self._added = self._seen = self._turns = 0
        self._gather_until = 0.0
        self._live: dict[Delivery, None] = {}
        self._barriers = Barriers()
        self._own = DeliveryTrack()
        self._watchdog: asyncio.TimerHandle | None = None
        self.is_closed = False

    # ------------------------------------------------------------ the port

    def track(self) -> DeliveryTrack:
        """A new counter for one lane's writes."""
        return DeliveryTrack()

    def send(self, write: Write, track: Track | None = None) -> None:
        """Queue a record; raises LogError for a closed outbox, a failed track or a topic that is not warm."""
        owner = self._own if track is None else track
        if not isinstance(owner, DeliveryTrack) or owner.failure is not None or self.is_closed:
            raise self._refusal(owner)
        self._add(write, owner)
        owner.in_flight += 1

    async def write(self, write: Write) -> TopicPartitionOffset:
        """Write one record and wait until it is acknowledged."""
        if self.is_closed:
            raise LogError("the outbox is closed")
        if write.topic not in self._topics:
            await self.warm([write.topic])
        future: asyncio.Future[TopicPartitionOffset] = self._loop.create_future()
        self._add(write, future)
        return await future

    async def warm(self, topics: Iterable[str]) -> None:
        """Make topics known to `send`."""
        for topic in topics:
            if topic not in self._topics:
                count = await self._partitions(topic)
                lanes = [DeliveryLane(TopicPartition(topic, partition)) for partition in range(count)]
                self._topics.setdefault(topic, lanes)

    async def flush(self) -> None:
        """Wait until all that was sent is acknowledged; raises the first failure of a sent record."""
        if self._failure is None:
            await self._barriers.wait(self._live)
        if self._failure is not None:
            raise self._failure

    async def close(self) -> None:
        """Flush, at most for the delivery timeout, then stop."""
        if self.is_closed:
            return
        self.is_closed = True
        try:
            async with asyncio.timeout(self._delivery_timeout):
                while self._live:
                    await self._barriers.wait(self._live)
        except TimeoutError:
            pass
        finally:
            self._abandon(LogError("the outbox was closed before the record was acknowledged"))
            await self._stop()

    # ------------------------------------------------------------ what a side provides

    @abstractmethod
    def _new_payload(self) -> Payload:
        """An empty batch."""

    @abstractmethod
    def _deliver(self, deliveries: list[Delivery]) -> None:
        """Send these, at most one per topic-partition; each must be answered by `_settle` some time."""

    @abstractmethod
    async def _partitions(self, topic: str) -> int:
        """How many partitions a topic has; TopicsDrifted when it does not exist."""

    def _may_go(self, place: TopicPartition) -> bool:
        """Whether a batch for this place could be on the wire at once. When that changes, the side calls `_wake`."""
        return True

    def _expired(self, deliveries: list[Delivery]) -> None:  # noqa: B027 - a side may have nothing to give up
        """These were in flight longer than the delivery timeout and are about to be failed."""

    @abstractmethod
    async def _stop(self) -> None:
        """Give up the connection."""

    # ------------------------------------------------------------ order

    def _add(self, write: Write, owner: Owner) -> None:
        value, partition = write.value, write.partition
        if value is not None and len(value) > MAX_RECORD_BYTES:
            raise RecordTooLarge(f"{len(value)} bytes for {write.topic}; at most {MAX_RECORD_BYTES} are sent")
        lanes = self._topics.get(write.topic)
        if lanes is None or partition is None:
            lanes, partition = self._place(write)
        elif not 0 <= partition < len(lanes):
            raise LogError(f"topic {write.topic!r} has {len(lanes)} partitions, there is no {partition}")
        lane = lanes[partition]
        self._added += 1
        delivery = lane.open
        if delivery is None or not delivery.add(write, owner):
            if delivery is not None:
                lane.backlog.append(delivery)
            lane.open = delivery = self._new_delivery(lane)
            delivery.add(write, owner)
            if lane.in_flight is None:
                self._schedule(lane)

    def _place(self, write: Write) -> tuple[list[DeliveryLane], int]:
        """The partitions of the record's topic, and which of them the partitioner chooses."""
        lanes = self._topics.get(write.topic)
        if lanes is None:
            raise LogError(
                f"the outbox does not know topic {write.topic!r}",
                next_step="call `await outbox.warm([...])` with every topic before the first `send`",
            )
        if write.key is None:
            self._keyless += 1
            return lanes, self._keyless % len(lanes)
        return lanes, partition_for(write.key, len(lanes))

    def _refusal(self, owner: object) -> Exception:
        """Why a record is not taken."""
        if not isinstance(owner, DeliveryTrack):
            return TypeError("a track must come from `outbox.track()`")
        if self.is_closed:
            return LogError("the outbox is closed")
        refusal = LogError("an earlier record of this track could not be written; nothing may follow it")
        refusal.__cause__ = owner.failure
        return refusal

    def _new_delivery(self, lane: DeliveryLane) -> Delivery:
        delivery = Delivery(lane.place, self._new_payload())
        self._live[delivery] = None
        return delivery

    def _schedule(self, lane: DeliveryLane) -> None:
        """Let the lane send, together with all others that can."""
        if not lane.scheduled:
            lane.scheduled = True
            self._ready.append(lane)
            self._wake()

    def _wake(self) -> None:
        """Look in the next turn of the loop what can go."""
        if not self._is_awake:
            self._is_awake = True
            self._turns = self.most_turns
            self._gather_until = self._loop.time() + _GATHER_SECONDS
            self._loop.call_soon(self._flush_ready)

    def _flush_ready(self) -> None:
        if self._seen != self._added and self._turns and self._loop.time() < self._gather_until:
            self._seen = self._added
            self._turns -= 1
            self._loop.call_soon(self._flush_ready)
            return
        self._is_awake = False
        ready, self._ready = self._ready, []
        going = []
        deadline = self._loop.time() + self._delivery_timeout
        for lane in ready:
            if not self._may_go(lane.place):
                self._ready.append(lane)
                continue
            lane.scheduled = False
            if lane.in_flight is None and (delivery := self._next(lane)) is not None:
                lane.in_flight = delivery
                delivery.deadline = deadline
                going.append(delivery)
        if going:
            if self._watchdog is None:
                self._watchdog = self._loop.call_at(deadline, self._watch)
            self._deliver(going)

    def _next(self, lane: DeliveryLane) -> Delivery | None:
        while True:
            if lane.backlog:
                delivery = lane.backlog.popleft()
            elif lane.open is not None:
                delivery, lane.open = lane.open, None
            else:
                return None
            if self._some_track_failed:
                delivery = self._without_failed(lane, delivery)
            if delivery.entries:
                return delivery
            self._forget(delivery)

    # ------------------------------------------------------------ answers

    def _settle(
        self, delivery: Delivery, base_offset: int | None = None, error: LogFailure | None = None
    ) -> None:
        """A side's answer: written from `base_offset` on, or not written. An answer that comes too late is ignored."""
        lane = self._topics[delivery.place.topic][delivery.place.partition]
        if lane.in_flight is not delivery:
            return
        lane.in_flight = None
        if error is None:
            self._acknowledge(delivery, base_offset)
        elif isinstance(error, RecordTooLarge) and len(delivery.entries) > 1:
            self._split(lane, delivery)
        else:
            self._fail(delivery, error)
        if lane.backlog or lane.open is not None:
            self._schedule(lane)

    def _acknowledge(self, delivery: Delivery, base_offset: int | None) -> None:
        for position, future in delivery.waiting:
            if future.done():
                continue
            if base_offset is None:
                future.set_exception(LogError("the record was written, but the broker did not say where"))
            else:
                future.set_result(TopicPartitionOffset(*delivery.place, base_offset + position))
        self._forget(delivery)

    def _fail(self, delivery: Delivery, error: LogFailure) -> None:
        for _, future in delivery.waiting:
            if not future.done():
                future.set_exception(error)
        for track in delivery.counts:
            track.fail(error)
            self._some_track_failed = True
        if delivery.counts and self._failure is None:
            self._failure = error
            self._barriers.release()
            if self._on_failure is not None:
                self._loop.call_soon(self._on_failure, error)
        self._forget(delivery)

    def _forget(self, delivery: Delivery, parts: Sequence[Delivery] = ()) -> None:
        self._live.pop(delivery, None)
        for track, count in delivery.counts.items():
            track.settled(delivery, count, parts)
        self._barriers.settled(delivery, parts)

    def _split(self, lane: DeliveryLane, delivery: Delivery) -> None:
        parts = []
        for write, owner in delivery.entries:
            part = self._new_delivery(lane)
            part.add(write, owner)
            parts.append(part)
        self._hand_over(delivery, parts)
        lane.backlog.extendleft(reversed(parts))

    def _without_failed(self, lane: DeliveryLane, delivery: Delivery) -> Delivery:
        if all(track.failure is None for track in delivery.counts):
            return delivery
        rest = self._new_delivery(lane)
        for write, owner in delivery.entries:
            if not isinstance(owner, DeliveryTrack) or owner.failure is None:
                rest.add(write, owner)
        self._hand_over(delivery, [rest])
        return rest

    def _hand_over(self, delivery: Delivery, parts: Sequence[Delivery]) -> None:
        """The records of a delivery go on in others; those of failed tracks may be left out."""
        for part in parts:
            for track, count in part.counts.items():
                track.in_flight += count
        self._live.pop(delivery, None)
        for track, count in delivery.counts.items():
            track.settled(delivery, count, [part for part in parts if track in part.counts])
        self._barriers.settled(delivery, parts)

    def _abandon(self, error: LogFailure) -> None:
        for lanes in self._topics.values():
            for lane in lanes:
                lane.in_flight, lane.open = None, None
                lane.backlog.clear()
        for delivery in list(self._live):
            self._fail(delivery, error)
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None

    def _watch(self) -> None:
        """Fail what has been in flight for too long; wake again at the next deadline."""
        self._watchdog = None
        now = self._loop.time()
        flying = [lane.in_flight for lanes in self._topics.values() for lane in lanes if lane.in_flight]
        late = [delivery for delivery in flying if delivery.deadline <= now]
        if late:
            self._expired(late)
        for delivery in late:
            self._settle(
                delivery,
                error=LogError(
                    f"{delivery.place.topic}/{delivery.place.partition}: not acknowledged within "
                    f"{self._delivery_timeout:g} s; it may or may not have been written",
                    next_step="check that the broker is up and the partition has a leader and enough replicas in sync",
                ),
            )
        deadlines = [delivery.deadline for delivery in flying if delivery.deadline > now]
        if deadlines and self._watchdog is None:
            self._watchdog = self._loop.call_at(min(deadlines), self._watch)
