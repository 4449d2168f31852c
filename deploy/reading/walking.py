"""What every walk over the transitions partitions shares: which partitions, how far it is, and plans it meets."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tasker_kafka.schemas.errors import NotFoundError
from tasker_kafka.schemas.records import Transitions
from tasker_kafka.topics.log import Log
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.partitioner import partition_for
from tasker_kafka.topics.plans import PlanStore

from .rebuild_fold import plan_named_by
from .rebuild_log import Accepted, Stretch

__all__ = ["Progress", "chosen_partitions", "learn_plan", "tell"]

Progress = Callable[[int, int, int], None]
"""Told (partition, offsets done, of how many) now and then."""

PROGRESS_EVERY = 1000
"""Offsets."""


async def chosen_partitions(
    log: Log, names: TopicNames, partitions: Iterable[int] | None, task_id: bytes | None
) -> list[int]:
    """The partitions asked for, ascending: `task_id`'s own, else `partitions`, else all.

    NotFoundError for one that does not exist.
    """
    count = await log.partition_count(names.transitions)
    if task_id is not None:
        return [partition_for(task_id, count)]
    chosen = list(range(count)) if partitions is None else sorted(set(partitions))
    for number in chosen:
        if not 0 <= number < count:
            raise NotFoundError(
                f"There is no partition {number}: the topics have partitions 0 to {count - 1}."
            )
    return chosen


def tell(progress: Progress | None, stretch: Stretch, each: Accepted) -> None:
    """Say how far in its partition a record is, now and then."""
    if progress is not None and each.offset % PROGRESS_EVERY == 0:
        progress(stretch.partition.partition, each.offset - stretch.begin, stretch.end - stretch.begin)


async def learn_plan(plans: PlanStore, accepted: Accepted) -> None:
    """A template may have been published since the store was read."""
    record = accepted.record
    if isinstance(record, Transitions) and record.seq == 1:
        named = plan_named_by(record)
        if named is not None and plans.get(named) is None:
            await plans.catch_up()
