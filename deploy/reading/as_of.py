"""Tasks as they were at a moment: one task's whole report, or the list of all with counts.

What is shown is the fold of the accepted records below the moment's positions, and nothing else: a record that was
written later does not count, and what retention has removed is said and never guessed. The list is what the table
held then: a final task is a stub, a forgotten one is gone.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing

import msgspec
from msgspec.structs import replace

from tasker_kafka.schemas.errors import NotFoundError
from tasker_kafka.schemas.identity import format_id
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import Transitions
from tasker_kafka.topics.log import Log, TopicPartition
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.partitioner import partition_for
from tasker_kafka.topics.payloads import Payloads
from tasker_kafka.topics.plans import PlanStore

from .as_of_moments import Cut, Moment, PartitionCut, resolve
from .folding import report_of, values_of
from .heads import TaskFilter, TaskRow, is_stub, row_of
from .history import AcceptedRecord, read_task_records
from .jsonform import time_text
from .rebuild_fold import FoldedPartition
from .rebuild_log import Stretch, accepted_records, covered_from_of, retained_log
from .report import TaskReport
from .searching import Finished, read_searched
from .tasks import fetch_values, plan_of
from .waiting import find_waits
from .walking import Progress, learn_plan, tell

__all__ = [
    "PartitionAsOf",
    "TaskAsOf",
    "TasksAsOf",
    "fold_below",
    "report_as_of",
    "tasks_as_of",
]


class TaskAsOf(msgspec.Struct, frozen=True, kw_only=True):
    """One task at a moment."""

    cut: Cut
    """Of the task's partition alone."""
    seen_at: int
    """The time that `report` is made for, ms: the moment's, or that of the last record that counts."""
    records_after: int
    """How many records of the same life were written since."""
    report: TaskReport
    plan: Plan


class PartitionAsOf(msgspec.Struct, frozen=True, kw_only=True):
    """What one partition's log tells of a moment."""

    cut: PartitionCut
    tasks: int
    not_covered: int
    """Tasks known by a later record of theirs only: they began before the retained log."""
    unfoldable: int
    """Tasks whose records do not fold (damaged, or their template is gone): `tasker verify-rebuild` says more."""


class TasksAsOf(msgspec.Struct, frozen=True, kw_only=True):
    """The list of tasks at a moment. `rows`: the newest of `total`, newest first; `counts`: of all, by state."""

    cut: Cut
    total: int
    counts: dict[str, int]
    rows: tuple[TaskRow, ...]
    partitions: tuple[PartitionAsOf, ...]
    not_searched: int
    """Finished tasks left out because tags or text are asked for, and their creation is not retained."""


# ------------------------------------------------------------------------------------------ one task


async def report_as_of(
    log: Log, names: TopicNames, plans: PlanStore, task_id: bytes, moment: Moment, *, life: int | None = None
) -> TaskAsOf:
    """A task's report as it was.

    life: offset of the StartTask of the life that is meant; default the newest of that moment

    NotFoundError when it did not exist yet, or retention has removed its beginning; BadMoment, PlanUnknown.
    """
    number = partition_for(task_id, await log.partition_count(names.transitions))
    cut = await resolve(log, names, moment, partition=number)
    place = cut.partitions[0]
    every = await _records_of(log, names, task_id, place, life)
    below = tuple(each for each in every if each.offset < place.offset)
    records = _life_of(below, life)
    if not records:
        raise _absent(task_id, cut, every, life)
    plan = await plan_of(records, plans, task_id)
    seen_at = records[-1].timestamp if cut.at is None else cut.at
    payloads = await fetch_values(Payloads(log, names), values_of(records))
    report = report_of(task_id, number, records, plan, payloads=payloads, now=seen_at)
    return TaskAsOf(
        cut=cut,
        seen_at=seen_at,
        records_after=len(_life_of(every, report.life)) - len(records),
        report=replace(report, waiting=find_waits(report, plan, None, seen_at)),
        plan=plan,
    )


async def _records_of(
    log: Log, names: TopicNames, task_id: bytes, cut: PartitionCut, life: int | None
) -> tuple[AcceptedRecord, ...]:
    """The task's accepted records; from its creation on if the index by time finds it, else all that is retained."""
    try:
        found = (await read_task_records(log, names, task_id)).records
    except NotFoundError:
        found = ()
    if _life_of([each for each in found if each.offset < cut.offset], life):
        return found
    place = TopicPartition(names.transitions, cut.partition)
    every: list[AcceptedRecord] = []
    async with aclosing(accepted_records(log, await retained_log(log, place), task_id)) as records:
        async for each in records:
            if each.key == task_id and isinstance(each.record, Transitions):
                every.append(AcceptedRecord(each.offset, each.timestamp, each.record))
    return tuple(every)


def _life_of(records: Sequence[AcceptedRecord], life: int | None) -> tuple[AcceptedRecord, ...]:
    """The records of one life (default: the newest), if its first one is among them."""
    if life is None:
        life = max((each.record.life for each in records if each.record.seq), default=None)
    found = tuple(each for each in records if each.record.life == life and each.record.seq)
    return found if found and found[0].record.seq == 1 else ()


def _absent(task_id: bytes, cut: Cut, every: Sequence[AcceptedRecord], life: int | None) -> NotFoundError:
    place = cut.partitions[0]
    name, where = format_id(task_id), f"offset {place.offset} of partition {place.partition}"
    own = [each for each in every if each.record.seq and life in (None, each.record.life)]
    of_life = "" if life is None else f" (life {life})"
    if own and own[0].record.seq == 1:
        first = own[0]
        return NotFoundError(
            f"Task {name}{of_life} did not exist at {cut.text} ({where}): its first record is at offset "
            f"{first.offset}, {time_text(first.timestamp)}."
        )
    if place.begin:
        since = "" if place.begin_at is None else f", {time_text(place.begin_at)}"
        return NotFoundError(
            f"What task {name}{of_life} was at {cut.text} ({where}) is not known: the retained log begins at offset "
            f"{place.begin}{since}, and holds no beginning of it below that moment."
        )
    return NotFoundError(f"No task {name}{of_life} in partition {place.partition} of the log.")


# ------------------------------------------------------------------------------------------ all tasks


async def tasks_as_of(
    log: Log,
    names: TopicNames,
    plans: PlanStore,
    moment: Moment,
    wanted: TaskFilter,
    *,
    limit: int,
    progress: Progress | None = None,
) -> TasksAsOf:
    """The list of tasks as it was: the wanted ones counted by state, and the newest `limit` of them."""
    cut = await resolve(log, names, moment)
    counts: Counter[str] = Counter()
    newest: list[tuple[int, bytes, TaskRow]] = []
    partitions: list[PartitionAsOf] = []
    not_searched = 0
    for place in cut.partitions:
        folded = await fold_below(log, names, plans, place, progress)
        rows, left_out = await _wanted_rows(log, names, plans, folded, cut=place, wanted=wanted)
        not_searched += left_out
        for row in rows:
            counts[str(row.state)] += 1
            heapq.heappush(newest, (row.created_at, row.task_id, row))
            if len(newest) > limit:
                heapq.heappop(newest)
        partitions.append(
            PartitionAsOf(
                cut=place,
                tasks=len(rows),
                not_covered=len(folded.uncovered),
                unfoldable=len(folded.unfoldable),
            )
        )
    return TasksAsOf(
        cut=cut,
        total=sum(counts.values()),
        counts=dict(sorted(counts.items())),
        rows=tuple(sorted((row for *_, row in newest), key=lambda row: (-row.created_at, row.task_id))),
        partitions=tuple(partitions),
        not_searched=not_searched,
    )


async def _wanted_rows(
    log: Log,
    names: TopicNames,
    plans: PlanStore,
    folded: FoldedPartition,
    *,
    cut: PartitionCut,
    wanted: TaskFilter,
) -> tuple[list[TaskRow], int]:
    """The rows of a partition that are wanted, and how many finished tasks could not be searched."""
    rows: list[TaskRow] = []
    finished: dict[bytes, TaskRow] = {}
    for value in filter(None, map(folded.value, folded.task_ids())):
        row = row_of(value, plans.get)
        if not wanted.matches(row):
            continue
        if wanted.looks_inside and is_stub(value):
            finished[row.task_id] = row
        elif wanted.matches_value(value):
            rows.append(row)
    if not finished:
        return rows, 0
    lives = {key: Finished(row.life, row.created_at, cut.offset) for key, row in finished.items()}
    searched = await read_searched(log, names, lives)
    rows += [row for key, row in finished.items() if key in searched and wanted.fits(searched[key])]
    return rows, len(finished) - len(searched)


async def fold_below(
    log: Log, names: TopicNames, plans: PlanStore, cut: PartitionCut, progress: Progress | None = None
) -> FoldedPartition:
    """The fold of a partition's accepted records below the cut."""
    place = TopicPartition(names.transitions, cut.partition)
    if cut.is_lost:
        return FoldedPartition(plans.get)
    stretch: Stretch = await retained_log(log, place, end=cut.offset)
    folded = FoldedPartition(plans.get, covered_from=await covered_from_of(log, stretch))
    async with aclosing(accepted_records(log, stretch)) as records:
        async for each in records:
            await learn_plan(plans, each)
            folded.take(each)
            tell(progress, stretch, each)
    return folded
