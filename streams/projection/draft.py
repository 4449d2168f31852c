"""What one batch is going to write: rows collected by table, then written in one go.

Where a row may be written twice in a batch (a task's, a step's) only the last one is kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Connection, Table, delete
from sqlalchemy.engine import Dialect

from tasker_kafka.schemas.state import TaskState
from tasker_kafka.topics.log import Record, TopicPartition

from . import tables
from .rows import CHANGING, attempt_row, changing_row, clean, step_row, tag_rows, task_row, text_row
from .statements import Prepared, insert_ignoring, insert_or_update, update_by
from .task_fold import TaskFold

__all__ = ["Draft", "Statements"]

_MESSAGE_LIMIT: Final = 2_000
_FIRST_WINS: Final = (tables.history, tables.task_tag, tables.event, tables.dead_letter, tables.fault)
_LAST_WINS: Final = (tables.task_text, tables.attempt, tables.step, tables.receipt, tables.worker)


class Statements:
    """Every statement of a batch, compiled for one database."""

    def __init__(self, dialect: Dialect) -> None:
        self.inserts: dict[str, Prepared] = {
            each.name: insert_ignoring(each, dialect) for each in (*_FIRST_WINS, tables.plan)
        }
        for each in (*_LAST_WINS, tables.task, tables.ledger):
            self.inserts[each.name] = insert_or_update(each, dialect)
        self.change_task = update_by(tables.task, dialect, CHANGING, ("task_id",))
        letter_keys = ("topic", "partition", "offset")
        self.end_worker = update_by(tables.worker, dialect, ("left_at",), ("worker_id",))
        self.change_letter = update_by(tables.dead_letter, dialect, ("state",), letter_keys)


class Draft:
    """The rows of one batch."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self.rows: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        self.folds: dict[bytes, TaskFold] = {}
        self.ledger: dict[bytes, tuple[Any, ...] | None] = {}
        """Task → its entry's row; None: it has none any more."""
        self.letter_states: list[tuple[str, str, int, int]] = []
        """State, then topic, partition and offset of the letter that has it."""
        self.worker_ends: dict[str, int] = {}
        """Worker → when it signed off."""
        self.records = 0
        self.faults = 0

    def add(self, table: Table, row: tuple[Any, ...]) -> None:
        """A row, in the table's order."""
        self.rows[table.name].append(row)

    def fault(
        self,
        place: TopicPartition,
        offset: int,
        task_id: bytes | None,
        message: str,
        lacking: bytes | None = None,
    ) -> None:
        """A record that is passed, and why. lacking: hash of the plan that it waits for."""
        self.faults += 1
        text = clean(message[:_MESSAGE_LIMIT])
        row = (place.topic, place.partition, offset, task_id, self._now_ms(), text, lacking)
        self.add(tables.fault, row)

    def fault_of(self, record: Record, message: str) -> None:
        """As `fault`, of a record at hand."""
        task_id = record.key if record.key is not None and len(record.key) == 16 else None
        self.fault(TopicPartition(record.topic, record.partition), record.offset, task_id, message)

    def write(self, connection: Connection, statements: Statements) -> None:
        """Everything, in the caller's transaction."""
        self._write_tasks(connection, statements)
        for table in (*_FIRST_WINS, *_LAST_WINS):
            statements.inserts[table.name].run(connection, self.rows[table.name])
        statements.end_worker.run(connection, [(at, each) for each, at in self.worker_ends.items()])
        statements.change_letter.run(connection, self.letter_states)
        statements.inserts[tables.ledger.name].run(
            connection, [each for each in self.ledger.values() if each]
        )
        gone = [task_id for task_id, row in self.ledger.items() if row is None]
        if gone:
            connection.execute(delete(tables.ledger).where(tables.ledger.c.task_id.in_(gone)))

    def _write_tasks(self, connection: Connection, statements: Statements) -> None:
        created: list[tuple[Any, ...]] = []
        changed: list[tuple[Any, ...]] = []
        columns = tables.task.columns.keys()
        for fold in self.folds.values():
            state, plan = fold.state, fold.plan
            if state is None or plan is None or not fold.has_changed:
                continue
            if fold.is_new_life or not fold.is_stored:
                row = task_row(fold, state, plan)
                created.append(tuple([row[name] for name in columns]))
                self._begin(connection, fold)
            else:
                changed.append((*changing_row(fold, state, plan), fold.task_id))
                if fold.has_new_words:
                    self._write_words(connection, fold)
            self.rows[tables.step.name] += [
                step_row(fold.task_id, state, plan, n) for n in sorted(fold.touched)
            ]
            self.rows[tables.attempt.name] += [attempt_row(fold.task_id, each) for each in fold.attempts]
        statements.inserts[tables.task.name].run(connection, created)
        statements.change_task.run(connection, changed)

    def _begin(self, connection: Connection, fold: TaskFold) -> None:
        """A task's first row, or its next life's: nothing of an earlier one may stay."""
        assert fold.state is not None
        if fold.is_stored:
            connection.execute(delete(tables.step).where(tables.step.c.task_id == fold.task_id))
            self._write_words(connection, fold)
        else:
            self._add_words(fold.task_id, fold.state)
        fold.touched.update(range(len(fold.state.steps)))

    def _write_words(self, connection: Connection, fold: TaskFold) -> None:
        """Tags and reason have changed."""
        assert fold.state is not None
        connection.execute(delete(tables.task_tag).where(tables.task_tag.c.task_id == fold.task_id))
        self._add_words(fold.task_id, fold.state)

    def _add_words(self, task_id: bytes, state: TaskState) -> None:
        self.rows[tables.task_tag.name] += tag_rows(task_id, state)
        self.add(tables.task_text, text_row(task_id, state))
