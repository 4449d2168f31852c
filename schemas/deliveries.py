"""What the engine and the workers send each other besides commands, and the domain event envelope."""

from __future__ import annotations

import msgspec

from .values import Value
from .words import Delivery

__all__ = ["Cancellation", "Dispatch", "DlqEntry", "DomainEvent", "StepInput", "WorkerAnnouncement"]


class StepInput(msgspec.Struct, frozen=True):
    """A direct parent's result; None when the parent was bypassed or resolved by hand."""

    step: str
    value: Value


class Dispatch(msgspec.Struct, frozen=True, kw_only=True):
    """Grants one attempt to whoever consumes the queue. Key = hash of (task, step)."""

    task_id: bytes
    life: int
    step: str
    attempt: int
    last_attempt: bool
    plan_hash: bytes
    handler: str
    context: Value
    inputs: tuple[StepInput, ...]
    dispatched_at: int
    queue_deadline: int | None
    correlation_id: str
    traceparent: str | None


class Cancellation(msgspec.Struct, frozen=True, kw_only=True):
    """Tells running handlers to stop (control topic). `step` None: every step of the task."""

    life: int
    step: str | None
    attempt: int
    reason: str
    at: int


class WorkerAnnouncement(msgspec.Struct, frozen=True, kw_only=True):
    """A step worker's word of itself (compacted; tombstone on a clean stop)."""

    worker_id: str
    queues: tuple[str, ...]
    handlers: tuple[str, ...]
    version: str
    host: str
    pid: int
    started_at: int
    seen_at: int


class DomainEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The envelope of a domain event; payload is JSON bytes."""

    event_id: bytes
    name: str
    version: str
    namespace: str
    delivery: Delivery
    key: str
    payload: bytes
    fired_at: int
    fired_by: str
    environment: str
    task_id: bytes | None = None
    step_id: bytes | None = None
    step_name: str | None = None
    attempt: int | None = None
    template: str | None = None
    template_version: str | None = None
    correlation_id: str | None = None
    causation_id: str | None = None


class DlqEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the task DLQ ledger; key = task id, so one pending entry per task."""

    task_id: bytes
    life: int
    reason: str
    """staleness_timeout, max_retries_exceeded, quarantined, worker_unavailable or manual."""
    status: str
    """pending, resolved, failed or cancelled."""
    at: int
    message: str
    snapshot: bytes
    actor: str | None = None
