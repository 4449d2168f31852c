"""What the project wants of itself, beside what was measured: a goal that is missed is printed like one that is met."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tests.bench.figures import Figures
from tests.bench.tables import aligned

__all__ = ["Goal", "at_least", "at_most", "goal_table", "load_goals"]


@dataclass(frozen=True)
class Goal:
    """One line of the table."""

    what: str
    wanted: str
    measured: str
    is_met: bool


def at_least(what: str, wanted: float, measured: float, form: str = ",.0f") -> Goal:
    """More is better."""
    return Goal(what, f"≥ {wanted:{form}}", f"{measured:{form}}", measured >= wanted)


def at_most(what: str, wanted: float, measured: float, form: str = ",.0f") -> Goal:
    """Less is better."""
    return Goal(what, f"≤ {wanted:{form}}", f"{measured:{form}}", measured <= wanted)


_Judge = Callable[[Figures], list[Goal]]


def _drained(steps_per_second: float) -> _Judge:
    def judge(row: Figures) -> list[Goal]:
        name = f"drained, {row.shape}"
        goals = [
            at_least(f"{name}: steps/s", steps_per_second, row.steps_per_second),
            at_most(f"{name}: CPU ms/step, all processes", 0.12, row.cpu_ms_per_step_all, ".3f"),
            at_most(f"{name}: records/step", 4.8, row.records_per_step, ".2f"),
        ]
        if row.disk_bytes_per_step is not None:
            goals.append(at_most(f"{name}: bytes/step on disk", 500, row.disk_bytes_per_step))
        return goals

    return judge


def _in_flight(row: Figures) -> list[Goal]:
    name = f"{row.load}, {row.shape}"
    return [
        at_least(f"{name}: steps/s", 3_500, row.steps_per_second),
        at_most(f"{name}: CPU ms/step, all processes", 0.5, row.cpu_ms_per_step_all, ".3f"),
    ]


def _one_client(row: Figures) -> list[Goal]:
    seen = row.client_ms
    if seen is None:
        return []
    name = f"{row.load}, {row.shape}"
    return [at_most(f"{name}: p50 ms", 13, seen.p50, ".1f"), at_most(f"{name}: p99 ms", 30, seen.p99, ".1f")]


_LOADS: dict[tuple[str, str], _Judge] = {
    ("drained", "chain-5"): _drained(12_000),
    ("drained", "diamond"): _drained(12_000),
    ("drained", "fan-out-20"): _drained(15_000),
    ("64 in flight", "chain-5"): _in_flight,
    ("one client", "chain-5"): _one_client,
}


def load_goals(rows: Iterable[Figures]) -> list[Goal]:
    """The goals of the rows that have any."""
    found: list[Goal] = []
    for row in rows:
        judge = _LOADS.get((row.load, row.shape))
        if judge is not None:
            found += judge(row)
    return found


def goal_table(goals: Sequence[Goal]) -> str:
    """Goal by goal; empty without any."""
    if not goals:
        return ""
    rows = [[each.what, each.wanted, each.measured, "yes" if each.is_met else "no"] for each in goals]
    return aligned(["goal", "wanted", "measured", "met"], rows)
