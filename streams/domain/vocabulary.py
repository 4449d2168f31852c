"""What every transition means, which kinds of command cause it, and what is recorded with it, as data.

`transitions` says which edges there are; this says what they tell. The catalogue of system events and the documents
are made from both. A property test holds the tables to what the rules really write, in both directions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from tasker_kafka.schemas.records import (
    AttemptEnded,
    AttemptGranted,
    AttemptTaken,
    Audit,
    TaskClosed,
    TaskCreated,
)
from tasker_kafka.schemas.words import Cause, TransitionEvent

__all__ = ["STEP_MEANINGS", "TASK_MEANINGS", "Meaning"]

_E = TransitionEvent
_EVALUATES: Final = (Cause.EVALUATION,)
_TIMED: Final = (Cause.TIMER,)
_OPERATES: Final = (Cause.OPERATOR,)
_ENDS: Final = (Cause.RESULT, Cause.TIMER)
"""A worker says how an attempt ended, or its time is up."""


class Meaning(msgspec.Struct, frozen=True):
    """One transition event of a task, or of a step."""

    text: str
    causes: tuple[Cause, ...]
    data: tuple[type[msgspec.Struct] | None, ...] = (None,)
    """What its transition may carry; None: nothing."""


TASK_MEANINGS: Final[Mapping[TransitionEvent, Meaning]] = {
    _E.INITIALIZE_REQUESTED: Meaning("A request was accepted.", (Cause.REQUEST,), (TaskCreated,)),
    _E.START_REQUESTED: Meaning(
        "The task starts: at once, when its not_before has come, or when an operator has reopened it.",
        (Cause.REQUEST, Cause.TIMER, Cause.OPERATOR),
    ),
    _E.ALL_STEPS_DONE: Meaning("Every step is complete or resolved.", _EVALUATES),
    _E.AWAITING_DEPENDENCIES: Meaning(
        "Nothing can run, and nothing has failed: the task waits for something outside itself.", _EVALUATES
    ),
    _E.RETRY_BACKOFF_STARTED: Meaning("Nothing can run before the next retry is due.", _EVALUATES),
    _E.BLOCKED: Meaning(
        "Failed or cancelled steps leave nothing to run and no retry to wait for.", _EVALUATES, (TaskClosed,)
    ),
    _E.STEPS_READY: Meaning("A waiting task has something to decide again.", _EVALUATES),
    _E.GIVE_UP: Meaning("A blocked task ends, as its template wishes.", _EVALUATES, (TaskClosed,)),
    _E.RETRY_REQUESTED: Meaning("An operator's retry reopens the task.", _OPERATES, (Audit,)),
    _E.RESUMED: Meaning("An operator has put a step in order, and the task goes on.", _OPERATES, (Audit,)),
    _E.RESOLVED_MANUALLY: Meaning("An operator declares the task dealt with.", _OPERATES, (Audit,)),
    _E.CANCELLED: Meaning("An operator cancels the task.", _OPERATES, (Audit,)),
    _E.DEADLINE_EXCEEDED: Meaning(
        "The task was not done max_duration_seconds after it was started.", _TIMED, (TaskClosed,)
    ),
    _E.STALE: Meaning(
        "The task waited longer than stale_after_seconds, and staleness_action is error.",
        _TIMED,
        (TaskClosed,),
    ),
    _E.QUARANTINED: Meaning(
        "The engine's rules failed on a command: the task is set aside.", (Cause.INTERNAL,), (TaskClosed,)
    ),
    _E.CHANGED: Meaning("An operator changed the task's reason or tags.", _OPERATES, (Audit,)),
    _E.STALE_REPORTED: Meaning(
        "The task waits longer than stale_after_seconds: it gets an entry in the task ledger.", _TIMED
    ),
}
"""Of the task itself."""

STEP_MEANINGS: Final[Mapping[TransitionEvent, Meaning]] = {
    _E.INITIALIZE_REQUESTED: Meaning("The step was created with its task.", (Cause.REQUEST,)),
    _E.ENQUEUE_REQUESTED: Meaning("An attempt is granted and dispatched.", _EVALUATES, (AttemptGranted,)),
    _E.BYPASSED: Meaning("The request completes the step at once, without running it.", (Cause.REQUEST,)),
    _E.EXECUTION_REQUESTED: Meaning(
        "A worker took the attempt.", (Cause.STARTED, Cause.RESULT), (AttemptTaken,)
    ),
    _E.COMPLETED: Meaning(
        "The attempt succeeded; late, if its time was up before.", (Cause.RESULT,), (AttemptEnded,)
    ),
    _E.RETRY_BACKOFF_STARTED: Meaning("The attempt failed, and a retry follows.", _ENDS, (AttemptEnded,)),
    _E.FAILED: Meaning("The attempt failed for good.", _ENDS, (AttemptEnded,)),
    _E.TIMED_OUT: Meaning(
        "No worker took the attempt within queue_timeout_seconds: a retry follows, or the step has failed.",
        _ENDS,
        (AttemptEnded,),
    ),
    _E.RETURNED: Meaning(
        "A worker does not know the handler: the attempt does not count, another follows in 10 s.",
        (Cause.RESULT,),
        (AttemptEnded,),
    ),
    _E.LOST: Meaning(
        "The worker was lost, or stopped and gave the attempt back: it does not count. The third loss fails the step.",
        _ENDS,
        (AttemptEnded,),
    ),
    _E.RETRY_REQUESTED: Meaning(
        "The step may run again: its retry is due, an operator asks for it, or what fail_fast cancelled returns.",
        (Cause.TIMER, Cause.EVALUATION, Cause.OPERATOR, Cause.FAIL_FAST),
        (None, Audit),
    ),
    _E.RESOLVED_MANUALLY: Meaning("An operator declares the step dealt with.", _OPERATES, (Audit,)),
    _E.COMPLETED_MANUALLY: Meaning("An operator completes the step, with a result.", _OPERATES, (Audit,)),
    _E.CANCELLED: Meaning(
        "An operator, fail_fast, or the end of the task cancels the step.",
        (Cause.OPERATOR, Cause.FAIL_FAST, Cause.TIMER, Cause.INTERNAL),
        (None, Audit),
    ),
    _E.CHANGED: Meaning("An operator changed the step's max_attempts.", _OPERATES, (Audit,)),
    _E.REDISPATCHED: Meaning("The reconciler sent the same attempt again.", (Cause.RECONCILER,)),
}
"""Of a step."""
