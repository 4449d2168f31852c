"""The state machine as data: every edge that a task and a step may take, and nothing else.

A state exists only if a task or step can rest in it between two records. A decision may pass through several;
each passage is one transition. Three rules stand above the tables:

1. `complete`, `cancelled` and `resolved_manually` tasks are final. They have no edges, and nothing may be done
   to their steps. A task in `error` is closed: only an operator's command moves it or its steps.
2. A task that closes ends its steps first, so that its own transition is the last of the decision.
3. `changed`, `stale_reported` and `redispatched` are no edges: they are recorded where something other than the
   state changed, so `from` equals `to`.

Legality is checked when a decision is made; what is recorded is folded unconditionally. The diagrams in the
documentation are made from these tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from tasker_kafka.schemas.words import (
    CLOSED_TASK_STATES,
    STUCK_TASK_STATES,
    StepStatus,
    TaskStatus,
    TransitionEvent,
)

from .errors import IllegalEdge

__all__ = [
    "LEGAL_STEP_MOVES",
    "STEP_EDGES",
    "STEP_NOTES",
    "TASK_EDGES",
    "TASK_NOTES",
    "check_step_edge",
    "check_task_edge",
    "illegal_step_move",
    "mermaid",
]

_T = TaskStatus
_S = StepStatus
_E = TransitionEvent

_LIVE: Final = tuple(each for each in TaskStatus if each not in CLOSED_TASK_STATES)
_WAITING: Final = (_T.WAITING_FOR_DEPENDENCIES, _T.WAITING_FOR_RETRY)
_STUCK: Final = tuple(each for each in TaskStatus if each in STUCK_TASK_STATES)

TASK_EDGES: Final[tuple[tuple[TaskStatus | None, TransitionEvent, TaskStatus], ...]] = (
    (None, _E.INITIALIZE_REQUESTED, _T.PENDING),
    (_T.PENDING, _E.START_REQUESTED, _T.IN_PROGRESS),
    (_T.IN_PROGRESS, _E.ALL_STEPS_DONE, _T.COMPLETE),
    (_T.IN_PROGRESS, _E.AWAITING_DEPENDENCIES, _T.WAITING_FOR_DEPENDENCIES),
    (_T.IN_PROGRESS, _E.RETRY_BACKOFF_STARTED, _T.WAITING_FOR_RETRY),
    (_T.IN_PROGRESS, _E.BLOCKED, _T.BLOCKED_BY_FAILURES),
    *((each, _E.STEPS_READY, _T.IN_PROGRESS) for each in _WAITING),
    (_T.BLOCKED_BY_FAILURES, _E.GIVE_UP, _T.ERROR),
    *((each, _E.RETRY_REQUESTED, _T.PENDING) for each in _STUCK),
    *((each, _E.RESUMED, _T.IN_PROGRESS) for each in _STUCK),
    *((each, _E.RESOLVED_MANUALLY, _T.RESOLVED_MANUALLY) for each in _STUCK),
    *((each, _E.DEADLINE_EXCEEDED, _T.ERROR) for each in _LIVE),
    *((each, _E.STALE, _T.ERROR) for each in _LIVE),
    *((each, _E.QUARANTINED, _T.ERROR) for each in _LIVE),
    *((each, _E.CANCELLED, _T.CANCELLED) for each in (*_LIVE, _T.ERROR)),
)

_TAKEN_OVER: Final = (_S.PENDING, _S.WAITING_FOR_RETRY, _S.ERROR, _S.CANCELLED)
"""Where an operator may put a result or a decision of his own in a step's place."""
_CANCELLABLE: Final = (_S.PENDING, _S.ENQUEUED, _S.IN_PROGRESS, _S.WAITING_FOR_RETRY, _S.ERROR)

STEP_EDGES: Final[tuple[tuple[StepStatus | None, TransitionEvent, StepStatus], ...]] = (
    (None, _E.INITIALIZE_REQUESTED, _S.PENDING),
    (_S.PENDING, _E.ENQUEUE_REQUESTED, _S.ENQUEUED),
    (_S.PENDING, _E.BYPASSED, _S.COMPLETE),
    (_S.PENDING, _E.COMPLETED, _S.COMPLETE),  # late success
    (_S.ENQUEUED, _E.EXECUTION_REQUESTED, _S.IN_PROGRESS),
    (_S.ENQUEUED, _E.TIMED_OUT, _S.WAITING_FOR_RETRY),  # nobody took it
    (_S.ENQUEUED, _E.TIMED_OUT, _S.ERROR),
    (_S.ENQUEUED, _E.RETURNED, _S.WAITING_FOR_RETRY),  # the handler is unknown there
    (_S.IN_PROGRESS, _E.COMPLETED, _S.COMPLETE),
    (_S.IN_PROGRESS, _E.RETRY_BACKOFF_STARTED, _S.WAITING_FOR_RETRY),
    (_S.IN_PROGRESS, _E.FAILED, _S.ERROR),
    (_S.IN_PROGRESS, _E.LOST, _S.PENDING),
    (_S.IN_PROGRESS, _E.LOST, _S.ERROR),  # after the third
    (_S.WAITING_FOR_RETRY, _E.RETRY_REQUESTED, _S.PENDING),
    (_S.WAITING_FOR_RETRY, _E.COMPLETED, _S.COMPLETE),  # late success
    (_S.ERROR, _E.RETRY_REQUESTED, _S.PENDING),
    (_S.CANCELLED, _E.RETRY_REQUESTED, _S.PENDING),
    *((each, _E.RESOLVED_MANUALLY, _S.RESOLVED_MANUALLY) for each in _TAKEN_OVER),
    *((each, _E.COMPLETED_MANUALLY, _S.COMPLETE) for each in _TAKEN_OVER),
    *((each, _E.CANCELLED, _S.CANCELLED) for each in _CANCELLABLE),
)

TASK_NOTES: Final[tuple[tuple[TaskStatus, TransitionEvent], ...]] = (
    *((each, _E.CHANGED) for each in _LIVE),
    *((each, _E.STALE_REPORTED) for each in (*_WAITING, _T.BLOCKED_BY_FAILURES)),
)
"""What may be recorded of a task without an edge."""

STEP_NOTES: Final[tuple[tuple[StepStatus, TransitionEvent], ...]] = (
    *((each, _E.CHANGED) for each in StepStatus if each not in {_S.COMPLETE, _S.RESOLVED_MANUALLY}),
    (_S.ENQUEUED, _E.REDISPATCHED),
)
"""What may be recorded of a step without an edge."""

_TASK: Final = frozenset(TASK_EDGES) | {(each, event, each) for each, event in TASK_NOTES}
LEGAL_STEP_MOVES: Final = frozenset(STEP_EDGES) | {(each, event, each) for each, event in STEP_NOTES}
"""Edges and notes of a step: what may be recorded of it."""


def check_task_edge(before: TaskStatus | None, event: TransitionEvent, after: TaskStatus) -> None:
    """Raise IllegalEdge unless a task may go this way."""
    if (before, event, after) not in _TASK:
        raise IllegalEdge(f"a task has no edge {before or '(none)'} --{event}--> {after}")


def check_step_edge(before: StepStatus | None, event: TransitionEvent, after: StepStatus) -> None:
    """Raise IllegalEdge unless a step of a task that is not final may go this way."""
    if (before, event, after) not in LEGAL_STEP_MOVES:
        raise illegal_step_move(before, event, after)


def illegal_step_move(before: StepStatus | None, event: TransitionEvent, after: StepStatus) -> IllegalEdge:
    """The error of a step that may not go this way."""
    return IllegalEdge(f"a step has no edge {before or '(none)'} --{event}--> {after}")


def mermaid(
    edges: Iterable[tuple[TaskStatus | StepStatus | None, TransitionEvent, TaskStatus | StepStatus]],
) -> str:
    """A Mermaid state diagram of a table; edges between the same two states share one arrow."""
    arrows: dict[tuple[str, str], list[str]] = {}
    states: Mapping[str, None] = {}
    for before, event, after in edges:
        arrows.setdefault((str(before) if before else "[*]", str(after)), []).append(str(event))
        states = {**states, str(after): None}
    lines = [f"    {before} --> {after} : {' / '.join(events)}" for (before, after), events in arrows.items()]
    leaving = {before for before, _ in arrows}
    lines += [f"    {state} --> [*]" for state in states if state not in leaving]
    return "\n".join(["stateDiagram-v2", *lines, ""])
