"""What an outbox promises: order, places, barriers, failures."""

import asyncio

import pytest

from tasker_kafka.schemas.errors import LogError, RecordTooLarge, TopicsDrifted
from tasker_kafka.topics.log import LogFailure, TopicPartition, TopicPartitionOffset, Write
from tasker_kafka.topics.partitioner import partition_for
from tests.support.log_sides import Side, contract, drain, outbox_for


@contract
async def test_order_in_each_partition_is_the_order_of_sends(side: Side) -> None:
    log = await side.log()
    topic = await side.topic(log, partitions=4)
    outbox = await outbox_for(log, topic)
    track = outbox.track()
    for number in range(3000):
        outbox.send(Write(topic, b"k%d" % (number % 17), b"%d" % number), track)
        if number % 100 == 0:
            await asyncio.sleep(0)
    await track.barrier()
    seen = []
    for partition in range(4):
        records = await drain(log, TopicPartition(topic, partition))
        numbers = [int(record.value or b"") for record in records]
        assert numbers == sorted(numbers)
        assert all(partition_for(record.key or b"", 4) == partition for record in records)
        seen += numbers
    assert sorted(seen) == list(range(3000))


@contract
async def test_write_says_where_the_record_lies(side: Side) -> None:
    log = await side.log()
    topic = await side.topic(log, partitions=3)
    outbox = await outbox_for(log, topic)
    writes = [Write(topic, b"key", b"%d" % number, partition=number % 3) for number in range(9)]
    places = await asyncio.gather(*map(outbox.write, writes))
    assert places == [TopicPartitionOffset(topic, number % 3, number // 3) for number in range(9)]


@contract
async def test_barrier_waits_for_what_was_sent_before(side: Side) -> None:
    log = await side.log()
    topic = await side.topic(log)
    outbox = await outbox_for(log, topic)
    first, second = outbox.track(), outbox.track()
    await first.barrier()
    for number in range(10):
        outbox.send(Write(topic, None, b"%d" % number), first)
    outbox.send(Write(topic, None, b"other"), second)
    assert (first.in_flight, second.in_flight) == (10, 1)
    await first.barrier()
    assert first.in_flight == 0
    await outbox.flush()
    assert second.in_flight == 0
    assert await log.end_offset(TopicPartition(topic, 0)) == 11


@contract
async def test_a_record_too_large_for_its_topic_fails_its_track_only(side: Side) -> None:
    log = await side.log()
    topic = await side.topic(log, max_message_bytes="2000")
    failures: list[LogFailure] = []
    outbox = await outbox_for(log, topic, on_failure=failures.append)
    bad, good = outbox.track(), outbox.track()
    outbox.send(Write(topic, None, b"before"), bad)
    outbox.send(Write(topic, None, b"x" * 3000), bad)
    outbox.send(Write(topic, None, b"after"), bad)
    outbox.send(Write(topic, None, b"good"), good)
    with pytest.raises(RecordTooLarge):
        await bad.barrier()
    await good.barrier()
    with pytest.raises(LogError):
        outbox.send(Write(topic, None, b"never"), bad)
    outbox.send(Write(topic, None, b"good again"), good)
    await good.barrier()
    with pytest.raises(RecordTooLarge):
        await outbox.flush()
    records = await drain(log, TopicPartition(topic, 0))
    assert [record.value for record in records] == [b"before", b"good", b"good again"]
    assert [type(failure) for failure in failures] == [RecordTooLarge]


@contract
async def test_a_failed_write_is_its_callers_alone(side: Side) -> None:
    log = await side.log()
    topic = await side.topic(log, max_message_bytes="2000")
    failures: list[LogFailure] = []
    outbox = await outbox_for(log, topic, on_failure=failures.append)
    results = await asyncio.gather(
        outbox.write(Write(topic, b"a", b"1")),
        outbox.write(Write(topic, b"a", b"x" * 3000)),
        outbox.write(Write(topic, b"a", b"2")),
        return_exceptions=True,
    )
    assert isinstance(results[1], RecordTooLarge)
    assert [results[0], results[2]] == [TopicPartitionOffset(topic, 0, 0), TopicPartitionOffset(topic, 0, 1)]
    await outbox.flush()
    assert failures == []


@contract
async def test_batches_fill_up_and_follow_each_other(side: Side) -> None:
    """More than fits in one batch, sent at once."""
    log = await side.log()
    topic = await side.topic(log)
    outbox = await outbox_for(log, topic)
    for number in range(200):
        outbox.send(Write(topic, b"k", b"%06d" % number + b"x" * 20_000))
    await outbox.flush()
    records = await drain(log, TopicPartition(topic, 0))
    assert [int((record.value or b"")[:6]) for record in records] == list(range(200))


@contract
async def test_unknown_topics_are_refused(side: Side) -> None:
    log = await side.log()
    topic = await side.topic(log)
    outbox = await outbox_for(log, topic)
    with pytest.raises(LogError, match="warm"):
        outbox.send(Write(f"{topic}-other", None, b"x"))
    with pytest.raises(TopicsDrifted):
        await outbox.warm([f"{topic}-other"])
    with pytest.raises(TopicsDrifted):
        await outbox.write(Write(f"{topic}-other", None, b"x"))
    with pytest.raises(LogError, match="partition"):
        outbox.send(Write(topic, None, b"x", partition=7))


@contract
async def test_a_closed_outbox_has_written_everything_and_takes_nothing(side: Side) -> None:
    log = await side.log()
    topic = await side.topic(log)
    outbox = await outbox_for(log, topic)
    for number in range(50):
        outbox.send(Write(topic, None, b"%d" % number))
    await outbox.close()
    await outbox.close()
    assert len(await drain(log, TopicPartition(topic, 0))) == 50
    with pytest.raises(LogError, match="closed"):
        outbox.send(Write(topic, None, b"x"))
    with pytest.raises(LogError, match="closed"):
        await outbox.write(Write(topic, None, b"x"))


@contract
async def test_what_is_written_comes_back_byte_for_byte(side: Side) -> None:
    log = await side.log()
    topic = await side.topic(log)
    outbox = await outbox_for(log, topic)
    headers = (("b", b"\x00\xff"), ("ä-☃", "ünï".encode()), ("b", b"again"), ("empty", b""))
    writes = [
        Write(topic, b"\x00key\xff", b"value", headers, timestamp=1_700_000_000_123),
        Write(topic, b"tombstone", None),
        Write(topic, None, b"keyless"),
        Write(topic, b"", b""),
    ]
    for write in writes:
        await outbox.write(write)
    records = await drain(log, TopicPartition(topic, 0))
    assert [(record.key, record.value, record.headers) for record in records] == [
        (write.key, write.value, write.headers) for write in writes
    ]
    assert records[0].timestamp == 1_700_000_000_123
    assert [record.offset for record in records] == [0, 1, 2, 3]


@contract
async def test_log_append_time_overrides_the_writers(side: Side) -> None:
    log = await side.log()
    topic = await side.topic(log, message_timestamp_type="LogAppendTime")
    outbox = await outbox_for(log, topic)
    before = log.now_ms()
    await outbox.write(Write(topic, None, b"x", timestamp=1_000_000))
    (record,) = await drain(log, TopicPartition(topic, 0))
    assert before - 1000 <= record.timestamp <= log.now_ms() + 1000
