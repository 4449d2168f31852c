"""What is read from an event, and how it is told: tables."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import BaseModel

from tasker_kafka.handlers.integrations import Fault, Outcome, Threshold, ThresholdCounter, facts_of
from tasker_kafka.handlers.integrations.facts import outcome_of
from tasker_kafka.handlers.integrations.texts import (
    bounded_json,
    duration_text,
    json_bytes,
    one_line,
    shorten,
)
from tasker_kafka.schemas.event_patterns import parse_pattern

from .event_samples import COMPLETED, FAILED, STEP_FAILED, TASK, event, facts


@pytest.mark.parametrize(
    ("payload", "outcome", "headline"),
    [
        (COMPLETED, Outcome.SUCCESS, "shop/checkout completed"),
        ({**COMPLETED, "state": "resolved_manually"}, Outcome.SUCCESS, "shop/checkout was resolved manually"),
        (FAILED, Outcome.FAILURE, "shop/checkout failed"),
        ({**FAILED, "state": "blocked_by_failures"}, Outcome.FAILURE, "shop/checkout is blocked by failures"),
        ({**COMPLETED, "state": "cancelled"}, Outcome.CANCELLED, "shop/checkout was cancelled"),
        ({"state": "shipped"}, Outcome.OTHER, "order.failed (shop/checkout)"),
        ({"amount": 12}, Outcome.OTHER, "order.failed (shop/checkout)"),
        ({"error": "no stock"}, Outcome.FAILURE, "order.failed (shop/checkout)"),
        ([1, 2], Outcome.OTHER, "order.failed (shop/checkout)"),
        ("text", Outcome.OTHER, "order.failed (shop/checkout)"),
        ({}, Outcome.OTHER, "order.failed (shop/checkout)"),
    ],
)
def test_outcome_and_headline(payload: Any, outcome: Outcome, headline: str) -> None:
    found = facts(payload)
    assert (found.outcome, found.headline) == (outcome, headline)
    assert outcome_of(event(payload)) is outcome


def test_a_failed_step_is_told_with_its_attempt() -> None:
    found = facts(STEP_FAILED, step="charge_card")
    assert found.headline == "shop/checkout: step charge_card failed (attempt 2)"
    assert found.error == Fault("RetryableError", "gateway_busy", "the payment gateway is busy")


def test_a_foreign_event_has_its_name_only() -> None:
    found = facts({}, template=None, task_id=None, key="someone@example.com")
    assert found.headline == "order.failed"
    assert len(found.subject) == 32


def test_the_subject_is_the_task_and_never_a_cut_key() -> None:
    assert facts({}).subject == facts({"task_id": TASK}, task_id=None).subject == TASK
    one, two = (facts({}, task_id=None, key="k" * 1_000 + end).subject for end in "ab")
    assert one != two


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        ("no stock", Fault(None, None, "no stock")),
        ({"type": "Boom", "code": "b", "message": "m"}, Fault("Boom", "b", "m")),
        ({"error_type": "Boom", "error_message": "m"}, Fault("Boom", None, "m")),
        ({"code": 404}, Fault(None, "404", None)),
        ({}, None),
        ("", None),
        (None, None),
        (["a"], None),
        ({"message": {"nested": 1}}, None),
    ],
)
def test_forms_of_an_error(error: Any, fault: Fault | None) -> None:
    assert facts({**COMPLETED, "error": error}).error == fault


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(12, 12.0), (0, 0.0), (-1, None), (math.nan, 105.25), (True, 105.25), ("soon", 105.25), (None, 105.25)],
)
def test_duration_is_the_payloads_or_between_its_times(value: Any, seconds: float | None) -> None:
    assert facts({**COMPLETED, "duration": value}).duration_seconds == seconds


def test_failed_steps_as_names_or_mappings_and_not_without_end() -> None:
    steps = ["a", {"name": "b"}, {"step": "c"}, {"x": 1}, None, 7]
    assert facts({**FAILED, "failed_steps": steps}).failed_steps == ("a", "b", "c", "7")
    assert len(facts({**FAILED, "failed_steps": ["x"] * 10_000}).failed_steps) == 50


def test_configured_outcomes_come_before_the_payload() -> None:
    outcomes = [
        (parse_pattern("order.*"), Outcome.CANCELLED),
        (parse_pattern("order.failed"), Outcome.SUCCESS),
    ]
    assert facts_of(event(), outcomes).outcome is outcome_of(event(), outcomes) is Outcome.CANCELLED
    assert facts_of(event(name="payment.failed"), outcomes).outcome is Outcome.FAILURE


class Card(BaseModel):
    """A typed payload."""

    state: str
    password: str


def test_a_typed_payload_is_read_as_json_and_redacted() -> None:
    found = facts(Card(state="error", password="hunter2"))
    assert found.outcome is Outcome.FAILURE
    assert found.payload == {"state": "error", "password": "[FILTERED]"}


def test_texts_are_redacted_and_bounded() -> None:
    message = "login failed: password=hunter2 " + "x" * 100_000
    found = facts({**FAILED, "error": {"message": message, "code": "c\n" * 500}})
    assert found.error is not None
    assert found.error.message is not None
    assert "hunter2" not in found.error.message
    assert len(found.error.message) <= 8 * 1024
    assert found.error.code is not None
    assert len(found.error.code) <= 200
    assert "\n" not in found.error.code


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.0004, "0 ms"),
        (0.85, "850 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.0 s"),
        (12.34, "12.3 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 0 s"),
        (245, "4 min 5 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 0 min"),
        (3720, "1 h 2 min"),
        (86_369, "23 h 59 min"),
        (86_399, "1 d 0 h"),
        (183_600, "2 d 3 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(("length", "found"), [(199, "x" * 199), (200, "x" * 200), (201, "x" * 199 + "…")])
def test_text_is_cut_at_its_limit(length: int, found: str) -> None:
    assert shorten("x" * length, 200) == found


def test_one_line_has_no_line_breaks() -> None:
    assert one_line("  a\n\tb\r\n c ", 200) == "a b c"
    assert len(one_line("y\n" * 5_000, 200)) <= 200


def test_json_above_its_limit_is_its_beginning() -> None:
    value = {"a": "é" * 100}
    size = len(json_bytes(value))
    assert bounded_json(value, size) == value
    assert bounded_json(value, size - 1)["bytes"] == size


# ---------------------------------------------------------------------------------------- thresholds


def alerts(count: int, per_seconds: float, *failures: tuple[str, float]) -> list[bool]:
    """What a counter says of these failures (id, time) of one subject."""
    counter = ThresholdCounter(Threshold(count=count, per_seconds=per_seconds))
    return [counter.is_alert("s", event_id, at) for event_id, at in failures]


@pytest.mark.parametrize(
    ("failures", "expected"),
    [
        ([("a", 0), ("b", 1), ("c", 2)], [False, False, True]),
        ([("a", 0), ("b", 1), ("c", 10)], [False, False, False]),
        ([("a", 0), ("b", 1), ("c", 9.9)], [False, False, True]),
        ([("a", 0), ("a", 0), ("a", 0), ("b", 1)], [False, False, False, False]),
        ([("a", 0), ("b", 1), ("c", 2), ("c", 2)], [False, False, True, True]),
        ([("a", 0), ("b", 1), ("c", 2), ("d", 3), ("e", 4), ("f", 5)], [False, False, True] * 2),
        ([("c", 2), ("a", 0), ("b", 1)], [False, False, True]),
        ([("z", 100), ("a", 0), ("b", 1), ("c", 2)], [False] * 4),
    ],
    ids=[
        "third", "too slow", "just in time", "repeat counts once", "repeat of the alert alerts", "starts anew",
        "any order", "older than the window",
    ],
)  # fmt: skip
def test_threshold_of_three_within_ten_seconds(
    failures: list[tuple[str, float]], expected: list[bool]
) -> None:
    assert alerts(3, 10, *failures) == expected


def test_threshold_of_one_is_always_met() -> None:
    assert alerts(1, 60, ("a", 0), ("a", 0), ("b", 0)) == [True] * 3


def test_subjects_are_counted_apart_and_not_remembered_without_end() -> None:
    counter = ThresholdCounter(Threshold(count=2, per_seconds=10))
    assert not counter.is_alert("first", "a", 0)
    for number in range(1_000):
        assert not counter.is_alert(f"s{number}", "a", 0)
    assert not counter.is_alert("first", "b", 0)
    assert counter.is_alert("s999", "b", 0)
