"""Readiness and the four views, against tables worked out by hand."""

from collections.abc import Mapping
from typing import Any

import pytest

from tasker_kafka.schemas.plan import RetryPolicy
from tasker_kafka.schemas.records import Transition
from tasker_kafka.schemas.state import TaskState
from tasker_kafka.schemas.words import OperatorAction, StepStatus, TaskStatus
from tasker_kafka.streams.domain import evolve
from tasker_kafka.streams.domain.readiness import StepReadiness, execution_status, readiness
from tasker_kafka.streams.domain.views import (
    TaskSummary,
    coarse_step_status,
    coarse_task_status,
    dag,
    execution_context,
    step_readiness,
    workflow_summary,
)
from tests.support.tasks import DIAMOND, FOUR_STEPS, ONE, PAIR, Rig, plan_of, reach_step

LATER = 10**9


def fresh(edges: Mapping[str, tuple[str, ...]]) -> tuple[TaskState, Rig]:
    """A task that was created and has not started."""
    rig = Rig(plan_of(edges))
    rig.start(not_before=rig.now + LATER)
    return rig.live, rig


def row(rig: Rig, step: str) -> StepReadiness:
    """One step's readiness now."""
    return readiness(rig.live, rig.plan, rig.plan.index[step], rig.now)


def summary(rig: Rig) -> TaskSummary:
    """The task's summary."""
    return workflow_summary(rig.live, rig.plan)


# ------------------------------------------------------------------------------------------------ fixture


def test_the_fresh_four_step_dummy() -> None:
    state, rig = fresh(FOUR_STEPS)
    got = workflow_summary(state, rig.plan)
    context = got.context
    assert got.root_step_names == ("one", "two")
    assert (got.root_step_count, context.ready_steps, got.next_executable_steps) == (2, 2, ("one", "two"))
    assert context.execution_status == "has_ready_steps"
    assert context.recommended_action == "execute_ready_steps"
    assert context.health_status == "healthy"
    assert context.completion_percentage == 0.0
    assert got.processing_strategy == "small_parallel"
    assert (got.batch_size, got.parallel_safe) == (3, True)
    assert (got.workflow_efficiency, got.parallelism_potential) == ("optimal", "moderate")
    assert got.blocked_steps == ("three", "four")
    assert got.blocking_reasons == ("dependencies_not_satisfied", "dependencies_not_satisfied")
    assert (got.max_dependency_level, got.parallel_branches) == (2, 2)
    assert (context.total_steps, context.pending_steps, context.status) == (4, 4, TaskStatus.PENDING)


def test_the_fresh_four_step_dummys_readiness() -> None:
    state, rig = fresh(FOUR_STEPS)
    rows = {each.step: each for each in step_readiness(state, rig.plan, rig.now)}
    assert rows["one"] == StepReadiness(
        step="one",
        current_state=StepStatus.PENDING,
        total_parents=0,
        completed_parents=0,
        dependencies_satisfied=True,
        attempt=0,
        attempts=0,
        max_attempts=3,
        retry_eligible=True,
        last_failure_at=None,
        next_retry_at=None,
        backoff_request_seconds=None,
        last_attempted_at=None,
        ready_for_execution=True,
        blocking_reason=None,
        time_until_ready=0.0,
        dependency_status="no_dependencies",
        retry_status="first_attempt",
        backoff_type="no_backoff",
        effective_backoff_seconds=0.0,
    )
    four = rows["four"]
    assert (four.total_parents, four.completed_parents, four.dependencies_satisfied) == (2, 0, False)
    assert (four.dependency_status, four.blocking_reason) == (
        "0/2_satisfied",
        "dependencies_not_satisfied",
    )
    assert (four.ready_for_execution, four.time_until_ready) == (False, None)


# -------------------------------------------------------------------------------------------- StepReadiness


def test_dependency_status_counts_done_parents() -> None:
    rig = Rig(plan_of(DIAMOND))
    rig.start()
    rig.succeed("a", "b")
    assert row(rig, "d").dependency_status == "1/2_satisfied"
    rig.operate(OperatorAction.CANCEL_STEP, "c")
    assert row(rig, "d").dependency_status == "1/2_satisfied"
    rig.operate(OperatorAction.RESOLVE_STEP, "c")
    assert row(rig, "d").dependency_status == "all_satisfied"
    assert row(rig, "a").dependency_status == "no_dependencies"


@pytest.mark.parametrize(
    ("state", "reason", "eligible", "retry_status"),
    [
        ("enqueued", "invalid_state", True, "retry_eligible"),
        ("in_progress", "invalid_state", True, "retry_eligible"),
        ("waiting_for_retry", "invalid_state", True, "retry_eligible"),
        ("complete", "invalid_state", True, "retry_eligible"),
        ("error", "retry_not_eligible", False, "retry_not_eligible"),
        ("cancelled", "retry_not_eligible", False, "retry_not_eligible"),
        ("resolved_manually", "invalid_state", True, "retry_eligible"),
        ("pending", None, True, "first_attempt"),
    ],
)
def test_why_a_step_is_not_ready(state: str, reason: str | None, eligible: bool, retry_status: str) -> None:
    rig = reach_step(StepStatus(state))
    got = row(rig, "a")
    assert got.blocking_reason == reason
    assert got.ready_for_execution is (reason is None)
    assert got.retry_eligible is eligible
    assert got.retry_status == retry_status


def test_nothing_is_ready_in_a_closed_task() -> None:
    rig = Rig(plan_of({"a": (), "b": ()}, max_parallel_steps=1, lifecycle={"max_duration_ms": 5000}))
    rig.start()
    assert row(rig, "b").ready_for_execution, "held back, and reads as ready"
    rig.fire()
    assert row(rig, "b").blocking_reason == "unknown"
    assert execution_context(rig.live).ready_steps == 0
    assert summary(rig).next_executable_steps == ()


def test_the_backoff_of_a_waiting_step() -> None:
    rig = Rig(plan_of(ONE))
    rig.start()
    rig.fail("a")
    got = row(rig, "a")
    assert (got.attempts, got.max_attempts, got.backoff_type) == (1, 3, "exponential_backoff")
    assert got.effective_backoff_seconds == 2.0
    assert got.last_failure_at is not None
    assert got.next_retry_at is not None
    assert got.next_retry_at == got.last_failure_at + 2000
    assert got.time_until_ready == (got.next_retry_at - rig.now) / 1000
    assert got.last_attempted_at is not None
    assert readiness(rig.live, rig.plan, 0, rig.now + 60_000).time_until_ready == 0.0
    rig.fire()
    rig.fail("a", retry_after_ms=1500)
    got = row(rig, "a")
    assert (got.backoff_type, got.backoff_request_seconds) == ("requested_backoff", 1.5)
    assert got.effective_backoff_seconds == 1.5


def test_the_budget_that_is_used_up() -> None:
    rig = Rig(plan_of(PAIR, retry=RetryPolicy(max_attempts=2, backoff="none")))
    rig.start()
    rig.fail("a")
    rig.fail("a")
    got = row(rig, "a")
    assert (got.attempt, got.attempts, got.max_attempts) == (2, 2, 2)
    assert got.retry_status == "max_attempts_reached"
    rig.operate(OperatorAction.RETRY_STEP, "a")
    got = row(rig, "a")
    assert (got.attempt, got.attempts, got.retry_eligible) == (3, 1, True)


# ----------------------------------------------------------------------------------------------------- DAG


def levels(edges: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[int, int]]:
    """Step → (shortest, longest) path from a root."""
    return {each.step: (each.min_depth_from_root, each.dependency_level) for each in dag(plan_of(edges))}


def test_uneven_diamonds_have_two_depths() -> None:
    uneven = {"a": (), "b": ("a",), "c": ("a",), "d": ("b",), "e": ("c", "d")}
    assert [each[0] for each in levels(uneven).values()] == [0, 1, 1, 2, 2]
    assert [each[1] for each in levels(uneven).values()] == [0, 1, 1, 2, 3]
    shortcut = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "a"), "e": ("c", "d")}
    assert [each[0] for each in levels(shortcut).values()] == [0, 1, 1, 1, 2]
    assert [each[1] for each in levels(shortcut).values()] == [0, 1, 1, 2, 3]


def test_steps_may_stand_in_any_order() -> None:
    turned = {"e": ("c", "d"), "d": ("b", "a"), "c": ("a",), "b": ("a",), "a": ()}
    assert levels(turned) == {"a": (0, 0), "b": (1, 1), "c": (1, 1), "d": (1, 2), "e": (2, 3)}


def test_relations_of_the_diamond() -> None:
    rows = {each.step: each for each in dag(plan_of({"d": ("c", "b"), "a": (), "c": ("a",), "b": ("a",)}))}
    assert rows["d"].parent_names == ("b", "c")
    assert rows["a"].child_names == ("b", "c")
    assert (rows["a"].parent_count, rows["a"].child_count) == (0, 2)
    assert (rows["a"].is_root_step, rows["a"].is_leaf_step) == (True, False)
    assert (rows["d"].is_root_step, rows["d"].is_leaf_step, rows["d"].child_names) == (False, True, ())


def test_an_empty_plan_has_no_relations() -> None:
    assert dag(plan_of({})) == ()


# ------------------------------------------------------------------------------------- context and summary


def ended(rig: Rig) -> TaskState:
    """The task with everything of its last record, which `fold` would shrink to a stub."""
    state: TaskState | None = None
    transitions: list[Transition] = [each for record in rig.records for each in record.transitions]
    for transition in transitions:
        state = evolve(state, transition, rig.plan)
    assert state is not None
    return state


CASES: list[tuple[str, dict[str, Any]]] = [
    (
        "running",
        {
            "status": "in_progress",
            "execution_status": "processing",
            "recommended_action": "wait_for_completion",
            "health_status": "healthy",
            "efficiency": "processing",
            "percentage": 0.0,
            "branches": 2,
            "blocked": [],
        },
    ),
    (
        "waiting",
        {
            "status": "waiting_for_retry",
            "execution_status": "waiting_for_retry",
            "recommended_action": "wait_for_retry",
            "health_status": "recovering",
            "efficiency": "recovering",
            "percentage": 50.0,
            "branches": 0,
            "blocked": [("b", "retry_backoff")],
        },
    ),
    (
        "failed",
        {
            "status": "error",
            "execution_status": "blocked_by_failures",
            "recommended_action": "handle_failures",
            "health_status": "blocked",
            "efficiency": "blocked",
            "percentage": 50.0,
            "branches": 0,
            "blocked": [("b", "retry_not_eligible")],
        },
    ),
    (
        "complete",
        {
            "status": "complete",
            "execution_status": "all_complete",
            "recommended_action": "finalize_task",
            "health_status": "healthy",
            "efficiency": "optimal",
            "percentage": 100.0,
            "branches": 0,
            "blocked": [],
        },
    ),
]


@pytest.mark.parametrize(("case", "expected"), CASES, ids=[name for name, _ in CASES])
def test_a_pair_of_steps_in_its_situations(case: str, expected: dict[str, Any]) -> None:
    rig = Rig(plan_of(PAIR))
    rig.start()
    if case != "running":
        rig.succeed("a")
    if case == "waiting":
        rig.fail("b")
    elif case == "failed":
        rig.fail("b", retryable=False)
    elif case == "complete":
        rig.succeed("b")
    state = ended(rig)
    got = workflow_summary(state, rig.plan)
    assert {
        "status": got.context.status.value,
        "execution_status": got.context.execution_status.value,
        "recommended_action": got.context.recommended_action,
        "health_status": got.context.health_status.value,
        "efficiency": got.workflow_efficiency,
        "percentage": got.context.completion_percentage,
        "branches": got.parallel_branches,
        "blocked": list(zip(got.blocked_steps, got.blocking_reasons, strict=True)),
    } == expected
    assert got.processing_strategy == "waiting"
    assert (got.batch_size, got.parallel_safe, got.parallelism_potential) == (0, False, "no_ready_work")


@pytest.mark.parametrize(
    ("ready", "strategy", "batch", "potential"),
    [
        (1, "sequential", 1, "sequential_only"),
        (2, "small_parallel", 3, "moderate"),
        (5, "small_parallel", 3, "moderate"),
        (6, "batch_parallel", 10, "high"),
    ],
)
def test_strategies_by_ready_steps(ready: int, strategy: str, batch: int, potential: str) -> None:
    state, rig = fresh({f"s{n}": () for n in range(ready)})
    got = workflow_summary(state, rig.plan)
    assert (got.processing_strategy, got.batch_size, got.parallelism_potential) == (
        strategy,
        batch,
        potential,
    )
    assert got.parallel_safe is (ready > 1)


@pytest.mark.parametrize(
    ("done", "total", "expected"), [(0, 3, 0.0), (1, 3, 33.33), (2, 3, 66.67), (1, 8, 12.5), (1, 800, 0.13)]
)
def test_completion_is_rounded_half_up(done: int, total: int, expected: float) -> None:
    rig = Rig(plan_of({f"s{n}": () for n in range(total)}))
    rig.start(bypass_steps=tuple(f"s{n}" for n in range(done)))
    assert execution_context(rig.live).completion_percentage == expected


def test_a_task_without_steps_is_all_complete_and_at_zero() -> None:
    rig = Rig(plan_of({}))
    rig.start()
    context = execution_context(ended(rig))
    assert (context.execution_status, context.completion_percentage) == ("all_complete", 0.0)


def test_every_count_of_the_context() -> None:
    shape = dict.fromkeys(("done", "solved", "failed", "waits", "gone", "runs", "queued", "later"), ())
    rig = Rig(plan_of({**shape, "later": ("queued",)}))
    rig.start()
    rig.succeed("done")
    rig.operate(OperatorAction.CANCEL_STEP, "solved", "gone")
    rig.operate(OperatorAction.RESOLVE_STEP, "solved")
    rig.fail("failed", retryable=False)
    rig.fail("waits")
    rig.report("runs")
    got = execution_context(rig.live)
    assert (got.total_steps, got.pending_steps, got.in_progress_steps) == (8, 1, 2)
    assert (got.completed_steps, got.failed_steps, got.retrying_steps) == (2, 1, 1)
    assert (got.cancelled_steps, got.ready_steps) == (1, 0)
    assert got.health_status == "recovering"


def test_a_task_never_reads_blocked_while_something_can_run() -> None:
    rig = Rig(plan_of(PAIR))
    rig.start()
    rig.fail("a", retryable=False)
    assert execution_status(rig.live) == "processing"
    rig.fail("b")
    assert execution_status(rig.live) == "waiting_for_retry"
    assert rig.status() is TaskStatus.WAITING_FOR_RETRY


def test_coarse_statuses() -> None:
    assert {each.value: coarse_task_status(each) for each in TaskStatus} == {
        "pending": "pending",
        "in_progress": "in_progress",
        "waiting_for_dependencies": "in_progress",
        "waiting_for_retry": "in_progress",
        "blocked_by_failures": "in_progress",
        "complete": "complete",
        "error": "error",
        "cancelled": "cancelled",
        "resolved_manually": "resolved_manually",
    }
    assert {each.value: coarse_step_status(each) for each in StepStatus} == {
        "pending": "pending",
        "enqueued": "pending",
        "in_progress": "in_progress",
        "waiting_for_retry": "error",
        "complete": "complete",
        "error": "error",
        "cancelled": "cancelled",
        "resolved_manually": "resolved_manually",
    }
