"""The tasks that a writer holds folded in memory, within a limit; any other is folded again from the stored history."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection, select

from tasker_kafka.schemas.codec import Codec
from tasker_kafka.schemas.records import Transitions
from tasker_kafka.topics.history import AcceptedRecord
from tasker_kafka.topics.log import TopicPartition

from . import tables
from .task_fold import FindPlan, TaskFold

__all__ = ["HeldFolds", "Kept"]

_MOST_WEIGHT: Final = 200_000
"""One for each step and each KiB of context and results."""
_MOST_IN: Final = 500
"""Ids in one IN list."""


class Kept(NamedTuple):
    """An accepted record and where it came from."""

    task_id: bytes
    place: TopicPartition
    accepted: AcceptedRecord


class HeldFolds:
    """Used by the writer's thread only. `load` what a batch needs, then `use` it; `limit` after the batch."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._folds: OrderedDict[bytes, TaskFold] = OrderedDict()
        self._weight = 0

    def use(self, task_id: bytes) -> TaskFold:
        """A task that was loaded; it has rested no longer."""
        self._folds.move_to_end(task_id)
        return self._folds[task_id]

    def weigh(self, fold: TaskFold) -> None:
        """It has changed."""
        self._weight -= fold.weight
        fold.weight = _weight(fold)
        self._weight += fold.weight

    def drop(self, task_id: bytes) -> None:
        """What is held of it is not what is stored."""
        fold = self._folds.pop(task_id, None)
        if fold is not None:
            self._weight -= fold.weight

    def clear(self) -> None:
        """Hold nothing."""
        self._folds.clear()
        self._weight = 0

    def limit(self) -> None:
        """Hold no more than memory is meant for; those that rested longest go first."""
        while self._weight > _MOST_WEIGHT and len(self._folds) > 1:
            _, fold = self._folds.popitem(last=False)
            self._weight -= fold.weight

    def load(self, connection: Connection, first: Mapping[bytes, Kept], find: FindPlan) -> None:
        """Have the tasks of these records, as far as they are stored. first: of each the first that comes now."""
        missing = [task_id for task_id in first if self._is_missing(task_id, find)]
        for begin in range(0, len(missing), _MOST_IN):
            ids = missing[begin : begin + _MOST_IN]
            begun = [each for each in ids if first[each].accepted.record.seq > 1]
            found = self.stored(connection, ids, begun, find)
            for task_id in ids:
                self.drop(task_id)
                fold = found.get(task_id) or TaskFold(task_id, first[task_id].place.partition)
                self._folds[task_id] = fold
                self.weigh(fold)

    def _is_missing(self, task_id: bytes, find: FindPlan) -> bool:
        fold = self._folds.get(task_id)
        return fold is None or (fold.lacking is not None and find(fold.lacking) is not None)

    def stored(
        self, connection: Connection, ids: Sequence[bytes], begun: Iterable[bytes], find: FindPlan
    ) -> dict[bytes, TaskFold]:
        """Those of these tasks that have a row or, of `begun`, records without one: their plan was missing.

        Of a life that has no row yet, everything is as new as if its records came now.
        """
        task, history = tables.task.c, tables.history.c
        known = select(task.task_id, task.partition, task.life, task.lives).where(task.task_id.in_(ids))
        rows = {row.task_id: row for row in connection.execute(known)}
        wanted = list(rows.keys() | set(begun))
        if not wanted:
            return {}
        folds: dict[bytes, TaskFold] = {}
        for row in rows.values():
            fold = folds[row.task_id] = TaskFold(row.task_id, row.partition)
            fold.lives = row.lives - 1
            fold.is_stored = True
        stored = (
            select(history.partition, history.task_id, history.offset, history.life, history.at, history.body)
            .where(history.task_id.in_(wanted))
            .order_by(history.partition, history.offset)
        )
        for partition, task_id, offset, life, at, body in connection.execute(stored):
            if task_id not in rows or life >= rows[task_id].life:
                fold = folds.setdefault(task_id, TaskFold(task_id, partition))
                fold.take(AcceptedRecord(offset, at, self._codec.decode(body, Transitions)), find)
        for task_id, fold in folds.items():
            fold.settle()
            if task_id in rows and fold.life == rows[task_id].life:
                fold.saved()
        return folds


def _weight(fold: TaskFold) -> int:
    if fold.state is None:
        return 2
    values = [fold.state.context, *[each.result for each in fold.state.steps]]
    size = sum([len(each) for each in values if isinstance(each, bytes)])
    return 2 + len(fold.state.steps) + size // 1024
