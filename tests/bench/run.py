"""Measures the whole system as users run it: broker, orchestrator and worker in processes of their own.

    make bench                                           every load of every shape, six minutes on a quiet machine
    make bench ARGS=--quick                              a minute, for a look
    python -m tests.bench.run --loads drained --shapes chain-5,diamond --json figures.json
    python -m tests.bench.run --all --markdown docs/benchmarks.md

Steps do nothing, so the figures are the engine's.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

from tasker_kafka.schemas.plan import Plan
from tests.bench import size, timers
from tests.bench.arrivals import Found, find_knee, knee_json, knee_text
from tests.bench.figures import Figures, figures_of
from tests.bench.goals import goal_table, load_goals
from tests.bench.loads import Run, drained, measure, one_client, with_in_flight
from tests.bench.options import Sizes, arguments, sizes_of
from tests.bench.shapes import SHAPES, plans
from tests.bench.stage import BrokerAt, Stage, staged
from tests.bench.tables import cost_table, speed_table
from tests.bench.tool import Result, Section, heading, report, run_sections, say
from tests.support.system import PARTITIONS

__all__ = ["SHAPES", "loads", "main", "plans", "runs_of"]

_WARM_UP = 50
_FIRST_SHARE = 0.25
_FIRST_RATE = 200.0


def runs_of(chosen: argparse.Namespace, sizes: Sizes) -> list[Run]:
    """The rows of the table, in its order; arrivals have a table of their own."""
    shapes = {name: plan for name, plan in plans().items() if name in chosen.shapes}
    found: list[Run] = []
    for load in chosen.loads:
        if load == "drained":
            found += [
                Run(load=load, shape=name, plan=plan, tasks=sizes.drained(len(plan.steps)), run=drained)
                for name, plan in shapes.items()
            ]
        elif load == "in flight":
            for count in sizes.in_flight:
                found += [_looped(name, plan, count, sizes) for name, plan in shapes.items()]
        elif load == "one client":
            found += [
                Run(load=load, shape=name, plan=plan, tasks=sizes.one_client, run=one_client)
                for name, plan in shapes.items()
            ]
    return found


def _looped(shape: str, plan: Plan, in_flight: int, sizes: Sizes) -> Run:
    return Run(
        load=f"{in_flight} in flight",
        shape=shape,
        plan=plan,
        tasks=sizes.looped(len(plan.steps), in_flight),
        run=with_in_flight(in_flight),
        in_flight=in_flight,
    )


async def loads(chosen: argparse.Namespace, broker: BrokerAt) -> Result:
    """Every chosen load of every chosen shape, on one system."""
    sizes = sizes_of(chosen)
    head = _head(chosen)
    known = plans()
    rows: list[Figures] = []
    knees: list[Found] = []
    async with staged(
        broker, [*known.values()], orchestrators=chosen.orchestrators, workers=chosen.workers
    ) as stage:
        head["first task"] = (
            f"{stage.first_task_seconds:.1f} s after the topics began to be created, the start of the roles included"
        )
        await _warm_up(stage, known[chosen.shapes[0]], sizes)
        for wanted in runs_of(chosen, sizes):
            rows.append(await _row(stage, wanted))
        if "arrivals" in chosen.loads:
            for shape in chosen.arrival_shapes:
                first = _first_rate(rows, shape)
                knees.append(await find_knee(stage, shape, known[shape], first, sizes.arrivals))
                say(f"arrivals, {shape}: the knee is at {knees[-1].knee:,.0f} tasks/s")
    return _result(head, rows, knees)


async def _warm_up(stage: Stage, plan: Plan, sizes: Sizes) -> None:
    """The broker's compiler and the first checkpoints are not what is measured."""
    await stage.run(plan, max(1, sizes.warm_up_steps // len(plan.steps)))


async def _row(stage: Stage, wanted: Run) -> Figures:
    await stage.run(wanted.plan, _WARM_UP)
    row = figures_of(await measure(stage, wanted))
    say(
        f"{row.load}, {row.shape}: {row.steps_per_second:,.0f} steps/s, p50 {row.p50_ms:.0f} ms, "
        f"{row.cpu_ms_per_step_all:.3f} ms CPU per step"
    )
    return row


def _first_rate(rows: Sequence[Figures], shape: str) -> float:
    """Where to begin looking for the knee: well below what was drained."""
    rates = [row.tasks_per_second for row in rows if row.load == "drained" and row.shape == shape]
    return _FIRST_SHARE * rates[0] if rates else _FIRST_RATE


def _head(chosen: argparse.Namespace) -> dict[str, Any]:
    return heading(
        f"one broker, {chosen.orchestrators} orchestrator and {chosen.workers} worker processes; {PARTITIONS} "
        "partitions; acks=all, idempotent; no compression; default checkpoint interval; steps that return at once"
    )


def _result(head: dict[str, Any], rows: Sequence[Figures], knees: Sequence[Found]) -> Result:
    blocks: dict[str, str] = {}
    if rows:
        blocks["loads"] = report(head, speed_table(rows), cost_table(rows), goal_table(load_goals(rows)))
    if knees:
        blocks["arrivals"] = "\n\n".join(map(knee_text, knees))
    return Result(
        blocks,
        {
            "loads": {**head, "rows": [row.as_json() for row in rows]},
            "arrivals": [knee_json(each) for each in knees],
        },
    )


def main(given: Sequence[str] | None = None) -> int:
    """Measure and print."""
    chosen = arguments(given, description=__doc__)
    sections: list[Section] = [partial(loads, chosen)]
    if chosen.all:
        sections += [partial(size.section, size.FULL), partial(timers.section, timers.FULL)]
    return run_sections(sections, chosen)


if __name__ == "__main__":
    sys.exit(main())
