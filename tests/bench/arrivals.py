"""An open load: requests leave at their time, whether or not the ones before are answered.

Rates are raised to the knee, where the 99th percentile leaves the bound. Then twice as much arrives for a while, and
half as much: a system that degrades gracefully goes on at its own pace, and is as before once the backlog is gone.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

from tasker_kafka.schemas.plan import Plan
from tests.bench.knee import Arrivals, KneeSearch, Overload, arrivals_of, overload_of, schedule
from tests.bench.machine import since
from tests.bench.requests import RequestMaker
from tests.bench.stage import LOAD, Stage
from tests.bench.tables import aligned
from tests.bench.window import Window

__all__ = ["ArrivalPlan", "Found", "find_knee", "knee_json", "knee_text"]

_TICK_SECONDS = 0.002
_LOOK_SECONDS = 0.1
_SEED = 20_000


@dataclass(frozen=True, kw_only=True)
class ArrivalPlan:
    """How the knee is looked for."""

    bound_ms: float = 250.0
    """The 99th percentile may be so long."""
    growth: float = 1.35
    precision: float = 1.1
    """Done when the lowest rate that failed is at most so many times the highest that held."""
    step_seconds: float = 6.0
    overload_seconds: float = 10.0
    calm_seconds: float = 30.0


@dataclass(frozen=True, kw_only=True)
class Found:
    """Everything that was tried."""

    shape: str
    steps_per_task: int
    wanted: ArrivalPlan
    tried: Sequence[Arrivals]
    knee: float | None
    """Tasks per second; None: not even one stayed within the bound."""
    overload: Overload | None


@dataclass(frozen=True)
class _Sent:
    due: dict[bytes, float]
    closed: dict[bytes, float]
    late_ms: float
    cpu_ms_per_step: float


async def find_knee(stage: Stage, shape: str, plan: Plan, first: float, wanted: ArrivalPlan) -> Found:
    """Look for the knee from `first` tasks per second on, then overload it."""
    search = KneeSearch(first, growth=wanted.growth, precision=wanted.precision)
    random, tried = Random(_SEED), list[Arrivals]()
    while (rate := search.next_rate()) is not None:
        sent = await _send(stage, plan, schedule(rate, wanted.step_seconds, random))
        found = arrivals_of(
            sent.due,
            sent.closed,
            seconds=wanted.step_seconds,
            bound_ms=wanted.bound_ms,
            sender_late_ms=sent.late_ms,
            cpu_ms_per_step=sent.cpu_ms_per_step,
        )
        tried.append(found)
        search.note(rate, holds=found.holds)
    return Found(
        shape=shape,
        steps_per_task=len(plan.steps),
        wanted=wanted,
        tried=sorted(tried, key=lambda each: each.offered),
        knee=search.knee,
        overload=None if search.knee is None else await _overload(stage, plan, search.knee, wanted, random),
    )


async def _overload(stage: Stage, plan: Plan, knee: float, wanted: ArrivalPlan, random: Random) -> Overload:
    """Twice the knee, then half of it."""
    times = schedule(2 * knee, wanted.overload_seconds, random)
    calm = schedule(knee / 2, wanted.calm_seconds, random)
    sent = await _send(stage, plan, [*times, *(wanted.overload_seconds + at for at in calm)])
    return overload_of(
        sent.due,
        sent.closed,
        seconds=wanted.overload_seconds,
        bound_ms=wanted.bound_ms,
        quiet_seconds=wanted.calm_seconds / 10,
    )


async def _send(stage: Stage, plan: Plan, times: Sequence[float]) -> _Sent:
    """Send a request at each of these times, wait for all tasks, and read when they closed."""
    system = stage.system
    writes = RequestMaker(plan, system.names.task_requests).make(len(times))
    window, cpu = await Window.open(system, plan), stage.cpu()
    loop = asyncio.get_running_loop()
    begin, begin_ms = loop.time(), time.time() * 1000
    sent, late = 0, 0.0
    while sent < len(times):
        now = loop.time() - begin
        due = bisect_right(times, now, sent)
        if due > sent:
            late = max(late, now - times[sent])
            system.queue(writes[sent:due])
            sent = due
        else:
            await asyncio.sleep(max(times[sent] - now, _TICK_SECONDS))
    await system.flush()
    while await window.closed_about() < len(times):  # noqa: ASYNC110 - it is in another process
        await asyncio.sleep(_LOOK_SECONDS)
    used = since(cpu, stage.cpu())
    await window.read()
    steps = len(times) * len(plan.steps)
    return _Sent(
        due={write.key or b"": 1000 * at for write, at in zip(writes, times, strict=True)},
        closed={task: at - begin_ms for task, at in window.closed.items()},
        late_ms=1000 * late,
        cpu_ms_per_step=sum(1000 * value for kind, value in used.items() if kind != LOAD) / steps,
    )


def knee_text(found: Found) -> str:
    """The table of what was tried, and what the overload showed."""
    lines = [
        [
            f"{each.offered:,.0f}",
            f"{each.offered * found.steps_per_task:,.0f}",
            f"{each.closed:,.0f}",
            f"{each.p50_ms:,.0f}",
            f"{each.p95_ms:,.0f}",
            f"{each.p99_ms:,.0f}",
            f"{each.backlog:,}",
            f"{each.cpu_ms_per_step:.3f}",
            f"{each.sender_late_ms:,.0f}",
            "yes" if each.holds else "no",
        ]
        for each in found.tried
    ]
    head = ["tasks/s offered", "steps/s", "tasks/s closed", "p50 ms", "p95 ms", "p99 ms", "left open"]
    head += ["CPU ms/step", "sent late ms", f"p99 ≤ {found.wanted.bound_ms:.0f} ms"]
    return "\n".join([aligned(head, lines, text_columns=0), "", _overload_text(found)])


def _overload_text(found: Found) -> str:
    over, knee, wanted = found.overload, found.knee, found.wanted
    if over is None or knee is None:
        return (
            f"No knee ({found.shape}): not even one task per second stayed within {wanted.bound_ms:.0f} ms."
        )
    if over.drained_seconds is None:
        after = f"It was not back within the bound {wanted.calm_seconds:.0f} s later."
    else:
        after = (
            f"At half the knee the latency was within the bound again {over.drained_seconds:.1f} s after the overload, "
            f"with a p99 of {over.p99_after_ms:,.0f} ms from then on."
        )
    return (
        f"Knee: {knee:,.0f} tasks/s, {knee * found.steps_per_task:,.0f} steps/s ({found.shape}). "
        f"At twice as much for {wanted.overload_seconds:.0f} s ({over.offered:,.0f} tasks/s), {over.closed:,.0f} "
        f"tasks/s closed, {over.closed / knee:.0%} of the knee; {over.backlog:,} were left open, and the longest "
        f"took {over.worst_ms / 1000:.1f} s. {after}"
    )


def knee_json(found: Found) -> dict[str, Any]:
    """All of it, rounded."""
    knee = found.knee
    return {
        "shape": found.shape,
        "bound_ms": found.wanted.bound_ms,
        "knee_tasks_per_second": None if knee is None else round(knee, 1),
        "knee_steps_per_second": None if knee is None else round(knee * found.steps_per_task, 1),
        "tried": [_rounded(asdict(each)) for each in found.tried],
        "overload": None if found.overload is None else _rounded(asdict(found.overload)),
    }


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {name: round(each, 3) if isinstance(each, float) else each for name, each in values.items()}
