"""Measures the whole system as users run it: broker, orchestrator and worker in processes of their own.

    make bench                                        the table, about three minutes
    PYTHONPATH=. python tests/bench/run.py --quick    under a minute, for a look
    PYTHONPATH=. python tests/bench/run.py --tasks 20000 --json figures.json

Steps do nothing, so the figures are the engine's. A fan-out has a quarter of the tasks, because a task has four times
the steps.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.template import Template
from tasker_kafka.topics.brokers import EmbeddedBroker, open_broker
from tests.bench.figures import Figures, figures_of, table
from tests.bench.loads import Load, Processes, Run, drained, measure, one_client, with_in_flight
from tests.bench.machine import machine, versions
from tests.bench.window import Window
from tests.support.system import PARTITIONS, System, chain, fan_out, running

SHAPES = ("chain-5", "diamond", "fan-out-20")
LOADS = ("drained", "in flight", "one client")
_MOST_STEPS_RATIO = 4
_WARM_UP = 50
_WATCH_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Tasks of each load; of a fan-out a quarter, but for the one client."""

    drained: int = 2_000
    in_flight: int = 2_000
    one_client: int = 200
    concurrent: int = 64

    def of(self, load: str, shape: str) -> int:
        """Tasks of this load and shape."""
        if load == "one client":
            return self.one_client
        tasks = self.drained if load == "drained" else self.in_flight
        return max(tasks // _MOST_STEPS_RATIO, 1) if shape == "fan-out-20" else tasks


QUICK = Sizes(drained=400, in_flight=300, one_client=30)


def plans() -> dict[str, Plan]:
    """The shapes by the names in the table."""
    end = Template("diamond").step("start", handler="test.noop")
    for branch in ("left", "right"):
        end = end.step(branch, handler="test.noop", depends_on=["start"])
    diamond = end.step("end", handler="test.noop", depends_on=["left", "right"]).compile()
    return dict(zip(SHAPES, (chain(5), diamond, fan_out(20)), strict=True))


async def bench(bootstrap: str, broker_pid: int | None, sizes: Sizes, chosen: argparse.Namespace) -> Any:
    """Start the roles, run every chosen load on every chosen shape; the rows and the time of the first task."""
    shapes = {name: plan for name, plan in plans().items() if name in chosen.shapes}
    async with AsyncExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="tasker-bench-")))
        prefix = f"bench{time.time_ns() % 10**9}"
        began = time.perf_counter()
        system = await opened.enter_async_context(running(bootstrap, prefix, folder, list(shapes.values())))
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(_until_a_role_ends(system))
            first_seconds = await _first_task(system, next(iter(shapes.values())), began)
            processes = Processes(system, broker_pid)
            rows = [
                await _row(system, processes, _wanted(load, shape, plan, sizes))
                for load in chosen.loads
                for shape, plan in shapes.items()
            ]
            watch.cancel()
        return rows, first_seconds


async def _row(system: System, processes: Processes, wanted: Run) -> Figures:
    await _warm_up(system, wanted.plan)
    row = figures_of(await measure(system, processes, wanted))
    _say(row)
    return row


def _wanted(load: str, shape: str, plan: Plan, sizes: Sizes) -> Run:
    runs: dict[str, Load] = {
        "drained": drained,
        "in flight": with_in_flight(sizes.concurrent),
        "one client": one_client,
    }
    return Run(load=load, shape=shape, plan=plan, tasks=sizes.of(load, shape), run=runs[load])


class RoleEnded(Exception):
    """A role has ended before the load: the figures would be of something else."""


async def _until_a_role_ends(system: System) -> None:
    """Raise RoleEnded with what the role has printed."""
    while True:
        for name, process in system.roles.items():
            if process.poll() is not None:
                raise RoleEnded(f"{name} ended with {process.returncode}:\n{system.errors_of(name)}")
        await asyncio.sleep(_WATCH_SECONDS)


async def _first_task(system: System, plan: Plan, began: float) -> float:
    """Seconds from creating the topics to the first finished task, the start of both roles included."""
    window = await Window.open(system, plan)
    await window.wait_closed(await system.submit(plan, 1))
    return time.perf_counter() - began


async def _warm_up(system: System, plan: Plan) -> None:
    window = await Window.open(system, plan)
    await window.wait_closed(await system.submit(plan, _WARM_UP))


def _say(row: Figures) -> None:
    print(
        f"  {row.load}, {row.shape}: {row.steps_per_second:,.0f} steps/s, p50 {row.p50_ms:.0f} ms",
        file=sys.stderr,
    )


# ------------------------------------------------------------------------------------------ command line


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small loads, under a minute")
    parser.add_argument(
        "--tasks", type=_count, metavar="N", help="tasks of the drained load (2000; fan-out a quarter)"
    )
    parser.add_argument("--in-flight", type=_count, default=64, metavar="N", help="tasks open at once (64)")
    parser.add_argument("--shapes", type=_among(SHAPES), default=list(SHAPES), help=",".join(SHAPES))
    parser.add_argument("--loads", type=_among(LOADS), default=list(LOADS), help=",".join(LOADS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    return parser.parse_args(given)


def sizes_of(chosen: argparse.Namespace) -> Sizes:
    """How many tasks the chosen options mean."""
    sizes = QUICK if chosen.quick else Sizes()
    return Sizes(
        drained=chosen.tasks or sizes.drained,
        in_flight=sizes.in_flight,
        one_client=sizes.one_client,
        concurrent=chosen.in_flight,
    )


def _count(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _among(known: Sequence[str]) -> Any:
    def parse(text: str) -> list[str]:
        chosen = [each.strip() for each in text.split(",")]
        if unknown := [each for each in chosen if each not in known]:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not among {', '.join(known)}")
        return chosen

    return parse


def header(sizes: Sizes, first_seconds: float, before: dict[str, str]) -> dict[str, Any]:
    """On what, with what, and what the figures do not say."""
    return {
        "machine": before,
        "versions": versions(),
        "settings": f"one broker, one orchestrator, one worker; {PARTITIONS} partitions; acks=all, idempotent; "
        f"default checkpoint interval; {sizes.concurrent} tasks open in the loop",
        "first task": f"{first_seconds:.1f} s after the topics began to be created, the start of both roles included",
        "caveats": "Broker, roles and the load share the processors above with whatever else runs: compare CPU "
        "time and ratios, not rates. Crowding is how many times longer the processes took because they waited for "
        "a processor. Latency is the terminal record's time minus the request's, in whole ms; under `drained` that "
        "is mostly waiting. One broker: acks=all waits for no second replica.",
    }


def report(head: dict[str, Any], rows: Sequence[Figures]) -> str:
    """The header and the table."""
    lines = []
    for name, value in head.items():
        text = ", ".join(f"{key} {each}" for key, each in value.items()) if isinstance(value, dict) else value
        lines.append(f"{name}: {text}")
    return "\n".join([*lines, "", table(rows)])


@contextmanager
def _broker() -> Any:
    """The broker to measure with: TASKER_BROKER, else an embedded one; its process id if it is ours."""
    broker = open_broker()
    try:
        yield broker.bootstrap_servers, broker.pid if isinstance(broker, EmbeddedBroker) else None
    finally:
        broker.stop()


async def _until_signal(work: Any) -> Any:
    """Await `work`; the first SIGINT or SIGTERM cancels it, further ones do not disturb the end."""
    task = asyncio.ensure_future(work)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await task


def main(given: Sequence[str] | None = None) -> int:
    """Measure and print; 130 after Ctrl-C."""
    chosen = arguments(given)
    sizes = sizes_of(chosen)
    before = machine()
    logging.getLogger("aiokafka").setLevel(
        logging.ERROR
    )  # a new topic's leader is not known everywhere at once
    try:
        with _broker() as (bootstrap, pid), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            rows, first_seconds = runner.run(_until_signal(bench(bootstrap, pid, sizes, chosen)))
    except ExceptionGroup as failed:
        ended, others = failed.split(RoleEnded)
        if ended is None or others is not None:
            raise
        print(*ended.exceptions, sep="\n", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("stopped; nothing is left running", file=sys.stderr)
        return 130
    head = header(sizes, first_seconds, before)
    print(report(head, rows))
    if chosen.json is not None:
        chosen.json.write_text(json.dumps({**head, "rows": [row.as_json() for row in rows]}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
