"""Compares the rows of two stores, task by task: what the log gives, and what a projection holds. Blocking.

Each side is a transaction that sees one moment. Both are read in pages of a few hundred tasks, in order of their ids.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import Connection, Table, exists, select

from tasker_kafka.schemas.identity import format_id
from tasker_kafka.topics.partitioner import partition_for

from . import tables

__all__ = ["CheckedPartition", "Comparing", "Retained", "RowDifference", "positions_in"]

_PAGE: Final = 300
"""Tasks compared at a time."""
_OF_A_TASK: Final = (
    tables.task,
    tables.step,
    tables.attempt,
    tables.history,
    tables.task_tag,
    tables.task_text,
)
_OF_LIVES: Final = frozenset({tables.attempt.name, tables.history.name})
_HIDDEN: Final = frozenset(
    {"context_text", "search_text", "body", "json", "reason", "tags", "tag"}
    | {"error_message", "idempotency_key", "correlation_id"}
)
"""Columns that hold what people sent: told by size and digest."""
_LONGEST: Final = 80

Rows = dict[str, dict[tuple[Any, ...], dict[str, Any]]]
"""Table → primary key → row, of one task."""


class Retained(NamedTuple):
    """A transitions partition as far as the log holds it."""

    begin: int
    owner: int
    """In office at `begin`."""
    covered_from: int
    """Lives that began at an earlier command offset are not retained whole."""
    end: int


class RowDifference(msgspec.Struct, frozen=True, kw_only=True):
    """One row that is not what the log says. Values are texts; what people sent is told by size and digest."""

    kind: str
    """differs, only_in_log, only_in_projection, or ahead (a position behind the end of the log)."""
    table: str
    key: str
    """The row's primary key."""
    task_id: bytes | None = None
    column: str | None = None
    in_log: str | None = None
    in_projection: str | None = None


class CheckedPartition(msgspec.Struct, frozen=True, kw_only=True):
    """One partition of the transitions, compared."""

    partition: int
    position: int
    """How far it is projected: offset of the next record."""
    end: int
    """Where the partition ended when it was compared."""
    tasks: int
    not_covered: int
    """Tasks of which the log does not hold all: they began before it, or a record of them cannot be read."""
    removed: int
    """Tasks that the projection's retention has removed."""
    log_digest: bytes
    """SHA-256 over the rows that the log gives, by task id."""
    projection_digest: bytes
    """The same over the rows of the store."""
    differences: int
    """Tasks (and positions) that differ."""
    tables: dict[str, int]
    """Table → rows that differ."""
    first: RowDifference | None


class _Found:
    """What was found of one partition."""

    def __init__(self) -> None:
        self.tasks = self.not_covered = self.removed = self.differences = 0
        self.tables: Counter[str] = Counter()
        self.first: RowDifference | None = None
        self.digests = (hashlib.sha256(), hashlib.sha256())

    def add(self, differences: Sequence[RowDifference]) -> None:
        """What differs of one task, or of a position."""
        if differences:
            self.differences += 1
            self.tables.update(each.table for each in differences)
            self.first = self.first or differences[0]


class Comparing:
    """Both stores, each in a transaction that sees one moment. Blocking."""

    def __init__(
        self,
        log: Connection,
        store: Connection,
        retained: Mapping[int, Retained],
        removed_before: int | None,
        count: int,
    ) -> None:
        self._log = log
        self._store = store
        self._retained = retained
        self._removed_before = removed_before
        self._count = count
        self._found: dict[int, _Found] = defaultdict(_Found)

    def run(
        self, positions: Mapping[int, dict[str, Any]], topic: str, wanted: bytes | None
    ) -> tuple[CheckedPartition, ...]:
        """Positions, plans, then every task."""
        own = positions_in(self._log, topic)
        for number, each in self._retained.items():
            self._found[number].add(
                list(_position_differences(number, each, own, positions, is_whole=wanted is None))
            )
        pages = [[wanted]] if wanted is not None else self._pages()
        for page in pages:
            self._compare(page)
        if wanted is None:
            first = min(self._retained, default=0)
            self._found[first].add(list(self._plan_differences()))
        return tuple(
            self._checked(number, positions.get(number, {}).get("next_offset", 0))
            for number in self._retained
        )

    def _checked(self, number: int, position: int) -> CheckedPartition:
        found = self._found[number]
        return CheckedPartition(
            partition=number,
            position=position,
            end=self._retained[number].end,
            tasks=found.tasks,
            not_covered=found.not_covered,
            removed=found.removed,
            log_digest=found.digests[0].digest(),
            projection_digest=found.digests[1].digest(),
            differences=found.differences,
            tables=dict(found.tables.most_common()),
            first=found.first,
        )

    # ------------------------------------------------------------------------------------------ tasks

    def _pages(self) -> Iterator[list[bytes]]:
        """The ids of both stores in order; at last those that only other tables than `task` name."""
        last = b""
        while True:
            held = [_task_ids(each, last) for each in (self._log, self._store)]
            full = [ids[-1] for ids in held if len(ids) == _PAGE]
            found = sorted({each for ids in held for each in ids if not full or each <= min(full)})
            if not found:
                break
            yield found
            last = found[-1]
        loose = sorted(_loose(self._log) | _loose(self._store))
        for begin in range(0, len(loose), _PAGE):
            yield loose[begin : begin + _PAGE]

    def _compare(self, ids: Sequence[bytes]) -> None:
        ours, theirs = _rows(self._log, ids), _rows(self._store, ids)
        unreadable = set(
            self._log.execute(select(tables.fault.c.task_id).where(tables.fault.c.task_id.in_(ids))).scalars()
        )
        for task_id in ids:
            number = partition_for(task_id, self._count)
            if number in self._retained:
                self._compare_task(
                    task_id, ours[task_id], theirs[task_id], self._found[number], task_id in unreadable
                )

    def _compare_task(
        self, task_id: bytes, ours: Rows, theirs: Rows, found: _Found, is_unreadable: bool
    ) -> None:
        retained = self._retained[partition_for(task_id, self._count)]
        log, store = _only(ours[tables.task.name]), _only(theirs[tables.task.name])
        is_older = retained.begin > 0 and store is not None and store["life"] < retained.covered_from
        if is_older or (log is None and is_unreadable):
            found.not_covered += 1
            return
        if log is not None and store is None and self._is_removed(log) and not any(theirs.values()):
            found.removed += 1
            return
        is_known = log is not None or store is not None
        found.tasks += is_known
        if retained.begin or self._removed_before is not None:
            _leave_out_lives(ours, theirs, log, store, retained)
        for digest, rows in zip(found.digests, (ours, theirs), strict=True):
            digest.update(_canonical(task_id, rows))
        found.add(list(_differences(task_id, ours, theirs)))

    def _is_removed(self, row: Mapping[str, Any]) -> bool:
        before, removable = self._removed_before, row["removable_at"]
        return (
            before is not None
            and removable is not None
            and removable < before
            and row["closed_at"] is not None
            and row["closed_at"] < before
        )

    def _plan_differences(self) -> Iterator[RowDifference]:
        """Every plan that a task runs on must be there as it was published; further ones may be."""
        theirs = {row["plan_hash"]: row for row in _all(self._store, tables.plan)}
        for row in _all(self._log, tables.plan):
            other = theirs.get(row["plan_hash"])
            yield from _row_differences(tables.plan, None, row, other)


# --------------------------------------------------------------------------------------------- comparing


def _position_differences(
    number: int,
    retained: Retained,
    ours: Mapping[int, dict[str, Any]],
    theirs: Mapping[int, dict[str, Any]],
    *,
    is_whole: bool,
) -> Iterator[RowDifference]:
    store, log = theirs.get(number), ours.get(number)
    if store is None:
        return
    if store["next_offset"] > retained.end:
        yield RowDifference(
            kind="ahead",
            table=tables.position.name,
            key=f"partition {number}",
            column="next_offset",
            in_log=str(retained.end),
            in_projection=str(store["next_offset"]),
        )
    elif log is not None and is_whole:
        left_out = {"updated_at"} | (
            {"command_offset"} if retained.begin and log["command_offset"] < 0 else set()
        )
        one = {name: value for name, value in log.items() if name not in left_out}
        other = {name: value for name, value in store.items() if name not in left_out}
        yield from _row_differences(tables.position, None, one, other)


def _leave_out_lives(
    ours: Rows,
    theirs: Rows,
    log: dict[str, Any] | None,
    store: dict[str, Any] | None,
    retained: Retained,
) -> None:
    """Earlier lives that the log, or the projection's retention, has forgotten are no difference."""
    newest = None if log is None or store is None or log["life"] != store["life"] else log["life"]
    differs = log is not None and store is not None and log["lives"] != store["lives"]
    if differs and log is not None and store is not None:
        log["lives"] = store["lives"]
    for rows in (ours, theirs):
        for name in _OF_LIVES:
            rows[name] = {
                key: row
                for key, row in rows[name].items()
                if row["life"] >= retained.covered_from and not (differs and row["life"] != newest)
            }


def _differences(task_id: bytes, ours: Rows, theirs: Rows) -> Iterator[RowDifference]:
    for table in _OF_A_TASK:
        one, other = ours[table.name], theirs[table.name]
        for key in dict.fromkeys([*one, *other]):
            yield from _row_differences(table, task_id, one.get(key), other.get(key))


def _row_differences(
    table: Table, task_id: bytes | None, log: dict[str, Any] | None, store: dict[str, Any] | None
) -> Iterator[RowDifference]:
    """The first column that differs, or which side lacks the row."""
    row = log or store
    if row is None or log == store:
        return
    key = _key_text(table, row)
    if log is None or store is None:
        kind = "only_in_projection" if log is None else "only_in_log"
        yield RowDifference(kind=kind, table=table.name, key=key, task_id=task_id)
        return
    column = next(name for name in log if log[name] != store[name])
    yield RowDifference(
        kind="differs",
        table=table.name,
        key=key,
        task_id=task_id,
        column=column,
        in_log=_text(column, log[column]),
        in_projection=_text(column, store[column]),
    )


def _key_text(table: Table, row: Mapping[str, Any]) -> str:
    names = [column.name for column in table.primary_key]
    if "step" in row and "step" not in names:
        names.append("step")
    parts = [(name, row[name]) for name in names]
    return ", ".join(f"{name} {_text(name, value)}" for name, value in parts)


def _text(column: str, value: Any) -> str:
    if value is None:
        return "null"
    if column in _HIDDEN:
        data = value if isinstance(value, bytes) else str(value).encode()
        return f"{len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()[:12]}"
    if isinstance(value, bytes):
        return format_id(value) if len(value) == 16 else value.hex()
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _canonical(task_id: bytes, rows: Rows) -> bytes:
    found = [(name, sorted(held.items())) for name, held in rows.items()]
    return task_id + repr(found).encode()


# ----------------------------------------------------------------------------------------------- reading


def positions_in(connection: Connection, topic: str) -> dict[int, dict[str, Any]]:
    """Partition → its row of `position`."""
    at = tables.position.c
    found = connection.execute(select(tables.position).where(at.topic == topic)).mappings()
    return {row["partition"]: dict(row) for row in found}


def _task_ids(connection: Connection, after: bytes) -> list[bytes]:
    at = tables.task.c.task_id
    return list(connection.execute(select(at).where(at > after).order_by(at).limit(_PAGE)).scalars())


def _loose(connection: Connection) -> set[bytes]:
    """Ids that a table names and `task` does not."""
    found: set[bytes] = set()
    for table in _OF_A_TASK[1:]:
        named = table.c.task_id
        there = exists().where(tables.task.c.task_id == named)
        found.update(connection.execute(select(named).where(~there).distinct()).scalars())
    return found


def _rows(connection: Connection, ids: Sequence[bytes]) -> dict[bytes, Rows]:
    found: dict[bytes, Rows] = {each: {table.name: {} for table in _OF_A_TASK} for each in ids}
    for table in _OF_A_TASK:
        for row in _all(connection, table, table.c.task_id.in_(ids)):
            key = tuple(row[column.name] for column in table.primary_key)
            found[row["task_id"]][table.name][key] = row
    return found


def _all(connection: Connection, table: Table, *wanted: Any) -> Iterable[dict[str, Any]]:
    return (dict(row) for row in connection.execute(select(table).where(*wanted)).mappings())


def _only(rows: Mapping[tuple[Any, ...], dict[str, Any]]) -> dict[str, Any] | None:
    return next(iter(rows.values()), None)
