"""The envelope of a step's or a task's domain event: one way to fill it in, for engine and workers alike."""

from __future__ import annotations

from .commands import EventCandidate
from .deliveries import DomainEvent
from .identity import event_id, format_id, step_id
from .plan import Plan

__all__ = ["step_event"]


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
        environment="",
        task_id=task_id,
        step_id=own_id,
        step_name=step,
        attempt=attempt,
        template=plan.name,
        template_version=plan.version,
        correlation_id=correlation_id,
        causation_id=format_id(own_id),
    )
