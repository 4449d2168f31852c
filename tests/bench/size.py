"""Measures an orchestrator that holds much: 100,000 live tasks, then 1,000,000 closed ones.

    make bench-size
    python -m tests.bench.size --live 20000 --stubs 100000

The live tasks are real ones: chains of five whose first step waits in a queue that nobody consumes. The same loads run
before and after they are there, and the orchestrator is stopped, and killed, and loads them again. The closed tasks
are written into the changelog as an engine would have, before the orchestrator starts.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.template import Template
from tests.bench.figures import Figures, figures_of
from tests.bench.goals import Goal, at_most, goal_table
from tests.bench.loads import Run, drained, measure, with_in_flight
from tests.bench.machine import since
from tests.bench.options import add_output, at_least_one
from tests.bench.requests import RequestMaker
from tests.bench.stage import ORCHESTRATOR, BrokerAt, Stage, staged
from tests.bench.stubs import write_stubs
from tests.bench.tables import aligned
from tests.bench.tool import Result, heading, report, run_sections, say
from tests.bench.wide import wide_table
from tests.bench.window import Window
from tests.support.system import PARTITIONS, chain

__all__ = ["FULL", "Wanted", "main", "section"]

_MIB = 1024 * 1024
_LOOK_SECONDS = 0.1
_STEPS = 5
_HELD_ALREADY = ("nothing held", "as they came")
_OWNS = re.compile(
    r"owns partitions .* after ([\d.]+) s \(CPU ([\d.]+) s\): (\d+) live tasks, (\d+) closed ones"
)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """How much is held, and how many tasks measure the difference."""

    live: int = 100_000
    stubs: int = 1_000_000
    drained: int = 10_000
    looped: int = 2_000
    in_flight: int = 64
    idle_seconds: int = 5
    """Of looking at the orchestrator while there is nothing to do."""


FULL = Wanted()


@dataclass(frozen=True, kw_only=True)
class Held:
    """One look at an orchestrator: what it held, and what it did then."""

    what: str
    live: int
    closed: int
    rss_mib: float
    load_seconds: float | None
    """Taking the partitions, as its log says; None: it held them already."""
    load_cpu_seconds: float | None
    idle_share: float
    """Of a processor, with nothing to do."""
    drained: Figures
    looped: Figures


def parked() -> Plan:
    """A chain of five, whose first step waits for a worker that is not there: one takes the queues of its handlers."""
    template = Template("parked").step("step_0", handler="bench.nobody_has_it", queue="parked")
    for number in range(1, _STEPS):
        template = template.step(f"step_{number}", handler="test.noop", depends_on=[f"step_{number - 1}"])
    return template.compile()


async def section(wanted: Wanted, broker: BrokerAt) -> Result:
    """Both halves, and what a task of a thousand steps costs."""
    head = heading(
        f"one broker, one orchestrator and one worker process; {PARTITIONS} partitions; chains of {_STEPS} steps; "
        "default settings"
    )
    looks = [*await _live(wanted, broker), *await _closed(wanted, broker)]
    wide, costs = wide_table()
    return Result(
        {"size": report(head, _table(looks, wanted), goal_table(_goals(looks)), wide)},
        {"size": {**head, "looks": [_json(each) for each in looks], "steps": costs}},
    )


async def _live(wanted: Wanted, broker: BrokerAt) -> list[Held]:
    work, waiting = chain(_STEPS), parked()
    looks: list[Held] = []
    async with staged(broker, [work, waiting]) as stage:
        await stage.run(work, wanted.looped)
        looks.append(await _look(stage, "nothing held", work, wanted))
        await _park(stage, waiting, wanted.live)
        looks.append(await _look(stage, "as they came", work, wanted, live=wanted.live))
        for how in ("stopped and started", "killed and started"):
            await _restart(stage, kill=how.startswith("killed"))
            looks.append(await _look(stage, how, work, wanted, live=wanted.live))
    return looks


async def _closed(wanted: Wanted, broker: BrokerAt) -> list[Held]:
    work = chain(_STEPS)

    async def prepare(stage: Stage) -> None:
        await write_stubs(stage.system, work, wanted.stubs)
        say(f"{wanted.stubs:,} closed tasks are written")

    async with staged(broker, [work], prepare=prepare) as stage:
        await stage.run(work, wanted.looped)
        return [await _look(stage, "started", work, wanted)]


async def _park(stage: Stage, plan: Plan, count: int) -> None:
    """Live tasks that wait: one record each."""
    system = stage.system
    window = await Window.open(system, plan)
    began = time.perf_counter()
    system.queue(RequestMaker(plan, system.names.task_requests).make(count))
    while await window.written(system.names.transitions) < count:  # noqa: ASYNC110 - it is in another process
        await asyncio.sleep(_LOOK_SECONDS)
    say(f"{count:,} live tasks after {time.perf_counter() - began:.0f} s")
    if await window.written(system.names.transitions) != count:
        raise AssertionError("tasks that should wait went on: some worker takes their first step")


async def _restart(stage: Stage, *, kill: bool) -> None:
    """End the orchestrator, wait, start it again."""
    system, name = stage.system, f"{ORCHESTRATOR}-0"
    stage.resting.add(name)
    if kill:
        system.kill(name)
    else:
        system.roles[name].terminate()
        while system.roles[name].poll() is None:  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(_LOOK_SECONDS)
    system.restart(name)
    stage.resting.discard(name)


async def _look(stage: Stage, what: str, work: Plan, wanted: Wanted, *, live: int = 0) -> Held:
    """What the orchestrator weighs and does; `live` tasks wait in it."""
    await stage.run(work, 1)  # it owns its partitions by then
    taken = None if what in _HELD_ALREADY else _taken(stage)
    rss = stage.rss() / _MIB
    before, began = stage.cpu(), time.perf_counter()
    await asyncio.sleep(wanted.idle_seconds)
    idle = since(before, stage.cpu())[ORCHESTRATOR] / (time.perf_counter() - began)
    rows = [
        figures_of(await measure(stage, run))
        for run in (
            Run(load="drained", shape=what, plan=work, tasks=wanted.drained, run=drained),
            Run(
                load="in flight",
                shape=what,
                plan=work,
                tasks=wanted.looped,
                run=with_in_flight(wanted.in_flight),
                in_flight=wanted.in_flight,
            ),
        )
    ]
    say(f"{what}: {rss:,.0f} MiB, drained {rows[0].cpu_ms_per_step['orchestrator']:.3f} ms CPU per step")
    return Held(
        what=what,
        live=live,
        closed=0 if taken is None else taken.closed,
        rss_mib=rss,
        load_seconds=None if taken is None else taken.seconds,
        load_cpu_seconds=None if taken is None else taken.cpu_seconds,
        idle_share=idle,
        drained=rows[0],
        looped=rows[1],
    )


@dataclass(frozen=True)
class _Taken:
    """What the orchestrator's log says last of taking its partitions."""

    seconds: float
    cpu_seconds: float
    closed: int


def _taken(stage: Stage) -> _Taken:
    text = stage.system.log_of(f"{ORCHESTRATOR}-0").read_text(errors="replace")
    found = _OWNS.findall(text)
    if not found:
        raise AssertionError("the orchestrator's log does not say that it owns its partitions")
    seconds, cpu_seconds, _, closed = found[-1]
    return _Taken(float(seconds), float(cpu_seconds), int(closed))


def _table(looks: Sequence[Held], wanted: Wanted) -> str:
    head = ["orchestrator", "live", "closed", "RSS MiB", "load s", "of CPU", "idle CPU"]
    head += ["drained steps/s", "its CPU ms/step", f"{wanted.in_flight} in flight steps/s", "its CPU ms/step"]
    head += ["checkpoint ms", "its age ms"]
    return aligned(head, [_line(each) for each in looks])


def _line(held: Held) -> list[str]:
    line = [held.what, f"{held.live:,}", f"{held.closed:,}", f"{held.rss_mib:,.0f}"]
    for seconds in (held.load_seconds, held.load_cpu_seconds):
        line.append("–" if seconds is None else f"{seconds:.2f}")
    line.append(f"{held.idle_share:.1%}")
    for row in (held.drained, held.looped):
        line += [f"{row.steps_per_second:,.0f}", f"{row.cpu_ms_per_step[ORCHESTRATOR]:.3f}"]
    for spread in (held.drained.checkpoint_ms, held.drained.checkpoint_age_ms):
        line.append("–" if spread is None else f"{spread.p50:,.0f} / {spread.p99:,.0f} / {spread.most:,.0f}")
    return line


def _goals(looks: Sequence[Held]) -> list[Goal]:
    return [
        at_most(f"{each.what}: load s", 3, each.load_seconds, ".2f")
        for each in looks
        if each.load_seconds is not None and each.live
    ]


def _json(held: Held) -> dict[str, Any]:
    plain = {name: getattr(held, name) for name in held.__dataclass_fields__}
    return plain | {"drained": held.drained.as_json(), "looped": held.looped.as_json()}


def main(given: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, value in asdict(FULL).items():
        flag = "--" + name.replace("_", "-")
        parser.add_argument(flag, type=at_least_one, default=value, metavar="N", help=f"({value})")
    add_output(parser)
    chosen = parser.parse_args(given)
    wanted = Wanted(**{name: getattr(chosen, name) for name in asdict(FULL)})
    return run_sections([partial(section, wanted)], chosen)


if __name__ == "__main__":
    sys.exit(main())
