"""Flows that publish domain events, and what they have published."""

from __future__ import annotations

from typing import Any

from tasker_kafka.handlers import DomainEvent
from tasker_kafka.schemas.template import Event
from tests.support.behaviour import Flow, Play

__all__ = ["CHARGED", "FAILURES", "events", "names", "of_the_task", "wait_names"]

CHARGED = Event(
    "payment.charged",
    delivery="durable",
    schema={
        "type": "object",
        "required": ["amount"],
        "properties": {"amount": {"type": "integer"}, "card": {"type": "string", "x-redact": True}},
    },
)
FAILURES = [
    Event("payment.failed", delivery="durable", condition="failure"),
    Event("payment.delayed", delivery="durable", condition="retryable_failure"),
    Event("payment.lost", delivery="durable", condition="permanent_failure"),
    Event("payment.tried", delivery="durable", condition="always"),
]


def events(flow: Flow, task_id: str | None = None) -> list[DomainEvent[Any]]:
    """What the flow's tasks have published until now."""
    found = flow.play.workflow.events.published()
    own = [event for event in found if event.metadata.template == flow.name]
    return [event for event in own if task_id in (None, event.metadata.task_id)]


def names(flow: Flow) -> list[str]:
    """Their names, sorted."""
    return sorted(event.name for event in events(flow))


def wait_names(flow: Flow, count: int) -> list[str]:
    """As soon as there are so many; what is sent last may still be on its way when the task is closed."""
    for _ in range(200):
        if len(events(flow)) >= count:
            break
        flow.play.workflow.advance(0.02)
    return names(flow)


def of_the_task(play: Play, **options: Any) -> Flow:
    """A flow whose task tells each of its ends."""
    flow = play.flow(**options)
    for condition in ("completed", "failed", "cancelled", "blocked", "resolved_manually"):
        flow.template.event(Event(f"order.{condition}", delivery="durable", condition=condition))
    return flow
