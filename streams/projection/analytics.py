"""Figures over many tasks: true percentiles (nearest rank), made by the database of every duration there is.

Each spread is one statement: durations are numbered within their group in rising order, and the rows at the ranks
wanted are what comes back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, case, func, literal, or_, select
from sqlalchemy.sql.elements import KeyedColumnElement

from tasker_kafka.schemas.words import Outcome, TaskStatus

from . import tables
from .shapes import BottleneckRow, PerformanceQuery, PerformanceRow, Spread

__all__ = ["read_bottlenecks", "read_performance"]

_TASK: Final = tables.task.c
_ATTEMPT: Final = tables.attempt.c
_PERCENTS: Final = (50, 95, 99)
_NONE: Final = Spread(count=0, p50=None, p95=None, p99=None, longest=None)
_Column = KeyedColumnElement[Any]


def read_performance(connection: Connection, query: PerformanceQuery) -> tuple[PerformanceRow, ...]:
    """Closed tasks by template version. Two statements."""
    wanted = [_TASK.closed_at.is_not(None), *_between(_TASK.closed_at, query), *_of(_TASK, query)]
    by = (_TASK.namespace, _TASK.template, _TASK.version)
    counted = connection.execute(
        select(
            *by,
            func.count().label("tasks"),
            _count(_TASK.state == TaskStatus.COMPLETE.value).label("completed"),
            _count(_TASK.state == TaskStatus.ERROR.value).label("failed"),
            _count(_TASK.state == TaskStatus.CANCELLED.value).label("cancelled"),
            _count(_TASK.state == TaskStatus.RESOLVED_MANUALLY.value).label("resolved"),
        )
        .where(*wanted)
        .group_by(*by)
        .order_by(*by)
    ).mappings()
    rows = [dict(each) for each in counted]
    spreads = _spreads(connection, by, _TASK.closed_at - _TASK.created_at, wanted)
    return tuple(
        PerformanceRow(
            **each,
            failure_rate=round(each["failed"] / each["tasks"], 4),
            duration=spreads.get((each["namespace"], each["template"], each["version"]), _NONE),
        )
        for each in rows
    )


def read_bottlenecks(
    connection: Connection, query: PerformanceQuery, limit: int
) -> tuple[BottleneckRow, ...]:
    """Ended attempts by step, the longest time in the queue and at work (p95) first. Three statements."""
    wanted = [*_between(_ATTEMPT.finished_at, query), *_of(_ATTEMPT, query)]
    by = (_ATTEMPT.namespace, _ATTEMPT.template, _ATTEMPT.step, _ATTEMPT.handler, _ATTEMPT.queue)
    counted = connection.execute(
        select(
            *by,
            func.count().label("attempts"),
            _count(_ATTEMPT.outcome != Outcome.SUCCESS.value).label("failures"),
            _count(_ATTEMPT.attempt > 1).label("retries"),
        )
        .where(*wanted)
        .group_by(*by)
        .order_by(*by)
    ).mappings()
    rows = [dict(each) for each in counted]
    started = [*wanted, _ATTEMPT.started_at.is_not(None)]
    queued = [*started, _ATTEMPT.granted_at.is_not(None)]
    waits = _spreads(connection, by, _ATTEMPT.started_at - _ATTEMPT.granted_at, queued)
    runs = _spreads(connection, by, _ATTEMPT.finished_at - _ATTEMPT.started_at, started)
    found = [
        BottleneckRow(
            **each,
            failure_rate=round(each["failures"] / each["attempts"], 4),
            retry_rate=round(each["retries"] / each["attempts"], 4),
            queue_time=waits.get(tuple(each[column.key] for column in by), _NONE),
            run_time=runs.get(tuple(each[column.key] for column in by), _NONE),
        )
        for each in rows
    ]
    found.sort(key=lambda row: -((row.queue_time.p95 or 0) + (row.run_time.p95 or 0)))
    return tuple(found[:limit])


def _between(column: ColumnElement[int], query: PerformanceQuery) -> list[ColumnElement[bool]]:
    found = []
    if query.ended_from is not None:
        found.append(column >= query.ended_from)
    if query.ended_to is not None:
        found.append(column < query.ended_to)
    return found


def _of(columns: Any, query: PerformanceQuery) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if query.namespace is not None:
        found.append(columns.namespace == query.namespace)
    if query.template is not None:
        found.append(columns.template == query.template)
    return found


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    found: ColumnElement[int] = func.sum(case((condition, 1), else_=0))
    return found


def _spreads(
    connection: Connection,
    by: Sequence[_Column],
    duration: ColumnElement[int],
    wanted: Sequence[ColumnElement[bool]],
) -> dict[tuple[str, ...], Spread]:
    """Group → its percentiles. The rank of p of n values is the smallest whole number not below n·p/100."""
    # Clocks of workers differ: nothing took less than no time.
    took = case((duration < 0, literal(0)), else_=duration).label("took")
    numbered = (
        select(
            *by,
            took,
            func.row_number().over(partition_by=by, order_by=took).label("rank"),
            func.count().over(partition_by=by).label("n"),
        )
        .where(*wanted)
        .subquery()
    )
    at = numbered.c
    ranks = [at.rank == (at.n * percent + 99) // 100 for percent in _PERCENTS]
    rows = connection.execute(
        select(*(at[column.key] for column in by), at.n, at.rank, at.took).where(or_(*ranks, at.rank == at.n))
    ).all()
    groups: dict[tuple[str, ...], dict[int, int]] = {}
    sizes: dict[tuple[str, ...], int] = {}
    for *group, count, rank, value in rows:
        groups.setdefault(tuple(group), {})[rank] = value
        sizes[tuple(group)] = count
    return {group: _spread(sizes[group], values) for group, values in groups.items()}


def _spread(count: int, values: dict[int, int]) -> Spread:
    p50, p95, p99 = (values[(count * percent + 99) // 100] for percent in _PERCENTS)
    return Spread(count=count, p50=p50, p95=p95, p99=p99, longest=values[count])
