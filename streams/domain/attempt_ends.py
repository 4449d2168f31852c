"""How the attempts of a record ended: which conditions of domain events hold, and whether a worker tells of it.

| what the record says of a step | conditions |
|---|---|
| an attempt succeeded | success, always |
| an attempt failed, and a retry follows | failure, always, retryable_failure |
| an attempt failed, and the step rests in error or cancelled | failure, always, permanent_failure |
| a dispatched attempt was cancelled, in whatever way | failure, always, permanent_failure |
| a step was cancelled that waited after a failure, which was told when it happened | permanent_failure |
| an attempt was given back or returned, or a step was cancelled that has not failed | none |
"""

from __future__ import annotations

from typing import Final

import msgspec

from tasker_kafka.schemas.records import (
    AttemptEnded,
    Audit,
    Failure,
    StepResult,
    TaskClosed,
    Transition,
    Transitions,
)
from tasker_kafka.schemas.state import StepState
from tasker_kafka.schemas.words import (
    GRANTED_STEP_STATES,
    Cause,
    EventCondition,
    Outcome,
    StepStatus,
    TransitionEvent,
)

from .results import MESSAGE_LENGTH

__all__ = ["FailedAttempt", "StepEnds", "audit_text", "failed_attempt", "step_ends"]

_C = EventCondition
_NONE: Final[frozenset[EventCondition]] = frozenset()
_SUCCEEDED: Final = frozenset({_C.SUCCESS, _C.ALWAYS})
_RETRIED: Final = frozenset({_C.FAILURE, _C.ALWAYS, _C.RETRYABLE_FAILURE})
_PERMANENT: Final = frozenset({_C.FAILURE, _C.ALWAYS, _C.PERMANENT_FAILURE})
_ONLY_PERMANENT: Final = frozenset({_C.PERMANENT_FAILURE})
_CLOSING: Final = frozenset({Cause.TIMER, Cause.INTERNAL})
"""Deadline, staleness, quarantine."""
_WAITING: Final = frozenset({StepStatus.PENDING, StepStatus.WAITING_FOR_RETRY})


class StepEnds(msgspec.Struct):
    """What one record says of the end of one step's attempt."""

    ended: Transition | None = None
    """The transition that ended the attempt."""
    cancelled: Transition | None = None

    def conditions(self) -> frozenset[EventCondition]:
        """Of an attempt that ended, by where the step rests after the record."""
        ended = self.ended
        if ended is None or not isinstance(ended.data, AttemptEnded):
            return _NONE
        if ended.to_state is StepStatus.COMPLETE:
            return _SUCCEEDED
        if ended.data.failure is None:
            return _NONE
        return _PERMANENT if self.cancelled or ended.to_state is StepStatus.ERROR else _RETRIED

    def is_told_by(self, body: StepResult) -> bool:
        """Whether the worker ran the handler to this end, and so has made the events of it.

        Not when the dispatch was never run (queue timeout), its workers were lost, or the engine refused the result.
        """
        ended = self.ended
        if ended is None:
            return False
        if body.outcome is Outcome.SUCCESS:
            return ended.to_state is StepStatus.COMPLETE
        return body.outcome is Outcome.FAILURE and ended.event is not TransitionEvent.TIMED_OUT


class FailedAttempt(msgspec.Struct, frozen=True):
    """A failure to be told: under which conditions, and of which attempt."""

    conditions: frozenset[EventCondition]
    failure: Failure
    attempt: int


def step_ends(record: Transitions) -> dict[str, StepEnds]:
    """The steps of which an attempt ended, or which were cancelled, in the order of the record."""
    found: dict[str, StepEnds] = {}
    for transition in record.transitions:
        step = transition.step
        if step is None:
            continue
        if isinstance(transition.data, AttemptEnded):
            found.setdefault(step, StepEnds()).ended = transition
        elif transition.event is TransitionEvent.CANCELLED:
            found.setdefault(step, StepEnds()).cancelled = transition
    return found


def failed_attempt(known: StepState, ends: StepEnds, record: Transitions) -> FailedAttempt | None:
    """The failure that a record means for a step, which was `known` before it; None: there is none to tell."""
    ended, cancelled = ends.ended, ends.cancelled
    data = None if ended is None else ended.data
    if isinstance(data, AttemptEnded) and data.failure is not None:
        return FailedAttempt(ends.conditions(), data.failure, data.attempt)
    if cancelled is None:
        return None
    if ended is None and known.state in GRANTED_STEP_STATES:
        return FailedAttempt(_PERMANENT, _stopped(cancelled, record), known.attempt)
    if known.state not in _WAITING and ended is None:
        return None
    uncounted = 0 if ended is None else 1  # an attempt that was given back just now burned no budget
    if known.attempt - known.base > uncounted or known.losses:
        return FailedAttempt(_ONLY_PERMANENT, _stopped(cancelled, record), known.attempt)
    return None


def audit_text(data: object) -> str | None:
    """Who did what and why, if it was an operator."""
    return f"{data.action} by {data.actor}: {data.reason}" if isinstance(data, Audit) else None


def _stopped(cancelled: Transition, record: Transitions) -> Failure:
    """Why a step was cancelled: by its own audit, or by what closed the task."""
    last = record.transitions[-1].data
    if isinstance(last, TaskClosed) and cancelled.cause in _CLOSING:
        code, message = last.error_code, last.error_message
    else:
        code, message = "cancelled", audit_text(cancelled.data) or audit_text(last) or str(cancelled.cause)
    kind = "".join(part.capitalize() for part in code.split("_"))
    return Failure(type=kind, code=code, message=message[:MESSAGE_LENGTH], retryable=False)
