"""Keeps child processes running: one that ends is started again after a while, and none stops another.

A child that says that it must not be started again before somebody acts (exit codes 77 and 78) stays down. When no
other is left the supervisor ends, with the code of the first that went down.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

from tasker_kafka.handlers.subscribing.backoff import Backoff
from tasker_kafka.schemas.exits import is_final

from .children import Child

__all__ = ["Supervisor", "pass_on"]

_logger = logging.getLogger("tasker.supervisor")


def pass_on(name: str, line: str) -> None:
    """A child's line on our standard error, as the child wrote it: it is a line of a log already."""
    with suppress(ValueError):  # closed at the very end
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


class Supervisor:
    """Use `run` once; `stop` ends it."""

    def __init__(self, children: Sequence[Child], *, make_backoff: Callable[[], Backoff] = Backoff) -> None:
        self._children = tuple(children)
        self._make_backoff = make_backoff
        self._stopping = asyncio.Event()

    async def run(self) -> int:
        """Until `stop`, or until every child is down: the code of the first that went down, 0 without one."""
        down: list[int] = []
        async with asyncio.TaskGroup() as tasks:
            for child in self._children:
                tasks.create_task(self._keep(child, down))
        return down[0] if down else 0

    async def stop(self) -> None:
        """End every child in order, all at once."""
        self._stopping.set()
        await asyncio.gather(*(child.stop() for child in self._children))

    async def _keep(self, child: Child, down: list[int]) -> None:
        loop = asyncio.get_running_loop()
        backoff = self._make_backoff()
        while not self._stopping.is_set():
            begun = loop.time()
            why, code = await self._run_once(child)
            if self._stopping.is_set():
                return
            if is_final(code):
                _logger.critical("%s %s and stays down until somebody acts", child.name, why)
                down.append(code)
                return
            wait = backoff.after(loop.time() - begun)
            _logger.error("%s %s; it starts again in %g s", child.name, why, wait)
            await self._pause(wait)

    async def _run_once(self, child: Child) -> tuple[str, int]:
        """Run it to its end: how it ended, and its code (negative: a signal)."""
        try:
            await child.start()
        except OSError as error:  # no memory, no process to be had
            return f"could not be started ({error.strerror})", -1
        if self._stopping.is_set():  # told while it was started, when there was nothing to stop yet
            await child.stop()
        code = await child.wait()
        return f"has ended with code {code}" if code >= 0 else f"was ended by signal {-code}", code

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
