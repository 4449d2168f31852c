"""The third side of a rebuild: are the rows of the projection what the log says?

`rebuild` compares the log with the table as of a checkpoint; this compares the log with the projection's store as of
the store's own positions. The rows are made anew from the retained log by the projector's own writer, in a second
store, and compared one by one (see `streams.projection.checking`); what retention has taken from either side is counted
and not judged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from tasker_kafka.topics.log import Log, TopicPartition
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.plans import PlanStore

from .rebuild_difference import count_differences, first_difference
from .rebuild_log import covered_from_of, retained_log
from .walking import Progress, chosen_partitions

if TYPE_CHECKING:
    from tasker_kafka.streams.projection.checking import CheckedPartition, Retained, RowDifference

__all__ = ["ProjectionChecked", "verify_projection"]


class ProjectionChecked(msgspec.Struct, frozen=True, kw_only=True):
    """The projection, partition by partition."""

    store: str
    """Where it is, without a password."""
    partitions: tuple[CheckedPartition, ...]

    @property
    def differences(self) -> int:
        """How many tasks (and positions) differ in all."""
        return count_differences(self.partitions)

    @property
    def first(self) -> RowDifference | None:
        """The first of the first partition that has one."""
        return first_difference(self.partitions)


async def verify_projection(
    log: Log,
    names: TopicNames,
    plans: PlanStore,
    place: str,
    *,
    partitions: Iterable[int] | None = None,
    task_id: bytes | None = None,
    retention_ms: int = 0,
    progress: Progress | None = None,
) -> ProjectionChecked:
    """Compare the store at a path or URL with the log.

    partitions, task_id: these only
    retention_ms: that of the projector, ms; what it would have removed may be missing. 0: nothing is removed

    ConfigurationError when there is no store of this system at the place; NotFoundError for a partition that does not
    exist.
    """
    from tasker_kafka.streams.projection import Store
    from tasker_kafka.streams.projection.checking import check

    chosen = await chosen_partitions(log, names, partitions, task_id)
    retained = {number: await _retained(log, TopicPartition(names.transitions, number)) for number in chosen}
    await plans.catch_up()
    store = await asyncio.to_thread(Store.open, place, prefix=names.prefix)
    try:
        found = await check(
            log,
            names,
            store,
            plans.get,
            retained,
            task_id=task_id,
            retention_ms=retention_ms,
            progress=progress,
        )
        return ProjectionChecked(store=store.place, partitions=found)
    finally:
        await asyncio.to_thread(store.close)


async def _retained(log: Log, place: TopicPartition) -> Retained:
    from tasker_kafka.streams.projection.checking import Retained

    stretch = await retained_log(log, place)
    return Retained(stretch.begin, stretch.owner, await covered_from_of(log, stretch), stretch.end)
