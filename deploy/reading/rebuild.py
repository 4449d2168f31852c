"""Proves on a cluster that the log is the truth: folds all that was decided and compares it with the table.

One side is the fold of the accepted records of a transitions partition, from the first that is retained; the other
the newest value of every key of the table's changelog partition. Both are compared task by task, byte by byte, in
the canonical encoding.

The cut, so that a system may run meanwhile. The last record of every checkpoint's transaction is the Checkpoint record
with N: the decisions of all commands below N are in the table's values up to it, none of a later command is. So:

(1) Read the changelog, committed records only, to its end; the last Checkpoint read says N. Values behind it are not
    committed, so the values read are the table as of N.
(2) Then read the transitions to their end as it is now. What was decided below N was acknowledged before the
    checkpoint was written, so all of it is there.
(3) Fold the accepted records of commands below N. Accepted records are in the order of their commands, so the first
    one at or above N ends the fold. Not the place in the transitions that the Checkpoint names: it is where a new owner
    reads on, asked for before the cut, and records of commands below N may lie behind it.

So a task that is just being changed is compared as it was when the checkpoint was taken, and a value that a
checkpoint should have written, and did not, is found. A task whose life began before the retained log (its StartTask
lies below the command of the first retained record) cannot be folded and counts as not covered.

Forgotten tasks: a `Forgotten` record says until when, and the fold drops its stubs, and makes failed tasks stubs, by
the same rule as the owner did; the horizon it says must be the Checkpoint's.
"""

from __future__ import annotations

import hashlib
import time
from contextlib import aclosing
from typing import TYPE_CHECKING

import msgspec

from tasker_kafka.schemas.errors import DecodeError
from tasker_kafka.topics.log import Log, TopicPartition
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.plans import PlanStore

from .history import not_found
from .rebuild_difference import (
    FieldDifference,
    RebuildDifference,
    canonical,
    count_differences,
    explain,
    first_difference,
)
from .rebuild_fold import FoldedPartition
from .rebuild_log import (
    Accepted,
    Saved,
    SavedTable,
    Stretch,
    accepted_records,
    covered_from_of,
    read_table,
    retained_log,
)
from .walking import Progress, chosen_partitions, learn_plan, tell

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "FieldDifference",
    "PartitionRebuild",
    "RebuildDifference",
    "Rebuilt",
    "verify_rebuild",
]


class PartitionRebuild(msgspec.Struct, frozen=True, kw_only=True):
    """One partition, folded and compared."""

    partition: int
    tasks: int
    """Tasks compared: those of the table and of the fold together, without those not covered."""
    not_covered: int
    """Tasks whose life began before the retained log."""
    records: int
    """Records folded: those that count and belong to commands below `next_command`."""
    next_command: int
    """N of the checkpoint: both sides are as of the commands below it. 0: no checkpoint has been written yet."""
    checkpoint_offset: int | None
    """Where the Checkpoint record lies in the changelog."""
    log_digest: bytes
    """SHA-256 over (task id, state) of the fold, sorted by task id; the states in the canonical encoding."""
    table_digest: bytes
    """The same over the table's values."""
    differences: int
    first: RebuildDifference | None
    """The differing task of the lowest id."""
    seconds: float

    @property
    def is_equal(self) -> bool:
        """Whether log and table agree."""
        return not self.differences


class Rebuilt(msgspec.Struct, frozen=True, kw_only=True):
    """All partitions asked for."""

    partitions: tuple[PartitionRebuild, ...]

    @property
    def differences(self) -> int:
        """How many tasks (and horizons) differ in all."""
        return count_differences(self.partitions)

    @property
    def first(self) -> RebuildDifference | None:
        """The first difference of the first partition that has one."""
        return first_difference(self.partitions)


async def verify_rebuild(
    log: Log,
    names: TopicNames,
    plans: PlanStore,
    *,
    partitions: Iterable[int] | None = None,
    task_id: bytes | None = None,
    progress: Progress | None = None,
) -> Rebuilt:
    """Fold and compare every partition, one after the other.

    partitions: these only
    task_id: this task only; its partition's other tasks are not decoded

    NotFoundError for a partition that does not exist and for a task of which neither side has anything.
    """
    rebuilt = [
        await _Rebuild(log, names, plans, partition=number, wanted=task_id, progress=progress).run()
        for number in await chosen_partitions(log, names, partitions, task_id)
    ]
    found = Rebuilt(partitions=tuple(rebuilt))
    if task_id is not None and not (found.partitions[0].tasks or found.partitions[0].not_covered):
        raise not_found(task_id)
    return found


class _Rebuild:
    """The work on one partition."""

    def __init__(
        self,
        log: Log,
        names: TopicNames,
        plans: PlanStore,
        *,
        partition: int,
        wanted: bytes | None,
        progress: Progress | None,
    ) -> None:
        self._log = log
        self._names = names
        self._plans = plans
        self._partition = partition
        self._wanted = wanted
        self._progress = progress
        self._records = 0

    async def run(self) -> PartitionRebuild:
        """Steps (1) to (3), then compare."""
        began = time.perf_counter()
        place = TopicPartition(self._names.task_state, self._partition)
        table = await read_table(self._log, place, self._wanted)  # (1)
        stretch = await retained_log(
            self._log, TopicPartition(self._names.transitions, self._partition)
        )  # (2)
        below = 0 if table.checkpoint is None else table.checkpoint.next_command
        covered_from = await covered_from_of(self._log, stretch)
        folded = await self._fold(stretch, below, covered_from)  # (3)
        tasks, log_digest, table_digest, differing = _compare(folded, table)
        first = None
        if differing:
            explaining = FoldedPartition(self._plans.get, covered_from=covered_from)
            first = await self._explain(stretch, below, differing[0], table, explaining)
        horizon = self._compare_horizon(folded, table, is_whole=stretch.begin == 0)
        return PartitionRebuild(
            partition=self._partition,
            tasks=tasks,
            not_covered=len(folded.uncovered),
            records=self._records,
            next_command=below,
            checkpoint_offset=table.checkpoint_offset,
            log_digest=log_digest,
            table_digest=table_digest,
            differences=len(differing) + (horizon is not None),
            first=first or horizon,
            seconds=round(time.perf_counter() - began, 3),
        )

    async def _fold(self, stretch: Stretch, below: int, covered_from: int) -> FoldedPartition:
        folded = FoldedPartition(self._plans.get, covered_from=covered_from)
        async with aclosing(accepted_records(self._log, stretch, self._wanted)) as records:
            async for each in records:
                if _is_behind(each, below):
                    break
                await learn_plan(self._plans, each)
                folded.take(each)
                self._records += 1
                tell(self._progress, stretch, each)
        return folded

    # ------------------------------------------------------------------------------------- differences

    async def _explain(
        self, stretch: Stretch, below: int, task_id: bytes, table: SavedTable, folding: FoldedPartition
    ) -> RebuildDifference:
        """Only now are a task's records read again, and kept."""
        concerned: list[Accepted] = []
        async with aclosing(accepted_records(self._log, stretch, task_id)) as records:
            async for each in records:
                if not _is_behind(each, below):
                    concerned.append(each)
        return explain(self._partition, task_id, concerned, table.values.get(task_id), folding)

    def _compare_horizon(
        self, folded: FoldedPartition, table: SavedTable, *, is_whole: bool
    ) -> RebuildDifference | None:
        """The last Forgotten's horizon must be the Checkpoint's; without one in a part of a log, nothing is known."""
        if table.checkpoint is None or (folded.horizon is None and not is_whole):
            return None
        expected, found = -1 if folded.horizon is None else folded.horizon, table.checkpoint.horizon
        if expected == found:
            return None
        return RebuildDifference(
            partition=self._partition,
            task_id=None,
            kind="horizon",
            message=f"the forget horizon is {expected} by the log and {found} by the checkpoint",
            changelog_offset=table.checkpoint_offset,
            fields=(FieldDifference("horizon", str(expected), str(found)),),
        )


def _is_behind(accepted: Accepted, below: int) -> bool:
    """Whether a record lies behind the cut. Of a damaged one nothing is known."""
    return not isinstance(accepted.record, DecodeError) and accepted.record.command_offset >= below


def _compare(folded: FoldedPartition, table: SavedTable) -> tuple[int, bytes, bytes, list[bytes]]:
    """How many tasks, both digests, and the differing tasks by id. Completes `folded.uncovered`."""
    log_digest, table_digest = hashlib.sha256(), hashlib.sha256()
    differing: list[bytes] = []
    tasks = 0
    for task_id in sorted(folded.task_ids() | folded.unfoldable.keys() | table.values.keys()):
        ours, saved = folded.value(task_id), table.values.get(task_id)
        theirs = _table_value(saved, ours)
        if ours is None and theirs is not None and folded.begins_before(task_id, theirs):
            folded.uncovered.add(task_id)
            continue
        folded.uncovered.discard(task_id)
        tasks += 1
        if ours is not None:
            log_digest.update(task_id + ours)
        if theirs is not None:
            table_digest.update(task_id + theirs)
        if ours != theirs or task_id in folded.unfoldable:
            differing.append(task_id)
    return tasks, log_digest.digest(), table_digest.digest(), differing


def _table_value(saved: Saved | None, ours: bytes | None) -> bytes | None:
    """The table's value in the canonical encoding: an earlier release may have written another one."""
    if saved is None:
        return None
    if saved.data == ours:
        return ours
    try:
        return canonical(saved.data)
    except DecodeError:
        return saved.data
