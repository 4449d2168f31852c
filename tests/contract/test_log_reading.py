"""What readers and one-shot questions promise: positions, offsets, single records."""

import asyncio

import pytest

from tasker_kafka.schemas.errors import LogError, NotFoundError, TopicsDrifted
from tasker_kafka.topics.log import TopicPartition, TopicPartitionOffset, Write
from tests.support.log_sides import Side, contract, drain, fetch_until, outbox_for, visible
from tests.support.patience import PATIENCE_SECONDS


async def filled(side: Side, count: int, partitions: int = 1) -> tuple[str, TopicPartition]:
    """A topic with `count` records b"0", b"1", … in partition 0."""
    log = await side.log()
    topic = await side.topic(log, partitions=partitions)
    outbox = await outbox_for(log, topic)
    for number in range(count):
        outbox.send(Write(topic, b"k", b"%d" % number, partition=0, timestamp=1_000_000 + number))
    await outbox.close()
    return topic, TopicPartition(topic, 0)


@contract
async def test_reading_begins_anywhere_and_is_bounded(side: Side) -> None:
    _, partition = await filled(side, 100)
    log = await side.log()
    reader = await log.reader({partition: 90})
    assert reader.position(partition) == 90
    batches = await reader.fetch(timeout=PATIENCE_SECONDS, max_records=4)
    batch = batches[partition]
    assert [record.offset for record in batch.records] == [90, 91, 92, 93]
    assert (batch.first_position, batch.next_position) == (90, 94)
    assert reader.position(partition) == 94
    rest = await fetch_until(reader, 6)
    assert [record.offset for record in rest] == [94, 95, 96, 97, 98, 99]
    assert await reader.fetch(timeout=0.1) == {}


@contract
async def test_a_reader_follows_what_is_written(side: Side) -> None:
    topic, partition = await filled(side, 0)
    log = await side.log()
    reader = await log.reader({partition: 0})
    outbox = await outbox_for(log, topic)
    for number in range(5):
        waiting = asyncio.create_task(reader.fetch(timeout=PATIENCE_SECONDS))
        await asyncio.sleep(0)
        await outbox.write(Write(topic, None, b"%d" % number))
        (batch,) = (await waiting).values()
        assert [record.value for record in batch.records] == [b"%d" % number]


@contract
async def test_seek_goes_back_and_forth(side: Side) -> None:
    _, partition = await filled(side, 10)
    log = await side.log()
    reader = await log.reader({partition: 0})
    await fetch_until(reader, 10)
    await reader.seek(partition, 3)
    assert reader.position(partition) == 3
    assert [record.offset for record in await fetch_until(reader, 7)] == [3, 4, 5, 6, 7, 8, 9]
    await reader.seek(partition, 8)
    assert [record.offset for record in await fetch_until(reader, 2)] == [8, 9]
    with pytest.raises(LogError):
        await reader.seek(TopicPartition(partition.topic, 7), 0)


@contract
async def test_a_position_beyond_the_end_is_refused(side: Side) -> None:
    """A topic that was deleted and made anew must not be read as if nothing had happened."""
    _, partition = await filled(side, 3)
    log = await side.log()
    await log.reader({partition: 3})
    with pytest.raises(LogError, match="ends at 3"):
        await log.reader({partition: 4})


@contract
async def test_no_partition_starves(side: Side) -> None:
    log = await side.log()
    topic = await side.topic(log, partitions=3)
    outbox = await outbox_for(log, topic)
    for number in range(600):
        outbox.send(Write(topic, None, b"x", partition=number % 3))
    await outbox.flush()
    reader = await log.reader({TopicPartition(topic, partition): 0 for partition in range(3)})
    got = dict.fromkeys(range(3), 0)
    while sum(got.values()) < 600:
        for partition, batch in (await reader.fetch(max_records=100)).items():
            got[partition.partition] += len(batch.records)
    assert got == {0: 200, 1: 200, 2: 200}


@contract
async def test_a_closed_reader_refuses(side: Side) -> None:
    _, partition = await filled(side, 3)
    log = await side.log()
    reader = await log.reader({partition: 0})
    await reader.close()
    await reader.close()
    with pytest.raises(LogError, match="closed"):
        await reader.fetch()


@contract
async def test_offsets_by_end_begin_and_time(side: Side) -> None:
    _, partition = await filled(side, 10)
    log = await side.log()
    assert await log.begin_offset(partition) == 0
    assert await log.end_offset(partition) == 10
    assert await log.offset_at(partition, 0) == 0
    assert await log.offset_at(partition, 1_000_004) == 4
    assert await log.offset_at(partition, 1_000_009) == 9
    assert await log.offset_at(partition, 1_000_010) == 10


@contract
async def test_one_record_is_fetched_by_its_place(side: Side) -> None:
    topic, _ = await filled(side, 500)
    log = await side.log()
    for offset in (0, 250, 499):
        record = await log.fetch_at(TopicPartitionOffset(topic, 0, offset))
        assert (record.offset, record.value) == (offset, b"%d" % offset)
    for offset in (500, 10_000):
        with pytest.raises(NotFoundError):
            await log.fetch_at(TopicPartitionOffset(topic, 0, offset))


@contract
async def test_large_single_records_are_fetched_whole(side: Side) -> None:
    log = await side.log()
    topic = await side.topic(log)
    outbox = await outbox_for(log, topic)
    values = [bytes([number]) * 700_000 for number in range(3)]
    places = await asyncio.gather(*(outbox.write(Write(topic, b"k", value)) for value in values))
    assert [(await log.fetch_at(place)).value for place in reversed(places)] == values[::-1]


@contract
async def test_only_committed_records_are_fetched_by_place(side: Side) -> None:
    log = await side.log()
    topic = await side.topic(log)
    writer = log.transactional(f"{side.prefix}-tx")
    await writer.start()
    (place,) = await writer.commit([Write(topic, b"k", b"committed")])
    await visible(log, [place])
    assert (await log.fetch_at(place)).value == b"committed"
    with pytest.raises(NotFoundError):
        await log.fetch_at(TopicPartitionOffset(topic, 0, 1))  # the control record
    await side.leave_open(f"{side.prefix}-ghost", [Write(topic, b"k", b"ghost", partition=0)])
    with pytest.raises(NotFoundError):
        await log.fetch_at(TopicPartitionOffset(topic, 0, 2))
    ghost = log.transactional(f"{side.prefix}-ghost")
    await ghost.start()
    with pytest.raises(NotFoundError):
        await log.fetch_at(TopicPartitionOffset(topic, 0, 2))


@contract
async def test_what_does_not_exist_is_drift(side: Side) -> None:
    topic, _ = await filled(side, 1, partitions=2)
    log = await side.log()
    assert await log.partition_count(topic) == 2
    missing = TopicPartition(f"{topic}-missing", 0)
    beyond = TopicPartition(topic, 2)
    for partition in (missing, beyond):
        with pytest.raises(TopicsDrifted):
            await log.end_offset(partition)
        with pytest.raises(TopicsDrifted):
            await log.reader({partition: 0})
        with pytest.raises(TopicsDrifted):
            await log.fetch_at(TopicPartitionOffset(*partition, 0))
    with pytest.raises(TopicsDrifted):
        await log.partition_count(missing.topic)


@contract
async def test_many_records_are_read_to_the_end(side: Side) -> None:
    log = await side.log()
    topic = await side.topic(log)
    outbox = await outbox_for(log, topic)
    for number in range(20_000):
        outbox.send(Write(topic, b"%d" % number, b"x" * 300))
    await outbox.flush()
    records = await drain(log, TopicPartition(topic, 0))
    assert [int(record.key or b"") for record in records] == list(range(20_000))
