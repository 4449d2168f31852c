"""What each mode promises: fire-and-forget may be lost, durable is not, acknowledged leaves receipts and acts once."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tasker_kafka.handlers import DomainEvent, Subscriber
from tasker_kafka.handlers.delivery.settings import DeliverySettings
from tasker_kafka.handlers.testing import EventBus
from tasker_kafka.handlers.testing.stages import MemoryStage
from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.identity import parse_id
from tasker_kafka.schemas.subscriptions import Receipt
from tasker_kafka.schemas.words import Delivery, ReceiptOutcome
from tests.support.events import (
    Buses,
    Gate,
    committed,
    envelope,
    key_orders,
    noting,
    numbers,
    publish_numbered,
    read_topic,
    retrying,
)

QUICK = retrying(0.05)


class Sink:
    """Effects that happen once for each event id, as a table with a unique key gives them."""

    def __init__(self) -> None:
        self.calls = 0
        self.effects: dict[str, int] = {}

    def __call__(self, event: DomainEvent[Any]) -> None:
        """The effect of an event."""
        self.calls += 1
        self.effects.setdefault(event.event_id, event.payload["n"])


def receipts(bus: EventBus) -> list[Receipt]:
    """Every receipt, in no order."""
    return [codec.decode(each.value, Receipt) for each in read_topic(bus, bus.names.receipts)]


def repeat(bus: EventBus, event_id: str, **fields: Any) -> None:
    """Publish an event once more, as a publisher that has not heard of its acknowledgement."""
    bus.publish("thing.happened", {"n": 1}, key="ada", event_id=parse_id(event_id), **fields)


# ------------------------------------------------------------------------------------- fire and forget


def test_fire_and_forget_is_committed_before_its_handler_ends(buses: Buses) -> None:
    gate = Gate()
    bus = buses(noting(does=gate))
    publish_numbered(bus, ["ada", "ben"], delivery="fire_and_forget")
    bus.wait_delivered("note", 2)
    bus.wait_for(lambda: committed(bus, "audit", bus.names.domain_events("default")) == 2)
    gate.open()
    bus.settle()
    assert key_orders(bus) == {"ada": [1], "ben": [1]}


def test_fire_and_forget_is_tried_once_and_leaves_no_letter(buses: Buses) -> None:
    bus = buses(noting(retry=QUICK))
    bus.fail("note", times=1)
    publish_numbered(bus, ["ada", "ada"], delivery="fire_and_forget")
    bus.settle()
    assert numbers(bus.delivered()) == [1, 2]
    assert numbers(bus.handled()) == [2]
    assert bus.dead_letters() == []
    assert bus.figures("audit").failed == 1


def test_fire_and_forget_that_is_committed_is_not_delivered_again_by_a_crash(memory_buses: Buses) -> None:
    gate = Gate()
    bus = memory_buses(noting(does=gate))
    bus.publish("thing.happened", {"n": 1}, key="ada", delivery="fire_and_forget")
    bus.wait_delivered("note")
    bus.wait_for(lambda: committed(bus, "audit", bus.names.domain_events("default")) == 1)
    bus.restart("audit", crash=True)
    gate.open()
    bus.publish("thing.happened", {"n": 2}, key="ada", delivery="fire_and_forget")
    bus.settle()
    assert numbers(bus.delivered()) == [1, 2]


def test_fire_and_forget_that_finds_no_room_is_dropped_and_counted(buses: Buses) -> None:
    gate = Gate()
    bus = buses(noting(does=gate, concurrency=2, queued=10))
    lossy = [
        envelope({"n": number}, key=f"key {number}", delivery=Delivery.FIRE_AND_FORGET)
        for number in range(1_000)
    ]
    bus.send_all([bus.written(each) for each in lossy])
    topic = bus.names.domain_events("default")
    bus.wait_for(lambda: committed(bus, "audit", topic) == 1_000)
    gate.open()
    bus.settle()
    figures = bus.figures("audit")
    assert figures.dropped > 0
    assert figures.dropped + len(bus.handled()) == 1_000


def test_a_subscription_may_take_what_is_durable_lightly(buses: Buses) -> None:
    bus = buses(noting("light", delivery="fire_and_forget"), noting("careful", retry=QUICK))
    bus.fail("note", times=2)
    bus.publish("thing.happened", {"n": 1}, key="ada")
    bus.settle()
    assert len(bus.delivered("light/note")) == 1
    assert len(bus.handled("careful/note")) == 1


# ------------------------------------------------------------------------------------------- durable


def test_durable_is_delivered_again_after_a_crash_in_its_handler(memory_buses: Buses) -> None:
    gate = Gate()
    bus = memory_buses(noting(does=gate))
    publish_numbered(bus, ["ada", "ada", "ben"])
    bus.wait_delivered("note", 2)
    bus.restart("audit", crash=True)
    gate.open()
    bus.settle()
    assert key_orders(bus) == {"ada": [1, 2], "ben": [1]}


def test_durable_that_was_handled_is_not_delivered_again_by_a_restart(buses: Buses) -> None:
    bus = buses(noting())
    publish_numbered(bus, ["ada", "ben", "ada"])
    bus.settle()
    bus.restart("audit")
    bus.publish("thing.happened", {"n": 3}, key="ada")
    bus.settle()
    assert len(bus.delivered()) == 4


def test_a_member_that_stops_commits_what_it_has_handled(buses: Buses) -> None:
    bus = buses(noting(), settings=DeliverySettings(commit_seconds=3600))
    publish_numbered(bus, ["ada", "ben", "ada"])
    bus.wait_for(lambda: len(bus.handled()) == 3)
    bus.restart("audit")
    bus.advance(1)
    assert committed(bus, "audit", bus.names.domain_events("default")) == 3
    assert len(bus.delivered()) == 3


def test_what_is_handled_above_one_that_runs_is_not_delivered_again_by_a_crash(memory_buses: Buses) -> None:
    gate = Gate("ada")
    bus = memory_buses(noting(does=gate))
    publish_numbered(bus, ["ada", "ben", "ben", "cleo"])
    bus.wait_for(lambda: len(bus.handled()) == 3)
    bus.advance(5)
    bus.restart("audit", crash=True)
    gate.open()
    bus.settle()
    assert Counter(call.event.key for call in bus.delivered()) == {"ada": 2, "ben": 2, "cleo": 1}


def test_a_publisher_that_repeats_itself_is_recognised(buses: Buses) -> None:
    bus = buses(noting())
    event_id = bus.publish("thing.happened", {"n": 1}, key="ada")
    repeat(bus, event_id)
    bus.settle()
    assert len(bus.delivered()) == 1
    assert bus.figures("audit").duplicates == 1


# -------------------------------------------------------------------------------------- acknowledged


def test_every_group_leaves_a_receipt_of_every_acknowledged_event(buses: Buses) -> None:
    bus = buses(noting("audit"), noting("billing"), partitions=2)
    ids = {
        bus.publish("thing.happened", {"n": n}, key=f"key {n}", delivery="acknowledged") for n in range(20)
    }
    bus.settle()
    found = receipts(bus)
    assert {(each.group, each.event_id) for each in found} == {
        (group, event_id) for group in ("audit", "billing") for event_id in ids
    }
    assert {each.outcome for each in found} == {ReceiptOutcome.HANDLED}


def test_each_subscription_that_takes_the_event_leaves_its_own_receipt(buses: Buses) -> None:
    subscriber = noting(name="first")

    @subscriber.on("thing.*")
    async def second(event: DomainEvent[Any]) -> None: ...

    @subscriber.on("other.*")
    async def third(event: DomainEvent[Any]) -> None: ...

    bus = buses(subscriber)
    bus.publish("thing.happened", {"n": 1}, delivery="acknowledged")
    bus.settle()
    assert {each.subscription for each in receipts(bus)} == {"first", "second"}


def test_durable_events_leave_no_receipt(buses: Buses) -> None:
    bus = buses(noting())
    bus.publish("thing.happened", {"n": 1})
    bus.settle()
    assert receipts(bus) == []


def test_a_dead_letter_leaves_a_receipt_that_says_so(buses: Buses) -> None:
    bus = buses(noting(retry=QUICK))
    bus.fail("note", times=None)
    bus.publish("thing.happened", {"n": 1}, delivery="acknowledged")
    bus.settle()
    (receipt,) = receipts(bus)
    assert receipt.outcome is ReceiptOutcome.DEAD
    assert receipt.deliveries == 3


def test_a_repeat_has_no_second_effect(buses: Buses) -> None:
    sink = Sink()
    bus = buses(noting(does=sink))
    event_id = bus.publish("thing.happened", {"n": 1}, key="ada", delivery="acknowledged")
    bus.settle()
    repeat(bus, event_id, delivery="acknowledged")
    bus.settle()
    assert (sink.calls, sink.effects) == (1, {event_id: 1})


def test_a_repeat_after_a_restart_has_no_second_effect(buses: Buses) -> None:
    sink = Sink()
    bus = buses(noting(does=sink), partitions=2)
    ids = [
        bus.publish("thing.happened", {"n": 1}, key="ada", delivery="acknowledged"),
    ]
    bus.settle()
    bus.restart("audit")
    repeat(bus, ids[0], delivery="acknowledged")
    bus.settle()
    assert (sink.calls, sink.effects) == (1, {ids[0]: 1})


def test_a_crash_before_the_receipt_repeats_the_call_and_not_the_effect(memory_buses: Buses) -> None:
    sink = Sink()
    bus = memory_buses(noting(does=sink))
    stage = bus._on()
    assert isinstance(stage, MemoryStage)
    stage.cluster.faults.fail_writes(bus.names.receipts, count=1_000)
    event_id = bus.publish("thing.happened", {"n": 1}, key="ada", delivery="acknowledged")
    bus.wait_for(lambda: sink.calls == 1)
    bus.advance(10)
    assert committed(bus, "audit", bus.names.domain_events("default")) == 0, "no receipt, not done"
    (member,) = bus.members("audit")
    bus.kill_member(member)
    stage.cluster.faults.clear()
    bus.start_member("audit")
    bus.settle()
    assert (sink.calls, sink.effects) == (2, {event_id: 1})
    assert {each.event_id for each in receipts(bus)} == {event_id}


def test_acknowledged_keeps_the_order_of_a_key_through_retries(buses: Buses) -> None:
    bus = buses(noting(retry=retrying(buses.seconds(30.0, 0.4), in_place_seconds=0)))
    bus.fail("note", times=1)
    publish_numbered(bus, ["ada", "ada", "ada"], delivery="acknowledged")
    bus.settle()
    assert key_orders(bus) == {"ada": [1, 2, 3]}
    assert len(receipts(bus)) == 3


@pytest.mark.parametrize("delivery", list(Delivery))
def test_every_mode_delivers_the_envelope_whole(buses: Buses, delivery: Delivery) -> None:
    subscriber = Subscriber("audit")
    seen: list[DomainEvent[Any]] = []

    @subscriber.on("thing.happened")
    async def note(event: DomainEvent[Any]) -> None:
        seen.append(event)

    bus = buses(subscriber)
    event_id = bus.publish(
        "thing.happened", {"n": 1, "text": "é"}, key="ada", delivery=delivery, step_name="pay", attempt=2
    )
    bus.settle()
    (event,) = seen
    assert (event.event_id, event.name, event.version, event.namespace) == (
        event_id,
        "thing.happened",
        "1.0",
        "default",
    )
    assert (event.delivery, event.key, event.payload) == (delivery, "ada", {"n": 1, "text": "é"})
    assert (event.metadata.step_name, event.metadata.attempt) == ("pay", 2)
    assert event.metadata.fired_at.tzinfo is not None
    assert (event.topic, event.partition, event.offset) == (bus.names.domain_events("default"), 0, 0)
    assert event.headers["ce_type"] == b"thing.happened"
