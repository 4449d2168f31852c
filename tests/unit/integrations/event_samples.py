"""Events as Tasker makes them, for the tests of integrations."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from tasker_kafka.handlers.integrations import Facts, facts_of
from tasker_kafka.handlers.subscribing.event import DomainEvent, EventMetadata
from tasker_kafka.schemas.words import Delivery

TASK = "0199a1b2-0000-7000-8000-00000000c0de"
EVENT = "5b2f9d3e-8c41-5d77-9a64-1f2e3d4c5b6a"
FIRED = datetime(2026, 3, 1, 12, 0, 0, 250_000, UTC)

COMPLETED: dict[str, Any] = {
    "task_id": TASK,
    "state": "complete",
    "started_at": "2026-03-01T11:58:15.000Z",
    "completed_at": "2026-03-01T12:00:00.250Z",
    "duration": 105.25,
    "failed_steps": [],
    "error": None,
}
FAILED: dict[str, Any] = {
    **COMPLETED,
    "state": "error",
    "failed_steps": ["charge_card"],
    "error": {"code": "card_declined", "message": "the bank declined 129.00"},
}
LONG = "connection to db-1 lost <!channel> `rm` [x](http://evil.example) & more " * 200
HOSTILE: dict[str, Any] = {**FAILED, "error": {"code": "boom", "message": LONG}}
STEP_FAILED: dict[str, Any] = {
    "error_type": "RetryableError",
    "error_code": "gateway_busy",
    "error_message": "the payment gateway is busy",
    "attempt": 2,
}


def event(payload: Any = None, name: str = "order.failed", **changes: Any) -> DomainEvent[Any]:
    """An event of the task `shop/checkout` in production; `step` makes it one of that step."""
    step = changes.pop("step", None)
    about = EventMetadata(
        fired_at=changes.pop("fired_at", FIRED),
        fired_by="tasker",
        task_id=changes.pop("task_id", TASK),
        step_name=step,
        attempt=changes.pop("attempt", None if step is None else 2),
        template=changes.pop("template", "checkout"),
        template_version="1.2.0",
        environment=changes.pop("environment", "production"),
        correlation_id="corr-1",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )
    made = DomainEvent(
        event_id=EVENT,
        name=name,
        version="1.0",
        namespace="shop",
        delivery=Delivery.DURABLE,
        key=TASK,
        payload=FAILED if payload is None else payload,
        metadata=about,
        topic="events",
        partition=3,
        offset=41,
    )
    return replace(made, **changes)


def facts(payload: Any = None, name: str = "order.failed", **changes: Any) -> Facts:
    """What such an event tells."""
    return facts_of(event(payload, name, **changes))
