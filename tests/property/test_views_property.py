"""Ten thousand random histories of tasks: after every record the four views say what a recount of the steps says.

A task never reads as blocked while a retry is pending or a branch can run, and one that does stays so until somebody
acts: its status does not flap.
"""

from __future__ import annotations

from collections import Counter
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import msgspec
import pytest

from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.state import StepState, TaskState
from tasker_kafka.schemas.words import Cause
from tasker_kafka.streams.domain.readiness import StepReadiness
from tasker_kafka.streams.domain.views import TaskContext, TaskSummary, dag, step_readiness, workflow_summary
from tests.support.view_stories import Story

STORIES = 10_000
BATCHES = 10
SOON = 3
"""Batches that every run takes; `make faults-short` takes the others."""
LENGTH = 20
CLOSED = {"complete", "cancelled", "resolved_manually", "error"}
DONE = {"complete", "resolved_manually"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "batch",
    [*range(SOON), *(pytest.param(each, marks=pytest.mark.campaign) for each in range(SOON, BATCHES))],
)
def test_the_views_of_random_histories(batch: int) -> None:
    phases: Counter[str] = Counter()
    for seed in range(batch, STORIES, BATCHES):
        story = Story(seed)
        was_blocked = False
        for state in story.tell(LENGTH):
            try:
                said = check(state, story.plan, story.now)
                assert not was_blocked or said == "blocked_by_failures" or is_acted_on(story), "it flaps"
            except AssertionError as error:
                raise AssertionError(f"story {seed}, after record {state.seq}: {error}") from error
            phases[said] += 1
            was_blocked = said == "blocked_by_failures"
    assert set(phases) == {
        "has_ready_steps",
        "processing",
        "waiting_for_retry",
        "blocked_by_failures",
        "all_complete",
    }, "the stories show every phase, so that each rule is asked"


def is_acted_on(story: Story) -> bool:
    """Whether somebody asked for the last record."""
    return any(each.cause is Cause.OPERATOR for each in story.last)


def check(state: TaskState, plan: Plan, now: int) -> str:
    """Everything that must hold of one state; what its execution status is."""
    summary = workflow_summary(state, plan)
    rows = step_readiness(state, plan, now)
    able = [step for step in state.steps if can_run(state, plan, step)]
    check_counts(summary.context, state, able)
    check_firsts(summary.context, state, able)
    check_summary(summary, state, plan, [step.name for step in able])
    check_rows(rows, summary, state, plan)
    for each in (summary, summary.context, *rows, *dag(plan)):
        check_no_null_list(each)
    return str(summary.context.execution_status)


def can_run(state: TaskState, plan: Plan, step: StepState) -> bool:
    """Ready, by the parents themselves and not by the counters that the engine keeps."""
    done = {each.name for each in state.steps if each.state in DONE}
    parents = plan.steps[plan.index[step.name]].parents
    return str(step.state) == "pending" and done.issuperset(parents) and str(state.state) not in CLOSED


def check_counts(context: TaskContext, state: TaskState, able: list[StepState]) -> None:
    count = Counter(str(step.state) for step in state.steps)
    assert context.total_steps == len(state.steps)
    assert context.pending_steps == count["pending"]
    assert context.in_progress_steps == count["enqueued"] + count["in_progress"]
    assert context.completed_steps == count["complete"] + count["resolved_manually"]
    assert context.failed_steps == count["error"]
    assert context.retrying_steps == count["waiting_for_retry"]
    assert context.cancelled_steps == count["cancelled"]
    assert context.ready_steps == len(able)
    assert context.total_steps == (
        context.pending_steps
        + context.in_progress_steps
        + context.completed_steps
        + context.failed_steps
        + context.retrying_steps
        + context.cancelled_steps
    ), "the counts add up"
    share = Decimal(100 * context.completed_steps) / Decimal(max(1, context.total_steps))
    rounded = share.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)
    assert context.completion_percentage == float(rounded)


def check_firsts(context: TaskContext, state: TaskState, able: list[StepState]) -> None:
    """Execution status, action and health: the first that matches, as specified."""
    count = Counter(str(step.state) for step in state.steps)
    if able:
        expected = "has_ready_steps", "execute_ready_steps"
    elif count["enqueued"] or count["in_progress"]:
        expected = "processing", "wait_for_completion"
    elif count["waiting_for_retry"]:
        expected = "waiting_for_retry", "wait_for_retry"
    elif count["error"] or count["cancelled"]:
        expected = "blocked_by_failures", "handle_failures"
    elif count["complete"] + count["resolved_manually"] == len(state.steps):
        expected = "all_complete", "finalize_task"
    else:
        expected = "waiting_for_dependencies", "wait_for_dependencies"
    assert (str(context.execution_status), context.recommended_action) == expected
    status = str(state.state)
    if status in {"blocked_by_failures", "error"}:
        health = "blocked"
    else:
        health = "recovering" if count["error"] + count["waiting_for_retry"] else "healthy"
    assert str(context.health_status) == health
    can_go_on = able or count["enqueued"] or count["in_progress"] or count["waiting_for_retry"]
    if can_go_on:
        assert status not in {"blocked_by_failures", "error"}, "blocked, and yet it can go on"
        assert str(context.execution_status) != "blocked_by_failures"


def check_summary(summary: TaskSummary, state: TaskState, plan: Plan, able: list[str]) -> None:
    names = [step.name for step in state.steps]
    assert list(summary.next_executable_steps) == able
    assert summary.root_step_names == tuple(step.name for step in plan.steps if not step.parents)
    assert summary.root_step_count == len(summary.root_step_names)
    reasons = dict(zip(summary.blocked_steps, summary.blocking_reasons, strict=True))
    expected = {
        "pending": "dependencies_not_satisfied",
        "waiting_for_retry": "retry_backoff",
        "error": "retry_not_eligible",
        "cancelled": "retry_not_eligible",
    }
    assert reasons == {
        step.name: expected[str(step.state)]
        for step in state.steps
        if str(step.state) in expected and step.name not in able
    }
    running = [step.name for step in state.steps if str(step.state) in {"enqueued", "in_progress"}]
    done = [step.name for step in state.steps if str(step.state) in DONE]
    assert sorted([*able, *reasons, *running, *done]) == sorted(names), "each step is in one list"
    assert summary.parallel_branches == len(able) + len(running)
    assert summary.parallel_safe is (len(able) > 1)
    ready = len(able)
    assert (summary.processing_strategy, summary.batch_size, summary.parallelism_potential) == (
        ("batch_parallel", 10, "high")
        if ready > 5
        else ("small_parallel", 3, "moderate")
        if ready > 1
        else ("sequential", 1, "sequential_only")
        if ready
        else ("waiting", 0, "no_ready_work")
    )
    assert summary.max_dependency_level == max((each.dependency_level for each in dag(plan)), default=0)


def check_rows(rows: tuple[StepReadiness, ...], summary: TaskSummary, state: TaskState, plan: Plan) -> None:
    done = {step.name for step in state.steps if str(step.state) in DONE}
    for row, step, planned in zip(rows, state.steps, plan.steps, strict=True):
        assert (row.step, row.current_state) == (step.name, step.state)
        assert row.total_parents == len(planned.parents)
        assert row.completed_parents == len(done.intersection(planned.parents))
        assert row.dependencies_satisfied is (row.completed_parents == row.total_parents)
        assert row.ready_for_execution is (row.step in summary.next_executable_steps)
        assert (row.blocking_reason is None) is row.ready_for_execution
        assert row.attempts <= row.attempt
        if row.ready_for_execution:
            assert row.time_until_ready == 0.0
        if str(row.current_state) == "waiting_for_retry":
            assert row.next_retry_at is not None
            assert row.time_until_ready is not None
        else:
            assert row.effective_backoff_seconds == 0.0


def check_no_null_list(view: msgspec.Struct) -> None:
    """A field that is a list is one, also when there is nothing in it."""
    values: dict[str, Any] = {name: getattr(view, name) for name in view.__struct_fields__}
    for name, value in values.items():
        if name.endswith(("_names", "_steps", "_reasons")) and not isinstance(value, int):
            assert isinstance(value, tuple), name
            assert None not in value, name
