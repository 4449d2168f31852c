"""The envelope of a step's or a task's domain event: one way to fill it in, for engine and workers alike."""

from __future__ import annotations

from typing import Any, Final

from .commands import EventCandidate, Failure
from .deliveries import DomainEvent
from .identity import event_id, format_id, step_id
from .plan import EventDeclaration, Plan

__all__ = ["failure_payload", "step_event", "task_event"]

_ENGINE: Final = "tasker-engine"
"""Who fires a task's own events."""


def failure_payload(failure: Failure, attempt: int) -> dict[str, Any]:
    """What an event says that is made from a failed attempt."""
    return {
        "error_type": failure.type,
        "error_code": failure.code,
        "error_message": failure.message,
        "attempt": attempt,
    }


def step_event(
    candidate: EventCandidate,
    plan: Plan,
    *,
    task_id: bytes,
    life: int,
    step: str,
    attempt: int,
    correlation_id: str,
    at: int,
    id_: bytes | None = None,
) -> DomainEvent:
    """The event of a candidate of an attempt, fired at `at` (ms).

    id_: default the one that every repeat of the attempt's n-th event of this name has
    """
    own_id = step_id(task_id, step)
    return DomainEvent(
        event_id=id_ or event_id(task_id, life, step, attempt, candidate.name, candidate.position),
        name=candidate.name,
        version=candidate.version,
        namespace=plan.namespace,
        delivery=candidate.delivery,
        key=candidate.key,
        payload=candidate.payload,
        fired_at=at,
        fired_by=plan.steps[plan.index[step]].handler,
        environment=plan.deployment,
        task_id=task_id,
        step_id=own_id,
        step_name=step,
        attempt=attempt,
        template=plan.name,
        template_version=plan.version,
        correlation_id=correlation_id,
        causation_id=format_id(own_id),
    )


def task_event(
    declaration: EventDeclaration,
    plan: Plan,
    *,
    id_: bytes,
    task_id: bytes,
    key: str,
    payload: bytes,
    correlation_id: str,
    at: int,
) -> DomainEvent:
    """An event of the task itself, which the engine fires at `at` (ms)."""
    return DomainEvent(
        event_id=id_,
        name=declaration.name,
        version=declaration.version,
        namespace=plan.namespace,
        delivery=declaration.delivery,
        key=key,
        payload=payload,
        fired_at=at,
        fired_by=_ENGINE,
        environment=plan.deployment,
        task_id=task_id,
        template=plan.name,
        template_version=plan.version,
        correlation_id=correlation_id,
        causation_id=format_id(task_id),
    )
