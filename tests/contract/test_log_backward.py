"""Reading a partition from its end: every committed record once, the newest first, in bounded blocks."""

from __future__ import annotations

from contextlib import aclosing

import pytest

from tasker_kafka.topics.backward import FIRST_BLOCK, LARGEST_BLOCK, newest_first
from tasker_kafka.topics.log import Log, Record, TopicPartition, Write
from tests.support.log_sides import Side, contract, outbox_for


async def written(side: Side, log: Log, count: int) -> TopicPartition:
    """A partition with so many records, their numbers in their values."""
    topic = await side.topic(log)
    outbox = await outbox_for(log, topic)
    track = outbox.track()
    for number in range(count):
        outbox.send(Write(topic, None, b"%d" % number, partition=0), track)
    await track.barrier()
    return TopicPartition(topic, 0)


def number_of(record: Record) -> int:
    """The record's number."""
    return int(record.value or b"")


async def read(log: Log, partition: TopicPartition, **bounds: int) -> list[int]:
    """Every number, as it comes."""
    return [each async for each in newest_first(log, partition, number_of, **bounds)]


@contract
async def test_every_record_once_over_blocks_of_all_sizes(side: Side) -> None:
    log = await side.log()
    for count in (0, 1, FIRST_BLOCK, FIRST_BLOCK + 1, 2 * LARGEST_BLOCK + 7):
        partition = await written(side, log, count)
        assert await read(log, partition) == list(range(count - 1, -1, -1))


@contract
async def test_between_two_offsets(side: Side) -> None:
    log = await side.log()
    partition = await written(side, log, 200)
    assert await read(log, partition, begin=190) == list(range(199, 189, -1))
    assert await read(log, partition, end=10) == list(range(9, -1, -1))
    assert await read(log, partition, begin=50, end=51) == [50]
    assert await read(log, partition, begin=50, end=50) == []
    assert await read(log, partition, begin=60, end=50) == []


@contract
async def test_control_records_and_aborted_ones_are_passed_over(side: Side) -> None:
    log = await side.log()
    topic = await side.topic(log)
    for number in range(5):
        writer = log.transactional(f"{topic}-writer")
        await writer.start()
        await writer.commit([Write(topic, None, b"%d" % number, partition=0)])
        await writer.close()
        await side.leave_open(f"{topic}-writer", [Write(topic, None, b"99", partition=0)])
    writer = log.transactional(f"{topic}-writer")
    await writer.start()
    await writer.close()
    assert await read(log, TopicPartition(topic, 0)) == [4, 3, 2, 1, 0]


@contract
async def test_who_takes_nothing_gets_nothing_and_who_stops_reads_no_further(side: Side) -> None:
    log = await side.log()
    partition = await written(side, log, 1_000)
    seen: list[int] = []

    def take(record: Record) -> int | None:
        seen.append(record.offset)
        return record.offset if record.offset % 2 else None

    async with aclosing(newest_first(log, partition, take)) as records:
        async for offset in records:
            assert offset == 999
            break
    assert min(seen) == 1_000 - FIRST_BLOCK
    assert [each async for each in newest_first(log, partition, take)] == list(range(999, 0, -2))


@contract
async def test_a_failure_of_the_taker_is_told(side: Side) -> None:
    log = await side.log()
    partition = await written(side, log, 3)

    def fail(record: Record) -> int:
        raise ValueError(record.offset)

    with pytest.raises(ValueError, match="0"):
        await anext(newest_first(log, partition, fail))
