"""Groups and their members: each group gets everything, a key has one hand at a time, trouble in one harms no other."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import msgspec
import pytest

from tasker_kafka.handlers import DomainEvent, Subscriber
from tasker_kafka.handlers.testing.stages import MemoryStage
from tasker_kafka.topics.log import Write
from tests.support.events import (
    Buses,
    Gate,
    committed,
    key_orders,
    noting,
    numbers,
    publish_numbered,
    retrying,
)

KEYS = [f"key {number % 7}" for number in range(70)]
ALL = {f"key {number}": list(range(1, 11)) for number in range(7)}


class OneHand:
    """Two deliveries of a key at once, or out of order, are noted."""

    def __init__(self, seconds: float = 0.01) -> None:
        self._seconds = seconds
        self._inside: Counter[str] = Counter()
        self._seen: dict[str, int] = {}
        self.faults: list[str] = []

    async def __call__(self, event: DomainEvent[Any]) -> None:
        number, key = event.payload["n"], event.key
        self._inside[key] += 1
        if self._inside[key] > 1:
            self.faults.append(f"{key} has {self._inside[key]} at once")
        if number > self._seen.get(key, 0) + 1:
            self.faults.append(f"{key}: {number} after {self._seen.get(key)}")
        try:
            await asyncio.sleep(self._seconds)
            self._seen[key] = max(self._seen.get(key, 0), number)
        finally:
            self._inside[key] -= 1


# --------------------------------------------------------------------------------------------- groups


def test_every_group_gets_every_event(buses: Buses) -> None:
    bus = buses(noting("one"), noting("two"), noting("three"), partitions=2)
    publish_numbered(bus, KEYS)
    bus.settle()
    for group in ("one", "two", "three"):
        assert key_orders(bus, f"{group}/note") == ALL


def test_a_group_that_joins_later_gets_what_is_still_there(buses: Buses) -> None:
    bus = buses(noting("one"))
    publish_numbered(bus, KEYS)
    bus.settle()
    bus.add(noting("late"))
    bus.settle()
    assert key_orders(bus, "late/note") == ALL


def test_a_failing_group_delays_no_other(buses: Buses) -> None:
    delay, gate = buses.seconds(600.0, 1.0), Gate()
    failing = noting("failing", does=gate, retry=retrying(delay, in_place_seconds=0))
    bus = buses(failing, noting("steady"))
    bus.fail("failing/note", times=2)
    publish_numbered(bus, ["ada", "ada", "ben"])
    bus.wait_for(lambda: key_orders(bus, "steady/note") == {"ada": [1, 2], "ben": [1]})
    assert not any(call.is_handled for call in bus.delivered("failing/note"))
    gate.open()
    bus.settle()
    assert key_orders(bus, "failing/note")["ada"] == [1, 2]


def test_only_what_a_subscription_asks_for_reaches_it(buses: Buses) -> None:
    subscriber = Subscriber("audit")

    @subscriber.on("payment.*")
    async def one_segment(event: DomainEvent[Any]) -> None: ...

    @subscriber.on("payment.**")
    async def any_rest(event: DomainEvent[Any]) -> None: ...

    @subscriber.on("**", fields={"card.country": "FR"})
    async def french(event: DomainEvent[Any]) -> None: ...

    @subscriber.on("**", headers={"ce_type": "payment.charged"})
    async def by_header(event: DomainEvent[Any]) -> None: ...

    @subscriber.on("**", should_process=lambda event: event.payload["n"] > 2)
    async def by_question(event: DomainEvent[Any]) -> None: ...

    bus = buses(subscriber)
    bus.publish("payment.charged", {"n": 1, "card": {"country": "FR"}})
    bus.publish("payment.card.declined", {"n": 2, "card": {"country": "DE"}})
    bus.publish("refund.made", {"n": 3})
    bus.settle()
    found = {
        name: sorted(numbers(bus.handled(name)))
        for name in (each.name for each in subscriber.spec.subscriptions)
    }
    assert found == {
        "one_segment": [1],
        "any_rest": [1, 2],
        "french": [1],
        "by_header": [1],
        "by_question": [3],
    }
    assert bus.dead_letters() == []


@pytest.mark.parametrize("error", [KeyError("gone"), SystemExit(1), MemoryError()])
def test_a_filter_that_raises_is_a_failure_of_its_subscription_only(
    buses: Buses, error: BaseException
) -> None:
    def refuse(event: DomainEvent[Any]) -> bool:
        raise error

    subscriber = noting(name="steady")

    @subscriber.on("**", should_process=refuse, retry=retrying(attempts=1))
    async def raising(event: DomainEvent[Any]) -> None: ...

    bus = buses(subscriber)
    publish_numbered(bus, ["ada", "ben"])
    bus.settle()
    assert key_orders(bus, "steady") == {"ada": [1], "ben": [1]}
    assert [each.journey.subscription for each in bus.dead_letters()] == ["raising", "raising"]


# -------------------------------------------------------------------------------------------- members


def test_members_share_the_partitions_and_each_event_reaches_one(buses: Buses) -> None:
    bus = buses(noting(), partitions=4)
    bus.start_member("audit")
    bus.advance(buses.seconds(600.0, 2.0))
    publish_numbered(bus, KEYS)
    bus.settle()
    assert key_orders(bus) == ALL
    assert len(bus.delivered()) == len(KEYS)
    assert len({call.member for call in bus.delivered()}) == 2
    assert all(len({call.member for call in bus.delivered() if call.event.key == key}) == 1 for key in KEYS)


def test_order_is_kept_while_members_come_and_go(buses: Buses) -> None:
    hand, seen = OneHand(), Counter[str]()
    delay = buses.seconds(10.0, 0.3)
    bus = buses(noting(does=hand, retry=retrying(delay, in_place_seconds=0)), partitions=4)
    bus.fail("note", times=3)
    publish_numbered(bus, KEYS[:35], seen=seen)
    second = bus.start_member("audit")
    publish_numbered(bus, KEYS[35:], seen=seen)
    bus.stop_member(second)
    bus.settle()
    assert hand.faults == []
    orders = key_orders(bus)
    assert {key: sorted(set(found)) for key, found in orders.items()} == ALL
    assert all(list(dict.fromkeys(found)) == ALL[key] for key, found in orders.items())


def test_partitions_that_take_long_to_be_taken_over_are_read_then(memory_buses: Buses) -> None:
    bus = memory_buses(noting(), partitions=4)
    stage = bus._on()
    assert isinstance(stage, MemoryStage)
    stage.cluster.latency = 15.0
    bus.start_member("audit")
    bus.advance(600)
    stage.cluster.latency = 0.0
    publish_numbered(bus, KEYS)
    bus.settle(timeout=600)
    assert key_orders(bus) == ALL


def test_a_killed_member_s_events_reach_another(memory_buses: Buses) -> None:
    gate = Gate("key 3")
    bus = memory_buses(noting(does=gate), partitions=4)
    publish_numbered(bus, KEYS)
    bus.wait_for(lambda: len(bus.handled()) >= 50)
    (first,) = bus.members("audit")
    bus.kill_member(first)
    gate.open()
    bus.start_member("audit")
    bus.settle()
    orders = key_orders(bus)
    assert orders["key 3"] == ALL["key 3"]
    assert {key: sorted(set(found)) for key, found in orders.items()} == ALL


def test_a_zombie_member_finishes_nothing_behind_its_successor(memory_buses: Buses) -> None:
    bus = memory_buses(noting(), partitions=2)
    publish_numbered(bus, KEYS[:14])
    bus.settle()
    (zombie,) = bus.members("audit")
    bus.pause_member(zombie)
    publish_numbered(bus, KEYS[:14], name="thing.later")
    bus.start_member("audit")
    bus.wait_for(lambda: len(bus.handled()) >= 28, timeout=7200)
    bus.resume_member(zombie)
    bus.settle()
    later = [event for event in bus.handled() if event.name == "thing.later"]
    assert {(event.key, event.payload["n"]) for event in later} == {
        (key, number) for key in ALL for number in (1, 2)
    }


# -------------------------------------------------------------------------------- others' CloudEvents


def test_cloud_events_of_others_in_both_modes(buses: Buses) -> None:
    topic = buses.topic("shop")
    bus = buses(noting(topics=[topic], on=["com.example.**"]), topics=[topic])
    attributes = {"specversion": "1.0", "id": "a 1", "type": "com.example.sold", "source": "/shop"}
    binary = tuple((f"ce_{name}", value.encode()) for name, value in attributes.items())
    bus.send(Write(topic, b"ada", b'{"n": 1}', (*binary, ("content-type", b"application/json"))))
    structured = msgspec.json.encode({**attributes, "id": "a 2", "data": {"n": 2}})
    bus.send(Write(topic, b"ada", structured, (("content-type", b"application/cloudevents+json"),)))
    bus.settle()
    assert [(event.event_id, event.name, event.key, event.payload) for event in bus.handled()] == [
        ("a 1", "com.example.sold", "ada", {"n": 1}),
        ("a 2", "com.example.sold", "ada", {"n": 2}),
    ]
    assert committed(bus, "audit", topic) == 2
