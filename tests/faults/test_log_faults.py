"""The Kafka side of the log while its broker is killed or stands still."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from tasker_kafka.schemas.errors import LogError
from tasker_kafka.topics.brokers import EmbeddedBroker
from tasker_kafka.topics.kafka import KafkaLog, KafkaOptions
from tasker_kafka.topics.kafka import outbox as kafka_outbox
from tasker_kafka.topics.log import Committed, TopicDescription, TopicPartition, Write
from tests.support.brokers import OwnBroker
from tests.support.log_sides import Listener, drain, fetch_until, outbox_for
from tests.support.patience import PATIENCE_SECONDS

TOPIC = "t"
ZERO = TopicPartition(TOPIC, 0)
IMPATIENT = KafkaOptions(delivery_timeout=3.0, request_timeout=1.0, connect_timeout=3.0)


@asynccontextmanager
async def opened(
    broker: EmbeddedBroker, *, partitions: int = 1, options: KafkaOptions | None = None
) -> AsyncIterator[KafkaLog]:
    """A log on the broker with the topic."""
    log = KafkaLog(broker.bootstrap_servers, options=options)
    await log.start()
    await log.admin().create([TopicDescription(TOPIC, partitions, 1, {})])
    try:
        yield log
    finally:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await log.close()


async def test_nothing_is_lost_repeated_or_reordered_when_the_broker_is_killed(own_broker: OwnBroker) -> None:
    broker = own_broker()
    async with opened(broker, partitions=3) as log:
        outbox = await outbox_for(log, TOPIC)
        track, count = outbox.track(), 30_000

        async def send() -> None:
            for number in range(count):
                outbox.send(Write(TOPIC, None, b"%d" % number, partition=number % 3), track)
                if number % 50 == 0:
                    await asyncio.sleep(0.001)

        sending = asyncio.create_task(send())
        await asyncio.sleep(0.2)
        broker.kill()
        await asyncio.to_thread(broker.restart)
        await sending
        await track.barrier()
        for partition in range(3):
            records = await drain(log, TopicPartition(TOPIC, partition))
            assert [int(record.value or b"") for record in records] == list(range(partition, count, 3))


async def test_a_write_fails_in_time_and_the_outbox_goes_on_when_the_broker_does(
    own_broker: OwnBroker,
) -> None:
    broker = own_broker()
    async with opened(broker, options=IMPATIENT) as log:
        outbox = await outbox_for(log, TOPIC)
        await outbox.write(Write(TOPIC, None, b"before"))
        broker.pause()
        failing, other = outbox.track(), outbox.track()
        outbox.send(Write(TOPIC, None, b"failed"), failing)
        async with asyncio.timeout(PATIENCE_SECONDS):
            with pytest.raises(LogError, match="not acknowledged within 3 s"):
                await failing.barrier()
        broker.resume()
        outbox.send(Write(TOPIC, None, b"other"), other)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await other.barrier()
            await outbox.write(Write(TOPIC, None, b"after"))
        values = [record.value for record in await drain(log, ZERO)]
        assert [value for value in values if value != b"failed"] == [b"before", b"other", b"after"]
        assert values.count(b"failed") <= 1


async def test_a_write_is_retried_by_its_caller_until_the_broker_is_back(own_broker: OwnBroker) -> None:
    broker = own_broker()
    async with opened(broker, options=IMPATIENT) as log:
        outbox = await outbox_for(log, TOPIC)
        broker.kill()
        with pytest.raises(LogError) as refused:
            await outbox.write(Write(TOPIC, None, b"x"))
        assert refused.value.retryable
        restarting = asyncio.create_task(asyncio.to_thread(broker.restart))
        place = None
        async with asyncio.timeout(PATIENCE_SECONDS):
            while place is None:
                with suppress(LogError):
                    place = await outbox.write(Write(TOPIC, None, b"x"))
        await restarting
        assert (await log.fetch_at(place)).value == b"x"


async def test_the_producer_is_replaced_before_its_numbers_run_out(
    own_broker: OwnBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_outbox, "_MAX_SEQUENCE", 500)
    async with opened(own_broker(), partitions=2) as log:
        outbox = await outbox_for(log, TOPIC)
        producers: list[object] = []
        for number in range(5000):
            outbox.send(Write(TOPIC, None, b"%d" % number, partition=number % 2))
            if number % 50 == 0:
                await asyncio.sleep(0.002)
            if number % 400 == 0:  # however slow it is: it has to change between two of these, now and then
                await outbox.flush()
            producer = getattr(outbox, "_producer")  # noqa: B009 - private on purpose
            if producer not in producers:
                producers.append(producer)
        await outbox.flush()
        assert len(producers) > 3
        for partition in range(2):
            records = await drain(log, TopicPartition(TOPIC, partition))
            assert [int(record.value or b"") for record in records] == list(range(partition, 5000, 2))


async def test_a_commit_ends_in_time_when_the_broker_stands_still(own_broker: OwnBroker) -> None:
    broker = own_broker()
    async with opened(broker) as log:
        writer = log.transactional("tx", timeout_ms=2000)
        await writer.start()
        await writer.commit([Write(TOPIC, b"k", b"before")])
        broker.pause()
        async with asyncio.timeout(PATIENCE_SECONDS):
            with pytest.raises(LogError):
                await writer.commit([Write(TOPIC, b"k", b"unknown")])
            with pytest.raises(LogError, match="unusable"):
                await writer.commit([Write(TOPIC, b"k", b"never")])
            await writer.close()
        broker.resume()
        async with asyncio.timeout(PATIENCE_SECONDS):
            newer = log.transactional("tx")
            await newer.start()
            await newer.commit([Write(TOPIC, b"k", b"after")])
        values = [record.value for record in await drain(log, ZERO)]
        assert b"never" not in values
        assert [value for value in values if value != b"unknown"][:1] == [b"before"]


async def test_a_commit_in_flight_can_be_cancelled_and_closed(own_broker: OwnBroker) -> None:
    broker = own_broker()
    async with opened(broker) as log:
        writer = log.transactional("tx")
        await writer.start()
        broker.pause()
        commit = asyncio.create_task(writer.commit([Write(TOPIC, b"k", b"x")]))
        await asyncio.sleep(0.2)
        commit.cancel()
        async with asyncio.timeout(PATIENCE_SECONDS):
            with pytest.raises(asyncio.CancelledError):
                await commit
            await writer.close()
        broker.resume()


async def test_readers_and_members_go_on_after_a_restart(own_broker: OwnBroker) -> None:
    broker = own_broker()
    async with opened(broker) as log:
        outbox = await outbox_for(log, TOPIC)
        reader = await log.reader({ZERO: 0})
        member, listener = log.group("g", client_id="m", session_timeout_ms=3000), Listener()
        await member.start([TOPIC], listener)
        await outbox.write(Write(TOPIC, None, b"1"))
        await fetch_until(reader, 1)
        await fetch_until(member, 1)
        await member.commit({ZERO: Committed(1, "one")})
        broker.kill()
        await asyncio.to_thread(broker.restart)
        async with asyncio.timeout(2 * PATIENCE_SECONDS):
            await outbox.write(Write(TOPIC, None, b"2"))
            assert [record.value for record in await fetch_until(reader, 1)] == [b"2"]
            assert [record.value for record in await fetch_until(member, 1)] == [b"2"]
            assert await member.committed([ZERO]) == {ZERO: Committed(1, "one")}


async def test_everything_closes_in_time_without_a_broker(own_broker: OwnBroker) -> None:
    broker = own_broker()
    async with opened(broker, options=IMPATIENT) as log:
        outbox = await outbox_for(log, TOPIC)
        await log.reader({ZERO: 0})
        writer = log.transactional("tx")
        await writer.start()
        member = log.group("g", client_id="m", instance_id="static")
        await member.start([TOPIC], Listener())
        broker.kill()
        outbox.send(Write(TOPIC, None, b"lost"))
        async with asyncio.timeout(PATIENCE_SECONDS):
            await log.close()
