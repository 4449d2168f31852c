"""The checker's reader on a real broker: everything from offset 0, what was aborted marked, groups' positions."""

from __future__ import annotations

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tasker_kafka.topics.brokers import Broker
from tests.checker import ReadingError, read_raw


async def make_topics(bootstrap: str, prefix: str) -> None:
    """Two partitions of each, and one topic of another prefix."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    names = [
        f"{prefix}.transitions.v1",
        f"{prefix}.task-state.v1",
        f"{prefix}.commands.v1",
        f"{prefix}x.commands.v1",
    ]
    await admin.create_topics([NewTopic(name, num_partitions=2, replication_factor=1) for name in names])
    await admin.close()


async def write(bootstrap: str, prefix: str) -> None:
    """One transaction that counts, one that does not, one more that does; plain records; a group's commit."""
    state, commands = f"{prefix}.task-state.v1", f"{prefix}.commands.v1"
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=f"{prefix}-engine-1")
    await producer.start()
    for value, is_good in ((b"one", True), (b"two", False), (b"three", True)):
        await producer.begin_transaction()
        await producer.send_and_wait(state, value, key=b"key", partition=1, headers=[("tasker-owner", b"7")])
        await (producer.commit_transaction() if is_good else producer.abort_transaction())
    await producer.stop()
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as plain:
        for number in range(50):
            await plain.send_and_wait(commands, b"%d" % number, partition=0)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, group_id=f"{prefix}-engine", enable_auto_commit=False
    )
    await consumer.start()
    consumer.assign([TopicPartition(commands, 0)])
    await consumer.commit({TopicPartition(commands, 0): 33})
    await consumer.stop()


async def test_everything_is_read_and_what_was_aborted_is_marked(kafka: Broker, prefix: str) -> None:
    await make_topics(kafka.bootstrap_servers, prefix)
    await write(kafka.bootstrap_servers, prefix)
    raw = await read_raw(kafka.bootstrap_servers, prefix)
    assert sorted(raw.partitions) == [
        f"{prefix}.{name}.v1" for name in ("commands", "task-state", "transitions")
    ]
    saved = raw.of("task-state")[1]
    found = [(each.offset, each.value, each.committed) for each in saved.records]
    assert found == [(0, b"one", True), (2, b"two", False), (4, b"three", True)], (
        "control records lie between"
    )
    assert saved.end == 6
    assert saved.records[0].key == b"key"
    assert saved.records[0].headers == (("tasker-owner", b"7"),)
    commands = raw.of("commands")[0]
    assert [each.value for each in commands.records] == [b"%d" % number for number in range(50)]
    assert all(each.committed for each in commands.records)
    assert raw.of("commands")[1].records == []
    assert raw.groups == {f"{prefix}-engine": {f"{prefix}.commands.v1": {0: 33}}}


async def test_a_prefix_without_topics_is_an_error(kafka: Broker, prefix: str) -> None:
    with pytest.raises(ReadingError, match="no topic begins with"):
        await read_raw(kafka.bootstrap_servers, f"{prefix}-none")
