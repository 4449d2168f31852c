"""What a handler does wrong harms no other: troubles, breakers, bounds of memory, payloads that are changed."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from tasker_kafka.handlers import DomainEvent, Subscriber
from tasker_kafka.handlers.delivery.journey import FailureClass
from tasker_kafka.handlers.delivery.settings import DeliverySettings
from tests.support.events import (
    Buses,
    Gate,
    envelope,
    key_orders,
    noting,
    publish_numbered,
    retrying,
)
from tests.support.troubled import TROUBLES, troubled

QUEUED = 1_000
"""Records that wait in memory by default."""
FETCHED = 500
"""Records that one fetch may bring."""
KEYS = [f"key {number % 7}" for number in range(14)]


def test_trouble_in_a_subscriber_stops_no_other(buses: Buses) -> None:
    bus = buses(troubled("troubled", retrying(attempts=1, timeout_seconds=0.3), "**"), noting("other"))
    publish_numbered(bus, ["ada", "ada", "ben"])
    bus.settle()
    assert key_orders(bus, "steady") == {"ada": [1, 2], "ben": [1]}
    assert key_orders(bus, "other/note") == {"ada": [1, 2], "ben": [1]}
    classes = Counter(
        (letter.journey.subscription, letter.failure_class) for letter in bus.dead_letters("troubled")
    )
    assert classes == dict.fromkeys(TROUBLES.items(), 3)
    assert len(bus.members("troubled")) == 1, "its member lives"


def test_a_handler_that_ignores_its_cancellation_holds_nothing_up(buses: Buses) -> None:
    over = False

    async def stubborn(event: DomainEvent[Any]) -> None:
        while event.key == "ada" and not over:
            try:
                await asyncio.sleep(0.02)
            except asyncio.CancelledError:
                continue

    bus = buses(noting(does=stubborn, retry=retrying(attempts=1, timeout_seconds=0.2)))
    publish_numbered(bus, ["ada", "ben", "ben"])
    bus.settle()
    assert key_orders(bus) == {"ben": [1, 2]}
    assert [letter.failure_class for letter in bus.dead_letters()] == [FailureClass.TIMEOUT]
    over = True


def test_an_open_breaker_delays_and_then_tries_one(buses: Buses) -> None:
    pause = buses.seconds(30.0, 1.0)
    policy = retrying(0.01, attempts=10, breaker_failures=3, breaker_seconds=pause)
    bus = buses(noting(retry=policy))
    bus.fail("note", times=3)
    publish_numbered(bus, ["ada", "ben", "cleo", "dan"])
    bus.settle()
    assert key_orders(bus) == {
        "ada": [1],
        "ben": [1],
        "cleo": [1],
        "dan": [1],
    }
    failed = [call for call in bus.delivered() if call.error is not None]
    assert len(failed) == 3
    opened_at = max(call.ended_at or 0 for call in failed)
    after = [call for call in bus.delivered() if call.began_at > opened_at]
    assert all(call.began_at >= opened_at + pause * 1000 for call in after)
    first = after[0]
    assert first.ended_at is not None
    assert all(call.began_at >= first.ended_at for call in after[1:]), "one is tried before the others"


def test_a_try_of_an_open_breaker_that_a_rebalance_ends_is_made_again(memory_buses: Buses) -> None:
    gate, calls = Gate(), Counter[str]()

    async def down(event: DomainEvent[Any]) -> None:
        calls[event.key] += 1
        if sum(calls.values()) == 1:
            raise ValueError("down")
        await gate(event)

    policy = retrying(0.01, attempts=100, breaker_failures=1, breaker_seconds=10, timeout_seconds=3600)
    bus = memory_buses(noting(does=down, retry=policy), partitions=2)
    publish_numbered(bus, KEYS)
    bus.wait_for(lambda: sum(calls.values()) == 2)
    bus.start_member("audit")
    bus.advance(60)
    gate.open()
    bus.settle(timeout=3600)
    assert {key: sorted(set(found)) for key, found in key_orders(bus).items()} == {
        key: [1, 2] for key in KEYS
    }


def test_waiting_records_are_bounded(buses: Buses) -> None:
    gate = Gate()
    bus = buses(noting(does=gate, concurrency=5, queued=20, retry=retrying(timeout_seconds=3600)))
    bus.send_all([bus.written(envelope({"n": number}, key=f"key {number}")) for number in range(2_000)])
    bus.wait_delivered("note", 5)
    bus.advance(buses.seconds(60.0, 0.5))
    figures = bus.figures("audit")
    assert figures.in_flight == 5
    assert figures.waiting <= 20 + FETCHED, "the limit, and at most one fetch beyond it"
    gate.open()
    bus.settle()
    assert len(bus.handled()) == 2_000


def test_parked_records_are_bounded(memory_buses: Buses) -> None:
    policy = retrying(600.0, in_place_seconds=0)
    bus = memory_buses(noting(retry=policy), settings=DeliverySettings(parked=20))
    bus.fail("note", times=1)
    bus.send_all([bus.written(envelope({"n": number}, key="ada")) for number in range(2_000)])
    bus.advance(60)
    assert bus.figures("audit").waiting <= 20 + QUEUED + FETCHED
    bus.settle()
    assert key_orders(bus) == {"ada": list(range(2_000))}


def test_what_a_handler_does_to_its_event_no_other_sees(buses: Buses) -> None:
    subscriber = Subscriber("audit")
    seen: list[tuple[str, int, Any]] = []

    @subscriber.on("**", retry=retrying(0.01))
    async def careless(event: DomainEvent[Any]) -> None:
        seen.append(("careless", event.delivery_attempt, dict(event.payload)))
        event.payload["n"] = "spoilt"
        if event.delivery_attempt == 1:
            raise ValueError("again")

    @subscriber.on("**")
    async def steady(event: DomainEvent[Any]) -> None:
        seen.append(("steady", event.delivery_attempt, dict(event.payload)))

    bus = buses(subscriber)
    publish_numbered(bus, ["ada"])
    bus.settle()
    assert sorted(seen) == [
        ("careless", 1, {"n": 1}),
        ("careless", 2, {"n": 1}),
        ("steady", 1, {"n": 1}),
    ]
