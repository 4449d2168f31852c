"""A static member that learns of its successor by an answer the driver has no name for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import UnknownError

from tasker_kafka.schemas.errors import FencedError, LogError
from tasker_kafka.topics.kafka.group import KafkaGroupConsumer
from tasker_kafka.topics.log import TopicPartition

UUID = "123e4567-e89b-12d3-a456-426614174000"


class FakeConsumer:
    """A consumer whose polls are answered with an unknown code."""

    def __init__(self, member_id: str) -> None:
        self._coordinator = SimpleNamespace(
            member_id=member_id, generation=3, _start_heartbeat_task=lambda: None, _do_heartbeat=None
        )

    async def position(self, _: TopicPartition) -> int:
        return 0

    async def getmany(self, **_: Any) -> dict[Any, Any]:
        raise UnknownError


class FakeLookup:
    """A group with these members."""

    def __init__(self, *members: str) -> None:
        self._members = list(members)

    async def group_members(self, _: str) -> list[str]:
        return self._members


async def fetched_with(member_id: str, *members: str) -> None:
    driver: Any = FakeConsumer(member_id)
    lookup: Any = FakeLookup(*members)
    consumer = KafkaGroupConsumer("g", driver, lookup, instance_id="one")
    await consumer.take({TopicPartition("t", 0)})
    await consumer.fetch()


async def test_another_member_of_the_name_is_a_successor() -> None:
    with pytest.raises(FencedError, match="as 'one'"):
        await fetched_with("one-11111111-e89b-12d3-a456-426614174000", f"one-{UUID}")


@pytest.mark.parametrize("members", [(), (f"one-1-{UUID}",), (f"two-{UUID}",), (f"one-{UUID}",)])
async def test_oneself_and_similar_names_are_none(members: tuple[str, ...]) -> None:
    with pytest.raises(LogError) as failed:
        await fetched_with(f"one-{UUID}", *members)
    assert not isinstance(failed.value, FencedError)
