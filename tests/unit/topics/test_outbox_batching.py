"""When the outbox on Kafka lets its batches go: over a producer that notes what it is given, on a virtual clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder

from tasker_kafka.topics.kafka.outbox import KafkaOutbox
from tasker_kafka.topics.log import Write
from tasker_kafka.topics.memory import run_virtual

TOPIC = "t"
LEADERS = (1, 1, 2)


class NotingProducer:
    """Acknowledges a batch when it is told to."""

    def __init__(self) -> None:
        self.given: list[tuple[int, int]] = []
        """Partition and number of records of each batch."""
        self._answers: list[asyncio.Future[Any]] = []
        leader = lambda place: LEADERS[place.partition]  # noqa: E731 - a stub in one line
        self.client = SimpleNamespace(cluster=SimpleNamespace(leader_for_partition=leader))

    async def start(self) -> None:
        """Nothing to connect to."""

    async def partitions_for(self, topic: str) -> set[int]:
        return set(range(len(LEADERS)))

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(100_000, 0)

    async def send_batch(self, batch: BatchBuilder, topic: str, *, partition: int) -> asyncio.Future[Any]:
        self.given.append((partition, batch.record_count()))
        self._answers.append(asyncio.get_running_loop().create_future())
        return self._answers[-1]

    async def acknowledge(self) -> None:
        """All that is out."""
        answers, self._answers = self._answers, []
        for answer in answers:
            answer.set_result(SimpleNamespace(offset=0))
        await settle()


Body = Callable[[KafkaOutbox, NotingProducer], Awaitable[None]]


async def over_noting_producer(body: Body) -> None:
    """Run `body` with an outbox that knows one topic."""
    producer = NotingProducer()

    async def count(topic: str) -> int:
        return len(LEADERS)

    outbox = KafkaOutbox(
        lambda: cast("AIOKafkaProducer", producer), count, delivery_timeout=30.0, on_failure=None
    )
    await outbox.start()
    await outbox.warm([TOPIC])
    await body(outbox, producer)


def on_noting_producer(body: Body) -> Callable[[], None]:
    """A test over an outbox that knows one topic, on a virtual clock."""

    def test() -> None:
        run_virtual(over_noting_producer(body))

    test.__name__ = body.__name__
    return test


async def settle() -> None:
    """Let everything happen that needs no time."""
    await asyncio.sleep(0.000_001)


def send(outbox: KafkaOutbox, partition: int) -> None:
    outbox.send(Write(TOPIC, None, b"value", partition=partition))


@on_noting_producer
async def test_a_record_alone_goes_without_any_time_passing(
    outbox: KafkaOutbox, producer: NotingProducer
) -> None:
    send(outbox, 0)
    began = asyncio.get_running_loop().time()
    while not producer.given:  # noqa: ASYNC110 - the clock must not move
        await asyncio.sleep(0)
    assert asyncio.get_running_loop().time() == began


@on_noting_producer
async def test_what_comes_in_the_next_turns_goes_along(outbox: KafkaOutbox, producer: NotingProducer) -> None:
    for partition in (0, 1, 0, 2):
        send(outbox, partition)
        await asyncio.sleep(0)
    assert producer.given == []
    await settle()
    assert producer.given == [(0, 2), (1, 1), (2, 1)]


@on_noting_producer
async def test_nobody_who_sends_without_end_keeps_a_batch_back(
    outbox: KafkaOutbox, producer: NotingProducer
) -> None:
    for _ in range(20):
        send(outbox, 0)
        await asyncio.sleep(0)
    assert producer.given == [(0, KafkaOutbox.most_turns + 1)]


def test_nor_does_a_loop_whose_turns_are_long() -> None:
    async def body(outbox: KafkaOutbox, producer: NotingProducer) -> None:
        for _ in range(3):
            send(outbox, 0)
            time.sleep(0.02)  # noqa: ASYNC251 - a turn that takes long is what this is about
            await asyncio.sleep(0)
        assert producer.given == [(0, 1)]

    asyncio.run(over_noting_producer(body))


@on_noting_producer
async def test_batches_grow_while_their_broker_is_busy_and_then_go_together(
    outbox: KafkaOutbox, producer: NotingProducer
) -> None:
    send(outbox, 0)
    await settle()
    for partition in (0, 1, 1, 0, 1):
        send(outbox, partition)
        await settle()
    assert producer.given == [(0, 1)]
    await producer.acknowledge()
    assert sorted(producer.given[1:]) == [(0, 2), (1, 3)]
    await producer.acknowledge()
    await outbox.flush()


@on_noting_producer
async def test_another_broker_is_not_waited_for(outbox: KafkaOutbox, producer: NotingProducer) -> None:
    send(outbox, 0)
    await settle()
    send(outbox, 2)
    await settle()
    assert producer.given == [(0, 1), (2, 1)]


@on_noting_producer
async def test_a_silent_broker_holds_nothing_back_for_long(
    outbox: KafkaOutbox, producer: NotingProducer
) -> None:
    send(outbox, 0)
    await settle()
    send(outbox, 1)
    await asyncio.sleep(1.0)
    assert producer.given == [(0, 1), (1, 1)]
