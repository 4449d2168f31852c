"""What a transactional writer promises: all or nothing, and only the newest of an id."""

import asyncio

import pytest

from tasker_kafka.schemas.errors import FencedError, LogError, RecordTooLarge
from tasker_kafka.topics.log import Isolation, TopicPartition, TopicPartitionOffset, Write
from tests.support.log_sides import Side, contract, drain, outbox_for, visible
from tests.support.patience import PATIENCE_SECONDS


@contract
async def test_a_commit_is_visible_in_every_partition(side: Side) -> None:
    log = await side.log()
    topic = await side.topic(log, partitions=2)
    writer = log.transactional(f"{side.prefix}-tx")
    await writer.start()
    writes = [
        Write(topic, b"k", b"0", partition=1),
        Write(topic, b"k", b"1", (("h", b"v"),), partition=0),
        Write(topic, b"k", None, partition=1),
    ]
    places = await writer.commit(writes)
    assert places == [
        TopicPartitionOffset(topic, 1, 0),
        TopicPartitionOffset(topic, 0, 0),
        TopicPartitionOffset(topic, 1, 1),
    ]
    await visible(log, places)
    assert [r.value for r in await drain(log, TopicPartition(topic, 1))] == [b"0", None]
    (record,) = await drain(log, TopicPartition(topic, 0))
    assert (record.value, record.headers) == (b"1", (("h", b"v"),))
    assert await writer.commit([]) == []
    assert await writer.commit([Write(topic, b"k", b"2", partition=0)]) == [TopicPartitionOffset(topic, 0, 2)]


@contract
async def test_control_records_take_offsets_and_move_positions(side: Side) -> None:
    log = await side.log()
    topic = await side.topic(log)
    partition = TopicPartition(topic, 0)
    writer = log.transactional(f"{side.prefix}-tx")
    await writer.start()
    reader = await log.reader({partition: 0})
    for number in range(3):
        await writer.commit([Write(topic, b"k", b"%d" % number)])
    offsets = []
    while reader.position(partition) < 6:
        for batch in (await reader.fetch(max_records=1)).values():
            assert batch.next_position > batch.first_position
            offsets += [record.offset for record in batch.records]
    assert offsets == [0, 2, 4]
    assert reader.position(partition) == 6 == await log.end_offset(partition)


@contract
async def test_an_open_transaction_hides_what_follows_until_it_is_fenced(side: Side) -> None:
    log = await side.log()
    topic = await side.topic(log)
    partition = TopicPartition(topic, 0)
    outbox = await outbox_for(log, topic)
    await outbox.write(Write(topic, None, b"before"))
    await side.leave_open(f"{side.prefix}-tx", [Write(topic, b"k", b"ghost", partition=0)])
    await outbox.write(Write(topic, None, b"after"))
    assert await log.end_offset(partition) == 1
    assert await log.end_offset(partition, isolation=Isolation.UNCOMMITTED) == 3
    assert [r.value for r in await drain(log, partition)] == [b"before"]
    writer = log.transactional(f"{side.prefix}-tx")
    await writer.start()
    await visible(log, await writer.commit([Write(topic, b"k", b"new owner", partition=0)]))
    assert [r.value for r in await drain(log, partition)] == [b"before", b"after", b"new owner"]
    values = [r.value for r in await drain(log, partition, isolation=Isolation.UNCOMMITTED)]
    assert values == [b"before", b"ghost", b"after", b"new owner"]


@contract
async def test_an_open_transaction_is_aborted_after_its_timeout(side: Side) -> None:
    """A waiting reader sees what follows as soon as the ghost is gone."""
    log = await side.log()
    topic = await side.topic(log)
    await side.leave_open(f"{side.prefix}-tx", [Write(topic, b"k", b"ghost", partition=0)])
    writer = log.transactional(f"{side.prefix}-tx")
    reader = await log.reader({TopicPartition(topic, 0): 0})
    outbox = await outbox_for(log, topic)
    await outbox.write(Write(topic, None, b"after"))
    fetching = asyncio.create_task(reader.fetch(timeout=PATIENCE_SECONDS))
    await writer.start()
    batches = await fetching
    while not any(batch.records for batch in batches.values()):
        batches = await reader.fetch(timeout=PATIENCE_SECONDS)
    assert [record.value for batch in batches.values() for record in batch.records] == [b"after"]


@contract
async def test_an_older_writer_is_fenced_for_good(side: Side) -> None:
    log, newer_log = await side.log(), await side.log()
    topic = await side.topic(log)
    older = log.transactional(f"{side.prefix}-tx")
    await older.start()
    await older.commit([Write(topic, b"k", b"old")])
    newer = newer_log.transactional(f"{side.prefix}-tx")
    await newer.start()
    with pytest.raises(FencedError):
        await older.commit([Write(topic, b"k", b"zombie")])
    with pytest.raises(LogError, match="unusable"):
        await older.commit([Write(topic, b"k", b"zombie")])
    await visible(log, await newer.commit([Write(topic, b"k", b"new")]))
    assert [r.value for r in await drain(log, TopicPartition(topic, 0))] == [b"old", b"new"]
    await older.close()


@contract
async def test_writers_of_different_ids_do_not_disturb_each_other(side: Side) -> None:
    log = await side.log()
    topic = await side.topic(log)
    writers = [log.transactional(f"{side.prefix}-tx{number}") for number in range(3)]
    await asyncio.gather(*(writer.start() for writer in writers))
    for turn in range(3):
        writes = [[Write(topic, b"k", b"%d" % turn)] for _ in writers]
        commits = [writer.commit(write) for writer, write in zip(writers, writes, strict=True)]
        for places in await asyncio.gather(*commits):
            await visible(log, places)
    values = [record.value for record in await drain(log, TopicPartition(topic, 0))]
    assert values == [b"0"] * 3 + [b"1"] * 3 + [b"2"] * 3


@contract
async def test_a_transaction_with_a_record_too_large_leaves_nothing(side: Side) -> None:
    log = await side.log()
    topic = await side.topic(log, max_message_bytes="2000")
    writer = log.transactional(f"{side.prefix}-tx")
    await writer.start()
    with pytest.raises(RecordTooLarge):
        await writer.commit([Write(topic, b"a", b"1"), Write(topic, b"b", b"x" * 3000)])
    with pytest.raises(LogError, match="unusable"):
        await writer.commit([Write(topic, b"a", b"1")])
    outbox = await outbox_for(log, topic)
    await visible(log, [await outbox.write(Write(topic, None, b"after"))])
    partition = TopicPartition(topic, 0)
    assert [record.value for record in await drain(log, partition)] == [b"after"]
    assert await log.end_offset(partition) == await log.end_offset(partition, isolation=Isolation.UNCOMMITTED)


@contract
async def test_a_writer_that_was_not_started_or_is_closed_refuses(side: Side) -> None:
    log = await side.log()
    topic = await side.topic(log)
    writer = log.transactional(f"{side.prefix}-tx")
    with pytest.raises(LogError, match="not started"):
        await writer.commit([Write(topic, b"k", b"x")])
    await writer.start()
    await writer.close()
    await writer.close()
    with pytest.raises(LogError):
        await writer.commit([Write(topic, b"k", b"x")])


@contract
async def test_a_large_commit_spans_batches(side: Side) -> None:
    log = await side.log()
    topic = await side.topic(log)
    writer = log.transactional(f"{side.prefix}-tx")
    await writer.start()
    writes = [Write(topic, b"%d" % number, b"x" * 10_000) for number in range(200)]
    places = await writer.commit(writes)
    await visible(log, places)
    assert [place.offset for place in places] == list(range(200))
    assert [record.key for record in await drain(log, TopicPartition(topic, 0))] == [w.key for w in writes]
