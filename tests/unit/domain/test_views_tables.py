"""The four views of every acceptance task in every phase, against tables worked out by hand from their specification.

A row of acceptance_views.txt gives the task's state, its counts, and what the summary says. Each task has one step that
fails:

    fresh          created, not started
    first_wave     started: the roots are dispatched
    running        the first root has begun
    retrying       what comes before the failing step is done, and it waits for its second attempt
    partly_failed  it has failed for good, while others are dispatched (a chain has no others)
    blocked        nothing else is left to run, and the template waits for somebody
    error          the same where the template gives up
    reopened       an operator has retried the task
    step_resolved  instead, an operator has resolved the step
    resolved       instead, an operator has resolved the task
    complete       every step has succeeded at once
    cancelled      an operator has cancelled the task after its start
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tasker_kafka.deploy.examples import TEMPLATES, shapes
from tasker_kafka.deploy.template_files import load_plans
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.state import Stub, TaskState
from tasker_kafka.schemas.words import OperatorAction, StepStatus
from tasker_kafka.streams.domain.evolve import Fold
from tasker_kafka.streams.domain.views import dag, step_readiness, workflow_summary
from tests.support.tasks import Rig

TEXT = Path(__file__).with_name("acceptance_views.txt")
REASONS = {"d": "dependencies_not_satisfied", "b": "retry_backoff", "n": "retry_not_eligible"}
ACTIONS = {
    "has_ready_steps": "execute_ready_steps",
    "processing": "wait_for_completion",
    "waiting_for_retry": "wait_for_retry",
    "blocked_by_failures": "handle_failures",
    "all_complete": "finalize_task",
}
STRATEGIES: dict[int, tuple[str, int, bool, str]] = {
    0: ("waiting", 0, False, "no_ready_work"),
    1: ("sequential", 1, False, "sequential_only"),
    2: ("small_parallel", 3, True, "moderate"),
    3: ("small_parallel", 3, True, "moderate"),
}
"""Ready steps → strategy, batch size, whether parallel, potential."""

TASKS = {
    # Task → its failing step, the longest path to each step, its table; the shortest path is the same in all of them
    "default/dummy@1.0.0": (1, "0 0 1 2", "dummy"),
    "ecommerce/checkout@1.0.0": (2, "0 1 2 3 4", "chain_of_5"),
    "ecommerce/observed_checkout@1.0.0": (2, "0 1 2 3 4", "chain_of_5"),
    "customer_success/process_refund@1.3.0": (2, "0 1 2 3 4", "chain_of_5"),
    "payments/process_refund@2.1.0": (3, "0 1 2 2", "refund"),
    "payments/process_payment@1.0.0": (2, "0 1 2", "chain_of_3"),
    "analytics/data_pipeline@1.0.0": (2, "0 0 0 1 1 2 3 4", "pipeline"),
    "microservices/user_registration@1.0.0": (2, "0 1 1 2 3", "registration"),
    "integrations/api_task@1.0.0": (1, "0 0 1 2 3", "api_task"),
    "shapes/linear_5@1.0.0": (2, "0 1 2 3 4", "chain_of_5"),
    "shapes/diamond@1.0.0": (2, "0 1 1 2", "diamond"),
    "shapes/fan_out_4@1.0.0": (2, "0 1 1 1 1 2", "fan_out_4"),
    "shapes/tree_3_2@1.0.0": (2, "0 1 1 2 2 2 2", "tree"),
    "shapes/mixed_failing_2@1.0.0": (5, "0 1 2 1 1 1 2 2 3", "mixed"),
}


def all_plans() -> dict[str, Plan]:
    """Every acceptance task's plan."""
    made = [shapes.linear(5), shapes.diamond(), shapes.fan_out(4), shapes.tree(3), shapes.mixed()]
    found = [plan for each in load_plans([TEMPLATES]).values() for plan in each]
    return {
        f"{plan.namespace}/{plan.name}@{plan.version}": plan
        for plan in (*found, *(each.compile() for each in made))
    }


def read_tables() -> dict[str, list[dict[str, str]]]:
    """Name → rows, each by its columns."""
    found: dict[str, list[dict[str, str]]] = {}
    for section in re.split(r"^\[", TEXT.read_text(), flags=re.MULTILINE)[1:]:
        name, _, table = section.partition("]")
        columns, *rows = (line.split() for line in table.strip().splitlines())
        found[name] = [dict(zip(columns, row, strict=True)) for row in rows]
    return found


PLANS = all_plans()
TABLES = read_tables()


def test_no_acceptance_task_is_left_out() -> None:
    assert set(PLANS) == set(TASKS)


def rows() -> list[Any]:
    """Task, failing step and one row of its table, for each phase of each task."""
    return [
        pytest.param(task, fails, row, id=f"{task}-{row['phase']}")
        for task, (fails, _, table) in TASKS.items()
        for row in TABLES[table]
    ]


@pytest.mark.parametrize(("task", "fails", "row"), rows())
def test_a_phase_of_a_task(task: str, fails: int, row: dict[str, str]) -> None:
    plan = PLANS[task]
    if row["phase"] == "blocked":
        plan = replace(plan, lifecycle=replace(plan.lifecycle, on_blocked="wait"))
    rig = Rig(plan)
    play(rig, plan.steps[fails - 1].name, row["phase"])
    state = whole(rig)
    got = workflow_summary(state, plan)
    context = got.context
    assert (context.namespace, context.name, context.version) == (plan.namespace, plan.name, plan.version)
    number = {step.name: str(position + 1) for position, step in enumerate(plan.steps)}
    assert {
        "phase": row["phase"],
        "status": context.status,
        "total": str(context.total_steps),
        "pending": str(context.pending_steps),
        "in_progress": str(context.in_progress_steps),
        "completed": str(context.completed_steps),
        "failed": str(context.failed_steps),
        "retrying": str(context.retrying_steps),
        "cancelled": str(context.cancelled_steps),
        "ready": str(context.ready_steps),
        "execution": context.execution_status,
        "percentage": str(context.completion_percentage),
        "health": context.health_status,
        "next": ",".join(number[each] for each in got.next_executable_steps) or "-",
        "blocked": ",".join(
            number[step] + next(short for short, reason in REASONS.items() if reason == why)
            for step, why in zip(got.blocked_steps, got.blocking_reasons, strict=True)
        )
        or "-",
        "branches": str(got.parallel_branches),
        "efficiency": got.workflow_efficiency,
    } == row
    assert context.recommended_action == ACTIONS[row["execution"]]
    said = got.processing_strategy, got.batch_size, got.parallel_safe, got.parallelism_potential
    assert said == STRATEGIES[int(row["ready"])]
    check_readiness(state, plan, row, rig.now)


@pytest.mark.parametrize("task", TASKS)
def test_relations_of_a_task(task: str) -> None:
    plan, levels = PLANS[task], TASKS[task][1]
    relations = dag(plan)
    assert " ".join(str(each.dependency_level) for each in relations) == levels
    assert " ".join(str(each.min_depth_from_root) for each in relations) == levels
    roots = tuple(step.name for step, level in zip(plan.steps, levels.split(), strict=True) if level == "0")
    rig = Rig(plan)
    rig.start(not_before=rig.now + 10**6)
    got = workflow_summary(rig.live, plan)
    assert (got.root_step_names, got.root_step_count) == (roots, len(roots))
    assert got.max_dependency_level == max(map(int, levels.split()))
    assert tuple(each.step for each in relations if each.is_root_step) == roots
    assert tuple(each.step for each in relations if each.is_leaf_step) == plan.leaves


# ------------------------------------------------------------------------------------------------- stories


def play(rig: Rig, fails: str, phase: str) -> None:
    """Bring the task into a phase."""
    if phase == "fresh":
        rig.start(not_before=rig.now + 10**6)
        return
    rig.start()
    if phase == "running":
        rig.report(rig.plan.steps[0].name)
    elif phase == "complete":
        run_out(rig)
    elif phase == "cancelled":
        rig.operate(OperatorAction.CANCEL_TASK)
    elif phase not in {"first_wave", "running"}:
        fail(rig, fails, phase)


def fail(rig: Rig, fails: str, phase: str) -> None:
    """The phases in which a step has failed."""
    for name in ancestors(rig.plan, fails):
        rig.succeed(name)
    rig.fail(fails, retryable=phase == "retrying", retry_after_ms=60_000)
    if phase in {"retrying", "partly_failed"}:
        return
    run_out(rig)
    if phase == "reopened":
        rig.operate(OperatorAction.RETRY_TASK)
    elif phase == "step_resolved":
        rig.operate(OperatorAction.RESOLVE_STEP, fails)
    elif phase == "resolved":
        rig.operate(OperatorAction.RESOLVE_TASK)


def ancestors(plan: Plan, name: str) -> list[str]:
    """What must be done before a step, parents first."""
    found: list[str] = []
    for parent in plan.steps[plan.index[name]].parents:
        found += [each for each in (*ancestors(plan, parent), parent) if each not in found]
    return found


def run_out(rig: Rig) -> None:
    """Whatever is dispatched succeeds, until nothing is."""
    while not isinstance(rig.state, Stub):
        running = [step.name for step in rig.live.steps if step.state is StepStatus.ENQUEUED]
        if not running:
            return
        rig.succeed(running[0])


def whole(rig: Rig) -> TaskState:
    """The task as a reader has it, also when the engine keeps a stub only."""
    working = Fold(None, rig.plan)
    for record in rig.records:
        for transition in record.transitions:
            working.apply(transition)
    last = rig.records[-1]
    return working.freeze(life=last.life, seq=last.seq, now=last.at, command_ids=())


def check_readiness(state: TaskState, plan: Plan, row: dict[str, str], now: int) -> None:
    """The steps' own rows say the same as the summary."""
    ready = {number for number in row["next"].split(",") if number != "-"}
    parents_missing = {each[:-1] for each in row["blocked"].split(",") if each.endswith("d")}
    for position, each in enumerate(step_readiness(state, plan, now)):
        number = str(position + 1)
        assert each.ready_for_execution is (number in ready)
        if number in parents_missing:
            assert each.blocking_reason == "dependencies_not_satisfied"
        if number + "n" in row["blocked"].split(","):
            assert each.blocking_reason in {"dependencies_not_satisfied", "retry_not_eligible"}
            assert each.retry_eligible is False
        if number + "b" in row["blocked"].split(","):
            assert (each.blocking_reason, each.attempts) == ("invalid_state", 1)
            assert each.next_retry_at is not None
            assert each.time_until_ready == pytest.approx((each.next_retry_at - now) / 1000)
