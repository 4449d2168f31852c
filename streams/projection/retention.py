"""Removes what closed longer ago than people want to see, in small steps, so that the projection hardly notices.

Of a task everything goes at once. What belongs to no task that is here (events, receipts and dead letters whose task is
gone, answers about tasks that were not there, faults, workers) goes by its own time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Table, delete, select, tuple_

from . import tables
from .store import Store

__all__ = ["STEP_TASKS", "remove_old"]

STEP_TASKS: Final = 200
"""Tasks of one step."""
_STEP_ROWS: Final = 2_000
_OF_TASKS: Final = (
    tables.task_text,
    tables.task_tag,
    tables.step,
    tables.attempt,
    tables.history,
    tables.ledger,
    tables.task,
)


def remove_old(store: Store, before: int) -> int:
    """One step: what ended before this time (ms). How many tasks, or loose rows, went; 0: nothing is left to go."""
    with store.writing() as connection:
        at = tables.task.c
        old = connection.execute(
            select(at.task_id).where(at.closed_at < before, at.removable_at < before).limit(STEP_TASKS)
        )
        tasks = list(old.scalars())
        if tasks:
            _remove_tasks(connection, tasks)
            return len(tasks)
        return _remove_loose(connection, before)


def _remove_tasks(connection: Connection, tasks: Sequence[bytes]) -> None:
    events = select(tables.event.c.event_id).where(tables.event.c.task_id.in_(tasks))
    for table in (tables.receipt, tables.dead_letter):
        connection.execute(delete(table).where(table.c.event_id.in_(events)))
    for table in (tables.event, *_OF_TASKS):
        connection.execute(delete(table).where(table.c.task_id.in_(tasks)))


def _remove_loose(connection: Connection, before: int) -> int:
    event, history = tables.event.c, tables.history.c
    gone = ~select(tables.task.c.task_id).where(tables.task.c.task_id == event.task_id).exists()
    removed = _remove_some(connection, tables.event, (event.fired_at < before) & gone)
    for table, at in (
        (tables.receipt, tables.receipt.c.at),
        (tables.dead_letter, tables.dead_letter.c.died_at),
    ):
        unknown = ~select(event.event_id).where(event.event_id == table.c.event_id).exists()
        removed += _remove_some(connection, table, (at < before) & unknown)
    no_task = ~select(tables.task.c.task_id).where(tables.task.c.task_id == history.task_id).exists()
    removed += _remove_some(connection, tables.fault, tables.fault.c.at < before)
    removed += _remove_some(connection, tables.worker, tables.worker.c.seen_at < before)
    return removed + _remove_some(connection, tables.history, (history.at < before) & no_task)


def _remove_some(connection: Connection, table: Table, wanted: ColumnElement[bool]) -> int:
    """At most some thousand rows, found by their key: neither database deletes with a limit."""
    keys: list[Any] = list(table.primary_key)
    found = [tuple(row) for row in connection.execute(select(*keys).where(wanted).limit(_STEP_ROWS))]
    for begin in range(0, len(found), 200):
        connection.execute(delete(table).where(tuple_(*keys).in_(found[begin : begin + 200])))
    return len(found)
