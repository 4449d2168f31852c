"""Plans that declare an event for every condition, and the candidates that a worker would send for them."""

from __future__ import annotations

from typing import Any

import msgspec

from tasker_kafka.schemas.event_envelopes import failure_payload
from tasker_kafka.schemas.plan import EventDeclaration, Plan
from tasker_kafka.schemas.records import Body, EventCandidate, Failure, StepResult
from tasker_kafka.schemas.words import Delivery, EventCondition, Outcome

__all__ = ["OF_STEPS", "OF_TASKS", "as_a_worker", "declarations", "with_every_event"]

OF_STEPS = ("success", "failure", "retryable_failure", "permanent_failure", "always")
OF_TASKS = ("completed", "failed", "cancelled", "blocked", "resolved_manually")


def declarations(conditions: tuple[str, ...], kind: str, **fields: Any) -> tuple[EventDeclaration, ...]:
    """One durable event for each condition, called `<kind>.<condition>`."""
    given: dict[str, Any] = {"delivery": Delivery.DURABLE, **fields}
    return tuple(
        EventDeclaration(name=f"{kind}.{each}", condition=EventCondition(each), **given)
        for each in conditions
    )


def with_every_event(plan: Plan) -> Plan:
    """The plan, with an event for each condition of each step (`work.…`) and of the task (`job.…`)."""
    of_steps = declarations(OF_STEPS, "work")
    steps = tuple(msgspec.structs.replace(each, publishes_events=of_steps) for each in plan.steps)
    return msgspec.structs.replace(plan, steps=steps, publishes_events=declarations(OF_TASKS, "job"))


def as_a_worker(body: Body) -> Body:
    """A result with the events that a worker would have made of it."""
    if not isinstance(body, StepResult) or body.outcome not in {Outcome.SUCCESS, Outcome.FAILURE}:
        return body
    is_success = body.outcome is Outcome.SUCCESS
    failure = body.failure or Failure(type="Unknown", code="unknown")
    payload: Any = "done" if is_success else failure_payload(failure, body.attempt)
    conditions = ("success", "always") if is_success else OF_STEPS[1:]
    candidates = tuple(
        EventCandidate(
            name=f"work.{each}",
            condition=EventCondition(each),
            delivery=Delivery.DURABLE,
            version="1.0",
            key="k",
            payload=msgspec.json.encode(payload),
            position=0,
        )
        for each in conditions
    )
    return msgspec.structs.replace(body, events=candidates)
