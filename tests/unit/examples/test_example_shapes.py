"""Graphs of any shape, as tests and benchmarks ask for them."""

from __future__ import annotations

import pytest

from tasker_kafka.deploy.examples import shapes
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.template import Template


def edges(plan: Plan) -> set[tuple[str, str]]:
    return {(parent, step.name) for step in plan.steps for parent in step.parents}


def failing(plan: Plan) -> dict[str, int]:
    return {step.name: step.config["fail_times"] for step in plan.steps if step.handler == "shape.flaky"}


def test_linear_is_a_chain() -> None:
    plan = shapes.linear(4).compile()
    assert edges(plan) == {("step_1", "step_2"), ("step_2", "step_3"), ("step_3", "step_4")}
    assert plan.leaves == ("step_4",)


def test_diamond_joins_two_branches() -> None:
    assert edges(shapes.diamond().compile()) == {
        ("start", "left"),
        ("start", "right"),
        ("left", "end"),
        ("right", "end"),
    }


def test_fan_out_joins_all_branches() -> None:
    plan = shapes.fan_out(5).compile()
    assert len(plan.steps) == 7
    assert plan.steps[plan.index["join"]].parents == tuple(f"branch_{number}" for number in range(1, 6))


@pytest.mark.parametrize(("depth", "width", "steps", "leaves"), [(1, 2, 1, 1), (3, 2, 7, 4), (3, 3, 13, 9)])
def test_tree_grows(depth: int, width: int, steps: int, leaves: int) -> None:
    plan = shapes.tree(depth, width).compile()
    assert (len(plan.steps), len(plan.leaves)) == (steps, leaves)
    assert all(len(step.parents) <= 1 for step in plan.steps)


def test_mixed_has_two_flaky_steps_a_join_and_a_branch_of_its_own() -> None:
    plan = shapes.mixed().compile()
    assert failing(plan) == {"chain_2": 2, "fan_2": 2}
    assert set(plan.leaves) == {"alone", "end"}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (shapes.linear(2, fail_times=3), {"step_1": 3, "step_2": 3}),
        (shapes.diamond(fail_times=1), {"left": 1, "right": 1}),
        (shapes.fan_out(2, fail_times=1), {"branch_1": 1, "branch_2": 1}),
        (shapes.tree(2, 2, fail_times=1), {"root_1": 1, "root_2": 1}),
        (shapes.mixed(fail_times=0), {}),
    ],
)
def test_failing_steps_have_attempts_left_to_succeed(template: Template, expected: dict[str, int]) -> None:
    plan = template.compile()
    assert failing(plan) == expected
    for step in plan.steps:
        if step.name in expected:
            assert step.retry.max_attempts > expected[step.name]


def test_different_shapes_have_different_names() -> None:
    made = [
        shapes.linear(2),
        shapes.linear(3),
        shapes.linear(2, fail_times=1),
        shapes.linear(2, fail_times=2),
        shapes.diamond(),
        shapes.diamond(fail_times=1),
        shapes.fan_out(2),
        shapes.tree(2, 2),
        shapes.tree(2, 3),
        shapes.mixed(fail_times=0),
        shapes.mixed(),
    ]
    assert len({each.compile().name for each in made}) == len(made)


def test_shapes_reach_the_limits() -> None:
    assert len(shapes.linear(50).compile().steps) == 50
    assert len(shapes.fan_out(500).compile().steps) == 502
