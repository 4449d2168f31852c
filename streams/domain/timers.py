"""When the task must be looked at again: every timer is derived from the state, none is stored.

So a timer cannot be lost: whoever owns the task derives the same ones again after each command. The owner turns
what is due into `TimerDue` commands; `streams.domain.waking` accepts one only while the state still gives it.

| timer | rests in | due |
|---|---|---|
| not_before | task pending | at the request's not_before |
| deadline | task started, not closed | max_duration after the last start or reopening |
| staleness | task waiting or blocked, not yet reported | stale_after from entering the state |
| retry | step waiting_for_retry | at next_retry_at |
| queue_timeout | step enqueued, if the template sets one | queue_timeout after the dispatch |
| run_timeout | step in_progress whose start was reported | timeout after the start |
| heartbeat | the same | heartbeat_timeout after the last sign of life |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tasker_kafka.schemas.plan import Plan, PlanStep
from tasker_kafka.schemas.records import TimerDue
from tasker_kafka.schemas.state import StepState, TaskState
from tasker_kafka.schemas.words import CLOSED_TASK_STATES, StepStatus, TaskStatus, TimerKind

__all__ = [
    "Heartbeats",
    "deadline_of",
    "due_timers",
    "next_due",
    "stale_at",
    "step_due",
    "task_due",
    "task_timers",
]

Heartbeats = Mapping[tuple[str, int], int]
"""(step, attempt) → broker time in ms of the newest sign of life. A running step that is absent counts from its
start."""

_NO_HEARTBEATS: Final[Heartbeats] = {}
_WAITING: Final = StepStatus.WAITING_FOR_RETRY
_ENQUEUED: Final = StepStatus.ENQUEUED
_IN_PROGRESS: Final = StepStatus.IN_PROGRESS
_PENDING_TASK: Final = TaskStatus.PENDING
_STALE_STATES: Final = frozenset(
    {TaskStatus.WAITING_FOR_DEPENDENCIES, TaskStatus.WAITING_FOR_RETRY, TaskStatus.BLOCKED_BY_FAILURES}
)


def deadline_of(plan: Plan, deadline_from: int | None) -> int | None:
    """When a task must be done, ms; None: no limit, or not started."""
    limit = plan.lifecycle.max_duration_ms
    return None if limit is None or deadline_from is None else deadline_from + limit


def stale_at(plan: Plan, status: TaskStatus, state_since: int, *, reported: bool) -> int | None:
    """When a stay in `status` becomes stale, ms; None: never, or reported already."""
    lifecycle = plan.lifecycle
    if lifecycle.stale_after_ms is None or reported or status not in _STALE_STATES:
        return None
    return None if lifecycle.staleness_action == "none" else state_since + lifecycle.stale_after_ms


def task_due(
    plan: Plan,
    status: TaskStatus,
    *,
    not_before: int | None,
    deadline_from: int | None,
    state_since: int,
    stale_reported: bool,
) -> int | None:
    """The next timer of the task itself, ms."""
    if status is _PENDING_TASK:
        return not_before if deadline_from is None else None
    if status in CLOSED_TASK_STATES:
        return None
    deadline = deadline_of(plan, deadline_from)
    stale = stale_at(plan, status, state_since, reported=stale_reported)
    if deadline is None or stale is None:
        return stale if deadline is None else deadline
    return min(deadline, stale)


def step_due(step: StepState, planned: PlanStep, heartbeat: int | None = None) -> int | None:
    """The next timer of one step, ms. `heartbeat`: the newest sign of life of its running attempt."""
    state = step.state
    if state is _WAITING:
        return step.next_retry_at
    if state is _ENQUEUED:
        limit = planned.queue_timeout_ms
        return None if limit is None or step.dispatched_at is None else step.dispatched_at + limit
    if state is _IN_PROGRESS and step.reported and step.started_at is not None:
        return min(step.started_at + planned.timeout_ms, _silent_at(step, planned, heartbeat))
    return None


def next_due(state: TaskState, plan: Plan, heartbeats: Heartbeats = _NO_HEARTBEATS) -> int | None:
    """When the task's next timer is due, ms; None: none. Without heartbeats it equals `state.next_due`."""
    if state.state in CLOSED_TASK_STATES:
        return None
    dues = [
        step_due(step, planned, heartbeats.get((step.name, step.attempt)) if heartbeats else None)
        for step, planned in zip(state.steps, plan.steps, strict=False)
    ]
    dues.append(_task_due(state, plan))
    return min((due for due in dues if due is not None), default=None)


def task_timers(state: TaskState, plan: Plan) -> list[tuple[int, TimerKind]]:
    """(due in ms, kind) of the task's own timers, a deadline first; those of its steps are `step_due`'s."""
    if state.state in CLOSED_TASK_STATES:
        return []
    if state.state is _PENDING_TASK:
        if state.not_before is None or state.deadline_from is not None:
            return []
        return [(state.not_before, TimerKind.NOT_BEFORE)]
    deadline = deadline_of(plan, state.deadline_from)
    stale = stale_at(plan, state.state, state.state_since, reported=state.stale_reported)
    timers = [] if deadline is None else [(deadline, TimerKind.DEADLINE)]
    return timers if stale is None else [*timers, (stale, TimerKind.STALENESS)]


def due_timers(
    state: TaskState, plan: Plan, now: int, heartbeats: Heartbeats = _NO_HEARTBEATS
) -> list[TimerDue]:
    """What is due at `now` (ms, the partition's broker time): task timers first, then steps in plan order.

    A deadline that is due comes alone: it ends everything else.
    """
    if state.state in CLOSED_TASK_STATES:
        return []
    life = state.life
    found: list[TimerDue] = []
    for due_at, what in task_timers(state, plan):
        if due_at <= now:
            found.append(TimerDue(life=life, kind=what, due_at=due_at))
            if what is TimerKind.DEADLINE:
                return found
    for step, planned in zip(state.steps, plan.steps, strict=False):
        heartbeat = heartbeats.get((step.name, step.attempt))
        due = step_due(step, planned, heartbeat)
        if due is not None and due <= now:
            kind = _kind(step, planned, due)
            found.append(TimerDue(life=life, kind=kind, due_at=due, step=step.name, attempt=step.attempt))
    return found


def _task_due(state: TaskState, plan: Plan) -> int | None:
    return task_due(
        plan,
        state.state,
        not_before=state.not_before,
        deadline_from=state.deadline_from,
        state_since=state.state_since,
        stale_reported=state.stale_reported,
    )


def _kind(step: StepState, planned: PlanStep, due: int) -> TimerKind:
    if step.state is _WAITING:
        return TimerKind.RETRY
    if step.state is _ENQUEUED:
        return TimerKind.QUEUE_TIMEOUT
    assert step.started_at is not None
    return TimerKind.RUN_TIMEOUT if due == step.started_at + planned.timeout_ms else TimerKind.HEARTBEAT


def _silent_at(step: StepState, planned: PlanStep, heartbeat: int | None) -> int:
    """When a running attempt has been silent for too long."""
    assert step.started_at is not None
    newest = step.started_at if heartbeat is None or heartbeat < step.started_at else heartbeat
    return newest + planned.heartbeat_timeout_ms
