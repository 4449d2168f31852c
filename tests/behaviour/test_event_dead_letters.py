"""What no delivery can help becomes a dead letter, byte for byte, with its class; redriven, it comes back."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from pydantic import BaseModel

from tasker_kafka.handlers import DomainEvent, PermanentError, Subscriber
from tasker_kafka.handlers.delivery.journey import FailureClass
from tasker_kafka.handlers.testing import EventBus
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

QUICK = retrying(0.05, attempts=3)


class Payment(BaseModel):
    n: int
    amount: int


def dead(bus: EventBus, group: str | None = None) -> list[tuple[str, int, FailureClass | None]]:
    """Subscription, attempts and class of each dead letter."""
    return [
        (each.journey.subscription, each.journey.attempts, each.failure_class)
        for each in bus.dead_letters(group)
    ]


def test_the_attempts_end_in_a_dead_letter_that_says_why(buses: Buses) -> None:
    async def refuse(event: DomainEvent[Any]) -> None:
        raise ValueError("no such account")

    bus = buses(noting(retry=QUICK, does=refuse))
    event_id = bus.publish("payment.charged", {"n": 1}, key="ada")
    bus.settle()
    (letter,) = bus.dead_letters()
    journey = letter.journey
    assert (journey.group, journey.subscription, journey.event_id) == ("audit", "note", event_id)
    assert (journey.attempts, journey.failure_class) == (3, FailureClass.HANDLER)
    assert journey.error_type is not None
    assert journey.error_type.endswith("ValueError")
    assert "no such account" in (journey.message or "")
    assert "in refuse" in (journey.stack or "")
    calls = bus.delivered("note")
    assert [call.attempt for call in calls] == [1, 2, 3]
    assert journey.first_failed_at is not None
    assert journey.last_failed_at is not None
    assert calls[0].began_at <= journey.first_failed_at <= calls[1].began_at
    assert calls[2].began_at <= journey.last_failed_at <= letter.record.timestamp


def test_after_a_dead_letter_its_key_goes_on_in_order(buses: Buses) -> None:
    bus = buses(noting(retry=QUICK))
    bus.fail("note", times=3)
    publish_numbered(bus, ["ada"] * 3)
    bus.settle()
    assert key_orders(bus) == {"ada": [2, 3]}
    assert dead(bus) == [("note", 3, FailureClass.HANDLER)]


def test_a_permanent_failure_is_dead_at_once(buses: Buses) -> None:
    bus = buses(noting(retry=QUICK))
    bus.fail("note", error=PermanentError("card stolen"))
    bus.publish("payment.charged", {"n": 1})
    bus.settle()
    assert dead(bus) == [("note", 1, FailureClass.HANDLER)]


def test_an_async_handler_that_hangs_times_out(buses: Buses) -> None:
    async def hang(event: DomainEvent[Any]) -> None:
        if event.key == "ada" and event.payload["n"] == 1:
            await asyncio.Event().wait()

    bus = buses(noting(does=hang, retry=retrying(0.05, attempts=2, timeout_seconds=0.3)))
    publish_numbered(bus, ["ada", "ada", "ben"])
    bus.settle()
    assert dead(bus) == [("note", 2, FailureClass.TIMEOUT)]
    assert key_orders(bus) == {"ben": [1], "ada": [2]}


def test_a_plain_function_that_hangs_times_out_and_holds_nothing_up(buses: Buses) -> None:
    subscriber = Subscriber("audit")

    @subscriber.on("**", retry=retrying(attempts=1, timeout_seconds=0.3))
    def note(event: DomainEvent[Any]) -> None:
        assert threading.current_thread() is not threading.main_thread()

    bus = buses(subscriber)
    bus.hang("note")
    bus.publish("thing.happened", {"n": 1}, key="ada")
    bus.wait_delivered("note", 1)
    publish_numbered(bus, ["ben", "ben"])
    bus.publish("thing.happened", {"n": 2}, key="ada")
    bus.settle()
    assert key_orders(bus) == {"ada": [2], "ben": [1, 2]}
    assert dead(bus) == [("note", 1, FailureClass.TIMEOUT)]


def test_a_payload_that_does_not_fit_the_model_is_dead_at_once(buses: Buses) -> None:
    bus = buses(noting(model=Payment, retry=QUICK))
    bus.publish("payment.charged", {"n": 1}, key="ada")
    bus.publish("payment.charged", {"n": 2, "amount": 7}, key="ada")
    bus.settle()
    assert [event.payload for event in bus.handled()] == [Payment(n=2, amount=7)]
    (letter,) = bus.dead_letters()
    assert letter.failure_class is FailureClass.SCHEMA
    assert "amount" in (letter.journey.message or "")


def test_an_event_that_is_too_old_expires(buses: Buses) -> None:
    bus = buses(noting(retry=retrying(0.05, max_age_seconds=3600)))
    bus.publish("thing.happened", {"n": 1}, key="ada", fired_at=bus.now_ms - 3_700_000)
    bus.publish("thing.happened", {"n": 2}, key="ada")
    bus.settle()
    assert numbers(bus.delivered()) == [2]
    assert dead(bus) == [("note", 0, FailureClass.EXPIRED)]


def test_a_retry_that_would_come_too_late_is_not_waited_for(buses: Buses) -> None:
    bus = buses(noting(retry=retrying(600.0, max_age_seconds=60, in_place_seconds=0)))
    bus.fail("note", times=None)
    bus.publish("thing.happened", {"n": 1}, key="ada")
    bus.settle(timeout=30)
    assert dead(bus) == [("note", 1, FailureClass.EXPIRED)]


def test_successors_that_grow_too_old_behind_their_key_are_blocked_by_it(buses: Buses) -> None:
    delay = buses.seconds(40.0, 3.0)
    age = delay * 8
    bus = buses(noting(retry=retrying(delay, in_place_seconds=0, max_age_seconds=age)))
    bus.fail("note", times=1)
    now = bus.now_ms
    bus.publish("thing.happened", {"n": 1}, key="ada", fired_at=now)
    bus.publish("thing.happened", {"n": 2}, key="ada", fired_at=now - int(1000 * (age - 0.75 * delay)))
    bus.publish("thing.happened", {"n": 3}, key="ada", fired_at=now)
    bus.settle()
    assert key_orders(bus) == {"ada": [1, 3]}
    (letter,) = bus.dead_letters()
    assert letter.failure_class is FailureClass.BLOCKED_BY_KEY
    assert letter.journey.attempts == 0


@pytest.mark.parametrize("key", [b"ada", b"\xff\x00", b"", None])
@pytest.mark.parametrize("through_a_tier", [False, True])
def test_a_dead_letter_restores_the_original_byte_for_byte(
    buses: Buses, key: bytes | None, through_a_tier: bool
) -> None:
    policy = retrying(0.05, attempts=2, in_place_seconds=0 if through_a_tier else 1)
    topic = buses.topic("foreign")
    bus = buses(noting(retry=policy, topics=[topic]), topics=[topic])
    bus.fail("note", times=None)
    headers = (
        ("ce_specversion", b"1.0"),
        ("ce_id", b"event 1"),
        ("ce_type", b"thing.happened"),
        ("ce_source", b"/elsewhere"),
        ("content-type", b"application/json"),
        ("twice", b"1"),
        ("twice", b"2"),
        ("tasker-journey", b"not ours"),
        ("kafka_dlt-original-topic", b"elsewhere"),
        ("empty", b""),
    )
    timestamp = bus.now_ms - 5_000
    place = bus.send(Write(topic, key, b'{"n": 1}', headers, timestamp=timestamp))
    bus.settle()
    (letter,) = bus.dead_letters()
    original = letter.original
    assert (original.topic, original.partition, original.offset) == place
    assert (original.key, original.value, original.headers) == (key, b'{"n": 1}', headers)
    assert original.timestamp == timestamp
    assert letter.record.topic == bus.names.group_dlq("audit")
    assert (letter.record.key, letter.record.value) == (key, b'{"n": 1}')
    ours = dict(letter.record.headers[len(headers) :])
    assert ours["kafka_dlt-original-topic"] == topic.encode()
    assert ours["kafka_dlt-original-offset"] == b"%d" % place.offset
    assert letter.record.timestamp >= timestamp + 5_000, "its retention counts from its death"


def test_a_dead_letter_that_cannot_be_written_blocks_the_commit(buses: Buses) -> None:
    bus = buses(noting(retry=retrying(attempts=1)))
    source, queue = bus.names.domain_events("default"), bus.names.domain_events_dlq("default")
    bus.publish("thing.happened", {"n": 1}, key="ada")
    bus.settle()
    bus.fail("note", times=1)
    with bus.broken_topic(queue):
        bus.publish("thing.happened", {"n": 2}, key="ada")
        bus.publish("thing.happened", {"n": 3}, key="ben")
        bus.wait_for(lambda: key_orders(bus).get("ben") == [3])
        bus.advance(buses.seconds(60.0, 1.0))
        assert committed(bus, "audit", source) == 1, "nothing past the event that is in no topic"
        assert bus.dead_letters() == []
    bus.settle()
    assert committed(bus, "audit", source) == 3
    assert [each.journey.offset for each in bus.dead_letters()] == [1]
    assert key_orders(bus) == {"ada": [1], "ben": [3]}


def test_a_retry_that_cannot_be_written_waits_in_memory_and_is_not_committed(buses: Buses) -> None:
    delay, gate = buses.seconds(30.0, 1.0), Gate("ada")
    bus = buses(noting(does=gate, retry=retrying(delay, in_place_seconds=0)))
    source = bus.names.domain_events("default")
    bus.fail("note", times=1)
    with bus.broken_topic(bus.names.retry("audit", f"{delay:g}s")):
        bus.publish("thing.happened", {"n": 1}, key="ada")
        bus.wait_delivered("note")
        bus.publish("thing.happened", {"n": 1}, key="ben")
        bus.wait_for(lambda: "ben" in key_orders(bus))
        bus.advance(delay / 2)
        assert committed(bus, "audit", source) == 0
    gate.open()
    bus.settle()
    assert key_orders(bus) == {"ben": [1], "ada": [1]}
    assert bus.dead_letters() == []


def test_without_a_queue_the_lane_stops_and_nothing_is_skipped(buses: Buses) -> None:
    bus = buses(noting(retry=retrying(attempts=1, dlq_enabled=False)))
    bus.fail("note", times=1)
    publish_numbered(bus, ["ada", "ada", "ben", "ben"])
    bus.wait_for(lambda: key_orders(bus) == {"ben": [1, 2]})
    bus.advance(buses.seconds(3600.0, 0.5))
    assert key_orders(bus) == {"ben": [1, 2]}
    assert committed(bus, "audit", bus.names.domain_events("default")) == 0
    bus.restart("audit")
    bus.settle()
    assert key_orders(bus)["ada"] == [1, 2], "a member that starts again tries again"


def test_a_redriven_letter_comes_back_to_its_group_only(buses: Buses) -> None:
    bus = buses(noting("audit", retry=QUICK), noting("billing", retry=QUICK))
    bus.fail("audit/note", times=3)
    event_id = bus.publish("thing.happened", {"n": 1}, key="ada")
    bus.settle()
    source = committed(bus, "audit", bus.names.domain_events("default"))
    (letter,) = bus.dead_letters()
    bus.redrive()
    bus.settle()
    assert [event.event_id for event in bus.handled("audit/note")] == [event_id]
    assert len(bus.delivered("billing/note")) == 1
    assert committed(bus, "audit", bus.names.domain_events("default")) == source, "the source has nothing new"
    redriven = bus.delivered("audit/note")[-1]
    assert redriven.event.is_redriven
    assert redriven.event.offset == letter.original.offset
    assert redriven.event.headers == bus.delivered("audit/note")[0].event.headers


def test_a_redriven_letter_may_die_again(buses: Buses) -> None:
    bus = buses(noting(retry=QUICK))
    bus.fail("note", times=None)
    bus.publish("thing.happened", {"n": 1}, key="ada")
    bus.settle()
    bus.redrive()
    bus.settle()
    first, second = bus.dead_letters()
    assert (first.journey.redrive_count, second.journey.redrive_count) == (0, 1)
    assert second.original == first.original
    assert len(bus.delivered()) == 6, "its attempts begin anew"


def test_a_redriven_lane_returns_in_order(buses: Buses) -> None:
    bus = buses(noting(retry=retrying(attempts=1)))
    bus.fail("note", times=4)
    publish_numbered(bus, ["ada", "ada", "ada", "ben"])
    bus.settle()
    letters = bus.dead_letters()
    assert len(letters) == 4
    bus.redrive()
    bus.settle()
    assert key_orders(bus) == {"ada": [1, 2, 3], "ben": [1]}


def test_redriving_waits_for_what_runs_of_its_key(buses: Buses) -> None:
    inside: list[str] = []

    async def work(event: DomainEvent[Any]) -> None:
        assert not inside, "two of a key at once"
        inside.append(event.event_id)
        await asyncio.sleep(0.2)
        inside.clear()

    bus = buses(noting(does=work, retry=retrying(attempts=1)))
    bus.fail("note", times=1)
    publish_numbered(bus, ["ada", "ada"])
    bus.wait_for(lambda: len(bus.delivered()) == 2)
    bus.redrive()
    bus.settle()
    assert key_orders(bus) == {"ada": [2, 1]}
