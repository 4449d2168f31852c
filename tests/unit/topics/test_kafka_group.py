"""What a member adds to the driver: it learns of its successor, and resumes at once what it has paused."""

from __future__ import annotations

import time
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
        self._fetcher = SimpleNamespace(_fetch_max_wait_ms=200)
        self.paused: set[TopicPartition] = set()

    def pause(self, *places: TopicPartition) -> None:
        self.paused |= set(places)

    def resume(self, *places: TopicPartition) -> None:
        self.paused -= set(places)

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


async def test_a_fetch_waits_at_the_broker_no_longer_than_the_last_pause_has_lasted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    driver: Any = FakeConsumer("one")
    lookup: Any = FakeLookup()
    consumer = KafkaGroupConsumer("g", driver, lookup, instance_id=None, fetch_wait_ms=200)
    one, two = TopicPartition("t", 0), TopicPartition("t", 1)
    await consumer.take({one, two})

    async def wait_after(seconds: float) -> int:
        clock.now += seconds
        with pytest.raises(LogError):
            await consumer.fetch()
        waits: int = driver._fetcher._fetch_max_wait_ms
        return waits

    assert await wait_after(1.0) == 200
    consumer.pause([one])
    assert driver._fetcher._fetch_max_wait_ms == 5
    assert [await wait_after(each) for each in (0.05, 0.05, 3.0)] == [50, 100, 200]
    consumer.pause([one, two])
    assert [await wait_after(each) for each in (0.0, 0.05)] == [5, 50]
    consumer.resume([two])
    assert await wait_after(0.0) == 200
    assert driver.paused == {one}
    consumer.pause([two])
    await consumer.take({one})
    assert driver._fetcher._fetch_max_wait_ms == 200
