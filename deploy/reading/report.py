"""The shapes in which one task is shown: to people, as JSON, and by the API.

Times are ms since 1970 UTC; `jsonform.jsonable` turns them, and ids, into text. Values (context, output, results)
are decoded JSON.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tasker_kafka.schemas.words import Cause, Identity, StepStatus, TaskStatus, TransitionEvent

__all__ = [
    "AnswerReport",
    "AttemptReport",
    "ErrorReport",
    "StepReport",
    "TaskReport",
    "TransitionReport",
    "WaitReport",
]


class ErrorReport(msgspec.Struct, frozen=True, kw_only=True):
    """Why an attempt, or the task, failed."""

    type: str | None
    code: str
    message: str
    retryable: bool | None = None
    traceback: str = ""
    failed_steps: tuple[str, ...] = ()


class AttemptReport(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of a step. `outcome` None: not ended."""

    attempt: int
    granted_at: int
    outcome: str | None = None
    """success, failure, returned, given_back, worker_lost, or cancelled."""
    worker_id: str | None = None
    started_at: int | None = None
    finished_at: int | None = None
    counted: bool = True
    """False: it burned no budget."""
    late: bool = False
    error: ErrorReport | None = None
    next_retry_at: int | None = None
    metadata: Any = None


class StepReport(msgspec.Struct, frozen=True, kw_only=True):
    """One step with everything that was tried."""

    name: str
    state: StepStatus
    status: str
    handler: str
    queue: str
    parents: tuple[str, ...]
    attempts: int
    """Number of the last attempt granted; 0: none."""
    max_attempts: int
    started_at: int | None
    """Start of the last attempt, as far as it is known."""
    completed_at: int | None
    next_retry_at: int | None
    blocking_reason: str | None
    """Why it is not ready; None: it is."""
    worker_id: str | None
    result: Any
    error: ErrorReport | None
    """Of the last failed attempt, while the step is not done."""
    history: tuple[AttemptReport, ...]


class TransitionReport(msgspec.Struct, frozen=True, kw_only=True):
    """One edge taken. `entity` is `task` or `step:<name>`; several may share a record (seq, offset)."""

    seq: int
    offset: int
    entity: str
    from_state: TaskStatus | StepStatus | None = msgspec.field(name="from")
    to_state: TaskStatus | StepStatus = msgspec.field(name="to")
    event: TransitionEvent
    at: int
    cause: Cause
    actor: str | None = None
    reason: str | None = None


class AnswerReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator's command, or a second request, was answered."""

    command_id: bytes
    code: str
    message: str
    at: int


class WaitReport(msgspec.Struct, frozen=True, kw_only=True):
    """Why something of the task does not move now: `step` (None: the task) waits for what `message` says."""

    step: str | None
    waits_for: str
    """worker, handler, retry, parents, not_before, limit or operator."""
    message: str
    since_at: int | None = None


class TaskReport(msgspec.Struct, frozen=True, kw_only=True):
    """One life of a task, as its transitions tell it."""

    task_id: bytes
    life: int
    namespace: str
    template: str
    version: str
    plan_hash: bytes
    partition: int
    seq: int
    state: TaskStatus
    status: str
    execution_status: str
    recommended_action: str
    completion_percentage: float
    health_status: str
    created_at: int
    started_at: int | None
    closed_at: int | None
    next_due_at: int | None
    identity: Identity
    initiator: str
    source_system: str
    reason: str
    tags: tuple[str, ...]
    correlation_id: str
    context: Any
    output: Any
    """What the task gives back; None until it is complete (or resolved by hand)."""
    error: ErrorReport | None
    steps: tuple[StepReport, ...]
    transitions: tuple[TransitionReport, ...]
    answers: tuple[AnswerReport, ...]
    waiting: tuple[WaitReport, ...]
