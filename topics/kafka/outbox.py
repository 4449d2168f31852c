"""The outbox on Kafka: whole batches to an idempotent producer.

The driver's `send` costs a future and several awaits for each record; `send_batch` costs them once for a batch, and the
batch is built here, in C, as records come. Order and failures are `topics.pipeline`'s.

A request costs both ends far more than the records in it. The driver has one at a time on the way to each broker; a
batch handed to it meanwhile waits there and grows no more. So batches are held back here as long, and then go together.

An idempotent producer numbers its batches. A batch that failed leaves a gap in the numbers, after which the broker
refuses the rest of that partition; and a batch given up after the delivery timeout would still be retried behind our
back. So after any failure the producer is replaced: what is in flight elsewhere is awaited, the old one stopped for
good, and a new one goes on with what is queued.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import RecordMetadata

from tasker_kafka.schemas.errors import TaskerError
from tasker_kafka.topics.delivery import Delivery
from tasker_kafka.topics.kafka.driver import abandon_producer
from tasker_kafka.topics.kafka.translation import translate
from tasker_kafka.topics.log import LogFailure, TopicPartition, Write
from tasker_kafka.topics.pipeline import PipelinedOutbox

__all__ = ["KafkaOutbox"]

# The driver's sequence numbers do not wrap as the broker's do (2^31): begin anew before that.
_MAX_SEQUENCE = 2**30
_RETRY_SECONDS = 0.2
# How long a broker's silence holds back what is for it; then the driver may know better (a leader that has moved).
_HOLD_SECONDS = 0.2
_NO_HEADERS: list[tuple[str, bytes]] = []


class _BuilderPayload:
    """A record batch that grows."""

    __slots__ = ("builder",)

    def __init__(self, builder: BatchBuilder) -> None:
        self.builder = builder

    def append(self, write: Write) -> bool:
        headers = list(write.headers) if write.headers else _NO_HEADERS
        return (
            self.builder.append(timestamp=write.timestamp, key=write.key, value=write.value, headers=headers)
            is not None
        )


class _Wire:
    """What is on its way to one broker: how many batches, and until when (loop time) others wait for them."""

    __slots__ = ("batches", "until")

    def __init__(self) -> None:
        self.batches = 0
        self.until = 0.0


class KafkaOutbox(PipelinedOutbox):
    """An `Outbox` on Kafka. `start` it before use."""

    most_turns = 8

    def __init__(
        self,
        new_producer: Callable[[], AIOKafkaProducer],
        count_partitions: Callable[[str], Awaitable[int]],
        *,
        delivery_timeout: float,
        on_failure: Callable[[LogFailure], None] | None,
    ) -> None:
        super().__init__(delivery_timeout=delivery_timeout, on_failure=on_failure)
        self._new_producer = new_producer
        self._count_partitions = count_partitions
        self._producer = new_producer()
        self._is_replacing = False
        self._waiting: list[Delivery] = []
        self._flying: dict[Delivery, _Wire] = {}
        self._wires: dict[int | None, _Wire] = {}
        self._release: asyncio.TimerHandle | None = None
        self._sequences: dict[TopicPartition, int] = {}
        self._landed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Connect; raises the driver's errors, and leaves nothing open then."""
        try:
            await self._producer.start()
        except BaseException:
            await abandon_producer(self._producer)
            raise

    # ------------------------------------------------------------ what the pipeline needs

    def _new_payload(self) -> _BuilderPayload:
        return _BuilderPayload(self._producer.create_batch())

    async def _partitions(self, topic: str) -> int:
        count = await self._count_partitions(topic)
        await self._producer.partitions_for(topic)
        return count

    def _deliver(self, deliveries: list[Delivery]) -> None:
        if self._is_replacing:
            self._waiting += deliveries
        else:
            self._depart(deliveries)

    def _expired(self, deliveries: list[Delivery]) -> None:
        late = set(deliveries)
        self._waiting = [delivery for delivery in self._waiting if delivery not in late]
        if late & self._flying.keys():
            for delivery in late:
                self._has_landed(delivery)
            self._landed.set()
            self._replace()

    def _may_go(self, place: TopicPartition) -> bool:
        wire = self._wire(place)
        if not wire.batches or wire.until <= self._loop.time():
            return True
        if self._release is None:
            self._release = self._loop.call_at(wire.until, self._release_all)
        return False

    async def _stop(self) -> None:
        if self._release is not None:
            self._release.cancel()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await abandon_producer(self._producer)

    # ------------------------------------------------------------ sending

    def _depart(self, deliveries: list[Delivery]) -> None:
        until = self._loop.time() + _HOLD_SECONDS
        for delivery in deliveries:
            wire = self._flying[delivery] = self._wire(delivery.place)
            wire.batches += 1
            wire.until = until
        self._run(self._submit(self._producer, deliveries))

    async def _submit(self, producer: AIOKafkaProducer, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            payload = delivery.payload
            assert isinstance(payload, _BuilderPayload)
            place = delivery.place
            self._count(place, len(delivery.entries))
            try:
                answer = await producer.send_batch(payload.builder, place.topic, partition=place.partition)
            except Exception as error:
                self._land(delivery, error=error)
            else:
                answer.add_done_callback(partial(self._answered, delivery))

    def _count(self, place: TopicPartition, records: int) -> None:
        sent = self._sequences.get(place, 0) + records
        self._sequences[place] = sent
        if sent > _MAX_SEQUENCE:
            self._replace()

    def _answered(self, delivery: Delivery, answer: asyncio.Future[RecordMetadata | None]) -> None:
        if answer.cancelled():
            return
        error = answer.exception()
        if error is not None:
            self._land(delivery, error=error)
            return
        metadata = answer.result()
        # A duplicate the broker no longer remembers is acknowledged without an offset.
        offset = metadata.offset if metadata is not None and metadata.offset >= 0 else None
        self._land(delivery, offset)

    def _land(
        self, delivery: Delivery, offset: int | None = None, error: BaseException | None = None
    ) -> None:
        self._has_landed(delivery)
        if self._is_replacing and not self._flying:
            self._landed.set()
        failure: TaskerError | None = None
        if error is not None:
            self._replace()
            failure = translate(error, f"writing to {delivery.place.topic}/{delivery.place.partition}")
        self._settle(delivery, offset, failure)

    # ------------------------------------------------------------ holding back

    def _wire(self, place: TopicPartition) -> _Wire:
        """The wire to the broker that leads a partition; those without a known leader share one."""
        leader: int | None = self._producer.client.cluster.leader_for_partition(place)
        wire = self._wires.get(leader)
        if wire is None:
            wire = self._wires[leader] = _Wire()
        return wire

    def _has_landed(self, delivery: Delivery) -> None:
        wire = self._flying.pop(delivery, None)
        if wire is not None:
            wire.batches -= 1
            if not wire.batches:
                self._wake()

    def _release_all(self) -> None:
        self._release = None
        self._wake()

    # ------------------------------------------------------------ replacing the producer

    def _replace(self) -> None:
        if not self._is_replacing and not self.is_closed:
            self._is_replacing = True
            self._run(self._replace_producer())

    async def _replace_producer(self) -> None:
        while self._flying:
            self._landed.clear()
            await self._landed.wait()
        await abandon_producer(self._producer)
        while True:
            producer = self._new_producer()
            try:
                await producer.start()
                break
            except Exception:
                # What waits is failed by the delivery timeout meanwhile.
                await abandon_producer(producer)
                await asyncio.sleep(_RETRY_SECONDS)
        self._producer = producer
        self._sequences.clear()
        self._is_replacing = False
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._depart(waiting)

    def _run(self, work: Any) -> None:
        task: asyncio.Task[None] = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
