"""What happens to a task when the rules themselves fail: it is set aside, and the partition goes on.

Nothing here needs the plan, which may be what is missing. The record says only the type of what was raised, since
texts of exceptions may differ between processes and a repeated decision must not.
"""

from __future__ import annotations

from typing import Final

from tasker_kafka.schemas.records import (
    Answer,
    Command,
    OperatorCommand,
    TaskClosed,
    Transition,
    Transitions,
)
from tasker_kafka.schemas.state import TaskState
from tasker_kafka.schemas.words import (
    GRANTED_STEP_STATES,
    AnswerCode,
    Cause,
    StepStatus,
    TaskStatus,
    TransitionEvent,
)

from .decision import Decision, Moment
from .fold import fold

__all__ = ["QUARANTINED", "quarantine"]

QUARANTINED: Final = "quarantined"
_STOPPED: Final = GRANTED_STEP_STATES | {StepStatus.WAITING_FOR_RETRY}


def quarantine(state: TaskState, command: Command, moment: Moment, fault: Exception) -> Decision:
    """The task as it was before the command, in `error`, its running and waiting steps cancelled."""
    now = max(state.now, moment.timestamp)
    name = type(fault).__name__
    kind = type(command.body).__name__
    message = f"the rules failed with {name} on a {kind} at command offset {moment.offset}"
    transitions = [
        Transition(
            step.name, TransitionEvent.CANCELLED, step.state, StepStatus.CANCELLED, now, Cause.INTERNAL
        )
        for step in state.steps
        if step.state in _STOPPED
    ]
    closed = TaskClosed(error_code=QUARANTINED, error_message=message)
    transitions.append(
        Transition(
            None, TransitionEvent.QUARANTINED, state.state, TaskStatus.ERROR, now, Cause.INTERNAL, closed
        )
    )
    answer = None
    if isinstance(command.body, OperatorCommand):
        answer = Answer(command.body.command_id, AnswerCode.INTERNAL, f"{message}; the task is quarantined")
    record = Transitions(
        life=state.life,
        seq=state.seq + 1,
        command_offset=moment.offset,
        at=now,
        transitions=tuple(transitions),
        answer=answer,
    )
    return Decision(record, fold(state, record, None), fault)
