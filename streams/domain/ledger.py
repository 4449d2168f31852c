"""The task DLQ ledger: which tasks somebody should look at, and when that is settled.

A task has at most one pending entry (the ledger's key is the task): it was quarantined, it gave up because a step
used all its attempts or lost its workers, or it stayed too long in one state and its template asks for an entry.
The entry closes when the task moves on. All of it follows from the task before and after a record.
"""

from __future__ import annotations

from typing import Final

import msgspec

from tasker_kafka.schemas.identity import format_id
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import Audit, DlqEntry, Transitions
from tasker_kafka.schemas.state import Stub, TaskState
from tasker_kafka.schemas.words import DONE_STEP_STATES, StepStatus, TaskStatus, TransitionEvent

from .attempts import WORKER_LOST
from .finalize import STEP_FAILED
from .quarantine import QUARANTINED
from .retry import attempts_used, budget

__all__ = ["entries", "ledger_reason"]

STALENESS_TIMEOUT: Final = "staleness_timeout"
MAX_RETRIES_EXCEEDED: Final = "max_retries_exceeded"
WORKER_UNAVAILABLE: Final = "worker_unavailable"

_ERROR: Final = TaskStatus.ERROR
_OPENING: Final = frozenset(
    {TransitionEvent.GIVE_UP, TransitionEvent.QUARANTINED, TransitionEvent.STALE_REPORTED}
)


def ledger_reason(state: TaskState, plan: Plan | None) -> str | None:
    """Why a task has a pending entry; None: it has none."""
    if state.state is not TaskStatus.ERROR:
        return STALENESS_TIMEOUT if state.stale_reported else None
    if state.error_code == QUARANTINED:
        return QUARANTINED
    if state.error_code != STEP_FAILED or plan is None:
        return None
    reason: str | None = None
    for step, planned in zip(state.steps, plan.steps, strict=False):
        failure = step.failure
        if step.state is not StepStatus.ERROR or failure is None:
            continue
        if failure.code == WORKER_LOST:
            return WORKER_UNAVAILABLE
        policy = planned.retry
        can_retry = failure.retryable and policy.retryable and failure.code not in policy.non_retryable
        if can_retry and attempts_used(step) >= budget(policy, step.max_attempts):
            reason = MAX_RETRIES_EXCEEDED
    return reason


def entries(
    before: TaskState | Stub | None,
    after: TaskState | Stub | None,
    record: Transitions,
    plan: Plan | None,
) -> tuple[DlqEntry, ...]:
    """What a record writes to the ledger."""
    if not record.transitions:
        return ()
    if record.transitions[-1].event in _OPENING and isinstance(after, TaskState):
        reason = ledger_reason(after, plan)
        if reason is not None:
            return (_entry(after, record, reason, "pending", after.error_code or str(after.state)),)
    if not isinstance(before, TaskState) or not (before.stale_reported or before.state is _ERROR):
        return ()
    reason = ledger_reason(before, plan)
    if reason is None or (isinstance(after, TaskState) and ledger_reason(after, plan) == reason):
        return ()
    status, message = _closing(after)
    return (_entry(before, record, reason, status, message),)


def _closing(after: TaskState | Stub | None) -> tuple[str, str]:
    outcome = after.outcome if isinstance(after, Stub) else None if after is None else after.state
    message = f"the task is {outcome}"
    if outcome is TaskStatus.CANCELLED:
        return "cancelled", message
    return ("failed" if outcome is TaskStatus.ERROR else "resolved"), message


def _entry(state: TaskState, record: Transitions, reason: str, status: str, message: str) -> DlqEntry:
    actor = next((each.data.actor for each in record.transitions if isinstance(each.data, Audit)), None)
    return DlqEntry(
        task_id=state.task_id,
        life=state.life,
        reason=reason,
        status=status,
        at=record.at,
        message=message,
        snapshot=_snapshot(state),
        actor=actor,
    )


def _snapshot(state: TaskState) -> bytes:
    """JSON: the task and every step that is not done."""
    return msgspec.json.encode(
        {
            "task_id": format_id(state.task_id),
            "namespace": state.namespace,
            "name": state.name,
            "version": state.version,
            "state": state.state,
            "error_code": state.error_code,
            "state_since": state.state_since,
            "seq": state.seq,
            "steps": [
                {
                    "name": step.name,
                    "state": step.state,
                    "attempt": step.attempt,
                    "error_type": None if step.failure is None else step.failure.type,
                    "error_code": None if step.failure is None else step.failure.code,
                }
                for step in state.steps
                if step.state not in DONE_STEP_STATES
            ],
        }
    )
