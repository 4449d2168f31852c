"""Every key of the template language has an effect on the plan: one row each, with its default."""

import json
from typing import Any

import pytest
from pydantic import BaseModel

from tasker_kafka.schemas.plan import EventDeclaration, Lifecycle, Plan, RetryPolicy
from tasker_kafka.schemas.template import compile_template, load_templates
from tasker_kafka.schemas.template_models import (
    HandlerModel,
    LifecycleModel,
    RetryModel,
    StepEventModel,
    StepModel,
    TaskEventModel,
    TemplateModel,
)
from tasker_kafka.schemas.words import Delivery, EventCondition, Identity

BASE: dict[str, Any] = {
    "name": "checkout",
    "steps": [
        {"name": "a", "handler": {"callable": "shop.a"}},
        {"name": "b", "handler": {"callable": "shop.b"}},
    ],
}


def compiled(document: dict[str, Any], **options: Any) -> Plan:
    (model,) = load_templates(json.dumps(document), source="t.yaml")
    return compile_template(model, **options)


def with_template(**keys: Any) -> Plan:
    return compiled({**BASE, **keys})


def with_step(**keys: Any) -> Plan:
    first, second = BASE["steps"]
    return compiled({**BASE, "steps": [first, {**second, **keys}]})


def at(plan: Plan, path: str) -> Any:
    value: Any = plan
    for part in path.split("."):
        value = value[int(part)] if part.isdigit() else getattr(value, part)
    return value


SCHEMA = {"type": "object", "properties": {"id": {"type": "integer"}}}
TEMPLATE_KEYS: list[tuple[str, Any, str, Any, Any]] = [
    # key, value, place in the plan, default there, effect there
    ("name", "other", "name", "checkout", "other"),
    ("namespace", "shop", "namespace", "default", "shop"),
    ("namespace_name", "shop", "namespace", "default", "shop"),
    ("namespace", "shop", "steps.0.queue", "default", "shop"),
    ("version", "2.10.3", "version", "0.1.0", "2.10.3"),
    ("version", "2.0.0-rc.1+b5", "version", "0.1.0", "2.0.0-rc.1+b5"),
    ("description", "Buys", "description", "", "Buys"),
    ("metadata", {"team": "x"}, "metadata", {}, {"team": "x"}),
    ("input_schema", SCHEMA, "input_schema", None, SCHEMA),
    ("output", {"id": "$.a.id"}, "output", None, {"id": "$.a.id"}),
    ("identity", "caller_provided", "identity", Identity.ALWAYS_UNIQUE, Identity.CALLER_PROVIDED),
    ("identity", "context_hash", "identity", Identity.ALWAYS_UNIQUE, Identity.CONTEXT_HASH),
    ("steps", [], "steps", None, ()),
    ("failure_policy", "fail_fast", "failure_policy", "continue", "fail_fast"),
    ("max_parallel_steps", 1, "max_parallel_steps", None, 1),
]
LIFECYCLE_KEYS = [
    ("max_duration_seconds", 90, "max_duration_ms", None, 90_000),
    ("max_duration_seconds", 0.5, "max_duration_ms", None, 500),
    ("on_blocked", "wait", "on_blocked", "fail", "wait"),
    ("stale_after_seconds", 60, "stale_after_ms", None, 60_000),
    ("retention_hours", 1, "retention_hours", 24, 1),
    ("failed_retention_hours", 48, "failed_retention_hours", 720, 48),
]
STEP_KEYS = [
    ("name", "c", "name", "b", "c"),
    ("description", "Charges", "description", "", "Charges"),
    ("handler", {"callable": "x.y.z"}, "handler", "shop.b", "x.y.z"),
    ("handler", {"callable": "x", "initialization": {"a": [1]}}, "config", {}, {"a": [1]}),
    ("dependencies", ["a"], "parents", (), ("a",)),
    ("depends_on", ["a"], "parents", (), ("a",)),
    ("timeout_seconds", 1.5, "timeout_ms", 60_000, 1_500),
    ("queue_timeout_seconds", 7, "queue_timeout_ms", None, 7_000),
    ("heartbeat_timeout_seconds", 5, "heartbeat_timeout_ms", 30_000, 5_000),
    ("queue", "slow_things", "queue", "default", "slow_things"),
    ("result_schema", SCHEMA, "result_schema", None, SCHEMA),
]
RETRY_KEYS = [
    ("retryable", False, "retryable", True, False),
    ("max_attempts", 100, "max_attempts", 3, 100),
    ("max_attempts", 0, "max_attempts", 3, 1),
    ("backoff", "linear", "backoff", "exponential", "linear"),
    ("backoff", "fibonacci", "backoff", "exponential", "fibonacci"),
    ("backoff", "none", "backoff", "exponential", "none"),
    ("backoff_base_ms", 0, "backoff_base_ms", 1_000, 0),
    ("max_backoff_ms", 5, "max_backoff_ms", 30_000, 5),
    ("jitter", 0, "jitter", 0.1, 0.0),
    ("non_retryable", ["DECLINED"], "non_retryable", (), ("DECLINED",)),
]
EVENT_KEYS = [
    ("name", "card.charged", "name", "payment.charged", "card.charged"),
    ("description", "x", "description", "", "x"),
    ("delivery", "durable", "delivery", Delivery.FIRE_AND_FORGET, Delivery.DURABLE),
    ("delivery", "acknowledged", "delivery", Delivery.FIRE_AND_FORGET, Delivery.ACKNOWLEDGED),
    ("key", "$.customer_id", "key", None, "$.customer_id"),
    ("version", "2.1", "version", "1.0", "2.1"),
    ("publisher", "payments.charged", "publisher", None, "payments.charged"),
    ("schema", SCHEMA, "schema", None, SCHEMA),
]


@pytest.mark.parametrize(("key", "value", "place", "default", "effect"), TEMPLATE_KEYS)
def test_template_keys(key: str, value: Any, place: str, default: Any, effect: Any) -> None:
    assert at(with_template(**{key: value}), place) == effect
    if key not in {"steps"}:
        assert at(compiled(BASE), place) == default


@pytest.mark.parametrize(("key", "value", "place", "default", "effect"), LIFECYCLE_KEYS)
def test_lifecycle_keys(key: str, value: Any, place: str, default: Any, effect: Any) -> None:
    assert at(with_template(lifecycle={key: value}), f"lifecycle.{place}") == effect
    assert at(compiled(BASE), f"lifecycle.{place}") == default


@pytest.mark.parametrize("action", ["dlq", "error", "none"])
def test_staleness_action(action: str) -> None:
    stale = {"stale_after_seconds": 60, "staleness_action": action}
    assert with_template(lifecycle=stale).lifecycle.staleness_action == action


def test_staleness_action_is_dlq_once_a_time_is_set_and_none_without() -> None:
    assert with_template(lifecycle={"stale_after_seconds": 60}).lifecycle.staleness_action == "dlq"
    assert compiled(BASE).lifecycle == Lifecycle()


@pytest.mark.parametrize(("key", "value", "place", "default", "effect"), STEP_KEYS)
def test_step_keys(key: str, value: Any, place: str, default: Any, effect: Any) -> None:
    assert at(with_step(**{key: value}), f"steps.1.{place}") == effect
    assert at(compiled(BASE), f"steps.1.{place}") == default


def test_step_type_standard_is_what_there_is() -> None:
    assert with_step(type="standard") == compiled(BASE)


@pytest.mark.parametrize(("key", "value", "place", "default", "effect"), RETRY_KEYS)
def test_retry_keys(key: str, value: Any, place: str, default: Any, effect: Any) -> None:
    assert at(with_step(retry={key: value}), f"steps.1.retry.{place}") == effect
    assert at(compiled(BASE), f"steps.1.retry.{place}") == default
    assert compiled(BASE).steps[1].retry == RetryPolicy()


@pytest.mark.parametrize(("key", "value", "place", "default", "effect"), EVENT_KEYS)
def test_event_keys_on_steps_and_on_the_task(
    key: str, value: Any, place: str, default: Any, effect: Any
) -> None:
    plain = {"name": "payment.charged"}
    for make, where in ((with_step, "steps.1.publishes_events.0"), (with_template, "publishes_events.0")):
        assert at(make(publishes_events=[{**plain, key: value}]), f"{where}.{place}") == effect
        assert at(make(publishes_events=[plain]), f"{where}.{place}") == default


@pytest.mark.parametrize(
    "condition", ["success", "failure", "retryable_failure", "permanent_failure", "always"]
)
def test_step_event_conditions(condition: str) -> None:
    plan = with_step(publishes_events=[{"name": "a.b", "condition": condition}])
    assert plan.steps[1].publishes_events[0].condition is EventCondition(condition)


@pytest.mark.parametrize("condition", ["completed", "failed", "cancelled", "blocked", "resolved_manually"])
def test_task_event_conditions(condition: str) -> None:
    plan = with_template(publishes_events=[{"name": "a.b", "condition": condition}])
    assert plan.publishes_events[0].condition is EventCondition(condition)


def test_event_conditions_default_to_the_good_end() -> None:
    event = {"name": "a.b"}
    assert (
        with_step(publishes_events=[event]).steps[1].publishes_events[0].condition is EventCondition.SUCCESS
    )
    assert with_template(publishes_events=[event]).publishes_events == (
        EventDeclaration("a.b", Delivery.FIRE_AND_FORGET, EventCondition.COMPLETED),
    )


def test_the_default_delivery_becomes_part_of_the_plan() -> None:
    document = {**BASE, "publishes_events": [{"name": "a.b"}, {"name": "a.c", "delivery": "acknowledged"}]}
    plan = compiled(document, default_delivery=Delivery.DURABLE)
    assert [each.delivery for each in plan.publishes_events] == [Delivery.DURABLE, Delivery.ACKNOWLEDGED]


@pytest.mark.parametrize(("steps", "limit"), [(1, 4096), (100, 2621)])
def test_the_inline_limit_is_part_of_the_plan(steps: int, limit: int) -> None:
    named = [{"name": f"s{each}", "handler": {"callable": "h"}} for each in range(steps)]
    assert with_template(steps=named).inline_limit == limit


def test_no_key_of_the_models_is_left_out_of_the_tables() -> None:
    tables: list[tuple[type[BaseModel], set[str]]] = [
        (
            TemplateModel,
            {row[0] for row in TEMPLATE_KEYS} | {"lifecycle", "publishes_events", "environments"},
        ),
        (LifecycleModel, {row[0] for row in LIFECYCLE_KEYS} | {"staleness_action"}),
        (StepModel, {row[0] for row in STEP_KEYS} | {"retry", "publishes_events", "type"}),
        (HandlerModel, {"callable", "initialization"}),
        (RetryModel, {row[0] for row in RETRY_KEYS}),
        (StepEventModel, {row[0] for row in EVENT_KEYS} | {"condition"}),
        (TaskEventModel, {row[0] for row in EVENT_KEYS} | {"condition"}),
    ]
    for model, tested in tables:
        assert {field.alias or name for name, field in model.model_fields.items()} <= tested, model


def test_every_key_is_described() -> None:
    models = (
        TemplateModel,
        LifecycleModel,
        StepModel,
        HandlerModel,
        RetryModel,
        StepEventModel,
        TaskEventModel,
    )
    for model in models:
        for name, field in model.model_fields.items():
            nested = name in {"retry", "lifecycle", "handler"}
            assert field.description or nested, f"{model.__name__}.{name}"


def test_the_same_text_gives_the_same_plan_and_hash() -> None:
    document = {**BASE, "metadata": {"b": 1, "a": [1.0, "é"]}, "input_schema": SCHEMA}
    first, second = compiled(document), compiled(document)
    assert first == second
    assert first.hash == second.hash
    reordered = dict(reversed(document.items()))
    assert compiled(reordered).hash == first.hash
    assert compiled({**document, "description": "x"}).hash != first.hash
