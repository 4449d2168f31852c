"""Questions about events, the ledger and workers: rows of several tables put together, one statement for each table."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Select, select

from tasker_kafka.schemas.words import ReceiptOutcome, TaskStatus

from . import tables
from .queries import after, cursor_of, read_cursor
from .shapes import EventRow, LedgerPage, LedgerRow, LetterOfEvent, ReceiptOfEvent, StoredWorker

__all__ = ["read_events", "read_ledger", "read_ledger_entry", "read_workers"]

_MISSING: Final = ReceiptOutcome.MISSING.value
_EVENT: Final = tables.event.c
_RECEIPT: Final = tables.receipt.c
_LETTER: Final = tables.dead_letter.c
_ENTRY: Final = tables.ledger.c
_TASK: Final = tables.task.c


def read_events(connection: Connection, task_id: bytes) -> tuple[EventRow, ...]:
    """The events of a task, oldest first, each with its receipts and dead letters. Three statements."""
    of_task = select(_EVENT.event_id).where(_EVENT.task_id == task_id)
    names = [name for name in EventRow.__struct_fields__ if name in _EVENT]
    events = connection.execute(
        select(*(_EVENT[name] for name in names))
        .where(_EVENT.task_id == task_id)
        .order_by(_EVENT.fired_at, _EVENT.topic, _EVENT.partition, _EVENT.offset)
    ).mappings()
    rows = [dict(each) for each in events]
    receipts = _receipts(connection, of_task)
    letters: dict[bytes, list[LetterOfEvent]] = defaultdict(list)
    names = list(LetterOfEvent.__struct_fields__)
    found = select(_LETTER.event_id, *(_LETTER[name] for name in names))
    found = found.where(_LETTER.event_id.in_(of_task)).order_by(_LETTER.died_at, _LETTER.place)
    for letter in connection.execute(found).mappings():
        letters[letter["event_id"]].append(LetterOfEvent(**{name: letter[name] for name in names}))
    return tuple(
        EventRow(
            **each, receipts=receipts.get(each["event_id"], ()), letters=tuple(letters[each["event_id"]])
        )
        for each in rows
    )


def _receipts(connection: Connection, events: Select[Any]) -> dict[bytes, tuple[ReceiptOfEvent, ...]]:
    """A mark that a receipt was missing stands beside the receipt, whichever came first; here they are one."""
    found = connection.execute(
        select(tables.receipt)
        .where(_RECEIPT.event_id.in_(events))
        .order_by(_RECEIPT.group, _RECEIPT.subscription, _RECEIPT.is_missing_mark.desc())
    ).mappings()
    held: dict[bytes, dict[tuple[str, str], ReceiptOfEvent]] = defaultdict(dict)
    for row in found:
        place = (row["group"], row["subscription"])
        of_event = held[row["event_id"]]
        of_event[place] = ReceiptOfEvent(
            group=row["group"],
            subscription=row["subscription"],
            outcome=row["outcome"],
            at=row["at"],
            deliveries=row["deliveries"],
            was_missing=row["outcome"] == _MISSING or place in of_event,
        )
    return {event_id: tuple(of_event.values()) for event_id, of_event in held.items()}


def read_ledger(connection: Connection, status: str | None, limit: int, cursor: str | None) -> LedgerPage:
    """Entries of one status (None: all), the newest first. One statement."""
    statement = _entries()
    if status is not None:
        statement = statement.where(_ENTRY.status == status)
    if cursor is not None:
        statement = statement.where(after(_ENTRY.at, _ENTRY.task_id, *read_cursor(cursor)))
    statement = statement.order_by(_ENTRY.at.desc(), _ENTRY.task_id.desc()).limit(limit + 1)
    rows = [_entry(each) for each in connection.execute(statement).mappings()]
    last = rows[limit - 1] if len(rows) > limit else None
    return LedgerPage(
        rows=tuple(rows[:limit]), next_cursor=None if last is None else cursor_of(last.at, last.task_id)
    )


def read_ledger_entry(connection: Connection, task_id: bytes) -> LedgerRow | None:
    """The entry of a task."""
    row = connection.execute(_entries().where(_ENTRY.task_id == task_id)).mappings().first()
    return None if row is None else _entry(row)


def _entries() -> Select[Any]:
    own = [_ENTRY[name] for name in LedgerRow.__struct_fields__ if name in _ENTRY]
    return select(*own, _TASK.namespace, _TASK.template, _TASK.state).select_from(
        tables.ledger.outerjoin(tables.task, _TASK.task_id == _ENTRY.task_id)
    )


def _entry(row: Any) -> LedgerRow:
    values: dict[str, Any] = {**row}
    if values["state"] is not None:
        values["state"] = TaskStatus(values["state"])
    return LedgerRow(**values)


def read_workers(connection: Connection, limit: int) -> tuple[StoredWorker, ...]:
    """Workers, the last seen first."""
    at = tables.worker.c
    statement = select(tables.worker).order_by(at.seen_at.desc(), at.worker_id).limit(limit)
    found: list[StoredWorker] = []
    for row in connection.execute(statement).mappings():
        values: dict[str, Any] = {**row}
        values["queues"], values["handlers"] = _names(row["queues"]), _names(row["handlers"])
        found.append(StoredWorker(**values))
    return tuple(found)


def _names(text: str) -> tuple[str, ...]:
    return msgspec.json.decode(text, type=tuple[str, ...])
