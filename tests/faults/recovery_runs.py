"""Each scene of recovery as one run on a system of its own: what it measures, and what it may not have lost.

A run opens a system, lets one process be lost, waits until everything that was submitted is closed, and returns its
figures. It asserts what holds at any speed; the bounds it is measured against are printed with the figures.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

from tasker_kafka.schemas.plan import Plan
from tests.checker.ledger import read_ledger
from tests.support.system import SESSION_TIMEOUT_MS, chain

from .recovery_scenes import Scene, one_step, opened, starts_of

__all__ = ["RUNS", "WORKER_SESSION_SECONDS", "Figure", "Run"]

SESSION_SECONDS = SESSION_TIMEOUT_MS / 1000
WORKER_SESSION_SECONDS = 3.0
"""The workers' session timeout in these runs (TASKER_WORKER__SESSION_TIMEOUT_MS)."""
HEARTBEAT_SECONDS = 5.0
PENDING = 10_000
SAMPLES = 100

Figures = dict[str, float]
Run = Callable[[str, str, Path], Awaitable[Figures]]
"""Takes bootstrap servers, a prefix and an empty folder."""


class Figure(NamedTuple):
    """What a run measures."""

    run: str
    name: str
    bound: float | None
    """The promised most; None where the figure is for information."""
    unit: str = "s"


async def restart(bootstrap: str, prefix: str, folder: Path) -> Figures:
    """kill −9 of the only orchestrator, a static member, and an immediate restart."""
    plan = chain(5)
    async with opened(bootstrap, prefix, folder, [plan]) as scene:
        scene.system.start_worker(0)
        async with scene.load(plan):
            await scene.watch.until(lambda: len(scene.watch.closed) > 20)
            seconds = await scene.restart_of_the_only_orchestrator()
        await scene.all_closed()
    return {"restart": seconds}


async def _takeover(bootstrap: str, prefix: str, folder: Path, how: str) -> float:
    plan = chain(5)
    async with opened(bootstrap, prefix, folder, [plan], orchestrators=2) as scene:
        scene.system.start_worker(0)
        async with scene.load(plan):
            await scene.watch.until(lambda: len(scene.watch.closed) > 20)
            seconds = await scene.takeover("orchestrator-0", how=how)
        await scene.all_closed()
    return seconds


async def takeover(bootstrap: str, prefix: str, folder: Path) -> Figures:
    """kill −9 of one of two orchestrators, which stays away."""
    return {"takeover": await _takeover(bootstrap, prefix, folder, "kill")}


async def handover(bootstrap: str, prefix: str, folder: Path) -> Figures:
    """SIGTERM to one of two orchestrators."""
    return {"handover": await _takeover(bootstrap, prefix, folder, "terminate")}


async def _worker_lost(scene: Scene, count: int) -> float:
    for number in range(2):
        scene.start_worker(number)
    plan = scene.plans[0]
    await scene.submit(plan, count)
    seconds = await scene.loss_of_a_worker(await scene.busy_worker(count // 4))
    await scene.all_closed()
    return seconds


async def short_step(bootstrap: str, prefix: str, folder: Path) -> Figures:
    """A worker is killed in the middle of steps of a second."""
    plan = one_step("second", folder / "ledger", config={"seconds": 1.0})
    async with opened(bootstrap, prefix, folder, [plan]) as scene:
        return {"short_step": await _worker_lost(scene, 40)}


async def long_step(bootstrap: str, prefix: str, folder: Path) -> Figures:
    """A worker is killed in the middle of steps that the engine watches."""
    plan = one_step(
        "long", folder / "ledger", config={"seconds": 8.0}, heartbeat_timeout_seconds=HEARTBEAT_SECONDS
    )
    async with opened(bootstrap, prefix, folder, [plan]) as scene:
        return {"long_step": await _worker_lost(scene, 16)}


async def drain(bootstrap: str, prefix: str, folder: Path) -> Figures:
    """The only worker is killed and started again with 10,000 short steps queued."""
    plan = one_step("short", folder / "ledger")
    async with opened(bootstrap, prefix, folder, [plan]) as scene:
        ids = await scene.submit(plan, PENDING)
        watch = scene.watch
        await watch.until(lambda: watch.granted >= PENDING)
        worker = scene.start_worker(0)
        await watch.until(lambda: len(watch.closed) >= PENDING // 5)
        scene.system.kill(worker)
        moment, closed = time.monotonic(), len(watch.closed)
        scene.system.restart(worker)
        pid = scene.system.roles[worker].pid
        await scene.started(1, by=worker)
        resumed = time.monotonic()
        await watch.until_closed(ids)
        starts = starts_of(folder / "ledger")
        assert len(starts) == PENDING
        assert len({each.worker for each in read_ledger(folder / "ledger").started} - {pid}) == 1
        left = max(watch.closed.values()) - resumed
    return {
        "resumed": resumed - moment,
        "drain_rate": (PENDING - closed) / left,
        "repeated": 100 * (sum(starts.values()) - PENDING) / PENDING,
    }


async def dying_apart(bootstrap: str, prefix: str, folder: Path) -> Figures:
    """Steps that end their own child processes, beside steps that do nothing: how long those take with and without."""
    plan = one_step("neighbour", folder / "ledger")
    lethal = one_step("lethal", folder / "ledger", handler="recovery.die_apart", config={"how": "segfault"})
    async with opened(bootstrap, prefix, folder, [plan, lethal]) as scene:
        scene.start_worker(0)
        await scene.submit(lethal, 1)
        await scene.submit(plan, 20)
        await scene.all_closed()
        without = await _latency(scene, plan)
        async with scene.load(lethal, count=1, pause_seconds=0.5):
            beside = await _latency(scene, plan)
        await scene.all_closed()
    return {"p99_without": 1000 * without, "p99_beside": 1000 * beside}


async def _latency(scene: Scene, plan: Plan) -> float:
    """The 99th percentile from submission to the end of a task, in seconds."""
    seconds: list[float] = []
    for _ in range(SAMPLES):
        moment = time.monotonic()
        ids = await scene.submit(plan, 4)
        await scene.watch.until_closed(ids)
        seconds += [scene.watch.closed[each] - moment for each in ids]
    return statistics.quantiles(seconds, n=100)[-1]


RUNS: dict[str, Run] = {
    each.__name__: each for each in (restart, takeover, handover, short_step, long_step, drain, dying_apart)
}
FIGURES = (
    Figure("kill −9 of the only orchestrator, restarted: first new transition", "restart", 2.0),
    Figure("kill −9 of one of two: every partition decides again", "takeover", SESSION_SECONDS + 2.0),
    Figure("SIGTERM of one of two: every partition decides again", "handover", 2.5),
    Figure("worker killed in steps of 1 s: all run elsewhere", "short_step", WORKER_SESSION_SECONDS + 2.0),
    Figure("worker killed in watched steps: all run elsewhere", "long_step", HEARTBEAT_SECONDS + 2.0),
    Figure("worker killed, 10,000 queued: first handler runs", "resumed", WORKER_SESSION_SECONDS + 2.0),
    Figure("worker killed, 10,000 queued: drained from then on", "drain_rate", None, "steps/s"),
    Figure("worker killed, 10,000 queued: handlers started again", "repeated", 5.0, "%"),
    Figure("steps that do nothing: 99th percentile of a task", "p99_without", None, "ms"),
    Figure("the same beside two segfaulting child processes a second", "p99_beside", None, "ms"),
)
