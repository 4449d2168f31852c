"""From a checked model to the plan that `decide` may consult: every default filled in, every time in ms."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from .findings import Fault
from .identity import plan_json
from .limits import PLAN_BYTES, inline_limit
from .plan import EventDeclaration, Lifecycle, Plan, PlanStep, RetryPolicy
from .template_checks import events_disabled_faults
from .template_models import (
    EventModel,
    LifecycleModel,
    RetryModel,
    StepEventModel,
    StepModel,
    TaskEventModel,
    TemplateModel,
)
from .template_source import TemplateSource
from .words import Delivery, EventCondition, Identity

__all__ = ["compile_template"]


def compile_template(
    model: TemplateModel,
    *,
    environment: str | None = None,
    default_delivery: Delivery = Delivery.FIRE_AND_FORGET,
    events_enabled: bool = True,
    deployment: str = "",
) -> Plan:
    """The plan: every default filled in, so that no setting of a process matters later.

    environment: another one's overlay than the model was loaded with; None: as it was loaded.
    default_delivery, events_enabled: settings `events.default_delivery` and `events.enabled`.
    deployment: the environment that events name; no part of plans without events.
    InvalidTemplate: the overlay is faulty, events are declared where they are switched off, or the plan is too large.
    """
    source: TemplateSource = model.origin or TemplateSource(None, f"template {model.name}")
    if environment is not None and model.origin is not None:
        model = source.model(environment)
    if not events_enabled:
        source.refuse([*events_disabled_faults(model)], environment)
    plan = _plan(model, default_delivery)
    if deployment and plan.has_events:
        plan = replace(plan, environment=deployment)
    size = len(plan_json(plan))
    if PLAN_BYTES.is_exceeded(size):
        source.refuse([Fault((), PLAN_BYTES.error, f"{PLAN_BYTES.message(size)}: {PLAN_BYTES.way_out}")])
    return plan


def _plan(model: TemplateModel, default_delivery: Delivery) -> Plan:
    return Plan(
        namespace=model.namespace,
        name=model.name,
        version=model.version,
        steps=tuple(_step(each, model.namespace, default_delivery) for each in model.steps),
        identity=Identity(model.identity),
        failure_policy=model.failure_policy,
        max_parallel_steps=model.max_parallel_steps,
        lifecycle=_lifecycle(model.lifecycle),
        inline_limit=inline_limit(len(model.steps)),
        input_schema=model.input_schema,
        output=model.output,
        publishes_events=_events(model.publishes_events, default_delivery),
        description=model.description,
        metadata=model.metadata,
    )


def _step(model: StepModel, namespace: str, default_delivery: Delivery) -> PlanStep:
    return PlanStep(
        name=model.name,
        handler=model.handler.callable,
        queue=model.queue or namespace,
        parents=tuple(model.dependencies),
        config=model.handler.initialization,
        retry=_retry(model.retry),
        timeout_ms=_milliseconds(model.timeout_seconds),
        queue_timeout_ms=_optional_milliseconds(model.queue_timeout_seconds),
        heartbeat_timeout_ms=_milliseconds(model.heartbeat_timeout_seconds),
        result_schema=model.result_schema,
        publishes_events=_events(model.publishes_events, default_delivery),
        description=model.description,
    )


def _retry(model: RetryModel) -> RetryPolicy:
    return RetryPolicy(
        retryable=model.retryable,
        max_attempts=max(1, model.max_attempts),
        backoff=model.backoff,
        backoff_base_ms=model.backoff_base_ms,
        max_backoff_ms=model.max_backoff_ms,
        jitter=float(model.jitter),
        non_retryable=tuple(model.non_retryable),
    )


def _lifecycle(model: LifecycleModel) -> Lifecycle:
    stale_after_ms = _optional_milliseconds(model.stale_after_seconds)
    return Lifecycle(
        max_duration_ms=_optional_milliseconds(model.max_duration_seconds),
        on_blocked=model.on_blocked,
        stale_after_ms=stale_after_ms,
        staleness_action="none" if stale_after_ms is None else model.staleness_action,
        retention_hours=model.retention_hours,
        failed_retention_hours=model.failed_retention_hours,
    )


def _events(
    models: list[StepEventModel] | list[TaskEventModel], default_delivery: Delivery
) -> tuple[EventDeclaration, ...]:
    return tuple(_event(each, each.condition, default_delivery) for each in models)


def _event(model: EventModel, condition: str, default_delivery: Delivery) -> EventDeclaration:
    schema: dict[str, Any] | None = model.payload_schema
    return EventDeclaration(
        name=model.name,
        delivery=Delivery(model.delivery) if model.delivery else default_delivery,
        condition=EventCondition(condition),
        version=model.version,
        key=model.key,
        publisher=model.publisher,
        description=model.description,
        schema=schema,
    )


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _optional_milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else _milliseconds(seconds)
