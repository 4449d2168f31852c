"""What is asked of the store, as statements: filters, pages, and rows as shapes."""

from __future__ import annotations

import base64
import binascii
import operator
from collections.abc import Callable
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, RowMapping, Select, select, tuple_

from tasker_kafka.schemas.errors import TaskerError
from tasker_kafka.schemas.words import TaskStatus

from . import tables
from .rows import clean, searchable, tag_key
from .shapes import TaskQuery, TaskRow

__all__ = [
    "BadCursor",
    "after",
    "conditions",
    "cursor_of",
    "like",
    "read_cursor",
    "row_of",
    "tasks_page",
]

_COLUMNS: Final = [tables.task.c[name] for name in TaskRow.__struct_fields__]
_LONGEST_CURSOR: Final = 200
_decode_tags = msgspec.json.Decoder(tuple[str, ...]).decode
_TASK: Final = tables.task.c
_LARGEST: Final = 2**63 - 1
_Compare = Callable[[Any, Any], ColumnElement[bool]]


class BadCursor(TaskerError):
    """This is no cursor of a page."""

    next_step = "give `next_cursor` of the page before, unchanged, or none for the first page"


def conditions(query: TaskQuery) -> list[ColumnElement[bool]]:
    """What a row of `task` must fulfil; all of them."""
    found = [_TASK[column] == clean(value) for column, value in _equal(query) if value is not None]
    found += [
        compare(column, _within(value)) for compare, column, value in _between(query) if value is not None
    ]
    if query.states:
        found.append(_TASK.state.in_([str(each) for each in query.states]))
    tag = tables.task_tag.c
    found += [
        select(tag.tag).where(tag.task_id == _TASK.task_id, tag.tag == tag_key(each)).exists()
        for each in query.tags
    ]
    if query.text:
        words = tables.task_text.c
        found.append(
            select(words.task_id)
            .where(words.task_id == _TASK.task_id, like(words.search_text, query.text))
            .exists()
        )
    return found


def _equal(query: TaskQuery) -> list[tuple[str, str | None]]:
    return [
        ("namespace", query.namespace),
        ("template", query.template),
        ("version", query.version),
        ("health_status", query.health),
        ("execution_status", query.execution_status),
        ("correlation_id", query.correlation_id),
    ]


def _between(query: TaskQuery) -> list[tuple[_Compare, Any, int | None]]:
    return [
        (operator.ge, _TASK.created_at, query.created_from),
        (operator.lt, _TASK.created_at, query.created_to),
        (operator.ge, _TASK.closed_at, query.closed_from),
        (operator.lt, _TASK.closed_at, query.closed_to),
    ]


def _within(value: int) -> int:
    """No time is beyond what a database can hold; who asks for one gets nothing, or everything."""
    return max(-_LARGEST, min(value, _LARGEST))


def like(column: Any, text: str) -> ColumnElement[bool]:
    """Whether the column, in one case, holds the text; %, _ and the escape itself are what they are."""
    escaped = searchable(text).replace("!", "!!").replace("%", "!%").replace("_", "!_")
    found: ColumnElement[bool] = column.like(f"%{escaped}%", escape="!")
    return found


def tasks_page(query: TaskQuery, limit: int, cursor: str | None) -> Select[Any]:
    """One row more than `limit`, so that the end is known; the newest first."""
    wanted = conditions(query)
    if cursor is not None:
        created_at, task_id = read_cursor(cursor)
        wanted.append(after(_TASK.created_at, _TASK.task_id, created_at, task_id))
    return (
        select(*_COLUMNS)
        .where(*wanted)
        .order_by(_TASK.created_at.desc(), _TASK.task_id.desc())
        .limit(limit + 1)
    )


def after(at: Any, key: Any, last_at: int, last_key: bytes) -> ColumnElement[bool]:
    """What comes after a place in an order that falls by time, then by key."""
    return tuple_(at, key) < tuple_(last_at, last_key)


def row_of(row: RowMapping) -> TaskRow:
    """A row of `task`."""
    values: dict[str, Any] = {**row}
    values["state"] = TaskStatus(values["state"])
    values["tags"] = _decode_tags(values["tags"])
    values["is_stale"] = bool(values["is_stale"])
    return TaskRow(**values)


def cursor_of(at: int, key: bytes) -> str:
    """A place in the order of a list, as opaque text."""
    return base64.urlsafe_b64encode(b"%d." % at + key).decode().rstrip("=")


def read_cursor(text: str) -> tuple[int, bytes]:
    """The place in a cursor. BadCursor when it is none."""
    try:
        if len(text) > _LONGEST_CURSOR or not text.isascii():
            raise ValueError
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        at, dot, key = data.partition(b".")
        if not dot or not key or len(at) > 18 or not at.isdigit():
            raise ValueError
        return int(at), key
    except (ValueError, binascii.Error):
        raise BadCursor(f"{text[:40]!r} is no cursor of a page") from None
