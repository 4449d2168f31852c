"""Three loads: everything at once, a fixed number in flight, one client after its own answers.

Who measures must not be what is measured: requests are encoded beforehand, while a load runs this process only does
what the load needs, and the figures are read from the log afterwards.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

from tasker_kafka.schemas.plan import Plan
from tasker_kafka.topics.client import TaskClient
from tests.bench.checkpoints import saved_in
from tests.bench.disk import grown
from tests.bench.figures import Measured
from tests.bench.machine import since
from tests.bench.requests import RequestMaker
from tests.bench.stage import Stage
from tests.bench.window import Window

__all__ = ["Load", "Run", "drained", "measure", "one_client", "with_in_flight"]

Load = Callable[[Stage, Plan, int, Window], Awaitable[list[float]]]
"""Runs so many tasks and returns when all are closed; the latencies that a client saw (ms), if one waited."""

_LOOK_SECONDS = 0.1


async def drained(stage: Stage, plan: Plan, tasks: int, window: Window) -> list[float]:
    """All at once. The log is not read meanwhile: once it is as long as the tasks need, they are closed."""
    system = stage.system
    system.queue(RequestMaker(plan, system.names.task_requests).make(tasks))
    await system.flush()
    while await window.closed_about() < tasks:  # noqa: ASYNC110 - it is in another process
        await asyncio.sleep(_LOOK_SECONDS)
    return []


async def closed_loop(stage: Stage, plan: Plan, tasks: int, window: Window, *, in_flight: int) -> list[float]:
    """A new task for each that closes, so that always as many are open."""
    system = stage.system
    requests = RequestMaker(plan, system.names.task_requests).make(tasks)
    submitted = closed = 0
    async with aclosing(window.follow_closed()) as closing:
        while closed < tasks:
            due = min(tasks, closed + in_flight)
            system.queue(requests[submitted:due])
            submitted = due
            closed += len(await anext(closing))
    return []


async def one_client(stage: Stage, plan: Plan, tasks: int, _: Window) -> list[float]:
    """A client as users have it: submits, waits for the result, submits the next."""
    seen: list[float] = []
    async with TaskClient(stage.system.log, stage.system.names) as client:
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
    in_flight: int = 0


async def measure(stage: Stage, wanted: Run) -> Measured:
    """Run a load and read what it has left in the log."""
    plan = wanted.plan
    window, tail, disk = await Window.open(stage.system, plan), stage.tail(), stage.disk()
    cpu, waited = stage.cpu(), stage.waited()
    seen = await wanted.run(stage, plan, wanted.tasks, window)
    used, starved = since(cpu, stage.cpu()), since(waited, stage.waited())
    disk_now, saved = stage.disk(), saved_in(tail.lines())
    await window.read()
    if window.requested.keys() != window.closed.keys():
        raise AssertionError(
            f"{wanted.load}, {wanted.shape}: {len(window.requested)} requests, {len(window.closed)} tasks closed"
        )
    return Measured(
        load=wanted.load,
        shape=wanted.shape,
        steps_per_task=len(plan.steps),
        requested=window.requested,
        closed=window.closed,
        cpu_seconds=used,
        waited_seconds=starved,
        records=window.records,
        payload_bytes=window.payload_bytes,
        in_flight=wanted.in_flight,
        disk_bytes=None if disk is None or disk_now is None else grown(disk, disk_now),
        checkpoints=saved,
        client_ms=seen,
    )


def with_in_flight(in_flight: int) -> Load:
    """The closed loop with so many tasks open."""
    return partial(closed_loop, in_flight=in_flight)
