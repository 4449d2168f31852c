"""The feed of what moves: one poll of the projection for all who listen, and none while nobody does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import Final

import msgspec

from tasker_kafka.streams.projection import Changes, StoreUnavailable

from .errors import Overloaded
from .reach import Reach

__all__ = ["ChangeFeed"]

_LOGGER: Final = logging.getLogger("tasker.console")

POLL_SECONDS: Final = 0.2
AWAY_SECONDS: Final = 1.0
_MOST_WAITING: Final = 64
"""Messages that a slow listener may be behind; then it is told to look at everything anew."""
_NOTHING: Final = Changes(positions={}, tasks=(), is_cut=True)


class ChangeFeed:
    """What has moved, to any number of listeners."""

    def __init__(self, reach: Reach, *, most_listeners: int) -> None:
        self._reach = reach
        self._most = most_listeners
        self._listeners: set[asyncio.Queue[Changes]] = set()
        self._polling: asyncio.Task[None] | None = None
        self._has_begun = False
        """Where everything is was told once since polling began."""

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return len(self._listeners)

    async def listen(self) -> AsyncGenerator[Changes, None]:
        """What moves from now on. The first is empty and comes at once: from then on nothing is missed.

        `is_cut` says that more moved than is told (after an outage, or where the listener was slow): look at what is
        shown anew. Overloaded when too many listen already.
        """
        if len(self._listeners) >= self._most:
            raise Overloaded(
                f"{self._most} listeners follow changes already",
                next_step="close some, or raise console.event_streams",
            )
        queue: asyncio.Queue[Changes] = asyncio.Queue()
        self._listeners.add(queue)
        try:
            if self._polling is None or self._polling.done():
                self._has_begun = False
                self._polling = asyncio.create_task(self._poll(), name="changes")
            elif self._has_begun:
                queue.put_nowait(Changes(positions={}, tasks=()))
            while True:
                yield await queue.get()
        finally:
            self._listeners.discard(queue)

    async def close(self) -> None:
        """Stop polling."""
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)

    # ------------------------------------------------------------------------------------------- inside

    async def _poll(self) -> None:
        """Until nobody listens any more."""
        positions: dict[int, int] | None = None
        while self._listeners:
            try:
                positions = await self._look(positions)
            except StoreUnavailable:
                if positions is not None:  # a rebuilt store has other positions, so all begins anew
                    self._tell(_NOTHING)
                positions = None
            except Exception:
                _LOGGER.exception("the feed of changes failed; it goes on")
                positions = None
            await asyncio.sleep(AWAY_SECONDS if positions is None else POLL_SECONDS)

    async def _look(self, since: dict[int, int] | None) -> dict[int, int]:
        """Tell what has moved since these positions, and return the new ones.

        None: only where everything is now; after an outage nobody knows what moved in it.
        """
        found = await self._reach.read(lambda reads: reads.changes(since or {}))
        if since is None:
            self._tell(Changes(positions=found.positions, tasks=(), is_cut=self._has_begun))
            self._has_begun = True
        elif found.tasks or found.is_cut:
            self._tell(found)
        return {**(since or {}), **found.positions}

    def _tell(self, changes: Changes) -> None:
        for queue in self._listeners:
            is_slow = queue.qsize() >= _MOST_WAITING
            while is_slow and not queue.empty():
                queue.get_nowait()
            queue.put_nowait(msgspec.structs.replace(changes, is_cut=True) if is_slow else changes)
