"""What each event makes of one step: the half of the fold that needs neither plan nor task.

`attempt` only ever grows. `base` says up to which attempt number nothing counts against the budget: an uncounted
end of an attempt and an operator's retry move it, so attempt numbers never repeat in the life of a step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from msgspec.structs import replace

from tasker_kafka.schemas.limits import FAILURE_CODE_BYTES
from tasker_kafka.schemas.records import (
    AttemptEnded,
    AttemptGranted,
    AttemptTaken,
    Audit,
    Failure,
    Transition,
)
from tasker_kafka.schemas.state import StepState
from tasker_kafka.schemas.words import Cause, Outcome, StepStatus, TransitionEvent

from .errors import HistoryIncomplete

__all__ = ["CHANGES", "FAILURE_BYTES", "TIMEOUT", "remembered"]

TIMEOUT: Final = "timeout"
"""Code of an attempt that ran too long, whether the worker says so or the engine."""

FAILURE_BYTES: Final = FAILURE_CODE_BYTES.maximum
"""Type and code of a failure as a state keeps them, together."""

_COMPLETE: Final = StepStatus.COMPLETE
_ENQUEUED: Final = StepStatus.ENQUEUED
_IN_PROGRESS: Final = StepStatus.IN_PROGRESS
_STARTED: Final = Cause.STARTED
_RESULT: Final = Cause.RESULT


def remembered(failure: Failure) -> Failure:
    """A failure as the state keeps it: without message and traceback, type and code cut to 256 bytes."""
    kind, code = failure.type, failure.code
    if len(kind) + len(code) > FAILURE_BYTES // 4:  # a character has at most four bytes
        code = _cut(code, FAILURE_BYTES // 2)
        kind = _cut(kind, FAILURE_BYTES - len(code.encode()))
    return Failure(type=kind, code=code, retryable=failure.retryable)


def _cut(text: str, limit: int) -> str:
    return text.encode("utf-8", "replace")[:limit].decode("utf-8", "ignore")


def _enqueued(step: StepState, transition: Transition) -> StepState:
    data = transition.data
    if not isinstance(data, AttemptGranted):
        raise _missing(transition)
    return replace(
        step,
        state=_ENQUEUED,
        attempt=data.attempt,
        base=data.base,
        dispatched_at=transition.at,
        started_at=None,
        reported=False,
        next_retry_at=None,
        requested_delay_ms=None,
        worker_id=None,
        answered=False,
    )


def _taken(step: StepState, transition: Transition) -> StepState:
    data = transition.data
    if not isinstance(data, AttemptTaken):
        raise _missing(transition)
    return replace(
        step,
        state=_IN_PROGRESS,
        started_at=data.started_at,
        worker_id=data.worker_id,
        reported=transition.cause is _STARTED,
    )


def _completed(step: StepState, transition: Transition) -> StepState:
    data = transition.data
    if not isinstance(data, AttemptEnded):
        raise _missing(transition)
    return replace(
        step,
        state=_COMPLETE,
        result=data.result,
        completed_at=transition.at if data.finished_at is None else data.finished_at,
        started_at=step.started_at if data.started_at is None else data.started_at,
        worker_id=data.worker_id or step.worker_id,
        next_retry_at=None,
        reported=False,
        answered=True,
    )


def _ended(step: StepState, transition: Transition) -> StepState:
    """failed, retry_backoff_started, timed_out, returned, lost."""
    data = transition.data
    if not isinstance(data, AttemptEnded):
        raise _missing(transition)
    failure = data.failure
    finished = transition.at if data.finished_at is None else data.finished_at
    return replace(
        step,
        state=StepStatus(transition.to_state),
        base=step.base if data.counted else step.base + 1,
        losses=step.losses + 1 if data.outcome is Outcome.WORKER_LOST else step.losses,
        next_retry_at=data.next_retry_at,
        requested_delay_ms=None if failure is None else failure.retry_after_ms,
        failure=step.failure if failure is None else remembered(failure),
        failed_at=step.failed_at if failure is None else finished,
        worker_id=data.worker_id or step.worker_id,
        reported=False,
        # Whoever was told that the time was up may still succeed: that saves a second charge.
        answered=transition.cause is _RESULT and (failure is None or failure.code != TIMEOUT),
    )


def _retried(step: StepState, transition: Transition) -> StepState:
    data = transition.data
    step = replace(step, state=StepStatus.PENDING, next_retry_at=None, marked=False)
    if isinstance(data, Audit) and data.base is not None:
        return replace(step, base=data.base, losses=0)
    return step


def _bypassed(step: StepState, transition: Transition) -> StepState:
    return replace(step, state=_COMPLETE, completed_at=transition.at)


def _taken_over(step: StepState, transition: Transition) -> StepState:
    """resolved_manually, completed_manually."""
    data = transition.data
    return replace(
        step,
        state=StepStatus(transition.to_state),
        result=data.result if isinstance(data, Audit) else None,
        completed_at=transition.at,
        next_retry_at=None,
        marked=False,
        answered=True,
    )


def _cancelled(step: StepState, transition: Transition) -> StepState:
    return replace(
        step,
        state=StepStatus.CANCELLED,
        marked=transition.cause is Cause.FAIL_FAST,
        next_retry_at=None,
        reported=False,
        answered=True,
    )


def _changed(step: StepState, transition: Transition) -> StepState:
    data = transition.data
    if isinstance(data, Audit) and data.max_attempts is not None:
        return replace(step, max_attempts=data.max_attempts)
    return step


def _redispatched(step: StepState, transition: Transition) -> StepState:
    return replace(step, dispatched_at=transition.at)


def _missing(transition: Transition) -> HistoryIncomplete:
    return HistoryIncomplete(f"{transition.event} of step {transition.step!r} without its data")


_E = TransitionEvent
CHANGES: Final[Mapping[TransitionEvent, Callable[[StepState, Transition], StepState]]] = {
    _E.ENQUEUE_REQUESTED: _enqueued,
    _E.EXECUTION_REQUESTED: _taken,
    _E.COMPLETED: _completed,
    _E.FAILED: _ended,
    _E.RETRY_BACKOFF_STARTED: _ended,
    _E.TIMED_OUT: _ended,
    _E.RETURNED: _ended,
    _E.LOST: _ended,
    _E.RETRY_REQUESTED: _retried,
    _E.BYPASSED: _bypassed,
    _E.RESOLVED_MANUALLY: _taken_over,
    _E.COMPLETED_MANUALLY: _taken_over,
    _E.CANCELLED: _cancelled,
    _E.CHANGED: _changed,
    _E.REDISPATCHED: _redispatched,
}
