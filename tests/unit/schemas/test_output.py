"""A task's own result: its paths, what is missing, and which steps it needs."""

from typing import Any

import pytest

from tasker_kafka.schemas.output import evaluate_output, output_paths, output_steps
from tasker_kafka.schemas.paths import MISSING, PathError, follow, parse_path
from tasker_kafka.schemas.plan import Plan, PlanStep


def plan(output: dict[str, Any] | None) -> Plan:
    names = [("cart", ()), ("charge", ("cart",)), ("ship", ("cart",))]
    steps = tuple(PlanStep(name=name, handler="h", queue="q", parents=parents) for name, parents in names)
    return Plan(namespace="shop", name="checkout", version="1.0.0", steps=steps, output=output)


RESULTS = {"cart": {"items": [{"id": 7}], "odd key": 1}, "charge": {"id": "ch_1"}, "ship": "today"}


def test_without_a_mapping_the_leaf_steps_results_are_the_output() -> None:
    assert output_steps(plan(None)) == ("charge", "ship")
    assert evaluate_output(plan(None), RESULTS) == {"charge": {"id": "ch_1"}, "ship": "today"}


def test_a_mapping_takes_parts_of_results_and_may_be_nested() -> None:
    mapping: dict[str, Any] = {
        "charge_id": "$.charge.id",
        "all": "$.ship",
        "first": {"item": "$.cart.items[0].id", "odd": '$.cart["odd key"]'},
    }
    found = plan(mapping)
    assert output_steps(found) == ("cart", "charge", "ship")
    assert evaluate_output(found, RESULTS) == {
        "charge_id": "ch_1",
        "all": "today",
        "first": {"item": 7, "odd": 1},
    }


@pytest.mark.parametrize(
    "path", ["$.charge.nothing", "$.cart.items[1]", "$.ship.day", "$.charge[0]", "$.cart.items.id"]
)
def test_what_is_not_there_is_null(path: str) -> None:
    assert evaluate_output(plan({"x": path}), RESULTS) == {"x": None}


def test_a_step_without_result_gives_null() -> None:
    assert evaluate_output(plan({"x": "$.charge.id", "y": "$.ship"}), {"ship": None}) == {
        "x": None,
        "y": None,
    }
    assert evaluate_output(plan(None), {}) == {"charge": None, "ship": None}


def test_only_the_steps_that_are_used_are_needed() -> None:
    assert output_steps(plan({"x": "$.charge.id", "y": {"z": "$.charge"}})) == ("charge",)
    assert [*output_paths({"x": "$.a", "y": {"z": "$.b[0]"}})] == [(("x",), ("a",)), (("y", "z"), ("b", 0))]


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("$", ()),
        ("$.a", ("a",)),
        ("$.a.b-c._d", ("a", "b-c", "_d")),
        ("$.a[0][12]", ("a", 0, 12)),
        ("$['a b'].c", ("a b", "c")),
    ],
)
def test_paths_are_read(text: str, steps: tuple[str | int, ...]) -> None:
    assert parse_path(text) == steps


@pytest.mark.parametrize(
    "text", ["", "a.b", "$a", "$.", "$..a", "$.a[*]", "$.a[-1]", "$.a[01]", "$.a b", "$[?(@)]", "$['a]"]
)
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(PathError):
        parse_path(text)


def test_a_path_has_an_end() -> None:
    assert parse_path("$" + ".a" * 255) == ("a",) * 255
    with pytest.raises(PathError, match="at most 512"):
        parse_path("$" + ".a" * 256)


def test_null_is_a_value_and_nothing_is_not() -> None:
    assert follow(("a",), {"a": None}) is None
    assert follow(("a",), {}) is MISSING
    assert follow((), 5) == 5
