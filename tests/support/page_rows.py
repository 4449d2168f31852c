"""Rows of the projection with hostile text in every field that people or programs fill."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasker_kafka.schemas.words import TaskStatus
from tasker_kafka.streams.projection import EventRow, TaskRow
from tasker_kafka.streams.projection.shapes import LetterOfEvent, ReceiptOfEvent

from .page_world import HOSTILE
from .tasks import START, TASK_ID

__all__ = ["hostile_event", "hostile_row"]


def hostile_event() -> EventRow:
    """A domain event with a receipt and a dead letter."""
    receipt = ReceiptOfEvent(
        group=HOSTILE, subscription=HOSTILE, outcome="handled", at=START, deliveries=2, was_missing=True
    )
    letter = LetterOfEvent(
        place="books/0:1",
        group=HOSTILE,
        subscription=HOSTILE,
        failure_class=HOSTILE,
        error_type=HOSTILE,
        message=HOSTILE,
        state="open",
        died_at=START,
    )
    return EventRow(
        event_id=TASK_ID,
        task_id=TASK_ID,
        step="a",
        attempt=1,
        name="order.placed",
        version="1.0",
        namespace="tests",
        delivery="durable",
        key=HOSTILE,
        fired_at=START,
        topic="t",
        partition=0,
        offset=1,
        receipts=(receipt,),
        letters=(letter,),
    )


STEPS: Mapping[str, int] = {
    "total_steps": 3,
    "pending_steps": 1,
    "in_progress_steps": 0,
    "completed_steps": 1,
    "failed_steps": 1,
    "retrying_steps": 0,
    "cancelled_steps": 0,
    "ready_steps": 0,
}
TIMES: Mapping[str, int | None] = {
    "created_at": START,
    "started_at": START,
    "updated_at": START,
    "closed_at": START + 10,
    "next_due_at": None,
    "state_since": START,
}
FREE_TEXT = (
    "initiator",
    "source_system",
    "reason",
    "correlation_id",
    "idempotency_key",
    "error_code",
    "error_message",
)


def hostile_row() -> TaskRow:
    """A task of the list."""
    given: dict[str, Any] = {**STEPS, **TIMES, **dict.fromkeys(FREE_TEXT, HOSTILE)}
    return TaskRow(
        task_id=TASK_ID,
        partition=0,
        life=1,
        lives=2,
        seq=3,
        last_offset=4,
        namespace="tests",
        template="shape",
        version="1.0.0",
        plan_hash=bytes(32),
        state=TaskStatus.ERROR,
        status="error",
        execution_status="blocked_by_failures",
        recommended_action="handle_failures",
        health_status="blocked",
        completion_percentage=33.33,
        is_stale=True,
        identity="always_unique",
        request_id=TASK_ID,
        tags=(HOSTILE,) * 6,
        fault=HOSTILE,
        **given,
    )
