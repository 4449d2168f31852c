"""What every process of ours that runs for long does at its two ends: a fast loop, and a stop in order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

__all__ = ["on_stop_signal", "run_on_uvloop"]

T = TypeVar("T")


def on_stop_signal(stop: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Call `stop` at SIGTERM and SIGINT, once; a second signal ends the process as usual."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)
    tasks: set[asyncio.Task[None]] = set()

    def handle() -> None:
        for number in signals:
            loop.remove_signal_handler(number)
        tasks.add(loop.create_task(stop()))

    for number in signals:
        loop.add_signal_handler(number, handle)


def run_on_uvloop(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a new uvloop."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)
