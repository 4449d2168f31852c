"""The three loads: everything at once, a fixed number in flight, one client after its own answers.

Who measures must not be what is measured: while a load runs this process only does what the load needs, and the
figures are read from the log afterwards.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

from tasker_kafka.schemas.plan import Plan
from tasker_kafka.topics.client import TaskClient
from tests.bench.figures import Measured
from tests.bench.machine import cpu_seconds, since, waited_seconds
from tests.bench.window import Window
from tests.support.system import System

__all__ = ["Load", "Processes", "Run", "closed_loop", "drained", "measure", "one_client", "with_in_flight"]

Load = Callable[[System, Plan, int, Window], Awaitable[list[float]]]
"""Runs so many tasks and returns when all are closed; the latencies that a client saw (ms), if one waited."""

_LOOK_SECONDS = 0.05


class Processes:
    """Reads the CPU time of the roles, of the broker and of this process, which makes the load."""

    def __init__(self, system: System, broker_pid: int | None) -> None:
        self._pids = {
            "orchestrator": system.roles["orchestrator-0"].pid,
            "worker": system.roles["worker-0"].pid,
            "load": os.getpid(),
        }
        if broker_pid is not None:
            self._pids["broker"] = broker_pid

    def cpu(self) -> dict[str, float]:
        """CPU seconds of each so far."""
        return {name: cpu_seconds(pid) for name, pid in self._pids.items()}

    def waited(self) -> dict[str, float]:
        """Seconds that each was ready to run and had no processor."""
        return {name: waited_seconds(pid) for name, pid in self._pids.items()}


async def drained(system: System, plan: Plan, tasks: int, window: Window) -> list[float]:
    """All at once. The log is not followed until as many records are there as the tasks need at least."""
    submitted = await system.submit(plan, tasks)
    least = tasks * (len(plan.steps) + 1)
    while await window.written(system.names.transitions) < least:  # noqa: ASYNC110 - it is in another process
        await asyncio.sleep(_LOOK_SECONDS)
    await window.wait_closed(submitted)
    return []


async def closed_loop(
    system: System, plan: Plan, tasks: int, window: Window, *, in_flight: int
) -> list[float]:
    """A new task for each that closes, so that always as many are open."""
    async with aclosing(window.follow_closed()) as closing:
        submitted = set(await system.submit(plan, min(in_flight, tasks)))
        closed: set[bytes] = set()
        async for found in closing:
            closed |= found & submitted
            more = min(tasks - len(submitted), in_flight - (len(submitted) - len(closed)))
            if more > 0:
                submitted.update(await system.submit(plan, more))
            elif len(closed) == tasks:
                break
    return []


async def one_client(system: System, plan: Plan, tasks: int, _: Window) -> list[float]:
    """A client as users have it: submits, waits for the result, submits the next."""
    seen = []
    async with TaskClient(system.log, system.names) as client:
        await client.run(plan.name)  # connections
        for _number in range(tasks):
            began = time.perf_counter()
            await client.run(plan.name)
            seen.append(1000 * (time.perf_counter() - began))
    return seen


@dataclass(frozen=True, kw_only=True)
class Run:
    """What to measure: so many tasks of a shape under a load."""

    load: str
    shape: str
    plan: Plan
    tasks: int
    run: Load


async def measure(system: System, processes: Processes, wanted: Run) -> Measured:
    """Run a load and read what it has left in the log."""
    plan = wanted.plan
    window = await Window.open(system, plan)
    cpu, waited = processes.cpu(), processes.waited()
    seen = await wanted.run(system, plan, wanted.tasks, window)
    used, starved = since(cpu, processes.cpu()), since(waited, processes.waited())
    await window.read()
    requested, closed = window.requested, window.closed
    if requested.keys() != closed.keys():
        raise AssertionError(
            f"{wanted.load}, {wanted.shape}: {len(requested)} requests, {len(closed)} tasks closed"
        )
    return Measured(
        load=wanted.load,
        shape=wanted.shape,
        tasks=len(closed),
        steps_per_task=len(plan.steps),
        first_ms=min(requested.values()),
        last_ms=max(closed.values()),
        latencies_ms=[closed[task] - requested[task] for task in closed],
        cpu_seconds=used,
        waited_seconds=starved,
        records=window.records,
        payload_bytes=window.payload_bytes,
        client_ms=seen,
    )


def with_in_flight(in_flight: int) -> Load:
    """The closed loop with so many tasks open."""
    return partial(closed_loop, in_flight=in_flight)
