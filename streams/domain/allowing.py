"""What an operator may ask of a task as it stands: for buttons, for refusals, and for what a bulk would do.

`task_actions` and `step_actions` are read off the table of edges, so that they cost nothing for a whole list of tasks.
`forecast` asks the rules themselves, with every detail of the command; tests hold the one against the other.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import msgspec

from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import Answer, Command, OperatorCommand
from tasker_kafka.schemas.state import Stub, TaskState
from tasker_kafka.schemas.words import (
    CLOSED_TASK_STATES,
    FINAL_TASK_STATES,
    STOPPED_STEP_STATES,
    STUCK_TASK_STATES,
    OperatorAction,
    StepStatus,
    TaskStatus,
)

from .decide import decide
from .decision import Decision, Moment
from .retention import stub_of
from .step_orders import STEP_SOURCES

__all__ = ["STEP_ACTIONS", "TaskNow", "forecast", "step_actions", "task_actions"]

STEP_ACTIONS: Final = frozenset(STEP_SOURCES)
"""The actions that are about single steps; the others are about the task."""
_OF_OPEN_TASKS: Final = frozenset({OperatorAction.CANCEL_STEP, OperatorAction.SET_MAX_ATTEMPTS})


class TaskNow(msgspec.Struct, frozen=True):
    """What is known of a task: its state (None: there is no such task) and the plan that it runs on."""

    state: TaskState | Stub | None
    plan: Plan | None


def task_actions(task: TaskStatus, steps: Collection[StepStatus]) -> tuple[OperatorAction, ...]:
    """What may be asked of a whole task whose steps are in these states."""
    if task in FINAL_TASK_STATES:
        return ()
    found = [OperatorAction.CANCEL_TASK]
    if task in STUCK_TASK_STATES or any(each in STOPPED_STEP_STATES for each in steps):
        found.append(OperatorAction.RETRY_TASK)
    if task in STUCK_TASK_STATES:
        found.append(OperatorAction.RESOLVE_TASK)
    if task not in CLOSED_TASK_STATES:
        found += [OperatorAction.SET_REASON, OperatorAction.SET_TAGS]
    return tuple(found)


def step_actions(task: TaskStatus, step: StepStatus) -> tuple[OperatorAction, ...]:
    """What may be asked of a step in this state, of a task in that one."""
    if task in FINAL_TASK_STATES:
        return ()
    is_closed = task in CLOSED_TASK_STATES
    return tuple(
        action
        for action, sources in STEP_SOURCES.items()
        if step in sources and not (is_closed and action in _OF_OPEN_TASKS)
    )


def forecast(now: TaskNow, task_id: bytes, body: OperatorCommand) -> Answer | None:
    """What the engine would answer if the task stood so when the command came.

    None: it cannot be said, because the plan that the task runs on is not at hand.
    """
    state = now.state
    if isinstance(state, TaskState):
        if now.plan is None or now.plan.hash != state.plan_hash:
            return None
        if state.state in FINAL_TASK_STATES:
            state = stub_of(state, now.plan)  # read models keep final tasks whole; the engine does not
    timestamp = 0 if state is None or isinstance(state, Stub) else state.now
    decision = decide(state, Command(task_id, body), Moment(0, 0, timestamp, now.plan))
    assert isinstance(decision, Decision), "an operator's command is always answered"
    return decision.record.answer
