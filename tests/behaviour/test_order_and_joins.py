"""Which step runs when: dependencies, joins, limits of parallelism, bypasses, and what a task gives back."""

from __future__ import annotations

from typing import Any

from tasker_kafka.handlers import StepContext
from tasker_kafka.schemas.words import StepStatus, TaskStatus
from tests.support.behaviour import Gate, Play


def test_steps_run_after_their_parents_and_get_their_results(play: Play) -> None:
    async def add(context: StepContext) -> int:
        return sum(context.dependency_result(name) for name in ("two", "three"))

    flow = play.flow().step("one", lambda: 1)
    flow.step("two", lambda: 2, after=["one"]).step("three", lambda: 3, after=["one"])
    result = flow.step("four", add, after=["two", "three"]).run().assert_complete()
    assert result.finished_steps[0] == "one"
    assert result.finished_steps[3] == "four"
    assert result.output == {"four": 5}
    assert result.states == (TaskStatus.PENDING, TaskStatus.IN_PROGRESS, TaskStatus.COMPLETE)
    assert result.steps["four"].states == (
        StepStatus.PENDING,
        StepStatus.ENQUEUED,
        StepStatus.IN_PROGRESS,
        StepStatus.COMPLETE,
    )


def test_a_join_waits_for_its_last_parent(play: Play) -> None:
    gate = Gate()
    flow = play.flow().step("slow", gate.handler).step("quick")
    task = flow.step("join", after=["slow", "quick"]).submit()
    task.wait_until(lambda seen: seen.finished_steps == ("quick",))
    assert flow.handled("join") == []
    gate.open()
    assert task.wait().assert_complete().finished_steps == ("quick", "slow", "join")


def test_independent_branches_run_at_the_same_time(play: Play) -> None:
    gate = Gate()
    flow = play.flow()
    for number in range(5):
        flow.step(f"branch_{number}", gate.handler)
    task = flow.submit()
    play.workflow.wait_until(lambda: gate.most_at_once == 5)
    gate.open()
    task.wait().assert_complete()


def test_max_parallel_steps_holds_ready_steps_back_in_template_order(play: Play) -> None:
    gate = Gate()
    flow = play.flow(max_parallel_steps=2)
    names = [f"step_{number}" for number in range(5)]
    for name in names:
        flow.step(name, gate.handler)
    task = flow.submit()
    play.workflow.wait_until(lambda: gate.most_at_once == 2)
    assert [step.state for step in task.result().steps.values()].count(StepStatus.PENDING) == 3
    gate.open()
    result = task.wait().assert_complete()
    assert gate.most_at_once == 2
    granted = [each.step for each in result.transitions if each.to_state is StepStatus.ENQUEUED]
    assert granted == names


def test_one_parallel_step_is_one_after_the_other(play: Play) -> None:
    flow = play.flow(max_parallel_steps=1)
    names = ["c", "a", "b"]
    for name in names:
        flow.step(name)
    assert list(flow.run().assert_complete().finished_steps) == names


def test_a_bypassed_step_is_done_without_running_or_result(play: Play) -> None:
    async def take(context: StepContext) -> list[Any]:
        return [context.dependency_result("checked"), context.dependency_result("priced")]

    flow = play.flow().step("checked").step("priced").step("sold", take, after=["checked", "priced"])
    result = flow.run(bypass_steps=("checked",)).assert_complete()
    assert result.output == {"sold": [None, "priced"]}
    assert flow.handled("checked") == []
    assert result.steps["checked"].states == (StepStatus.PENDING, StepStatus.COMPLETE)


def test_a_bypassed_child_does_not_wait_for_its_parents(play: Play) -> None:
    gate = Gate()
    flow = (
        play.flow()
        .step("first", gate.handler)
        .step("second", after=["first"])
        .step("third", after=["second"])
    )
    task = flow.submit(bypass_steps=("second",))
    task.wait_until(lambda seen: seen.finished_steps == ("second", "third"))
    gate.open()
    task.wait().assert_complete()


def test_a_template_without_steps_completes(play: Play) -> None:
    result = play.flow().run({"a": 1}).assert_complete()
    assert result.output == {}


def test_a_task_of_bypassed_steps_only_completes(play: Play) -> None:
    result = play.flow().step("one").run(bypass_steps=("one",)).assert_complete()
    assert result.output == {"one": None}


def test_output_is_what_the_template_maps(play: Play) -> None:
    flow = play.flow(
        output={"total": "$.price.total", "who": {"name": "$.customer.name"}, "gone": "$.price.tax"}
    )
    flow.step("price", lambda: {"total": 12}).step("customer", lambda: {"name": "Ada"})
    assert flow.run().output == {"total": 12, "who": {"name": "Ada"}, "gone": None}


def test_defaults_of_the_input_schema_reach_the_handlers(play: Play) -> None:
    schema = {"type": "object", "properties": {"currency": {"type": "string", "default": "EUR"}}}

    async def read(context: StepContext) -> Any:
        return context.task_context

    flow = play.flow(input_schema=schema).step("read", read)
    assert flow.run({"amount": 1}).output == {"read": {"amount": 1, "currency": "EUR"}}


def test_initialization_reaches_the_handler_as_its_config(play: Play) -> None:
    async def read(context: StepContext) -> Any:
        return context.config

    assert play.flow().step("read", read, config={"url": "here"}).run().output == {"read": {"url": "here"}}


def test_a_task_keeps_the_plan_it_began_with(play: Play) -> None:
    gate = Gate("old")
    flow = play.flow(version="1.0.0").step("one", gate.handler)
    task = flow.submit()
    flow.wait_handled("one")
    newer = play.flow(version="1.1.0")
    newer.template._document["name"] = flow.name
    newer.step("other", lambda: "new")
    play.workflow.add(newer.template)
    assert play.workflow.run(flow.name).output == {"other": "new"}
    gate.open()
    assert task.wait().output == {"one": "old"}
    assert play.workflow.run(flow.name, version="1.0.0").output == {"one": "old"}
