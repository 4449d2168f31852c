"""What an operator may ask of a task and of a step as they stand: for buttons, and for what a refusal says is allowed.

Read off the table of edges, so that it costs nothing; a test holds it against what the engine would answer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from tasker_kafka.schemas.words import (
    CLOSED_TASK_STATES,
    FINAL_TASK_STATES,
    OperatorAction,
    StepStatus,
    TaskStatus,
    TransitionEvent,
)
from tasker_kafka.streams.domain.transitions import STEP_EDGES, STEP_NOTES

__all__ = ["step_actions", "task_actions"]

_STUCK: Final = frozenset({TaskStatus.BLOCKED_BY_FAILURES, TaskStatus.ERROR})
_FAILED: Final = frozenset({StepStatus.ERROR, StepStatus.CANCELLED})


def _sources(event: TransitionEvent) -> frozenset[StepStatus]:
    return frozenset(before for before, each, _ in STEP_EDGES if each is event and before is not None)


_ON_STEPS: Final[Mapping[OperatorAction, frozenset[StepStatus]]] = {
    OperatorAction.RETRY_STEP: _FAILED,
    OperatorAction.RESOLVE_STEP: _sources(TransitionEvent.RESOLVED_MANUALLY),
    OperatorAction.COMPLETE_STEP: _sources(TransitionEvent.COMPLETED_MANUALLY),
    OperatorAction.CANCEL_STEP: _sources(TransitionEvent.CANCELLED),
    OperatorAction.SET_MAX_ATTEMPTS: frozenset(
        state for state, event in STEP_NOTES if event is TransitionEvent.CHANGED
    ),
}


def task_actions(task: TaskStatus, steps: Collection[StepStatus]) -> tuple[OperatorAction, ...]:
    """What may be asked of a whole task whose steps are in these states."""
    if task in FINAL_TASK_STATES:
        return ()
    found = [OperatorAction.CANCEL_TASK]
    if task in _STUCK or any(each in _FAILED for each in steps):
        found.append(OperatorAction.RETRY_TASK)
    if task in _STUCK:
        found.append(OperatorAction.RESOLVE_TASK)
    if task not in CLOSED_TASK_STATES:
        found += [OperatorAction.SET_REASON, OperatorAction.SET_TAGS]
    return tuple(found)


def step_actions(task: TaskStatus, step: StepStatus) -> tuple[OperatorAction, ...]:
    """What may be asked of a step in this state, of a task in that one."""
    if task in FINAL_TASK_STATES:
        return ()
    is_closed = task in CLOSED_TASK_STATES
    open_only = {OperatorAction.CANCEL_STEP, OperatorAction.SET_MAX_ATTEMPTS}
    return tuple(
        action
        for action, sources in _ON_STEPS.items()
        if step in sources and not (is_closed and action in open_only)
    )
