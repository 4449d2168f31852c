"""The tasks that a writer holds folded in memory, within a limit; any other is folded again from the stored history."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import Connection, select

from tasker_kafka.schemas.codec import Codec
from tasker_kafka.schemas.records import Transitions
from tasker_kafka.topics.history import AcceptedRecord

from . import tables
from .task_fold import FindPlan, TaskFold

__all__ = ["HeldFolds"]

_MOST_WEIGHT: Final = 200_000
"""One for each step and each KiB of context and results."""
_MOST_IN: Final = 500
"""Ids in one IN list."""


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

    def load(self, connection: Connection, wanted: Mapping[bytes, int], find: FindPlan) -> None:
        """Have these tasks (id → partition), as far as they are stored."""
        missing = [task_id for task_id in wanted if task_id not in self._folds]
        for begin in range(0, len(missing), _MOST_IN):
            ids = missing[begin : begin + _MOST_IN]
            found = self._stored(connection, ids, find)
            for task_id in ids:
                fold = found.get(task_id) or TaskFold(task_id, wanted[task_id])
                self._folds[task_id] = fold
                self.weigh(fold)

    def _stored(self, connection: Connection, ids: Sequence[bytes], find: FindPlan) -> dict[bytes, TaskFold]:
        task, history = tables.task.c, tables.history.c
        known = select(task.task_id, task.partition, task.life, task.lives).where(task.task_id.in_(ids))
        rows = connection.execute(known).all()
        if not rows:
            return {}
        folds: dict[bytes, TaskFold] = {}
        lives: dict[bytes, int] = {}
        for row in rows:
            fold = folds[row.task_id] = TaskFold(row.task_id, row.partition)
            fold.lives = row.lives - 1
            fold.is_stored = True
            lives[row.task_id] = row.life
        stored = (
            select(history.task_id, history.offset, history.life, history.at, history.body)
            .where(history.task_id.in_(list(lives)))
            .order_by(history.partition, history.offset)
        )
        for task_id, offset, life, at, body in connection.execute(stored):
            if life == lives[task_id]:
                record = self._codec.decode(body, Transitions)
                folds[task_id].take(AcceptedRecord(offset, at, record), find)
        for fold in folds.values():
            fold.settle()
            fold.saved()
        return folds


def _weight(fold: TaskFold) -> int:
    if fold.state is None:
        return 2
    values = [fold.state.context, *[each.result for each in fold.state.steps]]
    size = sum([len(each) for each in values if isinstance(each, bytes)])
    return 2 + len(fold.state.steps) + size // 1024
