"""One task in full: from the projection, or from the log where the projection is away, behind, or does not have it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from tasker_kafka.deploy.reading import TaskReport, WaitReport, find_rejection
from tasker_kafka.deploy.reading.folding import fold_life, report_of, values_of
from tasker_kafka.deploy.reading.history import read_task_records
from tasker_kafka.deploy.reading.tasks import fetch_values, plan_of
from tasker_kafka.deploy.reading.waiting import find_waits
from tasker_kafka.deploy.reading.workers import Workforce
from tasker_kafka.schemas.errors import LogError, NotFoundError
from tasker_kafka.schemas.identity import format_id
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import PayloadRef
from tasker_kafka.streams.domain.allowing import task_actions
from tasker_kafka.streams.domain.views import dag, step_readiness, workflow_summary
from tasker_kafka.streams.projection import StoreUnavailable
from tasker_kafka.topics.history import AcceptedRecord
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.payloads import Payloads

from .broker import Broker, Live
from .hiding import hidden
from .reach import Reach
from .roster import Roster
from .shapes import Source, TaskDetails, TaskMoment

__all__ = ["LONG_AGO", "Instant", "TaskReader", "details_of"]

LONG_AGO: Final = (
    "It may have been closed long ago and forgotten: `tasker task show ID --full` reads the whole log."
)
_NEEDS_WORKERS: Final = frozenset({"worker", "handler"})


class Instant(NamedTuple):
    """Up to where a task's history is meant: a time in ms, or an offset of its transitions partition."""

    time_ms: int | None = None
    offset: int | None = None

    def covers(self, record: AcceptedRecord) -> bool:
        """Whether this record had been written by then."""
        if self.offset is not None:
            return record.offset <= self.offset
        return self.time_ms is None or record.record.at <= self.time_ms


class Life(NamedTuple):
    """The records of one life, and what is known around them."""

    task_id: bytes
    partition: int
    plan: Plan
    records: tuple[AcceptedRecord, ...]
    lives: tuple[int, ...]
    is_from: Source
    is_newest: bool
    behind_seconds: float


class TaskReader:
    """Finds and folds single tasks."""

    def __init__(self, broker: Broker, reach: Reach, roster: Roster, names: TopicNames, stale: float) -> None:
        self._broker = broker
        self._reach = reach
        self._roster = roster
        self._names = names
        self._stale_seconds = stale

    async def read(
        self, task_id: bytes, now: int, *, life: int | None = None, at: Instant | None = None
    ) -> TaskDetails:
        """The task as it is at `now` (ms), or was at an instant. NotFoundError, PlanUnknown; BrokerUnavailable or
        StoreUnavailable where neither projection nor log can be read."""
        found = await self._find(task_id, life)
        if at is not None:
            found = await self._until(found, at, life)
            now = found.records[-1].record.at if at.time_ms is None else at.time_ms
        payloads, notes = await self._payloads(found.records)
        details = details_of(found, payloads, now)
        if at is None:
            waits, said = await self._waits(details.report, found.plan, now)
            details = replace(details, report=replace(details.report, waiting=waits))
            notes += said
        return hidden(replace(details, notes=notes))

    # ------------------------------------------------------------------------------------------- finding

    async def _find(self, task_id: bytes, life: int | None) -> Life:
        if not self._reach.is_fresh(self._stale_seconds) and self._broker.live is not None:
            return await self._from_log(task_id, life)
        try:
            found = await self._from_store(task_id, life)
        except StoreUnavailable:
            if self._broker.live is None:
                raise
            found = None
        if found is not None:
            return found
        if self._broker.live is None:
            raise _not_found(task_id, life, "and the broker, whose log may have it, is away")
        return await self._from_log(task_id, life)

    async def _from_store(self, task_id: bytes, life: int | None) -> Life | None:
        found = await self._reach.read(lambda reads: reads.history(task_id, life=life))
        if found is None or not found.records:
            return None
        newest = max(found.lives, default=found.life)
        return Life(
            task_id=task_id,
            partition=found.partition,
            plan=found.plan,
            records=found.records,
            lives=found.lives,
            is_from=Source.PROJECTION,
            is_newest=found.life == newest,
            behind_seconds=self._reach.store.seconds_behind or 0.0,
        )

    async def _from_log(self, task_id: bytes, life: int | None) -> Life:
        async def work(live: Live) -> Life:
            try:
                found = await read_task_records(live.log, self._names, task_id)
            except NotFoundError:
                raise await self._why_not(live, task_id) from None
            records = found.life(life)
            if not records:
                raise _not_found(task_id, life, "in the log")
            lives = tuple(sorted({each.record.life for each in found.records if each.record.seq}))
            return Life(
                task_id=task_id,
                partition=found.partition,
                plan=await plan_of(records, live.plans, task_id),
                records=records,
                lives=lives,
                is_from=Source.LOG,
                is_newest=records[0].record.life == lives[-1],
                behind_seconds=0.0,
            )

        return await self._broker.use(work)

    async def _why_not(self, live: Live, task_id: bytes) -> NotFoundError:
        rejection = await find_rejection(live.log, self._names, task_id)
        if rejection is None:
            return _not_found(task_id, None, "neither in the projection nor in the log")
        return NotFoundError(
            f"The request of task {format_id(task_id)} was rejected ({rejection.code}): {rejection.message}",
            next_step=f"GET /rejections/{rejection.place}, or `tasker rejections show {rejection.place}`.",
        )

    async def _until(self, found: Life, at: Instant, life: int | None) -> Life:
        """The history up to an instant: of the life that is asked for, or of the newest that had begun by then."""
        begun = [each for each in found.lives if each <= found.records[0].record.life]
        while True:
            records = tuple(each for each in found.records if at.covers(each))
            if records:
                return found._replace(
                    records=records, is_newest=found.is_newest and len(records) == len(found.records)
                )
            begun = [each for each in begun if each < found.records[0].record.life]
            if life is not None or not begun:
                raise NotFoundError(
                    f"Task {format_id(found.task_id)} did not exist then.",
                    next_step="Ask for a later time; the task's transitions say when it was created.",
                )
            found = await self._find(found.task_id, begun[-1])

    # ------------------------------------------------------------------------------------------- what the log adds

    async def _payloads(
        self, records: Sequence[AcceptedRecord]
    ) -> tuple[dict[PayloadRef, bytes], tuple[str, ...]]:
        wanted = tuple(dict.fromkeys(values_of(records)))
        if not wanted:
            return {}, ()
        try:
            found = await self._broker.use(lambda live: fetch_values(Payloads(live.log, self._names), wanted))
        except LogError:
            return {}, (f"{len(wanted)} large values are shown as null: the broker is away",)
        missing = len(wanted) - len(found)
        return found, (f"{missing} large values are gone from the log, and shown as null",) if missing else ()

    async def _waits(
        self, report: TaskReport, plan: Plan, now: int
    ) -> tuple[tuple[WaitReport, ...], tuple[str, ...]]:
        workers = await self._roster.workers_or_none()
        waits = find_waits(report, plan, Workforce(workers or ()), now)
        if workers is not None:
            return waits, ()
        known = tuple(each for each in waits if each.waits_for not in _NEEDS_WORKERS)
        return known, ("which workers there are is not known: the broker is away",)


def details_of(life: Life, payloads: dict[PayloadRef, bytes], now: int) -> TaskDetails:
    """The folded task; `report.waiting` is left empty. Pure."""
    records, plan = life.records, life.plan
    state = fold_life(records, plan)
    last = records[-1]
    return TaskDetails(
        report=report_of(life.task_id, life.partition, records, plan, payloads=payloads, now=now),
        plan=plan,
        summary=workflow_summary(state, plan),
        readiness=step_readiness(state, plan, now),
        dag=dag(plan),
        lives=life.lives,
        moment=TaskMoment(
            partition=life.partition, offset=last.offset, seq=last.record.seq, recorded_at=last.record.at
        ),
        is_from=life.is_from,
        is_newest=life.is_newest,
        behind_seconds=life.behind_seconds,
        allowed=task_actions(state.state, [step.state for step in state.steps]) if life.is_newest else (),
    )


def _not_found(task_id: bytes, life: int | None, where: str) -> NotFoundError:
    which = "" if life is None else f" of life {life}"
    return NotFoundError(f"There is no task {format_id(task_id)}{which} {where}.", next_step=LONG_AGO)
