"""A decision in the making: a fold that also writes down what it takes, and refuses illegal edges.

Every rule of this package speaks through the two methods `task` and `step`. So what a decision returns and what a
later fold of its record yields are made by the same code, and no edge outside `streams.domain.transitions` can
get into the log.
"""

from __future__ import annotations

from typing import Final

from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import Transition, TransitionData
from tasker_kafka.schemas.state import TaskState
from tasker_kafka.schemas.words import FINAL_TASK_STATES, Cause, StepStatus, TaskStatus, TransitionEvent

from .errors import IllegalEdge
from .evolve import Fold
from .timers import deadline_of
from .transitions import LEGAL_STEP_MOVES, check_task_edge, illegal_step_move

__all__ = ["Draft"]

_INITIALIZE: Final = TransitionEvent.INITIALIZE_REQUESTED
_PENDING: Final = StepStatus.PENDING
_REQUEST: Final = Cause.REQUEST
_WAITING: Final = frozenset({TaskStatus.WAITING_FOR_DEPENDENCIES, TaskStatus.WAITING_FOR_RETRY})


class Draft(Fold):
    """What one command makes of one task, at one moment. `now`: broker time, ms, never before the state's."""

    __slots__ = ("now", "planned", "task_id", "transitions")

    planned: Plan

    def __init__(self, state: TaskState | None, plan: Plan, *, task_id: bytes, now: int) -> None:
        super().__init__(state, plan)
        self.planned = plan
        self.task_id = task_id
        self.now = now
        self.transitions: list[Transition] = []

    def task(
        self, event: TransitionEvent, to: TaskStatus, cause: Cause, data: TransitionData | None = None
    ) -> None:
        """Take an edge of the task. IllegalEdge if there is none."""
        check_task_edge(self.status, event, to)
        transition = Transition(None, event, self.status, to, self.now, cause, data)
        self.transitions.append(transition)
        self._apply_task(transition)

    def step(
        self,
        position: int,
        event: TransitionEvent,
        to: StepStatus,
        cause: Cause,
        data: TransitionData | None = None,
    ) -> None:
        """Take an edge of the step at `position`. IllegalEdge if there is none, or the task is final."""
        before = self.steps[position]
        name, state = before.name, before.state
        if self.status in FINAL_TASK_STATES:
            raise IllegalEdge(f"the task is {self.status}: nothing may be done to step {name!r}")
        if (state, event, to) not in LEGAL_STEP_MOVES:
            raise illegal_step_move(state, event, to)
        transition = Transition(name, event, state, to, self.now, cause, data)
        self.transitions.append(transition)
        self._change_step(position, transition)

    def create_step(self, position: int) -> None:
        """Add the plan's next step."""
        name = self.planned.steps[position].name
        self.transitions.append(Transition(name, _INITIALIZE, None, _PENDING, self.now, _REQUEST))
        self._create_step(position, name)

    def wake(self) -> None:
        """A waiting task is in progress again: what every accepted command does before it is evaluated."""
        if self.status in _WAITING:
            self.task(TransitionEvent.STEPS_READY, TaskStatus.IN_PROGRESS, Cause.EVALUATION)

    @property
    def deadline(self) -> int | None:
        """When the task must be done, ms."""
        return deadline_of(self.planned, self.own.deadline_from)
