"""The names of the driver that are not public, or not documented, but used. An upgrade fails here first."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import aiokafka
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.fetcher import Fetcher, PartitionRecords
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.producer.sender import Sender
from aiokafka.protocol.admin import DescribeGroupsRequest
from aiokafka.protocol.fetch import FetchRequest, FetchResponse_v11
from aiokafka.protocol.group import LeaveGroupRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.offset import OffsetRequest

from tasker_kafka.topics.kafka.driver import positions_now
from tasker_kafka.topics.log import TopicPartition


def parameters(thing: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(thing).parameters)


def test_the_version_is_the_one_these_were_read_in() -> None:
    assert aiokafka.__version__.startswith("0.14.")


async def test_private_fields() -> None:
    producer = AIOKafkaProducer(bootstrap_servers="127.0.0.1:1")
    assert producer._closed is False
    assert isinstance(producer._sender, Sender)
    assert producer._sender.sender_task is None
    assert isinstance(producer.client, AIOKafkaClient)
    consumer = AIOKafkaConsumer(bootstrap_servers="127.0.0.1:1")
    assert (consumer._coordinator, consumer._fetcher) == (None, None)
    assert isinstance(consumer._client, AIOKafkaClient)
    producer._closed = consumer._closed = True
    assert "self._fetch_max_wait_ms,\n" in inspect.getsource(Fetcher._get_actions_per_node), (
        "read for each fetch"
    )
    assert "self.member_id" in inspect.getsource(GroupCoordinator.__init__)
    assert "self.generation" in inspect.getsource(GroupCoordinator.__init__)
    assert "self._heartbeat_task is None" in inspect.getsource(GroupCoordinator._start_heartbeat_task)
    assert "success = await self._do_heartbeat()" in inspect.getsource(GroupCoordinator._heartbeat_routine)


@pytest.mark.parametrize(
    "name",
    [
        "bootstrap",
        "close",
        "send",
        "get_random_node",
        "add_topic",
        "force_metadata_update",
        "coordinator_lookup",
    ],
)
def test_undocumented_methods_of_the_client(name: str) -> None:
    assert callable(getattr(AIOKafkaClient, name))


def test_undocumented_signatures() -> None:
    assert parameters(MetadataRequest) == ["topics", "allow_auto_topic_creation"]
    assert parameters(OffsetRequest)[:3] == ["replica_id", "isolation_level", "topics"]
    assert parameters(FetchRequest)[:5] == [
        "max_wait_time",
        "min_bytes",
        "max_bytes",
        "isolation_level",
        "topics",
    ]
    assert parameters(DescribeGroupsRequest)[0] == "groups"
    assert parameters(LeaveGroupRequest) == ["group", "member_id"]
    assert parameters(PartitionRecords) == [
        "tp",
        "records",
        "aborted_transactions",
        "fetch_offset",
        "key_deserializer",
        "value_deserializer",
        "check_crcs",
        "isolation_level",
    ]
    assert parameters(BatchBuilder.append) == ["self", "timestamp", "key", "value", "headers"]


async def test_positions_are_found_by_our_name_of_a_partition() -> None:
    consumer = AIOKafkaConsumer(bootstrap_servers="127.0.0.1:1")
    one, other, foreign = (TopicPartition("t", number) for number in range(3))
    assert positions_now(consumer, [one]) == {}
    consumer.assign([aiokafka.TopicPartition("t", 0), aiokafka.TopicPartition("t", 1)])
    consumer._subscription.seek(aiokafka.TopicPartition("t", 0), 7)
    assert positions_now(consumer, [one, other, foreign]) == {one: 7}
    consumer._closed = True


def test_the_fetch_answer_has_its_fields_where_they_are_looked_for() -> None:
    topics: Any = FetchResponse_v11.SCHEMA.fields[-1]
    fields = topics.array_of.fields[-1].array_of.names
    assert fields[:2] == ("partition", "error_code")
    assert fields[-3:] == ("aborted_transactions", "preferred_read_replica", "message_set")


def test_a_cancelled_listener_ends_the_coordination() -> None:
    """A listener's other exceptions are caught, and the driver joins again."""
    assert "except Exception" in inspect.getsource(GroupCoordinator._on_join_prepare)
    assert "except asyncio.CancelledError" in inspect.getsource(GroupCoordinator._coordination_routine)
