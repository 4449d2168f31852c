"""What follows a failed write, in memory with arranged faults; the rule is `topics.pipeline`'s, so Kafka's too."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tasker_kafka.schemas.errors import FencedError, LogError, RecordTooLarge
from tasker_kafka.topics.log import LogFailure, TopicDescription, TopicPartition, Write
from tasker_kafka.topics.memory import MemoryCluster, MemoryLog, run_virtual
from tasker_kafka.topics.pipeline import MAX_RECORD_BYTES
from tests.support.log_sides import drain, outbox_for

TOPIC = "t"
ZERO, ONE = TopicPartition(TOPIC, 0), TopicPartition(TOPIC, 1)


def virtual(body: Callable[[MemoryLog], Awaitable[None]]) -> Callable[[], None]:
    """A test on a virtual clock with a topic of two partitions."""

    def test() -> None:
        async def main() -> None:
            log = MemoryLog(MemoryCluster(latency=0.01), delivery_timeout=5.0)
            await log.admin().create([TopicDescription(TOPIC, 2, 1, {})])
            await body(log)
            await log.close()

        run_virtual(main())

    test.__name__ = body.__name__
    return test


def now() -> float:
    return asyncio.get_running_loop().time()


async def values(log: MemoryLog, partition: TopicPartition = ZERO) -> list[bytes | None]:
    return [record.value for record in await drain(log, partition)]


@virtual
async def test_nothing_of_a_failed_track_follows(log: MemoryLog) -> None:
    failures: list[LogFailure] = []
    outbox = await outbox_for(log, TOPIC, on_failure=failures.append)
    bad, good = outbox.track(), outbox.track()
    log.cluster.faults.fail_writes(TOPIC, partition=0)
    outbox.send(Write(TOPIC, None, b"bad 1", partition=0), bad)
    await asyncio.sleep(0.001)
    outbox.send(Write(TOPIC, None, b"bad 2", partition=0), bad)
    outbox.send(Write(TOPIC, None, b"good 1", partition=0), good)
    outbox.send(Write(TOPIC, None, b"bad 3", partition=0), bad)
    with pytest.raises(LogError, match="refused"):
        await bad.barrier()
    await good.barrier()
    assert await values(log) == [b"good 1"]
    assert (bad.in_flight, good.in_flight) == (0, 0)
    assert len(failures) == 1
    with pytest.raises(LogError, match="nothing may follow"):
        outbox.send(Write(TOPIC, None, b"bad 4", partition=0), bad)
    with pytest.raises(LogError, match="refused"):
        await outbox.flush()


@virtual
async def test_a_batch_too_large_as_a_whole_goes_record_by_record_in_order(log: MemoryLog) -> None:
    await log.admin().update_config(TOPIC, {"max.message.bytes": "1000"})
    outbox = await outbox_for(log, TOPIC)
    track = outbox.track()
    expected = [b"%d" % number + b"x" * 300 for number in range(20)]
    for value in expected:
        outbox.send(Write(TOPIC, None, value, partition=0), track)
    await track.barrier()
    assert await values(log) == expected
    assert track.in_flight == 0


@virtual
async def test_on_failure_is_called_once(log: MemoryLog) -> None:
    failures: list[LogFailure] = []
    outbox = await outbox_for(log, TOPIC, on_failure=failures.append)
    log.cluster.faults.fail_writes(count=2)
    outbox.send(Write(TOPIC, None, b"x", partition=0), outbox.track())
    outbox.send(Write(TOPIC, None, b"y", partition=1), outbox.track())
    await asyncio.sleep(1)
    assert len(failures) == 1


@virtual
async def test_a_barrier_that_waits_hears_of_a_failure_at_once(log: MemoryLog) -> None:
    """It does not wait for the other partitions first."""
    outbox = await outbox_for(log, TOPIC)
    track = outbox.track()
    log.cluster.faults.fail_writes(TOPIC, partition=0)
    log.cluster.faults.delay_writes(3.0, TOPIC, partition=1)
    outbox.send(Write(TOPIC, None, b"x", partition=0), track)
    outbox.send(Write(TOPIC, None, b"y", partition=1), track)
    with pytest.raises(LogError):
        await track.barrier()
    assert now() < 1


@virtual
async def test_a_lost_acknowledgement_fails_after_the_delivery_timeout(log: MemoryLog) -> None:
    outbox = await outbox_for(log, TOPIC)
    track = outbox.track()
    log.cluster.faults.lose_acknowledgements(TOPIC)
    began = now()
    outbox.send(Write(TOPIC, None, b"written", partition=0), track)
    with pytest.raises(LogError, match="may or may not have been written"):
        await track.barrier()
    assert now() - began == pytest.approx(5.0, abs=0.1)
    assert await values(log) == [b"written"]


@virtual
async def test_a_lost_write_is_retried_by_its_caller(log: MemoryLog) -> None:
    outbox = await outbox_for(log, TOPIC)
    log.cluster.faults.lose_writes(TOPIC)
    with pytest.raises(LogError) as lost:
        await outbox.write(Write(TOPIC, None, b"x", partition=0))
    assert lost.value.retryable
    assert (await outbox.write(Write(TOPIC, None, b"x", partition=0))).offset == 0


@virtual
async def test_each_delivery_has_its_own_deadline(log: MemoryLog) -> None:
    outbox = await outbox_for(log, TOPIC)
    log.cluster.faults.lose_writes(TOPIC, partition=0)
    log.cluster.faults.lose_writes(TOPIC, partition=1)

    async def attempt(partition: int) -> float:
        with pytest.raises(LogError):
            await outbox.write(Write(TOPIC, None, b"x", partition=partition))
        return now()

    first = asyncio.create_task(attempt(0))
    await asyncio.sleep(2)
    second = asyncio.create_task(attempt(1))
    assert await second - await first == pytest.approx(2.0, abs=0.1)


@virtual
async def test_partitions_do_not_wait_for_each_other(log: MemoryLog) -> None:
    outbox = await outbox_for(log, TOPIC)
    log.cluster.faults.delay_writes(3.0, TOPIC, partition=0)
    slow = asyncio.create_task(outbox.write(Write(TOPIC, None, b"slow", partition=0)))
    await asyncio.sleep(0.1)
    for _ in range(5):
        await outbox.write(Write(TOPIC, None, b"fast", partition=1))
    assert now() < 1
    assert not slow.done()
    await slow


@virtual
async def test_one_batch_is_in_flight_and_the_next_grows(log: MemoryLog) -> None:
    outbox = await outbox_for(log, TOPIC)
    began = now()
    outbox.send(Write(TOPIC, None, b"first", partition=0))
    await asyncio.sleep(0.001)
    for _ in range(1000):
        outbox.send(Write(TOPIC, None, b"more", partition=0))
    await outbox.flush()
    assert now() - began < 2.5 * log.cluster.latency


@virtual
async def test_a_cancelled_write_leaves_the_order_alone(log: MemoryLog) -> None:
    outbox = await outbox_for(log, TOPIC)
    cancelled = asyncio.create_task(outbox.write(Write(TOPIC, None, b"1", partition=0)))
    other = asyncio.create_task(outbox.write(Write(TOPIC, None, b"2", partition=0)))
    await asyncio.sleep(0.001)
    cancelled.cancel()
    assert (await other).offset == 1
    assert await values(log) == [b"1", b"2"]


@virtual
async def test_a_cancelled_barrier_leaves_nothing_behind(log: MemoryLog) -> None:
    outbox = await outbox_for(log, TOPIC)
    track = outbox.track()
    log.cluster.faults.delay_writes(1.0)
    outbox.send(Write(TOPIC, None, b"1", partition=0), track)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(track.barrier(), 0.1)
    await track.barrier()
    assert await values(log) == [b"1"]


@virtual
async def test_closing_gives_up_after_the_delivery_timeout(log: MemoryLog) -> None:
    outbox = await outbox_for(log, TOPIC)
    log.cluster.faults.lose_writes(TOPIC)
    track = outbox.track()
    outbox.send(Write(TOPIC, None, b"1", partition=0), track)
    waiting = asyncio.create_task(track.barrier())
    await outbox.close()
    with pytest.raises(LogError):
        await waiting
    assert now() < 6


@virtual
async def test_absurd_sizes_are_refused_without_asking(log: MemoryLog) -> None:
    outbox = await outbox_for(log, TOPIC)
    with pytest.raises(RecordTooLarge):
        outbox.send(Write(TOPIC, None, bytes(MAX_RECORD_BYTES + 1)))
    await outbox.flush()


@virtual
async def test_a_track_of_another_kind_is_refused(log: MemoryLog) -> None:
    class Other:
        in_flight = 0

        async def barrier(self) -> None:
            return

    outbox = await outbox_for(log, TOPIC)
    with pytest.raises(TypeError, match="track"):
        outbox.send(Write(TOPIC, None, b"x"), Other())


@virtual
async def test_what_a_zombie_had_queued_arrives_when_it_wakes(log: MemoryLog) -> None:
    """Readers tell it by its owner number; here it only must not vanish or come early."""
    zombie = MemoryLog(log.cluster)
    outbox = await outbox_for(zombie, TOPIC)
    writer = zombie.transactional("owner")
    await writer.start()
    outbox.send(Write(TOPIC, None, b"zombie", partition=0))
    zombie.pause()
    owner = log.transactional("owner")
    await owner.start()
    await owner.commit([Write(TOPIC, None, b"owner", partition=0)])
    await asyncio.sleep(20)
    assert await values(log) == [b"owner"]
    zombie.resume()
    await outbox.flush()
    assert await values(log) == [b"owner", b"zombie"]
    with pytest.raises(FencedError):
        await writer.commit([Write(TOPIC, None, b"late", partition=0)])


@virtual
async def test_a_killed_process_writes_nothing_more(log: MemoryLog) -> None:
    doomed = MemoryLog(log.cluster)
    outbox = await outbox_for(doomed, TOPIC)
    outbox.send(Write(TOPIC, None, b"x", partition=0))
    await asyncio.sleep(0)
    doomed.kill()
    await asyncio.sleep(10)
    assert await values(log) == []
    with pytest.raises(LogError, match="killed"):
        await doomed.partition_count(TOPIC)
    await doomed.close()
