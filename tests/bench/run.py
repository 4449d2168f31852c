"""Measures the whole system as users run it: broker, orchestrator and worker in processes of their own.

    make bench                                           every load of every shape, under ten minutes
    make bench ARGS=--quick                              a minute, for a look
    python -m tests.bench.run --loads drained --shapes chain-5,diamond --json figures.json
    python -m tests.bench.run --all --markdown docs/benchmarks.md

Steps do nothing, so the figures are the engine's.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.settings import load_settings
from tests.bench import events, size, timers
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

__all__ = ["SHAPES", "arrivals", "loads", "main", "plans", "runs_of"]

_WARM_UP = 50
_FIRST_SHARE = 0.25


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
    sizes, head, known = sizes_of(chosen), _head(chosen), plans()
    rows: list[Figures] = []
    async with _system(chosen, broker) as stage:
        head["first task"] = (
            f"{stage.first_task_seconds:.1f} s after the topics began to be created, the start of the roles included"
        )
        await _warm_up(stage, known[chosen.shapes[0]], sizes)
        for wanted in runs_of(chosen, sizes):
            rows.append(await _row(stage, wanted))
    text = report(head, speed_table(rows), cost_table(rows), goal_table(load_goals(rows)))
    return Result({"loads": text}, {"loads": {**head, "rows": [row.as_json() for row in rows]}})


async def arrivals(chosen: argparse.Namespace, broker: BrokerAt) -> Result:
    """The knee of every chosen shape, on one system. The first rate is a share of what the warm-up closed."""
    sizes, head, known = sizes_of(chosen), _head(chosen), plans()
    found: list[Found] = []
    async with _system(chosen, broker) as stage:
        for shape in chosen.arrival_shapes:
            rate = await _warm_up(stage, known[shape], sizes)
            found.append(await find_knee(stage, shape, known[shape], _FIRST_SHARE * rate, sizes.arrivals))
            say(f"arrivals, {shape}: the knee is at {found[-1].knee or 0:,.0f} tasks/s")
    text = report(head, *map(knee_text, found))
    return Result({"arrivals": text}, {"arrivals": {**head, "shapes": [knee_json(each) for each in found]}})


def _system(chosen: argparse.Namespace, broker: BrokerAt) -> AbstractAsyncContextManager[Stage]:
    shapes = [*plans().values()]
    return staged(broker, shapes, orchestrators=chosen.orchestrators, workers=chosen.workers)


async def _warm_up(stage: Stage, plan: Plan, sizes: Sizes) -> float:
    """The broker's compiler and the first checkpoints are not what is measured. Returns tasks per second."""
    tasks, began = max(1, sizes.warm_up_steps // len(plan.steps)), time.perf_counter()
    await stage.run(plan, tasks)
    return tasks / (time.perf_counter() - began)


async def _row(stage: Stage, wanted: Run) -> Figures:
    await stage.run(wanted.plan, _WARM_UP)
    row = figures_of(await measure(stage, wanted))
    say(
        f"{row.load}, {row.shape}: {row.steps_per_second:,.0f} steps/s, p50 {row.p50_ms:.0f} ms, "
        f"{row.cpu_ms_per_step_all:.3f} ms CPU per step"
    )
    return row


def _head(chosen: argparse.Namespace) -> dict[str, Any]:
    return heading(
        f"one broker, {chosen.orchestrators} orchestrator and {chosen.workers} worker processes; {PARTITIONS} "
        f"partitions; acks=all, idempotent; compression {load_settings().broker.compression}; default checkpoint "
        "interval; steps that return at once"
    )


def main(given: Sequence[str] | None = None) -> int:
    """Measure and print."""
    chosen = arguments(given, description=__doc__)
    sections: list[Section] = []
    if set(chosen.loads) - {"arrivals"}:
        sections.append(partial(loads, chosen))
    if "arrivals" in chosen.loads:
        sections.append(partial(arrivals, chosen))
    if chosen.all:
        sections += [partial(size.section, size.FULL), partial(timers.section, timers.FULL)]
        sections += events.SECTIONS.values()
    return run_sections(sections, chosen)


if __name__ == "__main__":
    sys.exit(main())
