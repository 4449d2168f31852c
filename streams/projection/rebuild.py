"""Makes a store anew from the log: the same writer, without a group, as fast as records come.

The end is where the log ended when it began; what is written meanwhile is a projector's next work. Read and written
side by side: while a batch is written the next one is fetched.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from tasker_kafka.schemas.codec import Codec
from tasker_kafka.schemas.codec import codec as default_codec
from tasker_kafka.topics.log import Log, Reader, TopicPartition
from tasker_kafka.topics.names import TopicNames

from .claim import Claim
from .crash_points import ProjectionCrashPoint
from .materializing import Materializer
from .projector import ProjectorSettings
from .staging import emptied, stage, swap_in, target_of
from .store import Store

__all__ = ["Rebuilt", "rebuild"]

C = TypeVar("C", Store, Claim)
Progress = Callable[[int, int], None]
"""Called with offsets done and in all."""

_BATCH_RECORDS: Final = 5_000


class Rebuilt(msgspec.Struct, frozen=True, kw_only=True):
    """What a rebuild came to."""

    records: int
    tasks: int
    """Rows of `task` written, more than once where a task spans batches."""
    faults: int
    seconds: float


async def rebuild(
    log: Log,
    names: TopicNames,
    url_or_path: str | Path,
    *,
    settings: ProjectorSettings = ProjectorSettings(),  # noqa: B008 - immutable
    in_place: bool = False,
    progress: Progress | None = None,
    codec: Codec = default_codec,
) -> Rebuilt:
    """Make the store at this place anew; it may be missing, or of another version.

    in_place: empty it and fill it again, which needs no second store's room, but readers see it grow; a projector waits
    meanwhile, and if this ends early it goes on from where this was.
    A projector may run: it goes on from where the new store is. ConfigurationError when the place holds something else,
    StoreUnavailable when another rebuild is at it; LogError when the log does not answer: the old store is as it
    was then (unless `in_place`).
    """
    begun = time.monotonic()
    async with AsyncExitStack() as opened:
        place = await _opened(opened, target_of, url_or_path, names.prefix)
        claim = await _opened(opened, Claim.take, place)
        filling = claim.token if in_place else ""
        make = partial(emptied, filling=filling) if in_place else stage
        store = await _opened(opened, make, url_or_path, names.prefix)
        reached = settings.crash_points.reached
        reached(ProjectionCrashPoint.REBUILD_BEGUN)
        records, tasks, faults = await _fill(
            log, names, store, settings=settings, codec=codec, filling=filling, progress=progress
        )
        reached(ProjectionCrashPoint.REBUILD_FILLED)
        if in_place:
            await asyncio.to_thread(claim.fulfil, store)
        else:
            await asyncio.to_thread(swap_in, store, url_or_path)
        reached(ProjectionCrashPoint.REBUILD_DONE)
    return Rebuilt(records=records, tasks=tasks, faults=faults, seconds=time.monotonic() - begun)


async def _opened(opened: AsyncExitStack, make: Callable[..., C], *arguments: Any) -> C:
    """Make this, off the loop, and close it with the rest."""
    made = await asyncio.to_thread(make, *arguments)
    opened.push_async_callback(asyncio.to_thread, made.close)
    return made


async def _fill(
    log: Log,
    names: TopicNames,
    store: Store,
    *,
    settings: ProjectorSettings,
    codec: Codec,
    filling: str,
    progress: Progress | None,
) -> tuple[int, int, int]:
    """Everything that there is to project, without what retention would remove. Records, tasks and faults."""
    rows = Materializer(
        log,
        names,
        store,
        events=settings.events,
        codec=codec,
        crash_points=settings.crash_points,
        filling=filling,
    )
    totals = await _Filling(log, rows).run(progress)
    while await rows.remove_old(settings.retention_ms):
        pass
    return totals


class _Filling:
    """Reads everything that is projected, from its beginning to its end as it is now."""

    def __init__(self, log: Log, rows: Materializer) -> None:
        self._log = log
        self._rows = rows

    async def run(self, progress: Progress | None) -> tuple[int, int, int]:
        """Records, tasks and faults."""
        await self._rows.start()
        try:
            begins: dict[TopicPartition, int] = {}
            ends: dict[TopicPartition, int] = {}
            for topic in sorted(await self._rows.topics()):
                for number in range(await self._log.partition_count(topic)):
                    place = TopicPartition(topic, number)
                    begins[place] = await self._log.begin_offset(place)
                    ends[place] = await self._log.end_offset(place)
            await self._rows.assign(begins)
            reader = await self._log.reader(begins)
            try:
                return await self._fill(reader, begins, ends, progress)
            finally:
                await reader.close()
        finally:
            await self._rows.stop()

    async def _fill(
        self,
        reader: Reader,
        begins: dict[TopicPartition, int],
        ends: dict[TopicPartition, int],
        progress: Progress | None,
    ) -> tuple[int, int, int]:
        at = dict(begins)
        whole = sum(ends[place] - begins[place] for place in ends)
        totals = (0, 0, 0)
        fetching = asyncio.create_task(reader.fetch(max_records=_BATCH_RECORDS))
        try:
            while any(at[place] < ends[place] for place in ends):
                batches = await fetching
                fetching = asyncio.create_task(reader.fetch(max_records=_BATCH_RECORDS))
                if not batches:
                    continue
                done = await self._rows.apply(batches)
                totals = (totals[0] + done.records, totals[1] + done.tasks, totals[2] + done.faults)
                at |= {place: batch.next_position for place, batch in batches.items()}
                if progress is not None:
                    progress(sum(min(at[place], ends[place]) - begins[place] for place in ends), whole)
        finally:
            fetching.cancel()
            await asyncio.wait([fetching])
        return totals
