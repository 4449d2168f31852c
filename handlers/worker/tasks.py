"""Asyncio tasks that nobody awaits: kept alive, and never failing in silence."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["BackgroundTasks"]


class BackgroundTasks:
    """Runs coroutines; `on_error` hears of every exception that leaves one, which is a fault in this package."""

    def __init__(self, on_error: Callable[[BaseException], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._running: set[asyncio.Task[None]] = set()
        self._on_error = on_error

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` in a task of its own."""
        self.task_of(work)  # type: ignore[unused-awaitable]  # it is kept there

    def task_of(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """The task that `work` runs in from now on.

        From Python 3.12 on it begins at once: a handler that does not wait then ends before this returns.
        """
        if sys.version_info >= (3, 12):
            task: asyncio.Task[None] = asyncio.Task(work, loop=self._loop, eager_start=True)
        else:
            task = self._loop.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._done)
        return task

    async def close(self) -> None:
        """Cancel all, and wait for their end."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_error(error)
