"""How an attempt ends: done, tried again, in error, or uncounted. Results and timers both end here.

Worker times are claims: they are clamped to what the engine knows, [dispatch, now].
"""

from __future__ import annotations

from typing import Final

import msgspec

from tasker_kafka.schemas.records import AttemptEnded, Failure
from tasker_kafka.schemas.words import Cause, Outcome, StepStatus, TransitionEvent

from .draft import Draft
from .fail_fast import hold_back, stop_others
from .retry import RETURNED_DELAY_MS, allows_retry, delay_ms, past_deadline
from .steps import TIMEOUT

__all__ = ["QUEUE_TIMEOUT", "TIMEOUT", "WORKER_LOST", "End", "fail", "give_back", "lose", "return_dispatch"]

QUEUE_TIMEOUT: Final = "queue_timeout"
WORKER_LOST: Final = "worker_lost"
_LOSSES_ALLOWED: Final = 2
"""The third loss of a step ends it in error."""


class End(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the end of an attempt."""

    cause: Cause
    finished_at: int
    worker_id: str = ""
    started_at: int | None = None
    metadata: bytes | None = None


def fail(draft: Draft, position: int, failure: Failure, end: End, outcome: Outcome = Outcome.FAILURE) -> None:
    """A counted failure: retry after its delay, at once if there is none, else error."""
    step = draft.steps[position]
    policy = draft.planned.steps[position].retry
    timed_out = step.state is StepStatus.ENQUEUED
    retry_at: int | None = None
    if allows_retry(policy, step, failure):
        retry_at = end.finished_at + delay_ms(policy, step, failure, draft.task_id)
        deadline = draft.deadline
        if deadline is not None and retry_at > deadline:
            failure, retry_at = past_deadline(failure, retry_at, deadline), None
    data = AttemptEnded(
        attempt=step.attempt,
        outcome=outcome,
        worker_id=end.worker_id,
        started_at=end.started_at,
        finished_at=end.finished_at,
        failure=failure,
        next_retry_at=retry_at,
        metadata=end.metadata,
    )
    if retry_at is None:
        event = TransitionEvent.TIMED_OUT if timed_out else TransitionEvent.FAILED
        draft.step(position, event, StepStatus.ERROR, end.cause, data)
        stop_others(draft)
        return
    event = TransitionEvent.TIMED_OUT if timed_out else TransitionEvent.RETRY_BACKOFF_STARTED
    draft.step(position, event, StepStatus.WAITING_FOR_RETRY, end.cause, data)
    if not hold_back(draft, position) and retry_at <= draft.now:
        draft.step(position, TransitionEvent.RETRY_REQUESTED, StepStatus.PENDING, Cause.EVALUATION)


def lose(draft: Draft, position: int, end: End, message: str, *, final: bool = False) -> None:
    """The worker is lost: uncounted, the next attempt at once; the third loss (or `final`) ends in error."""
    step = draft.steps[position]
    ends = final or step.losses >= _LOSSES_ALLOWED
    failure = Failure(type="WorkerLost", code=WORKER_LOST, message=message, retryable=not ends)
    data = AttemptEnded(
        attempt=step.attempt,
        outcome=Outcome.WORKER_LOST,
        worker_id=end.worker_id,
        started_at=end.started_at,
        finished_at=end.finished_at,
        failure=failure,
        counted=False,
    )
    if ends:
        draft.step(position, TransitionEvent.LOST, StepStatus.ERROR, end.cause, data)
        stop_others(draft)
    else:
        draft.step(position, TransitionEvent.LOST, StepStatus.PENDING, end.cause, data)
        hold_back(draft, position)


def give_back(draft: Draft, position: int, end: End) -> None:
    """A worker that stops gives a started attempt back: uncounted, no loss, the next attempt at once."""
    data = _uncounted(draft, position, end, Outcome.GIVEN_BACK)
    draft.step(position, TransitionEvent.LOST, StepStatus.PENDING, end.cause, data)
    hold_back(draft, position)


def return_dispatch(draft: Draft, position: int, end: End) -> None:
    """A worker does not know the handler: uncounted, again after 10 s."""
    data = _uncounted(draft, position, end, Outcome.RETURNED, draft.now + RETURNED_DELAY_MS)
    draft.step(position, TransitionEvent.RETURNED, StepStatus.WAITING_FOR_RETRY, end.cause, data)
    hold_back(draft, position)


def _uncounted(
    draft: Draft, position: int, end: End, outcome: Outcome, next_retry_at: int | None = None
) -> AttemptEnded:
    return AttemptEnded(
        attempt=draft.steps[position].attempt,
        outcome=outcome,
        worker_id=end.worker_id,
        started_at=end.started_at,
        finished_at=end.finished_at,
        next_retry_at=next_retry_at,
        counted=False,
    )
