"""What a `TimerDue` does: accepted only if it still fits the state and is due. Duplicate and late timers are harmless.

The run timeout of a handler is its worker's business; the engine's timers watch only attempts whose start was
reported. An outage or a backlog burns no attempts.
"""

from __future__ import annotations

from typing import Final

from tasker_kafka.schemas.records import Failure, TaskClosed, TimerDue
from tasker_kafka.schemas.state import StepState
from tasker_kafka.schemas.words import Cause, StepStatus, TaskStatus, TimerKind, TransitionEvent

from .attempts import QUEUE_TIMEOUT, TIMEOUT, End, fail, lose
from .decision import IgnoredReason
from .draft import Draft
from .finalize import end_steps, start
from .retry import DEADLINE_EXCEEDED
from .timers import stale_at

__all__ = ["STALE", "wake_up"]

STALE: Final = "stale"
_NOT_DUE: Final = IgnoredReason.NOT_DUE
_TIMER: Final = Cause.TIMER


def wake_up(draft: Draft, body: TimerDue) -> IgnoredReason | None:
    """A due time has come. Returns why the timer is ignored, or None."""
    kind = body.kind
    if kind is TimerKind.NOT_BEFORE:
        return _not_before(draft)
    if kind is TimerKind.DEADLINE:
        return _deadline(draft)
    if kind is TimerKind.STALENESS:
        return _staleness(draft)
    position = None if body.step is None else draft.index.get(body.step)
    if position is None:
        return IgnoredReason.UNKNOWN_STEP
    step = draft.steps[position]
    if body.attempt != step.attempt:
        return _NOT_DUE
    match kind:
        case TimerKind.RETRY:
            return _retry(draft, position, step)
        case TimerKind.QUEUE_TIMEOUT:
            return _queue_timeout(draft, position, step)
        case TimerKind.RUN_TIMEOUT:
            return _run_timeout(draft, position, step)
        case TimerKind.HEARTBEAT:
            return _silence(draft, position, step, body.due_at)


def _not_before(draft: Draft) -> IgnoredReason | None:
    wanted = None if draft.origin is None else draft.origin.not_before
    if draft.status is not TaskStatus.PENDING or (wanted is not None and wanted > draft.now):
        return _NOT_DUE
    start(draft, _TIMER)
    return None


def _deadline(draft: Draft) -> IgnoredReason | None:
    deadline = draft.deadline
    if deadline is None or deadline > draft.now:
        return _NOT_DUE
    limit = (draft.planned.lifecycle.max_duration_ms or 0) / 1000
    unfinished = [step.name for step in draft.steps if step.completed_at is None]
    text = f"not done {limit:g} s after the start; {len(unfinished)} of {len(draft.steps)} steps unfinished"
    end_steps(draft, _TIMER)
    closed = TaskClosed(error_code=DEADLINE_EXCEEDED, error_message=text, failed_steps=tuple(unfinished))
    draft.task(TransitionEvent.DEADLINE_EXCEEDED, TaskStatus.ERROR, _TIMER, closed)
    return None


def _staleness(draft: Draft) -> IgnoredReason | None:
    status = draft.status
    if status is None:
        return _NOT_DUE
    due = stale_at(draft.planned, status, draft.own.state_since, reported=draft.own.stale_reported)
    if due is None or due > draft.now:
        return _NOT_DUE
    if draft.planned.lifecycle.staleness_action == "dlq":
        draft.task(TransitionEvent.STALE_REPORTED, status, _TIMER)
        return None
    text = f"{status} since {draft.own.state_since} ms without a change"
    end_steps(draft, _TIMER)
    closed = TaskClosed(error_code=STALE, error_message=text)
    draft.task(TransitionEvent.STALE, TaskStatus.ERROR, _TIMER, closed)
    return None


def _retry(draft: Draft, position: int, step: StepState) -> IgnoredReason | None:
    if step.state is not StepStatus.WAITING_FOR_RETRY or (step.next_retry_at or 0) > draft.now:
        return _NOT_DUE
    draft.wake()
    draft.step(position, TransitionEvent.RETRY_REQUESTED, StepStatus.PENDING, _TIMER)
    return None


def _queue_timeout(draft: Draft, position: int, step: StepState) -> IgnoredReason | None:
    limit = draft.planned.steps[position].queue_timeout_ms
    if step.state is not StepStatus.ENQUEUED or limit is None or step.dispatched_at is None:
        return _NOT_DUE
    if step.dispatched_at + limit > draft.now:
        return _NOT_DUE
    text = f"no worker took it within {limit} ms of its dispatch"
    failure = Failure(type="QueueTimeout", code=QUEUE_TIMEOUT, message=text)
    fail(draft, position, failure, End(cause=_TIMER, finished_at=draft.now))
    return None


def _run_timeout(draft: Draft, position: int, step: StepState) -> IgnoredReason | None:
    limit = draft.planned.steps[position].timeout_ms
    started = _reported_start(step)
    if started is None or started + limit > draft.now:
        return _NOT_DUE
    failure = Failure(type="Timeout", code=TIMEOUT, message=f"still running {limit} ms after its start")
    fail(draft, position, failure, _end(draft, step))
    return None


def _silence(draft: Draft, position: int, step: StepState, due_at: int) -> IgnoredReason | None:
    """`due_at` says when silence became too long: only the owner knows the heartbeats."""
    limit = draft.planned.steps[position].heartbeat_timeout_ms
    started = _reported_start(step)
    if started is None or due_at > draft.now or due_at < started + limit:
        return _NOT_DUE
    lose(draft, position, _end(draft, step), f"no sign of life for {limit} ms")
    return None


def _reported_start(step: StepState) -> int | None:
    return step.started_at if step.state is StepStatus.IN_PROGRESS and step.reported else None


def _end(draft: Draft, step: StepState) -> End:
    return End(
        cause=_TIMER, finished_at=draft.now, worker_id=step.worker_id or "", started_at=step.started_at
    )
