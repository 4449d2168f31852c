"""What should have moved and did not: found from the state, mended by commands.

The rules leave nothing behind, so in tests the reconciler has nothing to do unless a fault was injected. It never
writes anything but commands, and `decide` accepts them only where they fit.
"""

from __future__ import annotations

from typing import Final

from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import Reconcile, TimerDue
from tasker_kafka.schemas.state import TaskState
from tasker_kafka.schemas.words import CLOSED_TASK_STATES, Cause, StepStatus, TaskStatus, TransitionEvent

from .decision import IgnoredReason
from .draft import Draft
from .timers import Heartbeats, due_timers

__all__ = ["EVALUATE", "OVERDUE_MS", "REDISPATCH", "REDISPATCH_AFTER_MS", "findings", "look_again"]

EVALUATE: Final = "evaluate"
REDISPATCH: Final = "redispatch"
REDISPATCH_AFTER_MS: Final = 6 * 24 * 3_600_000
"""A dispatch older than this may soon leave its topic (kept 7 days)."""
OVERDUE_MS: Final = 60_000
"""How late a timer may be before somebody asks."""

_UNSETTLED: Final = frozenset(
    {TaskStatus.IN_PROGRESS, TaskStatus.WAITING_FOR_DEPENDENCIES, TaskStatus.WAITING_FOR_RETRY}
)


def findings(
    state: TaskState, plan: Plan, now: int, heartbeats: Heartbeats | None = None
) -> list[Reconcile | TimerDue]:
    """The commands that would mend this task at `now` (ms); [] for a healthy one.

    Ready but undispatched, started and silent, due but unfired, dispatched too long ago.
    """
    if state.state in CLOSED_TASK_STATES:
        return []
    found: list[Reconcile | TimerDue] = []
    if _needs_evaluation(state, plan):
        found.append(Reconcile(life=state.life, kind=EVALUATE))
    found += due_timers(state, plan, now - OVERDUE_MS, heartbeats or {})
    if state.enqueued:
        found += [
            Reconcile(life=state.life, kind=REDISPATCH, step=step.name, attempt=step.attempt)
            for step in state.steps
            if step.state is StepStatus.ENQUEUED and (step.dispatched_at or 0) + REDISPATCH_AFTER_MS <= now
        ]
    return found


def look_again(draft: Draft, body: Reconcile) -> IgnoredReason | None:
    """Accept a `Reconcile` where it fits; the decision's evaluation does the rest."""
    if body.kind == REDISPATCH:
        return _redispatch(draft, body)
    if body.kind != EVALUATE or draft.origin is None or not _needs_evaluation(draft.origin, draft.planned):
        return IgnoredReason.NOTHING_TO_DO
    draft.wake()
    return None


def _redispatch(draft: Draft, body: Reconcile) -> IgnoredReason | None:
    position = None if body.step is None else draft.index.get(body.step)
    if position is None:
        return IgnoredReason.UNKNOWN_STEP
    step = draft.steps[position]
    if step.state is not StepStatus.ENQUEUED or step.attempt != body.attempt:
        return IgnoredReason.NOTHING_TO_DO
    draft.step(position, TransitionEvent.REDISPATCHED, StepStatus.ENQUEUED, Cause.RECONCILER)
    return None


def _needs_evaluation(state: TaskState, plan: Plan) -> bool:
    """Whether the task does not rest where its counters say that it should."""
    if state.state not in _UNSETTLED:
        return False
    busy = state.enqueued + state.in_progress
    limit = plan.max_parallel_steps
    if state.ready and (limit is None or busy < limit):
        return True
    if busy:
        return state.state is not TaskStatus.IN_PROGRESS
    if state.waiting_for_retry:
        return state.state is not TaskStatus.WAITING_FOR_RETRY
    if state.failed or state.cancelled or not state.pending:
        return True
    return state.state is not TaskStatus.WAITING_FOR_DEPENDENCIES
