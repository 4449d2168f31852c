"""Handlers that run in child processes, which import them from here."""

from __future__ import annotations

import ctypes
import os
import sys
import time

from tasker_kafka.handlers import StepContext, step_handler
from tasker_kafka.handlers.publishing import EventError


@step_handler("polite", isolation="process")
def polite(context: StepContext) -> dict[str, object]:
    """Says where it ran, and uses what the context offers."""
    context.heartbeat({"half": True})
    task = context.submit_and_wait("other", {"a": 1})
    return {"pid": os.getpid(), "task": task}


@step_handler("polite_async", isolation="process")
async def polite_async(context: StepContext) -> str:
    """The same on the child's loop."""
    return await context.submit("other", key="k")


@step_handler("telling", isolation="process")
def telling(context: StepContext) -> str:
    """Publishes what is declared, and tells what it is told of the rest."""
    context.publish_and_wait("order.done", {"n": os.getpid()})
    try:
        context.publish_and_wait("order.dona", {})
    except EventError as error:
        return f"{error.code}: {error.message} -> {error.next_step}"
    return "not told"


@step_handler("telling_async", isolation="process")
async def telling_async(context: StepContext) -> None:
    """The same on the child's loop; what is not as declared ends it."""
    await context.publish("order.done", {"n": 1})
    await context.publish("order.done", {"n": "one"})


@step_handler("segfault", isolation="process")
def segfault() -> None:
    """Ends its process by a bad access."""
    ctypes.string_at(0)


@step_handler("leaves", isolation="process")
def leaves() -> None:
    """Ends its process at once."""
    os._exit(3)


@step_handler("exits", isolation="process")
def exits() -> None:
    """Asks for the end of its process."""
    sys.exit(4)


@step_handler("greedy", isolation="process", memory_mb=1024)
def greedy() -> int:
    """Takes more memory than it may."""
    return len(bytearray(2 * 1024 * 1024 * 1024))


@step_handler("spins", isolation="process", time_limit_seconds=0.5)
def spins() -> None:
    """Never ends, and cannot be asked to."""
    while True:
        time.sleep(3600)


@step_handler("prints", isolation="process")
def prints() -> str:
    """Writes to standard output, which is not the way to the worker."""
    print("hello " * 1000)
    return "done"
