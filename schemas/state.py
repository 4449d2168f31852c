"""The state of a task: what `evolve` folds and the changelog holds.

`TaskState` is a live (or failed) task, `Stub` what is left of a final one. The head fields of TaskState decode
alone (`schemas.codec.decode_head`), so that a list of tasks costs no full decode.
"""

from __future__ import annotations

import msgspec

from .records import Failure, RequestPlace, Value
from .words import Identity, StepStatus, TaskStatus

__all__ = ["StepState", "Stub", "TaskHead", "TaskState"]


class StepState(msgspec.Struct, frozen=True, kw_only=True):
    """One step: counters, the last failure's type and code, and the result or its reference."""

    name: str
    state: StepStatus = StepStatus.PENDING
    pending_parents: int = 0
    """Direct parents that are not done yet; 0 = dependencies satisfied."""
    attempt: int = 0
    """Number of the last attempt granted; 0 = none."""
    base: int = 0
    """Attempts up to this number do not count against the budget."""
    max_attempts: int | None = None
    """An operator's override of the plan's."""
    losses: int = 0
    dispatched_at: int | None = None
    started_at: int | None = None
    """Start of the running attempt, once known."""
    reported: bool = False
    """A StepStarted of the running attempt has been decided: its timers are the engine's."""
    next_retry_at: int | None = None
    requested_delay_ms: int | None = None
    failed_at: int | None = None
    failure: Failure | None = None
    """Type and code only, 256 bytes at most together."""
    completed_at: int | None = None
    result: Value = None
    marked: bool = False
    """Cancelled by fail_fast: returns to pending when the last step in error is dealt with."""
    worker_id: str | None = None
    answered: bool = False
    """A result of the last attempt, other than that its time was up, was accepted: another one is a duplicate, never a
    late success."""


class TaskHead(msgspec.Struct, frozen=True, kw_only=True):
    """The fixed head of a state: decodes alone."""

    task_id: bytes
    life: int
    seq: int
    state: TaskStatus
    plan_hash: bytes
    namespace: str
    name: str
    version: str
    created_at: int
    """Broker time of the request."""
    now: int
    next_due: int | None
    """When the next timer of the task is due; None: no timer."""
    closed_at: int | None
    total: int
    pending: int
    """Steps pending, ready ones included."""
    enqueued: int
    in_progress: int
    waiting_for_retry: int
    complete: int
    failed: int
    cancelled: int
    resolved: int


class TaskState(TaskHead, frozen=True, kw_only=True):
    """A task that is not final. Everything a fold of its transitions (with the plan) yields."""

    steps: tuple[StepState, ...]
    """In the plan's order; steps made at run time would follow."""
    ready: tuple[int, ...] = ()
    """Positions of steps that are ready but not dispatched (held back), ascending."""
    request_id: bytes
    request: RequestPlace
    identity: Identity
    context: Value
    initiator: str
    source_system: str
    reason: str
    tags: tuple[str, ...]
    correlation_id: str
    idempotency_key: str | None
    requested_at: int | None
    not_before: int | None
    traceparent: str | None
    started_at: int | None = None
    """First start_requested."""
    deadline_from: int | None = None
    """Last start_requested or reopening: the deadline counts from here."""
    state_since: int
    stale_reported: bool = False
    error_code: str | None = None
    command_ids: tuple[bytes, ...] = ()
    """The last 32 operator command ids, oldest first."""


class Stub(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of a closed task; at most 100 bytes encoded."""

    task_id: bytes
    request_id: bytes
    life: int
    outcome: TaskStatus
    created_at: int
    closed_at: int
    forget_at: int
    plan_hash: bytes
