"""Whether a step may run now, and if not, why: for people and read models.

The engine itself goes by counters (`pending_parents`, `ready`); this says the same with every detail that the
first Tasker's view had. `next_retry_at` is the one value that decides when a waiting step runs.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tasker_kafka.schemas.plan import Plan, RetryPolicy
from tasker_kafka.schemas.state import StepState, TaskState
from tasker_kafka.schemas.words import CLOSED_TASK_STATES, DONE_STEP_STATES, STOPPED_STEP_STATES, StepStatus

from .retry import attempts_used, budget

__all__ = [
    "BlockingReason",
    "ExecutionStatus",
    "StepReadiness",
    "execution_status",
    "is_ready",
    "readiness",
    "ready_steps",
]

_S = StepStatus


class ExecutionStatus(StrEnum):
    """What an evaluation of a task finds: the first that holds, in this order."""

    HAS_READY_STEPS = "has_ready_steps"
    PROCESSING = "processing"
    WAITING_FOR_RETRY = "waiting_for_retry"
    BLOCKED_BY_FAILURES = "blocked_by_failures"
    ALL_COMPLETE = "all_complete"
    WAITING_FOR_DEPENDENCIES = "waiting_for_dependencies"


class BlockingReason(StrEnum):
    """Why a step is not ready: the first that holds, in this order."""

    DEPENDENCIES_NOT_SATISFIED = "dependencies_not_satisfied"
    RETRY_NOT_ELIGIBLE = "retry_not_eligible"
    """It is in error or cancelled: only an operator brings it back."""
    INVALID_STATE = "invalid_state"
    """It is dispatched, running, waiting for its time, or done."""
    UNKNOWN = "unknown"
    """Nothing about the step itself: its task is closed."""


class StepReadiness(msgspec.Struct, frozen=True, kw_only=True):
    """One row of StepReadinessStatus. Times are ms since 1970 UTC."""

    step: str
    current_state: StepStatus
    total_parents: int
    completed_parents: int
    dependencies_satisfied: bool
    attempt: int
    """Number of the last attempt granted in the step's life."""
    attempts: int
    """Attempts that count against the present budget."""
    max_attempts: int
    retry_eligible: bool
    last_failure_at: int | None
    next_retry_at: int | None
    backoff_request_seconds: float | None
    """What a server asked for, for the next attempt."""
    last_attempted_at: int | None
    ready_for_execution: bool
    blocking_reason: BlockingReason | None
    time_until_ready: float | None
    """Seconds; 0 if ready, None if it cannot be said."""
    dependency_status: str
    """no_dependencies, all_satisfied or k/n_satisfied."""
    retry_status: str
    """first_attempt, retry_eligible, max_attempts_reached or retry_not_eligible."""
    backoff_type: str
    """no_backoff, requested_backoff, or the policy's: exponential_backoff, linear_backoff, fibonacci_backoff."""
    effective_backoff_seconds: float
    """What the waiting step waits from its failure to its next attempt; 0 if it does not wait."""


def readiness(state: TaskState, plan: Plan, position: int, now: int) -> StepReadiness:
    """Everything about the readiness of one step at `now` (ms)."""
    step, policy = state.steps[position], plan.steps[position].retry
    parents = plan.parents[position]
    done = sum(state.steps[parent].state in DONE_STEP_STATES for parent in parents)
    satisfied = done == len(parents)
    ready = is_ready(state, step)
    eligible = _is_retry_eligible(step, policy)
    waits = step.state is _S.WAITING_FOR_RETRY
    return StepReadiness(
        step=step.name,
        current_state=step.state,
        total_parents=len(parents),
        completed_parents=done,
        dependencies_satisfied=satisfied,
        attempt=step.attempt,
        attempts=attempts_used(step),
        max_attempts=budget(policy, step.max_attempts),
        retry_eligible=eligible,
        last_failure_at=step.failed_at,
        next_retry_at=step.next_retry_at,
        backoff_request_seconds=_seconds(step.requested_delay_ms),
        last_attempted_at=step.dispatched_at if step.started_at is None else step.started_at,
        ready_for_execution=ready,
        blocking_reason=None if ready else _blocking_reason(step, satisfied=satisfied, eligible=eligible),
        time_until_ready=0.0 if ready else _time_until_ready(step, now),
        dependency_status=_dependency_status(len(parents), done),
        retry_status=_retry_status(step, policy, eligible=eligible),
        backoff_type=_backoff_type(step, policy) if waits else "no_backoff",
        effective_backoff_seconds=_backoff_seconds(step) if waits else 0.0,
    )


def is_ready(state: TaskState, step: StepState) -> bool:
    """Whether a step is pending, has its dependencies satisfied, and its task is not closed."""
    return step.state is _S.PENDING and not step.pending_parents and state.state not in CLOSED_TASK_STATES


def ready_steps(state: TaskState) -> tuple[int, ...]:
    """Positions of the steps that are ready, ascending; () for a closed task."""
    return () if state.state in CLOSED_TASK_STATES else state.ready


def execution_status(state: TaskState) -> ExecutionStatus:
    """What an evaluation finds: from counters, without a look at the steps."""
    if ready_steps(state):
        return ExecutionStatus.HAS_READY_STEPS
    if state.enqueued or state.in_progress:
        return ExecutionStatus.PROCESSING
    if state.waiting_for_retry:
        return ExecutionStatus.WAITING_FOR_RETRY
    if state.failed or state.cancelled:
        return ExecutionStatus.BLOCKED_BY_FAILURES
    if not state.pending:
        return ExecutionStatus.ALL_COMPLETE
    return ExecutionStatus.WAITING_FOR_DEPENDENCIES


def _is_retry_eligible(step: StepState, policy: RetryPolicy) -> bool:
    if step.state in STOPPED_STEP_STATES:
        return False
    used = attempts_used(step)
    return not used or (policy.retryable and used < budget(policy, step.max_attempts))


def _blocking_reason(step: StepState, *, satisfied: bool, eligible: bool) -> BlockingReason:
    if not satisfied:
        return BlockingReason.DEPENDENCIES_NOT_SATISFIED
    if step.state in STOPPED_STEP_STATES or (not eligible and step.state is _S.PENDING):
        return BlockingReason.RETRY_NOT_ELIGIBLE
    return BlockingReason.UNKNOWN if step.state is _S.PENDING else BlockingReason.INVALID_STATE


def _time_until_ready(step: StepState, now: int) -> float | None:
    if step.state is not _S.WAITING_FOR_RETRY or step.next_retry_at is None:
        return None
    return max(0, step.next_retry_at - now) / 1000


def _dependency_status(total: int, done: int) -> str:
    if not total:
        return "no_dependencies"
    return "all_satisfied" if done == total else f"{done}/{total}_satisfied"


def _retry_status(step: StepState, policy: RetryPolicy, *, eligible: bool) -> str:
    used = attempts_used(step)
    if not used:
        return "first_attempt"
    if eligible:
        return "retry_eligible"
    return "max_attempts_reached" if used >= budget(policy, step.max_attempts) else "retry_not_eligible"


def _backoff_type(step: StepState, policy: RetryPolicy) -> str:
    if step.requested_delay_ms is not None:
        return "requested_backoff"
    return "no_backoff" if policy.backoff == "none" else f"{policy.backoff}_backoff"


def _backoff_seconds(step: StepState) -> float:
    if step.next_retry_at is None or step.failed_at is None:
        return 0.0
    return max(0, step.next_retry_at - step.failed_at) / 1000


def _seconds(ms: int | None) -> float | None:
    return None if ms is None else ms / 1000
