"""Goals beside figures."""

from __future__ import annotations

from typing import Any

from tests.bench.figures import Figures, Spread
from tests.bench.goals import Goal, at_least, at_most, goal_table, load_goals


def row(load: str, shape: str, **changed: Any) -> Figures:
    values: dict[str, Any] = {
        "load": load,
        "shape": shape,
        "tasks": 1,
        "steps": 5,
        "tasks_per_second": 1.0,
        "steps_per_second": 12_000.0,
        "p50_ms": 1.0,
        "p95_ms": 1.0,
        "p99_ms": 1.0,
        "client_ms": None,
        "cpu_ms_per_step": {},
        "cpu_ms_per_step_all": 0.12,
        "crowding": 1.0,
        "records_per_step": 4.81,
        "bytes_per_step": 1.0,
        "disk_bytes_per_step": 500.0,
    }
    return Figures(**values | changed)


def test_a_goal_is_met_at_its_very_number() -> None:
    assert at_least("a", 3.0, 3.0).is_met
    assert not at_least("a", 3.0, 2.9).is_met
    assert at_most("a", 3.0, 3.0).is_met
    assert not at_most("a", 3.0, 3.1).is_met


def test_every_figure_of_a_drained_chain_has_its_goal() -> None:
    goals = load_goals([row("drained", "chain-5")])
    assert [(each.what.partition(": ")[2], each.is_met) for each in goals] == [
        ("steps/s", True),
        ("CPU ms/step, all processes", True),
        ("records/step", False),
        ("bytes/step on disk", True),
    ]


def test_a_fan_out_is_asked_for_more_and_other_rows_for_nothing() -> None:
    assert not load_goals([row("drained", "fan-out-20")])[0].is_met
    assert (
        load_goals([row("drained", "tree"), row("256 in flight", "chain-5"), row("one client", "chain-5")])
        == []
    )


def test_one_client_is_judged_by_what_it_saw() -> None:
    goals = load_goals([row("one client", "chain-5", client_ms=Spread(12.0, 31.0, 90.0))])
    assert [each.is_met for each in goals] == [True, False]


def test_a_missed_goal_is_printed_like_any_other() -> None:
    lines = goal_table([Goal("a", "≥ 2", "1", False), Goal("b", "≥ 2", "3", True)]).splitlines()
    assert [line.rstrip("| ").rpartition(" ")[2] for line in lines[2:]] == ["no", "yes"]
    assert goal_table([]) == ""
