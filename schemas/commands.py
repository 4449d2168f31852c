"""The commands topic: everything that may change a task, one record schema with a typed body."""

from __future__ import annotations

import msgspec

from .requests import RequestPlace
from .values import Value
from .words import Delivery, EventCondition, Identity, OperatorAction, Outcome, TimerKind

__all__ = [
    "Body",
    "Command",
    "EventCandidate",
    "Failure",
    "Forget",
    "Heartbeat",
    "OperatorCommand",
    "Reconcile",
    "StartTask",
    "StepResult",
    "StepStarted",
    "TimerDue",
]


class StartTask(msgspec.Struct, frozen=True, kw_only=True):
    """Intake accepted a request: create the task."""

    plan_hash: bytes
    request_id: bytes
    context: Value
    request: RequestPlace
    identity: Identity = Identity.ALWAYS_UNIQUE
    initiator: str = "unknown"
    source_system: str = "unknown"
    reason: str = "unknown"
    tags: tuple[str, ...] = ()
    bypass_steps: tuple[str, ...] = ()
    idempotency_key: str | None = None
    correlation_id: str | None = None
    requested_at: int | None = None
    not_before: int | None = None
    traceparent: str | None = None


class StepStarted(msgspec.Struct, frozen=True, kw_only=True):
    """A handler has been running longer than `start_report_seconds`."""

    life: int
    step: str
    attempt: int
    worker_id: str
    started_at: int


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """A running handler is alive. Kept by the lane, never decided."""

    life: int
    step: str
    attempt: int
    progress: bytes | None = None


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why an attempt failed. In a TaskState without message and traceback."""

    type: str
    code: str
    message: str = ""
    traceback: str = ""
    retryable: bool = True
    retry_after_ms: int | None = None


class EventCandidate(msgspec.Struct, frozen=True, kw_only=True):
    """A domain event that a handler published; the engine forwards it if its condition fits the decision."""

    name: str
    condition: EventCondition
    delivery: Delivery
    version: str
    key: str
    payload: bytes
    position: int


class StepResult(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt ended, with the durable events it published."""

    life: int
    step: str
    attempt: int
    outcome: Outcome
    worker_id: str
    started_at: int
    finished_at: int
    result: Value = None
    failure: Failure | None = None
    metadata: bytes | None = None
    events: tuple[EventCandidate, ...] = ()
    delivery_count: int = 1


class TimerDue(msgspec.Struct, frozen=True, kw_only=True):
    """The owner's word that a due time has come; accepted only if it still fits."""

    life: int
    kind: TimerKind
    due_at: int
    step: str | None = None
    attempt: int = 0


class OperatorCommand(msgspec.Struct, frozen=True, kw_only=True):
    """What a person asks for. `steps` names the steps of a step action; empty, for retry_step and
    set_max_attempts only, means every step that the action fits."""

    command_id: bytes
    action: OperatorAction
    actor: str
    reason: str
    life: int | None = None
    expected_seq: int | None = None
    steps: tuple[str, ...] = ()
    result: Value = None
    max_attempts: int | None = None
    text: str | None = None
    tags: tuple[str, ...] | None = None


class Forget(msgspec.Struct, frozen=True):
    """Drop every stub of the partition that is due by `until` (reserved key)."""

    until: int


class Reconcile(msgspec.Struct, frozen=True, kw_only=True):
    """The reconciler found something that should have moved: look again.

    kind: evaluate (ready but undispatched) or redispatch (the same attempt is sent again).
    """

    life: int
    kind: str
    step: str | None = None
    attempt: int = 0


Body = StartTask | StepStarted | Heartbeat | StepResult | TimerDue | OperatorCommand | Forget | Reconcile


class Command(msgspec.Struct, frozen=True):
    """The one record of the commands topic; key = task_id (FORGOTTEN_KEY for Forget, then task_id is zeros)."""

    task_id: bytes
    body: Body
