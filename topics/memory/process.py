"""A client process in memory: it can be killed without closing anything, or paused and continued (a zombie).

Everything made from one `MemoryLog` belongs to one process. What a killed process had not yet handed to the cluster
never arrives; what a paused one had queued arrives when it continues, however late that is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tasker_kafka.schemas.errors import BrokerUnavailable

__all__ = ["MemoryProcess"]


class MemoryProcess:
    """Alive, paused, or dead."""

    def __init__(self) -> None:
        self.is_killed = False
        self._running: asyncio.Event | None = None
        self._held: list[Callable[[], None]] = []
        self._on_kill: dict[Callable[[], None], None] = {}

    @property
    def is_paused(self) -> bool:
        """Whether it stands still."""
        return self._running is not None

    def kill(self) -> None:
        """End it at once: nothing is flushed, aborted or left."""
        self.is_killed = True
        self._held.clear()
        for action in list(self._on_kill):
            action()
        self._continue()

    def pause(self) -> None:
        """Stand still until `resume`: calls wait, sessions run out, nothing arrives."""
        if self._running is None and not self.is_killed:
            self._running = asyncio.Event()

    def resume(self) -> None:
        """Go on, with everything that was held."""
        held, self._held = self._held, []
        self._continue()
        loop = asyncio.get_running_loop()
        for action in held:
            loop.call_soon(action)

    def on_kill(self, action: Callable[[], None]) -> Callable[[], None]:
        """Call `action` when killed; the result takes it back."""
        self._on_kill[action] = None

        def forget() -> None:
            self._on_kill.pop(action, None)

        return forget

    def run(self, action: Callable[[], None]) -> None:
        """Do something in the process: now, when it continues, or never."""
        if self.is_paused:
            self._held.append(action)
        elif not self.is_killed:
            action()

    async def gate(self, latency: float = 0.0) -> None:
        """Pass one call to the cluster: takes `latency` seconds; waits while paused, fails when killed."""
        await asyncio.sleep(latency)
        while self._running is not None:
            await self._running.wait()
        if self.is_killed:
            raise BrokerUnavailable("this client was killed")

    def _continue(self) -> None:
        if self._running is not None:
            self._running.set()
            self._running = None
