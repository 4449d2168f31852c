"""What changed between two moments of the log: tasks that came, moved, closed or were forgotten, and their steps.

One pass per partition: the records below the first moment are folded as the table's owner folded them; of a task that a
record between the moments touches, the state before is kept until it is final, or the second moment is reached. So
memory holds what the table holds, and the tasks that were open in between, whatever the length of the log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import aclosing
from typing import NamedTuple

import msgspec

from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import Transitions
from tasker_kafka.schemas.state import Stub, TaskState
from tasker_kafka.schemas.words import FINAL_TASK_STATES, TaskStatus
from tasker_kafka.streams.domain.fold import fold_whole
from tasker_kafka.streams.domain.views import coarse_task_status
from tasker_kafka.topics.log import Log, TopicPartition
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.partitioner import partition_for
from tasker_kafka.topics.plans import PlanStore

from .as_of_moments import BadMoment, Cut, Moment, PartitionCut, resolve
from .diff_changes import ChangeKind, TaskChange, fields_between, kind_of, steps_between
from .history import not_found
from .rebuild_fold import FoldedPartition, plan_named_by
from .rebuild_log import Accepted, accepted_records, covered_from_of, retained_log
from .walking import Progress, learn_plan, tell

__all__ = ["Differences", "Wanted", "diff"]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which changes are wanted; None and (): any."""

    namespace: str | None = None
    template: str | None = None
    states: tuple[str, ...] = ()
    """One of these states or coarse statuses, before or after."""
    kinds: tuple[ChangeKind, ...] = ()
    """One of these."""

    def matches(self, change: TaskChange) -> bool:
        """Whether a change is wanted."""
        return (
            self.namespace in (None, change.namespace)
            and self.template in (None, change.template)
            and (not self.kinds or change.kind in self.kinds)
            and (not self.states or any(map(self._is_wanted, (change.before, change.after))))
        )

    def _is_wanted(self, state: TaskStatus | None) -> bool:
        return state is not None and (state in self.states or coarse_task_status(state) in self.states)


class Differences(msgspec.Struct, frozen=True, kw_only=True):
    """The answer. `tasks`: the first `limit` of `total`, by partition and the end of their change."""

    first: Cut
    second: Cut
    total: int
    kinds: dict[str, int]
    states: dict[str, int]
    """`before → after` of the tasks, with how many."""
    steps: dict[str, int]
    """The same of their steps."""
    attempts: int
    """Attempts granted in between."""
    records: int
    """Records in between of the tasks counted."""
    not_covered: int
    """Tasks that changed and began before the retained log: nothing is said of them."""
    unfoldable: int
    tasks: tuple[TaskChange, ...]


async def diff(
    log: Log,
    names: TopicNames,
    plans: PlanStore,
    first: Moment,
    second: Moment,
    *,
    task_id: bytes | None = None,
    wanted: Wanted | None = None,
    limit: int = 50,
    progress: Progress | None = None,
) -> Differences:
    """What changed from the first moment to the second.

    BadMoment when the second is before the first in a partition; NotFoundError for a task that is there at neither.
    """
    count = await log.partition_count(names.transitions)
    number = None if task_id is None else partition_for(task_id, count)
    cuts = (
        await resolve(log, names, first, partition=number),
        await resolve(log, names, second, partition=number),
    )
    for one, other in zip(*(cut.partitions for cut in cuts), strict=True):
        if one.offset > other.offset:
            raise BadMoment(
                f"{second.text} is before {first.text} in partition {one.partition}",
                next_step="Give the earlier moment first.",
            )
    tally = _Tally(wanted or Wanted(), limit)
    is_known = False
    for one, other in zip(*(cut.partitions for cut in cuts), strict=True):
        is_known |= await _compare(
            log, names, plans, (one, other), task_id=task_id, tally=tally, progress=progress
        )
    if task_id is not None and not is_known:
        raise not_found(task_id)
    return tally.answer(*cuts)


async def _compare(
    log: Log,
    names: TopicNames,
    plans: PlanStore,
    cuts: tuple[PartitionCut, PartitionCut],
    *,
    task_id: bytes | None,
    tally: _Tally,
    progress: Progress | None,
) -> bool:
    """One partition; whether `task_id` is there at one of the moments."""
    first, second = cuts
    place = TopicPartition(names.transitions, first.partition)
    stretch = await retained_log(log, place, end=second.offset)
    pair = _Pair(plans, first.partition, first.offset, await covered_from_of(log, stretch))
    async with aclosing(accepted_records(log, stretch, task_id)) as records:
        async for each in records:
            await learn_plan(plans, each)
            tell(progress, stretch, each)
            for change in pair.take(each):
                tally.add(change)
    for change in pair.end(task_id):
        tally.add(change)
    tally.not_covered += len(pair.uncovered)
    tally.unfoldable += len(pair.folded.unfoldable)
    return pair.is_known


class _Touched(msgspec.Struct):
    """A task that a record between the moments is about."""

    before: TaskState | Stub | None
    after: TaskState | None
    first: int
    last: int
    records: int = 0


class _Known(NamedTuple):
    """What is kept of every task of the first moment."""

    life: int
    status: TaskStatus
    plan_hash: bytes


class _Pair:
    """One partition at both moments."""

    def __init__(self, plans: PlanStore, partition: int, first: int, covered_from: int) -> None:
        self.folded = FoldedPartition(plans.get, covered_from=covered_from)
        self.uncovered: set[bytes] = set()
        self.is_known = False
        self._plans = plans
        self._partition = partition
        self._first = first
        self._there: dict[bytes, _Known] | None = None
        self._touched: dict[bytes, _Touched] = {}

    def take(self, accepted: Accepted) -> Iterator[TaskChange]:
        """The next record; the changes that are complete with it."""
        record, key = accepted.record, accepted.key
        if accepted.offset < self._first:
            self.folded.take(accepted)
            return
        self._begin()
        if not isinstance(record, Transitions) or not record.seq:
            self.folded.take(accepted)
            return
        before = None if key in self._touched else self.folded.state(key)
        self.folded.take(accepted)
        if key in self.folded.uncovered:
            self.uncovered.add(key)
            return
        if key in self.folded.unfoldable:
            self._touched.pop(key, None)
            return
        touched = self._touched.setdefault(key, _Touched(before, None, accepted.offset, accepted.offset))
        touched.last = accepted.offset
        after = self._advance(touched, record)
        if after.state in FINAL_TASK_STATES:
            yield self._change(key, self._touched.pop(key))

    def end(self, wanted: bytes | None) -> Iterator[TaskChange]:
        """The second moment is reached: the changes of what is still open, and what was forgotten."""
        there = self._begin()
        for key, touched in self._touched.items():
            change = self._change(key, touched)
            if change.kind is not ChangeKind.CHANGED or change.steps or change.fields:
                yield change
        now = self.folded.task_ids()
        self.is_known = wanted in there or wanted in now or wanted in self.folded.unfoldable
        for key, known in there.items():
            if key not in now and key not in self.folded.unfoldable:
                yield self._forgotten(key, known)

    def _begin(self) -> dict[bytes, _Known]:
        """What is there at the first moment."""
        if self._there is None:
            self._there = {}
            for key in self.folded.task_ids():
                state = self.folded.state(key)
                if state is not None:
                    status = state.outcome if isinstance(state, Stub) else state.state
                    self._there[key] = _Known(state.life, status, state.plan_hash)
        return self._there

    def _advance(self, touched: _Touched, record: Transitions) -> TaskState:
        before = touched.after or (touched.before if isinstance(touched.before, TaskState) else None)
        plan = self._plan(record, before)
        assert plan is not None, "it folded, so its plan is known"
        touched.after = fold_whole(before, record, plan)
        touched.records += 1
        return touched.after

    def _plan(self, record: Transitions, before: TaskState | None) -> Plan | None:
        named = plan_named_by(record) if before is None else before.plan_hash
        return None if named is None else self._plans.get(named)

    def _change(self, key: bytes, touched: _Touched) -> TaskChange:
        after = touched.after
        assert after is not None, "a record touched it"
        before = touched.before if isinstance(touched.before, TaskState) else None
        return TaskChange(
            task_id=key,
            partition=self._partition,
            life=after.life,
            kind=kind_of(before, after),
            namespace=after.namespace,
            template=after.name,
            version=after.version,
            before=None if before is None else before.state,
            after=after.state,
            offsets=(touched.first, touched.last),
            records=touched.records,
            steps=tuple(steps_between(before, after)),
            fields=() if before is None else tuple(fields_between(before, after)),
        )

    def _forgotten(self, key: bytes, known: _Known) -> TaskChange:
        plan = self._plans.get(known.plan_hash)
        return TaskChange(
            task_id=key,
            partition=self._partition,
            life=known.life,
            kind=ChangeKind.FORGOTTEN,
            namespace="?" if plan is None else plan.namespace,
            template="?" if plan is None else plan.name,
            version="?" if plan is None else plan.version,
            before=known.status,
            after=None,
        )


class _Tally:
    """Counts the wanted changes; keeps the first."""

    def __init__(self, wanted: Wanted, limit: int) -> None:
        self._wanted = wanted
        self._limit = limit
        self._kinds: Counter[str] = Counter()
        self._states: Counter[str] = Counter()
        self._steps: Counter[str] = Counter()
        self._attempts = self._records = 0
        self._tasks: list[TaskChange] = []
        self.not_covered = self.unfoldable = 0

    def add(self, change: TaskChange) -> None:
        """The next change."""
        if not self._wanted.matches(change):
            return
        self._kinds[change.kind] += 1
        if change.before is not change.after:
            self._states[f"{change.before or '–'} → {change.after or '–'}"] += 1
        for step in change.steps:
            self._attempts += step.attempts
            if step.before is not step.after:
                self._steps[f"{step.before or '–'} → {step.after}"] += 1
        self._records += change.records
        if len(self._tasks) < self._limit:
            self._tasks.append(change)

    def answer(self, first: Cut, second: Cut) -> Differences:
        """The whole."""
        return Differences(
            first=first,
            second=second,
            total=self._kinds.total(),
            kinds=dict(self._kinds.most_common()),
            states=dict(self._states.most_common()),
            steps=dict(self._steps.most_common()),
            attempts=self._attempts,
            records=self._records,
            not_covered=self.not_covered,
            unfoldable=self.unfoldable,
            tasks=tuple(self._tasks),
        )
