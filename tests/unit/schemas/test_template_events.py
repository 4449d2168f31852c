"""What a template may declare of events, and what is most likely not meant."""

from __future__ import annotations

from typing import Any

import pytest

from tasker_kafka.schemas.template import Event, InvalidTemplate, Lifecycle, Template
from tasker_kafka.schemas.template_lint import lint_model

SECRET = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "card": {"$ref": "#/$defs/card"},
        "people": {"type": "array", "items": {"properties": {"mail": {"x-redact": True}}}},
    },
    "$defs": {"card": {"type": "object", "x-redact": True}},
}


def of_step(*events: Event) -> Template:
    return Template("pay").step("charge", handler="pay.charge", publishes_events=events)


def faults(template: Template) -> list[tuple[str, str]]:
    """Code and path of every fault."""
    with pytest.raises(InvalidTemplate) as caught:
        template.model()
    return [(each.code, each.path) for each in caught.value.findings]


def warnings(template: Template) -> list[tuple[str, tuple[Any, ...]]]:
    return [(each.code, each.path) for each in lint_model(template.model())]


@pytest.mark.parametrize("key", ["$.card", "$.card.number", "$.people[0].mail", "$.people[123456789].mail"])
def test_a_key_that_is_masked_is_refused_with_its_path(key: str) -> None:
    found = faults(of_step(Event("a.b", schema=SECRET, key=key)))
    assert found == [("redacted_key", "steps[0].publishes_events[0].key")]


@pytest.mark.parametrize("key", ["$.id", "$.people[0].name", "$.unknown.place", "$"])
def test_other_keys_are_not(key: str) -> None:
    of_step(Event("a.b", schema=SECRET, key=key)).model()


def test_a_publisher_does_not_shape_the_tasks_own_events() -> None:
    template = of_step().event(Event("pay.done", publisher="pay.done"))
    assert warnings(template) == [("no_effect", ("publishes_events", 0, "publisher"))]


@pytest.mark.parametrize("condition", ["failure", "retryable_failure", "permanent_failure", "always"])
def test_a_schema_that_no_failure_fits_is_odd(condition: str) -> None:
    needs = {"type": "object", "required": ["amount"]}
    assert warnings(of_step(Event("a.b", schema=needs, condition=condition))) == [
        ("unfit_payload", ("steps", 0, "publishes_events", 0, "schema"))
    ]
    fits = {"type": "object", "required": ["error_type", "error_code", "error_message", "attempt"]}
    assert warnings(of_step(Event("a.b", schema=fits, condition=condition))) == []
    assert warnings(of_step(Event("a.b", schema=needs))) == []


def test_a_schema_that_no_end_of_a_task_fits_is_odd() -> None:
    template = of_step().event(Event("pay.done", schema={"required": ["amount"]}))
    assert warnings(template) == [("unfit_payload", ("publishes_events", 0, "schema"))]
    fits = {
        "required": ["task_id", "state", "started_at", "completed_at", "duration", "failed_steps", "error"]
    }
    assert warnings(of_step().event(Event("pay.done", schema=fits))) == []


@pytest.mark.parametrize(("on_blocked", "expected"), [("fail", ["no_effect"]), ("wait", [])])
def test_blocked_is_a_rest_only_where_tasks_wait(on_blocked: str, expected: list[str]) -> None:
    template = Template("pay", lifecycle=Lifecycle(on_blocked=on_blocked)).step("a", handler="x.a")
    template = template.event(Event("pay.stuck", condition="blocked"))
    assert [code for code, _ in warnings(template)] == expected
