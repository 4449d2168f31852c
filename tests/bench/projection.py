"""Measures the projection: its rate and price on one processor, how long a record takes to be visible, a rebuild.

    make bench-projection
    python -m tests.bench.projection --records 100000

The transitions are those of chains of five steps, made beforehand by the rules themselves, and written to the topic of
a real broker; the roles are processes, as users run them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final

from tasker_kafka.streams.projection import Reads, Store
from tasker_kafka.topics.log import TopicPartition
from tests.bench.event_scene import ended
from tests.bench.figures import Spread, spread
from tests.bench.goals import Goal, at_least, at_most, goal_table
from tests.bench.machine import cpu_seconds
from tests.bench.options import add_output, at_least_one
from tests.bench.projection_load import STEPS, Load
from tests.bench.stage import BenchSystem, BrokerAt
from tests.bench.tables import aligned
from tests.bench.tool import Result, heading, report, run_sections, say

__all__ = ["Wanted", "main", "section"]

_ROLE: Final = "projection"
_LOOK_SECONDS: Final = 0.1
_WATCH_SECONDS: Final = 0.002
_ONE_PROCESSOR: Final = {0}


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """How much is measured."""

    records: int = 1_000_000
    per_second: int = 500
    seconds: int = 30
    settle_seconds: int = 5


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was found."""

    records: int
    records_per_second: float
    """By a projector on one processor."""
    steps_per_second: float
    cpu_ms: float
    """Of the projector's process per record, reading from the broker included."""
    visible_ms: Spread
    """From the sending of a record to its row being committed."""
    rebuild_records: int
    rebuild_seconds: float
    rebuild_cpu_ms: float
    store_bytes: float
    """Per record."""


async def section(wanted: Wanted, broker: BrokerAt) -> Result:
    """All of it, on a broker of its own."""
    head = heading(
        f"one broker; 4 partitions; SQLite; chains of {STEPS} steps; the projector on one of the processors"
    )
    with tempfile.TemporaryDirectory(prefix="tasker-bench-") as name:
        async with _system(broker, Path(name)) as system:
            found = await _measure(system, Path(name), wanted)
    goals = [
        at_least("projected on one processor: steps/s", 3_000, found.steps_per_second),
        at_most("CPU ms per record", 0.3, found.cpu_ms, ".3f"),
        at_most(
            f"from sent to visible at {wanted.per_second} steps/s: p99 ms", 100, found.visible_ms.p99, ".1f"
        ),
    ]
    return Result(
        blocks={"projection": report(head, _table(found, wanted), goal_table(goals))},
        json={"projection": {"head": head, "found": asdict(found), "goals": list(map(_plain, goals))}},
    )


@asynccontextmanager
async def _system(broker: BrokerAt, folder: Path) -> AsyncIterator[BenchSystem]:
    system = BenchSystem(broker.bootstrap, f"bench{time.time_ns() % 10**9}", folder)
    system.variables["TASKER_PROJECTION__URL"] = str(folder / "store.sqlite")
    system.variables["TASKER_PROJECTION__RETENTION_HOURS"] = "0"
    try:
        yield system
    finally:
        await system.tear_down()


async def _measure(system: BenchSystem, folder: Path, wanted: Wanted) -> Found:
    load = await Load.on(system)
    say(f"{wanted.records:,} records are written")
    await load.write(wanted.records)
    say("one projector reads them")
    took, cpu = await _follow(system, folder, load)
    size = sum(each.stat().st_size for each in folder.glob("store.sqlite*"))
    say(f"{wanted.per_second} records per second for {wanted.seconds} s")
    visible = await _watch(system, folder, load, wanted)
    system.roles[_ROLE].terminate()
    await asyncio.to_thread(system.roles[_ROLE].wait, 30)
    say("the store is made anew")
    records, seconds, rebuild_cpu = await _rebuild(system, folder)
    rate = wanted.records / took
    return Found(
        records=wanted.records,
        records_per_second=rate,
        steps_per_second=rate * STEPS / load.records_per_task,
        cpu_ms=1000 * cpu / wanted.records,
        visible_ms=visible,
        rebuild_records=records,
        rebuild_seconds=seconds,
        rebuild_cpu_ms=1000 * rebuild_cpu / records,
        store_bytes=size / wanted.records,
    )


async def _follow(system: BenchSystem, folder: Path, load: Load) -> tuple[float, float]:
    """Seconds from the first projected record to the last, and CPU seconds of the process in them."""
    ends = await system.ends([system.names.transitions])
    system.start_role(_ROLE, ["projection", "run"])
    pid = system.roles[_ROLE].pid
    os.sched_setaffinity(pid, _ONE_PROCESSOR)
    reads = await _opened(system, folder)
    begun: tuple[float, float, int] | None = None
    while True:
        if (error := ended(system, _ROLE)) is not None:
            raise error
        at = {
            TopicPartition(each.topic, each.partition): each.next_offset for each in await reads.positions()
        }
        done = sum(at.get(place, 0) for place in ends)
        if begun is None and done:
            begun = time.monotonic(), cpu_seconds(pid), done
        if begun is not None and all(at.get(place, 0) >= end for place, end in ends.items()):
            break
        await asyncio.sleep(_LOOK_SECONDS)
    share = (sum(ends.values()) - begun[2]) / sum(ends.values())
    reads.store.close()
    return (time.monotonic() - begun[0]) / share, (cpu_seconds(pid) - begun[1]) / share


async def _opened(system: BenchSystem, folder: Path) -> Reads:
    while True:
        if (error := ended(system, _ROLE)) is not None:
            raise error
        path = folder / "store.sqlite"
        if path.exists():
            try:
                return Reads(Store.open(path, prefix=system.prefix))
            except Exception as not_yet:  # its tables are being made
                say(f"not yet: {type(not_yet).__name__}")
        await asyncio.sleep(_LOOK_SECONDS)


async def _watch(system: BenchSystem, folder: Path, load: Load, wanted: Wanted) -> Spread:
    """Milliseconds from the sending of a record until the store's position is behind it."""
    store = Store.open(folder / "store.sqlite", prefix=system.prefix)
    reads, seen = Reads(store), dict[TopicPartition, list[tuple[float, int]]]()
    done = asyncio.Event()

    async def look() -> None:
        while not done.is_set():
            for each in await reads.positions():
                held = seen.setdefault(TopicPartition(each.topic, each.partition), [])
                if not held or held[-1][1] < each.next_offset:
                    held.append((time.monotonic(), each.next_offset))
            await asyncio.sleep(_WATCH_SECONDS)

    looking = asyncio.create_task(look())
    sent = await load.write_steadily(wanted.per_second, wanted.settle_seconds + wanted.seconds)
    await asyncio.sleep(2)  # what was sent last becomes visible
    done.set()
    await looking
    store.close()
    begin = min(at for _, at in sent) + wanted.settle_seconds
    took = [
        1000
        * (
            next(
                when
                for when, position in seen[TopicPartition(place.topic, place.partition)]
                if position > place.offset
            )
            - at
        )
        for place, at in sent
        if at >= begin
    ]
    found = spread(took)
    assert found is not None
    return found


async def _rebuild(system: BenchSystem, folder: Path) -> tuple[int, float, float]:
    """Records, seconds and CPU seconds."""
    before = os.times()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tasker_kafka.deploy.cli", "projection", "rebuild", "--json",
        env={**os.environ, "TASKER_BROKER": system.bootstrap, "TASKER_PREFIX": system.prefix, **system.variables},
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    os.sched_setaffinity(process.pid, _ONE_PROCESSOR)
    printed, _ = await process.communicate()
    after = os.times()
    told = json.loads(printed)
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return told["records"], told["seconds"], cpu


def _table(found: Found, wanted: Wanted) -> str:
    rows = [
        ["projected on one processor", f"{found.records_per_second:,.0f} records/s"],
        ["the same in steps", f"{found.steps_per_second:,.0f} steps/s"],
        ["CPU of the projector", f"{found.cpu_ms:.3f} ms per record"],
        [
            f"sent to visible at {wanted.per_second}/s",
            f"p50 {found.visible_ms.p50:.0f} ms, p99 {found.visible_ms.p99:.0f} ms",
        ],
        [
            f"rebuild of {found.rebuild_records:,} records",
            f"{found.rebuild_seconds:.0f} s, {found.rebuild_cpu_ms:.3f} ms CPU per record",
        ],
        ["store", f"{found.store_bytes:,.0f} bytes per record"],
    ]
    return aligned(["what", "measured"], rows)


def _plain(goal: Goal) -> dict[str, object]:
    return asdict(goal)


def main(given: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=at_least_one, default=Wanted.records, help="transitions to project")
    parser.add_argument("--seconds", type=at_least_one, default=Wanted.seconds, help="of the steady load")
    add_output(parser)
    chosen = parser.parse_args(given)
    wanted = Wanted(records=chosen.records, seconds=chosen.seconds)
    return run_sections([partial(section, wanted)], chosen)


if __name__ == "__main__":
    sys.exit(main())
