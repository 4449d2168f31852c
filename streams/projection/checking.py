"""Holds the rows of a store to the log: fills an empty store from the same records, and compares every row of both.

The cut, so that a projector may run meanwhile: (1) one reading transaction of the store sees its rows and its positions
as of one moment; (2) the second store is filled up to exactly these positions; (3) both are compared task by task, a
few hundred at a time. So memory holds a few hundred tasks, and the disk the second store while it is needed.

Compared is what is made of the transitions: task, its text, tags, steps, attempts, history, plans and positions. Not
compared: events, receipts, dead letters, the ledger and workers, whose topics forget by their own rules.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from sqlalchemy import insert

from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import OWNER_KEY
from tasker_kafka.topics.log import Batch, Log, TopicPartition
from tasker_kafka.topics.names import TopicNames

from . import tables
from .comparing import CheckedPartition, Comparing, Retained, RowDifference, positions_in
from .plan_shelf import PlanShelf
from .store import Store
from .writer import Writer

__all__ = ["CheckedPartition", "Retained", "RowDifference", "check"]

_FETCH_SECONDS: Final = 1.0


async def check(
    log: Log,
    names: TopicNames,
    store: Store,
    find_plan: Callable[[bytes], Plan | None],
    retained: Mapping[int, Retained],
    *,
    task_id: bytes | None = None,
    retention_ms: int = 0,
    progress: Callable[[int, int, int], None] | None = None,
) -> tuple[CheckedPartition, ...]:
    """Compare the partitions of `retained`, or one task of its.

    retention_ms: that of the store's projector, ms; 0: nothing is removed
    """
    with ExitStack() as opened:
        connection = await asyncio.to_thread(opened.enter_context, store.reading_all())
        positions = await asyncio.to_thread(positions_in, connection, names.transitions)
        folder = opened.enter_context(tempfile.TemporaryDirectory(prefix="tasker-check-"))
        scratch = await asyncio.to_thread(
            Store.open, Path(folder, "log.sqlite"), prefix=names.prefix, create=True
        )
        opened.callback(scratch.close)
        filling = _Filling(log, names, scratch, find_plan, task_id)
        for number, each in retained.items():
            until = min(each.end, positions.get(number, {}).get("next_offset", 0))
            await filling.fill(number, each, until, progress)
        own = await asyncio.to_thread(opened.enter_context, scratch.reading_all())
        before = log.now_ms() - retention_ms if retention_ms else None
        comparing = Comparing(own, connection, retained, before, await log.partition_count(names.transitions))
        return await asyncio.to_thread(comparing.run, positions, names.transitions, task_id)


class _Filling:
    """Fills the second store through the projector's own writer."""

    def __init__(
        self,
        log: Log,
        names: TopicNames,
        scratch: Store,
        find_plan: Callable[[bytes], Plan | None],
        task_id: bytes | None,
    ) -> None:
        self._log = log
        self._topic = names.transitions
        self._scratch = scratch
        self._task_id = task_id
        self._writer = Writer(scratch, names, PlanShelf(find_plan), now_ms=log.now_ms)

    async def fill(
        self,
        number: int,
        retained: Retained,
        until: int,
        progress: Callable[[int, int, int], None] | None,
    ) -> None:
        """One partition, from what is retained of it up to a position."""
        place = TopicPartition(self._topic, number)
        if until <= retained.begin:
            return
        await asyncio.to_thread(self._begin, place, retained)
        await asyncio.to_thread(self._writer.assign, [place])
        reader = await self._log.reader({place: retained.begin})
        try:
            at = retained.begin
            while at < until:
                batch = (await reader.fetch(timeout=_FETCH_SECONDS)).get(place)
                if batch is None:
                    continue
                wanted = tuple(
                    each for each in batch.records if each.offset < until and self._is_wanted(each.key)
                )
                at = min(until, batch.next_position)
                await asyncio.to_thread(self._writer.apply, {place: Batch(batch.first_position, at, wanted)})
                if progress is not None:
                    progress(number, at - retained.begin, until - retained.begin)
        finally:
            await reader.close()

    def _is_wanted(self, key: bytes | None) -> bool:
        return self._task_id is None or key in (self._task_id, OWNER_KEY)

    def _begin(self, place: TopicPartition, retained: Retained) -> None:
        """Who was in office where the log begins now."""
        if retained.begin:
            row = {
                "topic": place.topic,
                "partition": place.partition,
                "next_offset": retained.begin,
                "owner": retained.owner,
                "command_offset": -1,
                "record_at": None,
                "updated_at": 0,
            }
            with self._scratch.writing() as connection:
                connection.execute(insert(tables.position).values(row))
