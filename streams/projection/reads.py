"""Everything that is read of the store, without blocking the loop; each question costs a constant number of statements.

The answers are as new as the projection is (`positions`, `delay.measure`); a row that is older than the log because a
record could not be projected says so itself (`TaskRow.fault`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec
from sqlalchemy import Connection, Result, RowMapping, and_, func, or_, select

from tasker_kafka.schemas.codec import Codec
from tasker_kafka.schemas.codec import codec as default_codec
from tasker_kafka.schemas.records import TaskCreated, Transitions
from tasker_kafka.schemas.words import StepStatus, TaskStatus
from tasker_kafka.topics.history import AcceptedRecord
from tasker_kafka.topics.names import TopicNames

from . import tables
from .analytics import read_bottlenecks, read_performance
from .event_reads import read_events, read_ledger, read_ledger_entry, read_workers
from .plan_shelf import stored_plan
from .queries import conditions, cursor_of, row_of, tasks_page
from .shapes import (
    BottleneckRow,
    ChangedTask,
    Changes,
    EventRow,
    FaultRow,
    LedgerPage,
    LedgerRow,
    PerformanceQuery,
    PerformanceRow,
    PositionRow,
    StepLoad,
    StepRow,
    StoredHistory,
    StoredWorker,
    TaskPage,
    TaskQuery,
    TaskRow,
)
from .store import Store

__all__ = ["Reads"]

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)
_MOST_CHANGES: Final = 5_000
_TASK: Final = tables.task.c


class Reads:
    """Questions to one store.

    StoreUnavailable when the database does not answer; of it QuestionTooLarge when it would take too long.
    """

    def __init__(self, store: Store, *, codec: Codec = default_codec) -> None:
        self.store = store
        self._codec = codec
        self._transitions = TopicNames(store.prefix).transitions

    # ------------------------------------------------------------------------------------------ tasks

    async def tasks(self, query: TaskQuery, *, limit: int = 50, cursor: str | None = None) -> TaskPage:
        """A page of tasks, the newest first; stable while others arrive. BadCursor for text that is no cursor."""
        statement = tasks_page(query, limit, cursor)

        def read(connection: Connection) -> TaskPage:
            rows = tuple(map(row_of, connection.execute(statement).mappings()))
            last = rows[limit - 1] if len(rows) > limit else None
            return TaskPage(
                rows=rows[:limit],
                next_cursor=None if last is None else cursor_of(last.created_at, last.task_id),
            )

        return await self._read(read)

    async def task(self, task_id: bytes) -> TaskRow | None:
        """One task; None: not (yet, or any more) in the store."""
        columns = [_TASK[name] for name in TaskRow.__struct_fields__]

        def read(connection: Connection) -> TaskRow | None:
            row = connection.execute(select(*columns).where(_TASK.task_id == task_id)).mappings().first()
            return None if row is None else row_of(row)

        return await self._read(read)

    async def task_ids(self, query: TaskQuery, *, limit: int) -> tuple[bytes, ...]:
        """Ids of the newest tasks that are meant."""
        statement = (
            select(_TASK.task_id)
            .where(*conditions(query))
            .order_by(_TASK.created_at.desc(), _TASK.task_id.desc())
            .limit(limit)
        )
        return await self._read(lambda connection: tuple(connection.execute(statement).scalars()))

    async def counts(self, query: TaskQuery) -> dict[TaskStatus, int]:
        """How many of the tasks that are meant are in each state; states without any are absent."""
        statement = select(_TASK.state, func.count()).where(*conditions(query)).group_by(_TASK.state)
        return await self._read(
            lambda connection: {TaskStatus(state): count for state, count in connection.execute(statement)}
        )

    async def history(self, task_id: bytes, *, life: int | None = None) -> StoredHistory | None:
        """One life of a task, default the newest; None: not here, or not whole (ask the log then)."""
        return await self._read(lambda connection: self._history(connection, task_id, life))

    async def history_after(self, task_id: bytes, offset: int) -> tuple[AcceptedRecord, ...]:
        """What a task's history has after an offset, of whatever life: one statement, and no record read twice."""
        at = tables.history.c
        statement = (
            select(at.offset, at.at, at.body)
            .where(at.task_id == task_id, at.offset > offset)
            .order_by(at.offset)
        )
        return await self._read(lambda connection: self._accepted(connection.execute(statement).all()))

    async def steps(self, task_id: bytes) -> tuple[StepRow, ...]:
        """The steps of a task's newest life, in the plan's order."""
        at = tables.step.c
        statement = (
            select(*(at[name] for name in StepRow.__struct_fields__))
            .where(at.task_id == task_id)
            .order_by(at.position)
        )

        def read(connection: Connection) -> tuple[StepRow, ...]:
            rows = connection.execute(statement).mappings()
            return tuple(StepRow(**_stated(each, StepStatus)) for each in rows)

        return await self._read(read)

    # -------------------------------------------------------------------------------------- what moves

    async def changes(self, since: Mapping[int, int], *, limit: int = _MOST_CHANGES) -> Changes:
        """Which tasks have moved since these positions (transitions partition → offset).

        A partition that is not in `since` is only told where it is: `changes({})` is how one begins.
        """
        moved = [
            and_(_TASK.partition == partition, _TASK.last_offset >= offset)
            for partition, offset in since.items()
        ]
        names = ChangedTask.__struct_fields__

        def read(connection: Connection) -> Changes:
            at = tables.position.c
            found = connection.execute(
                select(at.partition, at.next_offset).where(at.topic == self._transitions)
            )
            positions = {row.partition: row.next_offset for row in found}
            if not moved:
                return Changes(positions=positions, tasks=())
            statement = select(*(_TASK[name] for name in names)).where(or_(*moved))
            statement = statement.order_by(_TASK.partition, _TASK.last_offset).limit(limit + 1)
            rows = connection.execute(statement).mappings().all()
            tasks = [ChangedTask(**_stated(row, TaskStatus)) for row in rows[:limit]]
            return Changes(positions=positions, tasks=tuple(tasks), is_cut=len(rows) > limit)

        return await self._read(read)

    async def step_loads(self) -> tuple[StepLoad, ...]:
        """What waits for, or is with, each handler of each queue."""
        at = tables.step.c
        states = (StepStatus.ENQUEUED, StepStatus.IN_PROGRESS, StepStatus.WAITING_FOR_RETRY)
        oldest = func.min(at.dispatched_at)
        statement = (
            select(at.queue, at.handler, at.state, func.count(), oldest)
            .where(at.state.in_([each.value for each in states]))
            .group_by(at.queue, at.handler, at.state)
            .order_by(at.queue, at.handler)
        )

        def read(connection: Connection) -> tuple[StepLoad, ...]:
            found: dict[tuple[str, str], dict[str, tuple[int, int | None]]] = {}
            for queue, handler, state, count, since in connection.execute(statement):
                found.setdefault((queue, handler), {})[state] = (count, since)
            none = (0, None)
            return tuple(
                StepLoad(
                    queue=queue,
                    handler=handler,
                    enqueued=held.get("enqueued", none)[0],
                    in_progress=held.get("in_progress", none)[0],
                    waiting_for_retry=held.get("waiting_for_retry", none)[0],
                    oldest_dispatched_at=held.get("enqueued", none)[1],
                )
                for (queue, handler), held in found.items()
            )

        return await self._read(read)

    # ------------------------------------------------------------------------------- events and figures

    async def events(self, task_id: bytes) -> tuple[EventRow, ...]:
        """A task's domain events, oldest first, each with its receipts and dead letters."""
        return await self._read(lambda connection: read_events(connection, task_id))

    async def ledger(
        self, status: str | None = "pending", *, limit: int = 50, cursor: str | None = None
    ) -> LedgerPage:
        """A page of the task DLQ ledger, the newest entry first; status None: all. BadCursor as in `tasks`."""
        return await self._read(lambda connection: read_ledger(connection, status, limit, cursor))

    async def ledger_entry(self, task_id: bytes) -> LedgerRow | None:
        """The ledger's entry of a task, whatever its status."""
        return await self._read(lambda connection: read_ledger_entry(connection, task_id))

    async def workers(self, *, limit: int = 1_000) -> tuple[StoredWorker, ...]:
        """Step workers by their last word, those seen last first; also those that left, until retention."""
        return await self._read(lambda connection: read_workers(connection, limit))

    async def performance(self, query: PerformanceQuery) -> tuple[PerformanceRow, ...]:
        """How closed tasks did, by template version."""
        return await self._read(lambda connection: read_performance(connection, query))

    async def bottlenecks(self, query: PerformanceQuery, *, limit: int = 50) -> tuple[BottleneckRow, ...]:
        """How ended attempts did, by step: the slowest first."""
        return await self._read(lambda connection: read_bottlenecks(connection, query, limit))

    # ------------------------------------------------------------------------------------ the store itself

    async def positions(self) -> tuple[PositionRow, ...]:
        """How far every partition is projected."""
        at = tables.position.c
        statement = select(*(at[name] for name in PositionRow.__struct_fields__)).order_by(
            at.topic, at.partition
        )
        return await self._read(lambda connection: _all(PositionRow, connection.execute(statement)))

    async def faults(self, *, limit: int = 100) -> tuple[FaultRow, ...]:
        """Records that could not be projected, the newest first."""
        at = tables.fault.c
        statement = (
            select(*(at[name] for name in FaultRow.__struct_fields__))
            .order_by(at.at.desc(), at.topic, at.partition, at.offset.desc())
            .limit(limit)
        )
        return await self._read(lambda connection: _all(FaultRow, connection.execute(statement)))

    async def meta(self) -> dict[str, str]:
        """What the store says of itself: schema_version, prefix."""
        statement = select(tables.meta.c.key, tables.meta.c.value)
        return await self._read(
            lambda connection: {row.key: row.value for row in connection.execute(statement)}
        )

    async def _read(self, work: Callable[[Connection], T]) -> T:
        def within() -> T:
            with self.store.reading() as connection:
                return work(connection)

        return await self.store.call(within)

    def _history(self, connection: Connection, task_id: bytes, life: int | None) -> StoredHistory | None:
        at = tables.history.c
        lives = tuple(
            connection.execute(
                select(at.life).where(at.task_id == task_id, at.seq > 0).distinct().order_by(at.life)
            ).scalars()
        )
        wanted = max(lives, default=None) if life is None else life
        if wanted not in lives or wanted is None:
            return None
        rows = connection.execute(
            select(at.partition, at.offset, at.at, at.body)
            .where(at.task_id == task_id, at.life == wanted)
            .order_by(at.offset)
        ).all()
        records = self._accepted(rows)
        counted = [each.record for each in records if each.record.seq]
        if [each.seq for each in counted] != list(range(1, len(counted) + 1)):
            return None
        created = next(each.data for each in counted[0].transitions if isinstance(each.data, TaskCreated))
        text = connection.execute(
            select(tables.plan.c.json).where(tables.plan.c.plan_hash == created.plan_hash)
        ).scalar()
        if text is None:
            return None
        return StoredHistory(
            task_id=task_id,
            partition=rows[0].partition,
            life=wanted,
            lives=lives,
            plan=stored_plan(text, created.plan_hash),
            records=records,
        )

    def _accepted(self, rows: Sequence[Any]) -> tuple[AcceptedRecord, ...]:
        """The records of rows with offset, at and body."""
        return tuple(
            AcceptedRecord(row.offset, row.at, self._codec.decode(row.body, Transitions)) for row in rows
        )


def _all(kind: type[S], found: Result[Any]) -> tuple[S, ...]:
    """Every row as a struct of the same names."""
    return tuple(kind(**row) for row in found.mappings())


def _stated(row: RowMapping, kind: type[TaskStatus | StepStatus]) -> dict[str, Any]:
    """The row's values, its state as what it is."""
    values: dict[str, Any] = {**row}
    values["state"] = kind(values["state"])
    return values
