"""Warnings: keys without effect, overlays that change nothing, events and schemas that are most likely wrong."""
# ruff: noqa: E501 - one row per message

import json
from typing import Any

import pytest

from tasker_kafka.schemas.template import lint, load_templates

STEP: dict[str, Any] = {"name": "a", "handler": {"callable": "h.a"}}


def warnings(document: dict[str, Any]) -> list[str]:
    text = json.dumps(document)
    assert load_templates(text, source="t.yaml"), "a warning does not refuse the template"
    found = lint(text, source="t.yaml")
    assert {each.severity for each in found} <= {"warning"}
    return [f"{each.code} {each.path}: {each.message}" for each in found]


def template(**keys: Any) -> dict[str, Any]:
    return {"name": "t", "steps": [STEP], **keys}


def step(**keys: Any) -> dict[str, Any]:
    return template(steps=[{**STEP, **keys}])


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (template(lifecycle={"staleness_action": "dlq"}), "no_effect lifecycle.staleness_action: has no effect: `stale_after_seconds` is not set"),
        (template(lifecycle={"retention_hours": 9, "failed_retention_hours": 8}), "short_retention lifecycle.failed_retention_hours: a failed task is forgotten before a finished one"),
        (template(max_parallel_steps=1), "no_effect max_parallel_steps: has no effect: the template has 1 steps only"),
        ({**step(timeout_seconds=61), "lifecycle": {"max_duration_seconds": 60}}, "no_effect steps[0].timeout_seconds: has no effect: the task's deadline (60 s) comes first"),
        (step(timeout_seconds=5, heartbeat_timeout_seconds=6), "no_effect steps[0].heartbeat_timeout_seconds: has no effect: the timeout (5 s) comes first"),
        (step(retry={"retryable": False, "max_attempts": 2}), "no_effect steps[0].retry.max_attempts: has no effect: `retryable` is false"),
        (step(retry={"max_attempts": 1, "jitter": 0.5}), "no_effect steps[0].retry.jitter: has no effect: `max_attempts` is 1"),
        (step(retry={"backoff": "none", "backoff_base_ms": 5}), "no_effect steps[0].retry.backoff_base_ms: has no effect: `backoff` is none"),
        (step(retry={"backoff_base_ms": 5, "max_backoff_ms": 4}), "short_backoff steps[0].retry.max_backoff_ms: every delay is cut to 4 ms, which is less than `backoff_base_ms`"),
        (template(input_schema={"requird": []}), "unknown_keyword input_schema.requird: JSON Schema ignores this keyword; did you mean `required`?"),
        (step(result_schema={"properties": {"a": {"type": "integer", "default": "x"}}}), "unfit_default steps[0].result_schema.properties.a.default: the default does not fit its own schema: every value that needs it will be refused"),
        (
            template(publishes_events=[{"name": "a.b"}], steps=[{**STEP, "publishes_events": [{"name": "a.b", "schema": {}}]}]),
            "event_differs steps[0].publishes_events[0].schema: `a.b` 1.0 has another schema in publishes_events[0]; give it another version",
        ),
        (
            template(environments={"live": {"metadata": {"x": 1}, "steps": [{"name": "a", "handler": {"callable": "h.a"}}]}}),
            "shadowed environments.live.steps[0].handler.callable: the same value as without the overlay",
        ),
    ],
)  # fmt: skip
def test_warnings(document: dict[str, Any], expected: str) -> None:
    assert warnings(document) == [expected]


@pytest.mark.parametrize(
    "document",
    [
        template(),
        template(lifecycle={"stale_after_seconds": 1, "staleness_action": "dlq"}),
        step(retry={"retryable": False}),
        step(retry={"max_attempts": 1}),
        step(timeout_seconds=5),
        template(lifecycle={"max_duration_seconds": 10}),
        template(input_schema={"x-redact": True, "x-anything": 1, "properties": {"requird": {"default": 1}}}),
        template(input_schema={"properties": {"a": {"$ref": "#/$defs/a", "default": 1}}, "$defs": {"a": {"type": "integer"}}}),
        template(publishes_events=[{"name": "a.b"}], steps=[{**STEP, "publishes_events": [{"name": "a.b", "version": "2", "schema": {}}]}]),
        template(metadata={"x": 1}, environments={"live": {"metadata": {"x": 2, "y": 1}}}),
    ],
)  # fmt: skip
def test_what_is_well_has_no_warnings(document: dict[str, Any]) -> None:
    assert warnings(document) == []


def test_every_environment_is_looked_at_and_a_warning_stands_once() -> None:
    document = template(environments={"live": {"lifecycle": {"staleness_action": "error"}}, "test": {}})
    assert warnings(document) == [
        "no_effect environments.live.lifecycle.staleness_action: has no effect: `stale_after_seconds` is not set"
    ]
    document = template(lifecycle={"staleness_action": "error"}, environments={"live": {}, "test": {}})
    assert len(warnings(document)) == 1
