"""Lets one delivery be the only one of a process, whatever groups the process serves.

Only what runs alone can be held to account when its process is lost. Who waits for longer than the patience is not
waited for: no handler may hold up a process.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, Protocol

__all__ = ["Solitude", "Startable"]

_PATIENCE_SECONDS: Final = 30.0


class Startable(Protocol):
    """Where deliveries start (`desk.Desk`)."""

    @property
    def is_quiet(self) -> bool:
        """No handler runs."""
        ...

    def hold(self) -> None:
        """Start nothing but what is said to be alone."""
        ...

    def release(self) -> None:
        """Start everything again."""
        ...


class Solitude:
    """Of one process."""

    def __init__(self) -> None:
        self._desks: list[Startable] = []
        self._turn = asyncio.Lock()
        self._news = asyncio.Event()
        self.is_held = False
        """Some delivery is alone, or waits to be."""

    def join(self, desk: Startable) -> None:
        """A group's member more."""
        self._desks.append(desk)
        if self.is_held:
            desk.hold()

    def leave(self, desk: Startable) -> None:
        """One less."""
        self._desks.remove(desk)
        self._news.set()

    def look(self) -> None:
        """A delivery has ended."""
        self._news.set()

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Nothing starts in the block but what is said to be alone; it begins when nothing runs."""
        async with self._turn:
            self.is_held = True
            for desk in self._desks:
                desk.hold()
            try:
                await self.wait_quiet()
                yield
            finally:
                self.is_held = False
                for desk in self._desks:
                    desk.release()

    async def wait_quiet(self, is_waiting: Callable[[], bool] = lambda: False) -> None:
        """Wait until nothing runs, and nothing is about to; at most for the patience."""
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                while is_waiting() or not all(desk.is_quiet for desk in self._desks):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return
