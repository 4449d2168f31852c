"""Oddities of a sound template: keys without effect, overlays that change nothing, events that disagree.

Every key has an effect; a key that has none because of another key is most likely a mistake. Warnings, because a
template may be on its way to what it will be.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from .commands import Failure
from .event_envelopes import failure_payload
from .findings import MOST_FAULTS, Fault, Path, path_text
from .schema_check import lint_schema, schema_for
from .schema_walk import Schema
from .template_checks import declared_schemas, event_declarations
from .template_models import (
    EventModel,
    LifecycleModel,
    RetryModel,
    StepEventModel,
    StepModel,
    TaskEventModel,
    TemplateModel,
)

__all__ = ["lint_model", "lint_overlays"]

_FAILURE_SAMPLE: Final = failure_payload(Failure(type="Timeout", code="timeout", message="too long"), 1)
_TASK_SAMPLE: Final = {
    "task_id": "0197f3c8-7a1e-7c3b-9d7e-2f1a5b6c7d8e",
    "state": "error",
    "started_at": "2026-01-01T00:00:00.000Z",
    "completed_at": "2026-01-01T00:00:01.500Z",
    "duration": 1.5,
    "failed_steps": ["step"],
    "error": {"code": "step_failed", "message": "step: Timeout (timeout)"},
}
"""What the engine makes of itself (`streams.domain.events`)."""


def lint_model(model: TemplateModel) -> Iterator[Fault]:
    """The warnings of a template without faults."""
    yield from _lifecycle(model.lifecycle)
    for position, step in enumerate(model.steps):
        yield from (each.below(("steps", position)) for each in _step(step, model.lifecycle))
    if model.max_parallel_steps is not None and model.max_parallel_steps >= len(model.steps) > 0:
        yield _no_effect(("max_parallel_steps",), f"the template has {len(model.steps)} steps only")
    yield from _events(model)
    for path, schema in declared_schemas(model):
        yield from (each.below(path) for each in islice(lint_schema(schema), MOST_FAULTS))


def lint_overlays(document: Any) -> Iterator[Fault]:
    """Values of an overlay that are the base's own: they hide a later change of the base, and change nothing."""
    for environment, overlay in document.get("environments", {}).items():
        path: Path = ("environments", environment)
        yield from _shadowed(document, {key: value for key, value in overlay.items() if key != "steps"}, path)
        base = {step["name"]: step for step in document["steps"]}
        steps: list[Any] = overlay.get("steps") or []
        for position, step in enumerate(steps):
            changes = {key: value for key, value in step.items() if key != "name"}
            yield from _shadowed(base[step["name"]], changes, (*path, "steps", position))


def _shadowed(base: Any, overlay: Any, path: Path) -> Iterator[Fault]:
    for key, value in overlay.items():
        if key not in base:
            continue
        if isinstance(value, dict) and isinstance(base[key], dict):
            yield from _shadowed(base[key], value, (*path, key))
        elif value == base[key] and type(value) is type(base[key]):
            yield Fault((*path, key), "shadowed", "the same value as without the overlay", "warning")


def _lifecycle(model: LifecycleModel) -> Iterator[Fault]:
    if model.stale_after_seconds is None and "staleness_action" in model.model_fields_set:
        yield _no_effect(("lifecycle", "staleness_action"), "`stale_after_seconds` is not set")
    if model.failed_retention_hours < model.retention_hours:
        message = "a failed task is forgotten before a finished one"
        yield Fault(("lifecycle", "failed_retention_hours"), "short_retention", message, "warning")


def _step(step: StepModel, lifecycle: LifecycleModel) -> Iterator[Fault]:
    yield from (each.below(("retry",)) for each in _retry(step.retry))
    longest = lifecycle.max_duration_seconds
    if longest is not None and step.timeout_seconds > longest and "timeout_seconds" in step.model_fields_set:
        yield _no_effect(("timeout_seconds",), f"the task's deadline ({longest:g} s) comes first")
    if (
        "heartbeat_timeout_seconds" in step.model_fields_set
        and step.heartbeat_timeout_seconds > step.timeout_seconds
    ):
        yield _no_effect(
            ("heartbeat_timeout_seconds",), f"the timeout ({step.timeout_seconds:g} s) comes first"
        )


def _retry(model: RetryModel) -> Iterator[Fault]:
    given = model.model_fields_set
    details = ("backoff", "backoff_base_ms", "max_backoff_ms", "jitter", "non_retryable")
    if not model.retryable:
        for key in ("max_attempts", *details):
            if key in given:
                yield _no_effect((key,), "`retryable` is false")
    elif model.max_attempts <= 1:
        for key in details:
            if key in given:
                yield _no_effect((key,), f"`max_attempts` is {model.max_attempts}")
    elif model.backoff == "none":
        for key in ("backoff_base_ms", "max_backoff_ms", "jitter"):
            if key in given:
                yield _no_effect((key,), "`backoff` is none")
    elif 0 < model.max_backoff_ms < model.backoff_base_ms:
        message = f"every delay is cut to {model.max_backoff_ms} ms, which is less than `backoff_base_ms`"
        yield Fault(("max_backoff_ms",), "short_backoff", message, "warning")


def _events(model: TemplateModel) -> Iterator[Fault]:
    first: dict[tuple[str, str], tuple[Path, Any]] = {}
    for path, declared in event_declarations(model):
        for position, event in enumerate(declared):
            place: Path = (*path, position)
            known, schema = first.setdefault((event.name, event.version), (place, event.payload_schema))
            if schema != event.payload_schema:
                where = path_text(known)
                message = (
                    f"`{event.name}` {event.version} has another schema in {where}; give it another version"
                )
                yield Fault((*place, "schema"), "event_differs", message, "warning")
            yield from (each.below(place) for each in _event(event, model))


def _event(event: EventModel, model: TemplateModel) -> Iterator[Fault]:
    is_of_task = isinstance(event, TaskEventModel)
    condition = event.condition if isinstance(event, (StepEventModel, TaskEventModel)) else ""
    if condition == "blocked" and model.lifecycle.on_blocked == "fail":
        yield _no_effect(("condition",), "with `on_blocked: fail` a blocked task has failed; take `failed`")
    if is_of_task and event.publisher is not None:
        why = "the engine publishes the task's own events, and publishers run in workers"
        yield _no_effect(("publisher",), why)
    sample = _TASK_SAMPLE if is_of_task else _FAILURE_SAMPLE
    if event.payload_schema is None or condition == "success" or _accepts(event.payload_schema, sample):
        return
    what = (
        "what the engine says of the task"
        if is_of_task
        else "a failure that the engine finds (timeout, cancel, …)"
    )
    message = f"{what} does not fit, and is not published: its fields are {', '.join(sample)}"
    yield Fault(("schema",), "unfit_payload", message, "warning")


def _accepts(schema: Schema, value: Any) -> bool:
    return schema_for(schema).is_satisfied_by(value)


def _no_effect(path: Path, why: str) -> Fault:
    return Fault(path, "no_effect", f"has no effect: {why}", "warning")
