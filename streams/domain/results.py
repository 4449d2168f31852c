"""What workers say: `StepStarted` and `StepResult`.

A result is accepted once per (task, life, step, attempt). A success of an attempt that has timed out (says the
worker, or the engine), or whose worker was thought lost, is still accepted while no later attempt is dispatched:
it saves a second charge. Anything else that comes late changes nothing.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from tasker_kafka.schemas.limits import TRACEBACK_BYTES
from tasker_kafka.schemas.records import (
    AttemptEnded,
    AttemptTaken,
    Failure,
    StepResult,
    StepStarted,
)
from tasker_kafka.schemas.state import StepState
from tasker_kafka.schemas.words import Cause, Outcome, StepStatus, TransitionEvent

from .attempts import QUEUE_TIMEOUT, WORKER_LOST, End, fail, give_back, lose, return_dispatch
from .decision import IgnoredReason
from .draft import Draft

__all__ = [
    "MESSAGE_LENGTH",
    "METADATA_BYTES",
    "NAME_LENGTH",
    "TRACEBACK_LENGTH",
    "WORKER_BYTES",
    "known_worker",
    "take_result",
    "take_started",
]

MESSAGE_LENGTH: Final = 2000
TRACEBACK_LENGTH: Final = TRACEBACK_BYTES.maximum
NAME_LENGTH: Final = 256
"""Characters of a failure's type and its code."""
WORKER_BYTES: Final = 128
"""Of a worker's id: a state holds one per step, and a state of 1,000 steps must stay writable."""
METADATA_BYTES: Final = 65536
"""Larger metadata of a result is not kept."""

_MOST_BYTES: Final = 4
_RESULT: Final = Cause.RESULT
_SUCCESS: Final = Outcome.SUCCESS
_ENQUEUED: Final = StepStatus.ENQUEUED
_IN_PROGRESS: Final = StepStatus.IN_PROGRESS
_COMPLETE: Final = StepStatus.COMPLETE
_TAKE: Final = TransitionEvent.EXECUTION_REQUESTED
_COMPLETED: Final = TransitionEvent.COMPLETED
_CAN_SUCCEED_LATE: Final = frozenset({StepStatus.WAITING_FOR_RETRY, StepStatus.PENDING})


def known_worker(worker_id: str) -> str:
    """The worker's id as it is recorded."""
    if len(worker_id) * _MOST_BYTES <= WORKER_BYTES:
        return worker_id
    return worker_id.encode()[:WORKER_BYTES].decode(errors="ignore")


def take_started(draft: Draft, body: StepStarted) -> IgnoredReason | None:
    """A handler has been running for a while: its timers are the engine's from now on."""
    position = draft.index.get(body.step)
    if position is None:
        return IgnoredReason.UNKNOWN_STEP
    step = draft.steps[position]
    if body.attempt != step.attempt or step.state is not _ENQUEUED:
        return _late(step, body.attempt)
    started = _clamp(body.started_at, step.dispatched_at, draft.now)
    taken = AttemptTaken(body.attempt, known_worker(body.worker_id), started)
    draft.step(position, _TAKE, _IN_PROGRESS, Cause.STARTED, taken)
    return None


def take_result(draft: Draft, body: StepResult) -> IgnoredReason | None:
    """An attempt ended. Returns why the result is ignored, or None."""
    position = draft.index.get(body.step)
    if position is None:
        return IgnoredReason.UNKNOWN_STEP
    step = draft.steps[position]
    state, outcome = step.state, body.outcome
    if body.attempt != step.attempt or body.attempt < 1:
        return _late(step, body.attempt)
    if state is not _ENQUEUED and state is not _IN_PROGRESS:
        if outcome is not _SUCCESS or step.answered or state not in _CAN_SUCCEED_LATE:
            return _late(step, body.attempt)
        if _oversize(draft, body):
            return IgnoredReason.LATE
        draft.wake()
        _succeed(draft, position, body, late=True)
    elif outcome is _SUCCESS and not _oversize(draft, body):
        _succeed(draft, position, body, late=False)
    elif outcome is Outcome.RETURNED:
        if state is _IN_PROGRESS:
            return IgnoredReason.LATE
        return_dispatch(draft, position, _end(draft, step, body))
    else:
        _end_badly(draft, position, body)
    return None


def _succeed(draft: Draft, position: int, body: StepResult, *, late: bool) -> None:
    step, now = draft.steps[position], draft.now
    worker_id = known_worker(body.worker_id)
    started = step.started_at if step.reported else None
    if started is None:
        started = _clamp(body.started_at, step.dispatched_at, now)
    if step.state is _ENQUEUED:
        draft.step(position, _TAKE, _IN_PROGRESS, _RESULT, AttemptTaken(body.attempt, worker_id, started))
    metadata = body.metadata
    ended = AttemptEnded(
        attempt=body.attempt,
        outcome=_SUCCESS,
        worker_id=worker_id,
        started_at=started,
        finished_at=_clamp(body.finished_at, started, now),
        result=body.result,
        late=late,
        metadata=metadata if metadata is None or len(metadata) <= METADATA_BYTES else None,
    )
    draft.step(position, _COMPLETED, _COMPLETE, _RESULT, ended)


def _end_badly(draft: Draft, position: int, body: StepResult) -> None:
    step = draft.steps[position]
    end = _end(draft, step, body)
    failure = _failure(draft, body)
    if step.state is _ENQUEUED:
        if failure.code == QUEUE_TIMEOUT and body.outcome is Outcome.FAILURE:
            fail(draft, position, failure, end)
            return
        taken = AttemptTaken(body.attempt, end.worker_id, end.started_at or draft.now)
        draft.step(position, _TAKE, _IN_PROGRESS, _RESULT, taken)
    if body.outcome is Outcome.GIVEN_BACK:
        give_back(draft, position, end)
    elif body.outcome is Outcome.WORKER_LOST:
        lose(draft, position, end, failure.message, final=True)
    else:
        fail(draft, position, failure, end)


def _failure(draft: Draft, body: StepResult) -> Failure:
    """The failure as it is recorded: bounded, and made up where the worker gave none."""
    if body.outcome is _SUCCESS:
        return Failure(
            type="ResultTooLarge",
            code="result_too_large",
            message=f"an inline result may have {draft.planned.inline_limit} bytes; larger ones go to payloads",
            retryable=False,
        )
    failure = body.failure
    if failure is None:
        lost = body.outcome is Outcome.WORKER_LOST
        return Failure(type="Unknown", code=WORKER_LOST if lost else "unknown", message="no reason was given")
    return replace(
        failure,
        type=failure.type[:NAME_LENGTH],
        code=failure.code[:NAME_LENGTH],
        message=failure.message[:MESSAGE_LENGTH],
        traceback=failure.traceback[-TRACEBACK_LENGTH:],
    )


def _end(draft: Draft, step: StepState, body: StepResult) -> End:
    started = step.started_at if step.reported else None
    if started is None:
        started = _clamp(body.started_at, step.dispatched_at, draft.now)
    metadata = body.metadata
    return End(
        cause=_RESULT,
        finished_at=_clamp(body.finished_at, started, draft.now),
        worker_id=known_worker(body.worker_id),
        started_at=started,
        metadata=metadata if metadata is None or len(metadata) <= METADATA_BYTES else None,
    )


def _oversize(draft: Draft, body: StepResult) -> bool:
    result = body.result
    return isinstance(result, bytes) and len(result) > draft.planned.inline_limit


def _late(step: StepState, attempt: int) -> IgnoredReason:
    if attempt > step.attempt or attempt < 1:
        return IgnoredReason.NEVER_GRANTED
    if attempt == step.attempt and (step.answered or step.reported):
        return IgnoredReason.DUPLICATE
    return IgnoredReason.LATE


def _clamp(time: int, earliest: int | None, latest: int) -> int:
    """A worker's time, within what is known: [earliest, latest]."""
    if earliest is not None and time < earliest:
        return earliest
    return time if time < latest else latest
