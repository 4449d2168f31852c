"""Order per key is kept, also through retries; other keys flow on; nothing is delivered before its time."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from tasker_kafka.handlers import DomainEvent, RetryableError
from tasker_kafka.handlers.testing import EventBus
from tests.support.events import (
    Buses,
    Gate,
    envelope,
    key_orders,
    noting,
    numbers,
    parked,
    publish_numbered,
    retrying,
)

KEYS = ["ada", "ben", "ada", "cleo", "ben", "ada", "cleo", "ada"]
ALL = {"ada": [1, 2, 3, 4], "ben": [1, 2], "cleo": [1, 2]}


def fail_first_of(key: str, times: int = 1, number: int = 1, then: Gate | None = None) -> Any:
    """Fails the first deliveries of one event: the `number`-th of a key. Later ones are held until `then` is open.

    So a test can look at what happens meanwhile, however soon the retry comes.
    """
    failed = Counter[str]()

    async def fail(event: DomainEvent[Any]) -> None:
        if event.key == key and event.payload["n"] == number:
            failed[event.event_id] += 1
            if failed[event.event_id] <= times:
                raise RuntimeError("not yet")
            if then is not None:
                await then(event)

    return fail


def assert_never_early(bus: EventBus, delay_seconds: float) -> None:
    """Every delivery after a failed one began at least the delay after that had ended."""
    ends: dict[str, int] = {}
    retries = 0
    for call in bus.delivered():
        if call.event.event_id in ends:
            retries += 1
            assert call.began_at >= ends[call.event.event_id] + delay_seconds * 1000
        if call.error is not None:
            assert call.ended_at is not None
            ends[call.event.event_id] = call.ended_at
    assert retries


def test_events_of_a_key_are_delivered_one_after_the_other_in_order(buses: Buses) -> None:
    inside: Counter[str] = Counter()
    most: Counter[str] = Counter()

    async def work(event: DomainEvent[Any]) -> None:
        inside[event.key] += 1
        most[event.key] = max(most[event.key], inside[event.key])
        await asyncio.sleep(0.02 / event.payload["n"])
        inside[event.key] -= 1

    bus = buses(noting(does=work))
    publish_numbered(bus, KEYS)
    bus.settle()
    assert key_orders(bus) == ALL
    assert most == {"ada": 1, "ben": 1, "cleo": 1}


def test_keys_run_in_parallel(buses: Buses) -> None:
    gate = Gate()
    bus = buses(noting(does=gate))
    publish_numbered(bus, KEYS)
    bus.wait_delivered("note", 3)
    assert {call.event.key for call in bus.delivered()} == {"ada", "ben", "cleo"}
    gate.open()
    bus.settle()
    assert key_orders(bus) == ALL


def test_a_retry_in_place_keeps_the_order_of_its_key(buses: Buses) -> None:
    bus = buses(noting(does=fail_first_of("ada", times=2), retry=retrying(0.1)))
    publish_numbered(bus, KEYS)
    bus.settle()
    assert key_orders(bus) == ALL
    assert_never_early(bus, 0.1)
    assert [call.attempt for call in bus.delivered() if call.event.key == "ada"] == [1, 2, 3, 1, 1, 1]


def test_a_parked_event_parks_its_successors_and_other_keys_flow_on(buses: Buses) -> None:
    delay, gate = buses.seconds(30.0, 1.0), Gate()
    bus = buses(noting(does=fail_first_of("ada", then=gate), retry=retrying(delay, in_place_seconds=0)))
    publish_numbered(bus, KEYS)
    bus.wait_for(lambda: sum(call.is_handled for call in bus.delivered()) == 4)
    assert key_orders(bus) == {"ben": [1, 2], "cleo": [1, 2]}
    gate.open()
    bus.settle()
    assert key_orders(bus) == ALL
    assert_never_early(bus, delay)
    assert len(parked(bus, "audit", f"{delay:g}s")) == 4, "the failed event and its three successors"


def test_successors_published_while_their_key_is_parked_wait_for_it(buses: Buses) -> None:
    delay, gate = buses.seconds(30.0, 1.0), Gate()
    bus = buses(noting(does=fail_first_of("ada", then=gate), retry=retrying(delay, in_place_seconds=0)))
    bus.publish("thing.happened", {"n": 1}, key="ada")
    bus.wait_for(lambda: len(parked(bus, "audit", f"{delay:g}s")) == 1)
    bus.publish("thing.happened", {"n": 2}, key="ada")
    bus.publish("thing.happened", {"n": 1}, key="ben")
    bus.wait_for(lambda: key_orders(bus) == {"ben": [1]})
    assert set(numbers(call for call in bus.delivered() if call.event.key == "ada")) == {1}
    gate.open()
    bus.settle()
    assert key_orders(bus) == {"ben": [1], "ada": [1, 2]}


def test_order_is_kept_through_several_tiers(buses: Buses) -> None:
    first, second = buses.seconds(10.0, 0.3), buses.seconds(60.0, 0.6)
    policy = retrying(first, second, in_place_seconds=0)
    bus = buses(noting(does=fail_first_of("ada", times=2), retry=policy))
    publish_numbered(bus, ["ada", "ada"])
    bus.wait_delivered("note", 2)
    publish_numbered(bus, ["ben", "ben"])
    bus.publish("thing.happened", {"n": 3}, key="ada")
    bus.settle()
    assert key_orders(bus) == {"ada": [1, 2, 3], "ben": [1, 2]}
    first_of_ada = [call for call in bus.delivered() if call.event.key == "ada" and numbers([call]) == [1]]
    assert [call.attempt for call in first_of_ada] == [1, 2, 3]
    assert [
        call.began_at - (before.ended_at or 0) >= delay * 1000
        for before, call, delay in zip(first_of_ada, first_of_ada[1:], (first, second), strict=False)
    ] == [True, True]


def test_a_later_event_of_the_key_may_fail_and_be_parked_in_its_turn(buses: Buses) -> None:
    delay = buses.seconds(30.0, 0.4)
    first, second = fail_first_of("ada", number=1), fail_first_of("ada", number=3)

    async def work(event: DomainEvent[Any]) -> None:
        await first(event)
        await second(event)

    bus = buses(noting(does=work, retry=retrying(delay, in_place_seconds=0)))
    publish_numbered(bus, ["ada"] * 5)
    bus.settle()
    assert key_orders(bus) == {"ada": [1, 2, 3, 4, 5]}
    assert numbers(bus.delivered()) == [1, 1, 2, 3, 3, 4, 5]


def test_parked_keys_stay_parked_after_a_restart(buses: Buses) -> None:
    delay, gate = buses.seconds(30.0, 3.0), Gate()
    bus = buses(noting(does=fail_first_of("ada", then=gate), retry=retrying(delay, in_place_seconds=0)))
    publish_numbered(bus, KEYS)
    bus.wait_for(lambda: len(parked(bus, "audit", f"{delay:g}s")) == 4)
    bus.restart("audit")
    bus.publish("thing.happened", {"n": 5}, key="ada")
    bus.publish("thing.happened", {"n": 3}, key="ben")
    bus.wait_for(lambda: key_orders(bus).get("ben") == [1, 2, 3])
    assert "ada" not in key_orders(bus)
    gate.open()
    bus.settle()
    assert key_orders(bus)["ada"] == [1, 2, 3, 4, 5]
    assert_never_early(bus, delay)


def test_ordering_by_partition_lets_everything_wait(buses: Buses) -> None:
    delay = buses.seconds(30.0, 0.4)
    policy = retrying(delay, in_place_seconds=0)
    bus = buses(noting(does=fail_first_of("ada"), retry=policy, ordering="partition"))
    publish_numbered(bus, KEYS)
    bus.settle()
    seen: Counter[str] = Counter()
    expected = []
    for key in KEYS:
        seen[key] += 1
        expected.append((key, seen[key]))
    assert [(event.key, event.payload["n"]) for event in bus.handled()] == expected


def test_without_ordering_nothing_waits(buses: Buses) -> None:
    delay, gate = buses.seconds(30.0, 1.0), Gate()
    policy = retrying(delay, in_place_seconds=0)
    bus = buses(noting(does=fail_first_of("ada", then=gate), retry=policy, ordering="none"))
    publish_numbered(bus, ["ada", "ada", "ada"])
    bus.wait_for(lambda: key_orders(bus) == {"ada": [2, 3]})
    gate.open()
    bus.settle()
    assert key_orders(bus) == {"ada": [2, 3, 1]}


def test_subscriptions_of_a_group_do_not_wait_for_each_other(buses: Buses) -> None:
    delay, gate = buses.seconds(30.0, 1.0), Gate()
    failing = fail_first_of("ada", then=gate)
    subscriber = noting(name="failing", does=failing, retry=retrying(delay, in_place_seconds=0))

    @subscriber.on("thing.*", retry=retrying(1.0))
    async def steady(event: DomainEvent[Any]) -> None: ...

    bus = buses(subscriber)
    publish_numbered(bus, ["ada", "ada"])
    bus.wait_for(lambda: key_orders(bus, "steady") == {"ada": [1, 2]})
    assert key_orders(bus, "failing") == {}
    gate.open()
    bus.settle()
    assert key_orders(bus, "failing") == {"ada": [1, 2]}
    assert len(bus.delivered("steady")) == 2, "what one subscription parks is not delivered to another again"


def test_a_handler_says_when_to_come_back(buses: Buses) -> None:
    wait = buses.seconds(600.0, 0.5)
    calls = iter([RetryableError("busy", retry_after=wait)])

    async def busy(event: DomainEvent[Any]) -> None:
        for error in calls:
            raise error

    bus = buses(noting(does=busy, retry=retrying(0.01)))
    publish_numbered(bus, ["ada", "ada"])
    bus.settle()
    assert key_orders(bus) == {"ada": [1, 2]}
    assert_never_early(bus, wait)


def test_a_retry_comes_when_it_is_due(memory_buses: Buses) -> None:
    bus = memory_buses(noting(does=fail_first_of("ada", times=2), retry=retrying(1, 300, in_place_seconds=2)))
    publish_numbered(bus, ["ada"])
    bus.settle()
    began = [call.began_at for call in bus.delivered()]
    assert [later - earlier for earlier, later in pairwise(began)] == [
        pytest.approx(1_000, abs=250),
        pytest.approx(300_000, abs=250),
    ]


def test_records_without_a_key_wait_for_nothing(buses: Buses) -> None:
    delay, gate = buses.seconds(30.0, 1.0), Gate()

    async def hold_the_first(event: DomainEvent[Any]) -> None:
        if event.payload["n"] == 1:
            await gate(event)

    bus = buses(noting(does=hold_the_first, retry=retrying(delay, in_place_seconds=0)))
    bus.fail("note", times=1)
    for number in (1, 2, 3):
        write = bus.written(envelope({"n": number}, key="key of the envelope"))
        bus.send(msgspec.structs.replace(write, key=None))
    bus.wait_for(lambda: numbers(bus.handled()) == [2, 3])
    gate.open()
    bus.settle()
    assert numbers(bus.handled()) == [2, 3, 1]
