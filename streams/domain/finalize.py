"""What becomes of a task after a command, in the same decision: dispatch, wait, block, complete.

Evaluation reads counters and the list of ready steps; it never scans the steps (only to name the failed ones of
a task that blocks). `streams.domain.readiness.execution_status` names the same cases for people.
"""

from __future__ import annotations

from typing import Final

from tasker_kafka.schemas.records import AttemptGranted, TaskClosed
from tasker_kafka.schemas.words import Cause, StepStatus, TaskStatus, TransitionEvent

from .draft import Draft
from .fail_fast import release

__all__ = ["ERROR_TEXT_LENGTH", "STEP_CANCELLED", "STEP_FAILED", "end_steps", "evaluate", "start"]

STEP_FAILED: Final = "step_failed"
STEP_CANCELLED: Final = "step_cancelled"
ERROR_TEXT_LENGTH: Final = 2000
"""Characters of a closed task's error message."""

_EVALUATION: Final = Cause.EVALUATION
_ENQUEUE: Final = TransitionEvent.ENQUEUE_REQUESTED
_IN_PROGRESS_TASK: Final = TaskStatus.IN_PROGRESS
_PENDING: Final = StepStatus.PENDING
_ENQUEUED: Final = StepStatus.ENQUEUED
_IN_PROGRESS: Final = StepStatus.IN_PROGRESS
_WAITING: Final = StepStatus.WAITING_FOR_RETRY
_ERROR: Final = StepStatus.ERROR
_CANCELLED: Final = StepStatus.CANCELLED
_STOPPABLE: Final = frozenset({_ENQUEUED, _IN_PROGRESS, _WAITING})


def start(draft: Draft, cause: Cause) -> None:
    """Start a pending task."""
    draft.task(TransitionEvent.START_REQUESTED, _IN_PROGRESS_TASK, cause)


def evaluate(draft: Draft) -> None:
    """Bring a task in progress to where it can rest. A task that is pending, blocked or closed stays so."""
    if draft.status is not _IN_PROGRESS_TASK:
        return
    counts = draft.counts
    if counts[_CANCELLED]:
        release(draft)
    if draft.ready:
        _dispatch(draft)
    if draft.ready or counts[_ENQUEUED] or counts[_IN_PROGRESS]:
        return
    if counts[_WAITING]:
        draft.task(TransitionEvent.RETRY_BACKOFF_STARTED, TaskStatus.WAITING_FOR_RETRY, _EVALUATION)
    elif counts[_ERROR] or counts[_CANCELLED]:
        _block(draft)
    elif counts[_PENDING]:
        draft.task(TransitionEvent.AWAITING_DEPENDENCIES, TaskStatus.WAITING_FOR_DEPENDENCIES, _EVALUATION)
    else:
        draft.task(TransitionEvent.ALL_STEPS_DONE, TaskStatus.COMPLETE, _EVALUATION)


def end_steps(draft: Draft, cause: Cause, states: frozenset[StepStatus] = _STOPPABLE) -> None:
    """Cancel every step that rests in one of `states`; by default what runs or would run again by itself."""
    for position, step in enumerate(draft.steps):
        if step.state in states:
            draft.step(position, TransitionEvent.CANCELLED, _CANCELLED, cause)


def _dispatch(draft: Draft) -> None:
    """Grant an attempt to every ready step, in the plan's order, as far as `max_parallel_steps` allows."""
    limit = draft.planned.max_parallel_steps
    if limit is None:
        granted = tuple(draft.ready)
    else:
        room = limit - draft.counts[_ENQUEUED] - draft.counts[_IN_PROGRESS]
        granted = tuple(draft.ready[: max(0, room)])
    for position in granted:
        step = draft.steps[position]
        draft.step(position, _ENQUEUE, _ENQUEUED, _EVALUATION, AttemptGranted(step.attempt + 1, step.base))


def _block(draft: Draft) -> None:
    why = _why_blocked(draft)
    draft.task(TransitionEvent.BLOCKED, TaskStatus.BLOCKED_BY_FAILURES, _EVALUATION, why)
    if draft.planned.lifecycle.on_blocked != "wait":
        draft.task(TransitionEvent.GIVE_UP, TaskStatus.ERROR, _EVALUATION, why)


def _why_blocked(draft: Draft) -> TaskClosed:
    """Name every step in error and its failure; without one, the cancelled steps."""
    failed = [step for step in draft.steps if step.state is _ERROR]
    if failed:
        parts = [
            f"{step.name}: {step.failure.type} ({step.failure.code})" if step.failure else step.name
            for step in failed
        ]
        code = STEP_FAILED
    else:
        failed = [step for step in draft.steps if step.state is _CANCELLED]
        parts = [f"{step.name}: cancelled" for step in failed]
        code = STEP_CANCELLED
    text = "; ".join(parts)
    if len(text) > ERROR_TEXT_LENGTH:
        text = text[: ERROR_TEXT_LENGTH - 1] + "…"
    names = tuple(step.name for step in failed)
    return TaskClosed(error_code=code, error_message=text, failed_steps=names)
