"""A projector that runs beside a test, which waits for what it has done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from tasker_kafka.streams.projection import Progress, Projector, ProjectorSettings, Reads, Store
from tasker_kafka.topics.log import Log
from tasker_kafka.topics.names import TopicNames
from tests.support.patience import PATIENCE_SECONDS

__all__ = ["QUICK", "Followed", "followed"]

QUICK = ProjectorSettings(commit_seconds=0.02, look_seconds=0.02, retry_seconds=0.01)


class Followed:
    """A running projector and its store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.reads = Reads(store)
        self.projector: Projector
        self.running: asyncio.Task[None]
        self._moved = asyncio.Event()

    def note(self, _: Progress) -> None:
        """It has done something."""
        self._moved.set()

    async def until(self, is_so: Callable[[], Awaitable[bool]]) -> None:
        """Wait until it is so, asking again after every batch. Raises what ended the projector."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await is_so():
                moved = asyncio.create_task(self._moved.wait())
                await asyncio.wait({moved, self.running}, return_when=asyncio.FIRST_COMPLETED)
                moved.cancel()
                self._moved.clear()
                if self.running.done():
                    self.running.result()
                    assert await is_so(), "the projector has ended before"

    async def until_records(self, count: int) -> None:
        """Wait until so many records were projected."""

        async def is_so() -> bool:
            return self.projector.progress.records >= count

        await self.until(is_so)

    async def stop(self) -> None:
        """End it in order."""
        await self.projector.stop()
        await self.running


@asynccontextmanager
async def followed(
    log: Log, store: Store, *, settings: ProjectorSettings = QUICK, names: TopicNames | None = None
) -> AsyncIterator[Followed]:
    """Run a projector for a block."""
    found = Followed(store)
    found.projector = Projector(log, names or TopicNames(), store, settings=settings, on_progress=found.note)
    found.running = asyncio.create_task(found.projector.run())
    try:
        yield found
    finally:
        await found.projector.stop()
        await asyncio.wait({found.running}, timeout=PATIENCE_SECONDS)
