"""What the demo takes for granted about the observed checkout's events, and what it says when it is otherwise."""

from __future__ import annotations

from datetime import UTC, datetime
from io import StringIO
from typing import Any

from rich.console import Console

from tasker_kafka.deploy.demo.observed import BOOKS, EXPECTED, Heard, Mark, print_heard
from tasker_kafka.handlers import DomainEvent
from tasker_kafka.handlers.delivery.journey import Journey
from tasker_kafka.handlers.delivery.letters import DeadLetter, LetterPlace, LetterState
from tasker_kafka.handlers.subscribing.event import EventMetadata
from tasker_kafka.schemas.words import Delivery

JOURNEY = Journey(
    group=BOOKS, subscription="x", topic="t", partition=0, offset=0, timestamp=0, attempts=3, error_type="E"
)


def event(name: str) -> DomainEvent[Any]:
    """An event whose id is its name."""
    return DomainEvent(
        event_id=name,
        name=name,
        version="1.0",
        namespace="ecommerce",
        delivery=Delivery.DURABLE,
        key="task",
        payload={},
        metadata=EventMetadata(fired_at=datetime(2026, 1, 1, tzinfo=UTC)),
        topic="t",
        partition=0,
        offset=0,
    )


def letter(state: LetterState = LetterState.REDRIVEN) -> DeadLetter:
    """The order's dead letter."""
    return DeadLetter(
        place=LetterPlace("ecommerce", 0, 0),
        died_at=0,
        journey=JOURNEY,
        event="order.placed",
        namespace=None,
        task_id=None,
        key=None,
        size=1,
        state=state,
    )


def all_as_expected() -> Heard:
    """What the demo wants to see."""
    marks = {
        (name, group): Mark(
            is_told="told" in words,
            has_receipt="receipt" in words,
            letter=letter() if "dead letter" in words else None,
        )
        for name, groups in EXPECTED.items()
        for group, words in groups.items()
    }
    return Heard([event(name) for name in EXPECTED], marks)


def test_nothing_is_at_fault_when_all_is_as_expected() -> None:
    assert all_as_expected().faults == []


def test_an_event_that_nobody_was_told_is_a_fault() -> None:
    heard = all_as_expected()
    marks = {place: mark for place, mark in heard.marks.items() if place[0] != "payment.charged"}
    assert Heard(heard.events, marks).faults == [
        "payment.charged at checkout-audit: nothing; expected is told"
    ]


def test_a_dead_letter_that_is_not_redriven_is_a_fault() -> None:
    heard = all_as_expected()
    marks = {**heard.marks, ("order.placed", BOOKS): Mark(letter=letter(LetterState.OPEN))}
    assert Heard(heard.events, marks).faults == [
        f"order.placed at {BOOKS}: dead letter; expected is dead letter, redriven, told"
    ]


def test_a_missing_event_is_a_fault() -> None:
    heard = all_as_expected()
    (fault,) = Heard(heard.events[1:], heard.marks).faults
    assert "expected are payment.delayed" in fault


def test_what_became_of_each_event_is_shown() -> None:
    console = Console(file=StringIO(), width=140, color_system=None, highlight=False)
    with console.capture() as captured:
        print_heard(console, all_as_expected())
    text = captured.get()
    assert "✗ dead letter, redriven ✓" in text
    assert "order.placed for checkout-books, after 3 deliveries, E" in text
