"""Faust's transport with batches: one stream event per poll and partition instead of one per record.

Two pieces of Faust's Kafka driver are replaced through its extension points (`Transport.Consumer`,
`Consumer._new_consumer_thread`), because its defaults cost 320 µs CPU per record and two thread hops per poll
(figures: docs/decisions). The private names used are pinned by tests/unit/runtime/test_private_names.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Protocol, cast

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import GroupAuthorizationFailedError, KafkaError
from faust.events import Event
from faust.transport.conductor import Conductor
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, AppT, ConsumerMessage
from mode import Service
from mode.utils.futures import maybe_async

from tasker_kafka.schemas.errors import ConfigurationError, LogError, PartitionLost, TaskerError
from tasker_kafka.schemas.exits import MemberFenced
from tasker_kafka.topics.kafka.driver import keep_membership
from tasker_kafka.topics.log import Batch, Record

from .membership import leave_group

__all__ = ["BatchTransport", "BatchUser"]

POLL_SECONDS = 0.5
WATCH_SECONDS = 0.5
ROOM_SECONDS = 0.002
QUEUED_BATCHES = 8
"""Batches that wait in front of an agent; more would only delay a rebalance."""
FETCH_MAX_WAIT_MS = 100
"""Faust hard-codes 1500, behind which the ListOffsets of a recovery queue up."""


class BatchUser(Protocol):
    """What the transport needs of the app whose transport it is."""

    def end_process(self, error: BaseException) -> None:
        """End on an error that Faust would swallow."""
        ...

    async def start_position(self, topic: str, partition: int, committed: int | None) -> int | None:
        """Where to read from after an assignment, if the group's committed offset is that; None: nowhere."""
        ...

    def begin_at(self, topic: str, partition: int, offset: int) -> None:
        """The partition is read from this offset on: told before its first batch."""
        ...

    async def assert_nothing_between(self, topic: str, partition: int, first: int, end: int) -> None:
        """Raise PartitionLost unless the offsets that were passed over hold control records only."""
        ...


class InlineConsumerThread(driver.AIOKafkaConsumerThread):
    """The driver's consumer "thread" on the app's own loop: no thread hops per poll.

    Every method by which `ServiceThread` moves work into a thread is put back to what a plain service does.
    """

    wait_for_shutdown = False

    start = Service.start
    stop = Service.stop
    maybe_start = Service.maybe_start
    crash = cast("Any", Service.crash)  # only the parameter's name differs
    _stopped_set = Service._stopped_set
    set_shutdown = Service.set_shutdown
    _stop_children = Service._stop_children
    _stop_futures = Service._stop_futures
    _stop_exit_stacks = Service._stop_exit_stacks

    def __init__(self, consumer: BatchConsumer, *, loop: asyncio.AbstractEventLoop, **kwargs: Any) -> None:
        super().__init__(consumer, loop=loop, thread_loop=loop, **kwargs)

    async def call_thread(self, fun: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        """Call directly."""
        return await maybe_async(fun(*args, **kwargs))

    async def cast_thread(self, fun: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> None:
        """Call directly; the result is dropped."""
        await maybe_async(fun(*args, **kwargs))

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_MAX_WAIT_MS
        consumer._isolation_level = "read_committed"
        return consumer

    @Service.task
    async def _watch_coordination(self) -> None:
        """Raise what the group's coordination met: Faust reads past the place where aiokafka would."""
        app = self.app
        while not app.should_stop:
            await asyncio.sleep(WATCH_SECONDS)
            if self._consumer is None or self._consumer._coordinator is None or app.should_stop:
                continue
            try:
                self._consumer._coordinator.check_errors()
            except KafkaError as error:
                _user(app).end_process(_coordination_failure(error))

    async def on_stop(self) -> None:
        """Leave the group (a static member does not by itself), then close the connection."""
        if self._consumer is not None:
            await leave_group(self._consumer)
            await self._consumer.stop()


class BatchConsumer(driver.Consumer):
    """Hands an agent all polled records of a partition as one event, and reads from the checkpoint's position."""

    def _new_consumer_thread(self) -> InlineConsumerThread:
        return InlineConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_sought = False
        self._is_open = False
        self._seeks = 0

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Nothing is delivered from here to `open_flow`."""
        self._is_sought = self._is_open = False
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Nothing is delivered before `open_flow`: until `perform_seek` the positions are the group's offsets."""
        self._is_sought = self._is_open = False
        keep_membership(self._thread._ensure_consumer())
        await super().on_partitions_assigned(assigned, generation_id)

    async def perform_seek(self) -> None:
        """Seek to where the lanes' checkpoints say; the group's offsets are for lag tools, and for intake.

        Every partition that is read is sought, also where nothing was committed yet: the driver's seek to the committed
        offsets leaves those where they are, behind what was polled and not delivered since the assignment.
        """
        self._is_sought = self._is_open = False
        await super().perform_seek()
        assigned, user = self.assignment(), _user(self.app)
        positions: dict[TP, int] = {}
        for tp in assigned:
            position = await user.start_position(tp.topic, tp.partition, self._read_offset.get(tp))
            if position is not None:
                positions[tp] = position
        if positions:
            await self.seek_wait(positions)
        for tp in assigned:
            position = positions[tp] if tp in positions else await self.position(tp)
            assert position is not None, f"{tp} has no position after a seek"
            self._read_offset[tp] = position
            user.begin_at(tp.topic, tp.partition, position)
        self._seeks += 1
        self._is_sought = True

    def open_flow(self) -> None:
        """Deliver from now on, if the partitions that are assigned now have been sought.

        Called when Faust has resumed its flow control, not before: resuming empties the agents' queues.
        """
        self._is_open = self._is_sought

    async def _drain_messages(self, fetcher: Any) -> None:
        try:
            while not (self._stopped.is_set() or fetcher._stopped.is_set()):
                await self._drain_once()
        except self.consumer_stopped_errors:
            if not self.app.should_stop:
                raise
        except asyncio.CancelledError:
            if not self.app.should_stop:
                raise
        except Exception as error:
            _user(self.app).end_process(error)

    async def _drain_once(self) -> None:
        """Deliver one poll.

        What a poll returns is right at the moment it returns: either the flow is open, and it is delivered, or a
        seek is still to come that will read it again. A rebalance may have come and gone while the poll waited;
        records must not be dropped for that, because the position has moved past them.
        """
        records, active = await self._wait_next_records(POLL_SECONDS)
        seeks = self._seeks
        if not records or not self._is_open:
            await asyncio.sleep(0)
            return
        for tp, found in records.items():
            if seeks != self._seeks or not self._is_open:
                return
            if active is None or tp in active:
                await self._deliver(tp, found)

    async def _deliver(self, tp: TP, found: list[Any]) -> None:
        """Put one batch into every stream that reads the partition."""
        position = self._read_offset[tp]
        assert position is not None, f"{tp} was read before it was positioned"
        fresh = [each for each in found if each.offset >= position]
        if not fresh:
            return
        batch = Batch(position, fresh[-1].offset + 1, tuple(_record(each) for each in fresh))
        self._read_offset[tp] = batch.next_position
        if fresh[0].offset > position:
            await _user(self.app).assert_nothing_between(tp.topic, tp.partition, position, fresh[0].offset)
        message = self._message(tp, fresh[-1])
        channels = tuple(cast(Conductor, self.app.topics)._tp_index[tp])
        if not channels:
            raise PartitionLost(f"{tp.topic} [{tp.partition}] is read, but no agent takes it")
        for channel in channels:
            await self._wait_for_room(channel)
            await channel.put(Event(self.app, None, batch, None, message))

    async def _wait_for_room(self, channel: Any) -> None:
        """Bound what waits before an agent. Not by the queue's own size: who waits for room in a queue that a rebalance
        empties is never woken."""
        while channel.queue.qsize() >= QUEUED_BATCHES:  # noqa: ASYNC110 - a queue has no event for room
            await asyncio.sleep(ROOM_SECONDS)

    def _message(self, tp: TP, last: Any) -> ConsumerMessage:
        """Carries the generation, without which the stream drops the event silently."""
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            last.offset,
            last.timestamp / 1000.0,
            last.timestamp_type,
            None,
            None,
            None,
            None,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )


def _user(app: AppT) -> BatchUser:
    return cast("BatchUser", app)


def _coordination_failure(error: KafkaError) -> TaskerError:
    if isinstance(error, GroupAuthorizationFailedError):
        return ConfigurationError(
            f"not allowed to join the consumer group: {error}", next_step="grant READ on the group"
        )
    if "UnknownError" in str(error):  # the driver has no name for FENCED_INSTANCE_ID
        return MemberFenced(
            f"the consumer group refused this member: {error}",
            next_step="another process most likely has the same host name and --ordinal: stop one of them",
        )
    return LogError(f"the consumer group's coordination ended: {error}")


def _record(found: Any) -> Record:
    return Record(
        found.topic,
        found.partition,
        found.offset,
        found.timestamp,
        found.key,
        found.value,
        tuple(found.headers),
    )


class BatchTransport(driver.Transport):
    """Faust's Kafka transport with `BatchConsumer`."""

    Consumer: ClassVar[type[BatchConsumer]] = BatchConsumer
