"""The four views of a task, as pure functions: the projection, the API and the tests all use these.

`step_readiness` (one row per step), `dag` (one row per step, from the plan alone), `execution_context` and
`workflow_summary` (one row per task). Lists are never null. Names are sorted in `dag`, in the plan's order
elsewhere.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.state import StepState, TaskState
from tasker_kafka.schemas.words import STOPPED_STEP_STATES, STUCK_TASK_STATES, StepStatus, TaskStatus

from .readiness import ExecutionStatus, StepReadiness, execution_status, is_ready, readiness, ready_steps

__all__ = [
    "Health",
    "StepRelations",
    "TaskContext",
    "TaskSummary",
    "coarse_step_status",
    "coarse_task_status",
    "dag",
    "execution_context",
    "step_readiness",
    "workflow_summary",
]

_S = StepStatus
_RECOMMENDED: Final = {
    ExecutionStatus.HAS_READY_STEPS: "execute_ready_steps",
    ExecutionStatus.PROCESSING: "wait_for_completion",
    ExecutionStatus.WAITING_FOR_RETRY: "wait_for_retry",
    ExecutionStatus.BLOCKED_BY_FAILURES: "handle_failures",
    ExecutionStatus.ALL_COMPLETE: "finalize_task",
    ExecutionStatus.WAITING_FOR_DEPENDENCIES: "wait_for_dependencies",
}
_STRATEGIES: Final = (
    (5, "batch_parallel", 10, "high"),
    (1, "small_parallel", 3, "moderate"),
    (0, "sequential", 1, "sequential_only"),
)
"""More ready steps than → strategy, batch size, potential."""


class Health(StrEnum):
    """First match: the task is blocked or in error; nothing has failed; else it recovers."""

    HEALTHY = "healthy"
    RECOVERING = "recovering"
    BLOCKED = "blocked"


class StepRelations(msgspec.Struct, frozen=True, kw_only=True):
    """One row of StepDagRelationship."""

    step: str
    parent_names: tuple[str, ...]
    child_names: tuple[str, ...]
    parent_count: int
    child_count: int
    is_root_step: bool
    is_leaf_step: bool
    min_depth_from_root: int
    """Edges on the shortest path from a root."""
    dependency_level: int
    """Edges on the longest path from a root."""


class TaskContext(msgspec.Struct, frozen=True, kw_only=True):
    """One row of TaskExecutionContext."""

    task_id: bytes
    namespace: str
    name: str
    version: str
    status: TaskStatus
    total_steps: int
    pending_steps: int
    in_progress_steps: int
    """Enqueued and in progress."""
    completed_steps: int
    """Complete and resolved by hand."""
    failed_steps: int
    retrying_steps: int
    cancelled_steps: int
    ready_steps: int
    execution_status: ExecutionStatus
    recommended_action: str
    completion_percentage: float
    """Two decimals, half up; 0 for a task without steps."""
    health_status: Health


class TaskSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One row of TaskWorkflowSummary."""

    context: TaskContext
    root_step_names: tuple[str, ...]
    root_step_count: int
    next_executable_steps: tuple[str, ...]
    blocked_steps: tuple[str, ...]
    blocking_reasons: tuple[str, ...]
    """Aligned with `blocked_steps`."""
    max_dependency_level: int
    parallel_branches: int
    """Steps ready, enqueued or running now."""
    processing_strategy: str
    batch_size: int
    parallel_safe: bool
    workflow_efficiency: str
    parallelism_potential: str


def step_readiness(state: TaskState, plan: Plan, now: int) -> tuple[StepReadiness, ...]:
    """StepReadinessStatus: one row per step, in the plan's order."""
    return tuple(readiness(state, plan, position, now) for position in range(len(state.steps)))


def dag(plan: Plan) -> tuple[StepRelations, ...]:
    """StepDagRelationship: one row per step, in the plan's order."""
    shortest, longest = _depths(plan)
    rows: list[StepRelations] = []
    for position, step in enumerate(plan.steps):
        children = tuple(sorted(plan.steps[child].name for child in plan.children[position]))
        rows.append(
            StepRelations(
                step=step.name,
                parent_names=tuple(sorted(step.parents)),
                child_names=children,
                parent_count=len(step.parents),
                child_count=len(children),
                is_root_step=not step.parents,
                is_leaf_step=not children,
                min_depth_from_root=shortest[position],
                dependency_level=longest[position],
            )
        )
    return tuple(rows)


def execution_context(state: TaskState) -> TaskContext:
    """TaskExecutionContext: from counters alone."""
    status = execution_status(state)
    done = state.complete + state.resolved
    return TaskContext(
        task_id=state.task_id,
        namespace=state.namespace,
        name=state.name,
        version=state.version,
        status=state.state,
        total_steps=state.total,
        pending_steps=state.pending,
        in_progress_steps=state.enqueued + state.in_progress,
        completed_steps=done,
        failed_steps=state.failed,
        retrying_steps=state.waiting_for_retry,
        cancelled_steps=state.cancelled,
        ready_steps=len(ready_steps(state)),
        execution_status=status,
        recommended_action=_RECOMMENDED[status],
        completion_percentage=_percentage(done, state.total),
        health_status=_health(state),
    )


def workflow_summary(state: TaskState, plan: Plan) -> TaskSummary:
    """TaskWorkflowSummary: the context, and what could be done next."""
    context = execution_context(state)
    ready = len(ready_steps(state))
    blocked = [(step.name, reason) for step in state.steps if (reason := _reason(state, step))]
    roots = tuple(step.name for step in plan.steps if not step.parents)
    strategy, batch_size, potential = _strategy(ready)
    return TaskSummary(
        context=context,
        root_step_names=roots,
        root_step_count=len(roots),
        next_executable_steps=tuple(state.steps[position].name for position in ready_steps(state)),
        blocked_steps=tuple(name for name, _ in blocked),
        blocking_reasons=tuple(reason for _, reason in blocked),
        max_dependency_level=max(_depths(plan)[1], default=0),
        parallel_branches=ready + state.enqueued + state.in_progress,
        processing_strategy=strategy,
        batch_size=batch_size,
        parallel_safe=ready > 1,
        workflow_efficiency=_efficiency(context),
        parallelism_potential=potential,
    )


def coarse_task_status(status: TaskStatus) -> str:
    """What the first Tasker would have said: waiting and blocked tasks read `in_progress`."""
    if status in {
        TaskStatus.WAITING_FOR_DEPENDENCIES,
        TaskStatus.WAITING_FOR_RETRY,
        TaskStatus.BLOCKED_BY_FAILURES,
    }:
        return TaskStatus.IN_PROGRESS.value
    return status.value


def coarse_step_status(status: StepStatus) -> str:
    """What the first Tasker would have said: `enqueued` reads `pending`, `waiting_for_retry` reads `error`."""
    return {_S.ENQUEUED: _S.PENDING, _S.WAITING_FOR_RETRY: _S.ERROR}.get(status, status).value


def _depths(plan: Plan) -> tuple[list[int], list[int]]:
    """Shortest and longest path from a root to each step, in edges. Steps may stand in any order."""
    count = len(plan.steps)
    shortest, longest = [0] * count, [0] * count
    missing = [len(parents) for parents in plan.parents]
    reached = [position for position in range(count) if not missing[position]]
    for position in reached:  # grows while it is walked: parents before children
        parents = plan.parents[position]
        if parents:
            shortest[position] = 1 + min(shortest[parent] for parent in parents)
            longest[position] = 1 + max(longest[parent] for parent in parents)
        for child in plan.children[position]:
            missing[child] -= 1
            if not missing[child]:
                reached.append(child)
    return shortest, longest


def _percentage(done: int, total: int) -> float:
    """Per cent with two decimals, half up."""
    return (20_000 * done + total) // (2 * total) / 100 if total else 0.0


def _health(state: TaskState) -> Health:
    if state.state in STUCK_TASK_STATES:
        return Health.BLOCKED
    return Health.RECOVERING if state.failed + state.waiting_for_retry else Health.HEALTHY


def _reason(state: TaskState, step: StepState) -> str | None:
    """Why a step is listed as blocked; None: it is not."""
    status = step.state
    if status is _S.PENDING:
        return None if is_ready(state, step) else "dependencies_not_satisfied"
    if status is _S.WAITING_FOR_RETRY:
        return "retry_backoff"
    return "retry_not_eligible" if status in STOPPED_STEP_STATES else None


def _strategy(ready: int) -> tuple[str, int, str]:
    for more_than, strategy, batch_size, potential in _STRATEGIES:
        if ready > more_than:
            return strategy, batch_size, potential
    return "waiting", 0, "no_ready_work"


def _efficiency(context: TaskContext) -> str:
    if context.health_status is not Health.HEALTHY:
        return str(context.health_status)
    if context.ready_steps or context.execution_status is ExecutionStatus.ALL_COMPLETE:
        return "optimal"
    return "processing" if context.execution_status is ExecutionStatus.PROCESSING else "waiting"
