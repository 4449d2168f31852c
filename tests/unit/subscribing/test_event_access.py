"""`safe_get` and the metric helpers: total on any payload."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from tasker_kafka.handlers import safe_get
from tasker_kafka.handlers.subscribing import (
    DomainEvent,
    ErrorCategory,
    EventMetadata,
    core_metrics,
    error_category,
    error_metrics,
    metric_tags,
    performance_metrics,
    timing_metrics,
)
from tasker_kafka.schemas.words import Delivery

FIRED = datetime(2026, 1, 1, tzinfo=UTC)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["error", "error_type", "attempt", "duration", "started_at", "completed_at", "a", "0"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def event(payload: Any, **metadata: Any) -> DomainEvent[Any]:
    """A delivery with this payload."""
    return DomainEvent(
        event_id="e1",
        name="order.failed",
        version="1.0",
        namespace="shop",
        delivery=Delivery.DURABLE,
        key="k",
        payload=payload,
        metadata=EventMetadata(fired_at=FIRED, **metadata),
        topic="t",
        partition=0,
        offset=0,
    )


class Card(BaseModel):
    """A part of a typed payload."""

    country: str


class Order(BaseModel):
    """A typed payload."""

    card: Card
    items: list[dict[str, str]]


ORDER = {"card": {"country": "FR"}, "items": [{"sku": "tea"}], "none": None}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("card.country", "FR"),
        ("items.0.sku", "tea"),
        ("items.1.sku", "default"),
        ("items.-1.sku", "default"),
        ("items.²", "default"),
        ("card.country.length", "default"),
        ("card.cvc", "default"),
        ("none", None),
        ("none.more", "default"),
        ("", "default"),
        ("items." + "9" * 40, "default"),
    ],
)
def test_a_value_by_its_path(path: str, value: object) -> None:
    assert safe_get(event(ORDER), path, "default") == value


def test_models_are_asked_for_their_fields_only() -> None:
    order = event(Order(card=Card(country="FR"), items=[{"sku": "tea"}]))
    assert safe_get(order, "card.country") == "FR"
    assert safe_get(order, "items.0.sku") == "tea"
    assert safe_get(order, "model_dump", "default") == "default"
    assert safe_get(order, "__class__", "default") == "default"
    assert safe_get(event("text"), "upper") is None


def test_what_an_event_is_of() -> None:
    found = core_metrics(
        event({}, task_id="t1", template="checkout", step_name="pay", attempt=2, environment="prod")
    )
    assert (found.event_id, found.event_name, found.namespace, found.fired_at) == (
        "e1",
        "order.failed",
        "shop",
        FIRED,
    )
    assert (found.task_id, found.template, found.step_name, found.attempt) == ("t1", "checkout", "pay", 2)
    assert found.environment == "prod"


@pytest.mark.parametrize(
    ("payload", "seconds"),
    [
        ({"duration": 2.5}, 2.5),
        ({"execution_duration": "2.5"}, 2.5),
        ({"started_at": "2026-01-01T00:00:00Z", "completed_at": "2026-01-01T00:00:02.500+00:00"}, 2.5),
        ({"started_at": "2026-01-01T00:00:00", "completed_at": 1767225602.5}, 2.5),
        ({"started_at": 1767225600000, "completed_at": 1767225602500}, 2.5),
        ({"duration": True}, None),
        ({"duration": float("nan")}, None),
        ({"started_at": "soon", "completed_at": 1e300}, None),
        ({}, None),
        ("text", None),
    ],
)
def test_how_long_it_took(payload: Any, seconds: float | None) -> None:
    assert timing_metrics(event(payload)).duration_seconds == seconds


def test_steps_are_counted_or_listed() -> None:
    found = timing_metrics(event({"step_count": 4, "completed_steps": 3, "failed_steps": ["pay"]}))
    assert (found.step_count, found.completed_steps, found.failed_steps) == (4, 3, 1)


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("timed_out", "timeout"),
        ("ReadTimeout", "timeout"),
        ("deadline_exceeded", "timeout"),
        ("RateLimitError", "rate_limit"),
        ("http_429", "rate_limit"),
        ("Unauthorized", "auth"),
        ("PermissionDenied", "auth"),
        ("HTTP 404", "not_found"),
        ("NoSuchKey", "not_found"),
        ("ValidationError", "validation"),
        ("invalid_input", "validation"),
        ("ConnectionResetError", "network"),
        ("http_503", "network"),
        ("cancelled", "cancelled"),
        ("worker_lost", "worker"),
        ("memory_limit", "worker"),
        ("ZeroDivisionError", "runtime"),
        ("E14290", "runtime"),
        ("", "runtime"),
    ],
)
def test_the_kind_of_trouble(text: str, category: str) -> None:
    assert error_category(text) == ErrorCategory(category)


def test_the_code_is_asked_before_the_type() -> None:
    assert error_category("out_of_stock", "TimeoutError") is ErrorCategory.TIMEOUT
    assert error_category("invalid_input", "TimeoutError") is ErrorCategory.VALIDATION


def test_what_went_wrong() -> None:
    payload = {
        "error_type": "TimeoutError",
        "error_code": "timed_out",
        "error_message": "m" * 300,
        "attempt": 2,
    }
    found = error_metrics(event(payload | {"retryable": False}))
    assert (found.category, found.error_type, found.error_code) == ("timeout", "TimeoutError", "timed_out")
    assert (len(found.message or ""), found.attempt, found.is_retryable, found.is_final) == (
        200,
        2,
        False,
        None,
    )


def test_an_error_as_a_mapping_or_none_at_all() -> None:
    nested = error_metrics(event({"error": {"code": "worker_lost", "message": "gone"}}))
    assert (nested.category, nested.message) == ("worker", "gone")
    nothing = error_metrics(event({"amount": 3}, attempt=4))
    assert (nothing.category, nothing.message, nothing.attempt) == ("unknown", None, 4)


def test_what_it_cost() -> None:
    found = performance_metrics(event({"memory_usage": 10, "cpu_seconds": 0.5, "queue_time": "x"}))
    assert (found.memory_bytes, found.cpu_seconds, found.queue_seconds) == (10.0, 0.5, None)


def test_tags_have_few_values_each() -> None:
    source = event({"error_code": "timed_out"}, task_id="t1", template="checkout", environment="prod")
    tags = metric_tags(source, extra={"country": "F" * 200, "nothing": None})
    assert tags == {
        "event": "order.failed",
        "namespace": "shop",
        "template": "checkout",
        "environment": "prod",
        "error_category": "timeout",
        "country": "F" * 100,
    }


@given(JSON)
def test_no_payload_makes_a_helper_fail(payload: Any) -> None:
    source = event(payload)
    for helper in (core_metrics, timing_metrics, error_metrics, performance_metrics, metric_tags):
        helper(source)


@given(JSON, st.text(alphabet="a0.error_", max_size=20))
def test_no_path_makes_safe_get_fail(payload: Any, path: str) -> None:
    safe_get(event(payload), path)
