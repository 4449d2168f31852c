"""The one thing that API and pages talk to: everything that can be read of a system, and everything that can be asked.

Lists and single tasks come from the projection, what only the log knows from the log. While the broker is away reads of
the projection go on, and what needs the broker raises BrokerUnavailable; while the projection is away or behind,
single tasks are read from the log. Both come back by themselves. Secrets are hidden in everything that is returned.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar, Unpack

from tasker_kafka.deploy.bulk import BulkOrder, BulkReport, BulkRow, rehearse_bulk, run_bulk
from tasker_kafka.deploy.catalog import DomainEventEntry, SystemEventEntry, domain_events, system_events
from tasker_kafka.deploy.reading import (
    WorkerRow,
)
from tasker_kafka.deploy.reading.folding import fold_life
from tasker_kafka.schemas.errors import BrokerUnavailable, NotFoundError, TaskerError
from tasker_kafka.schemas.identity import format_id
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import TaskRequest
from tasker_kafka.schemas.settings import Settings
from tasker_kafka.schemas.words import OperatorAction, TaskStatus
from tasker_kafka.streams.domain.allowing import TaskNow
from tasker_kafka.streams.projection import (
    BottleneckRow,
    Changes,
    EventRow,
    FaultRow,
    LedgerPage,
    LedgerRow,
    PerformanceQuery,
    PerformanceRow,
    Reads,
    StepLoad,
    Store,
    StoredHistory,
    TaskPage,
    TaskQuery,
    TaskRow,
)
from tasker_kafka.topics.log import Log
from tasker_kafka.topics.names import TopicNames

from . import operating, submitting
from .broker import Broker
from .changes import ChangeFeed
from .details import Instant, TaskReader
from .errors import InvalidInput
from .following import RecordEvent, follow_task
from .health import health_report
from .hiding import hidden
from .log_questions import LogQuestions
from .operating import Asked, Operation
from .overview import Overview
from .reach import Reach
from .roster import Roster, handler_rows
from .shapes import HandlerRow, HealthReport, Outcome, Submitted, TaskDetails, TemplateDetails, TemplateRow
from .sharing import Shared
from .templates import find_template, template_details, template_rows

__all__ = ["Backend"]

T = TypeVar("T")

BULK_MOST: Final = 10_000
BULK_SECONDS: Final = 300
"""A bulk that is paced to take longer is refused: somebody waits for its answer."""
PENDING_COUNTED: Final = 500
OVERVIEW_SECONDS: Final = 1.0
"""How long one look at the whole serves all who ask for health or metrics."""


class Backend(LogQuestions):
    """One system. Use as `async with Backend.open(…) as backend`; it never fails to open for want of a broker."""

    def __init__(
        self,
        settings: Settings,
        connect: Callable[[], Log],
        open_store: Callable[[], Store],
        *,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        names = TopicNames(settings.prefix)
        super().__init__(Broker(connect, names, now_ms), names)
        self.settings = settings
        self.now_ms = now_ms
        self.reach = Reach(self.broker, open_store, self.names, now_ms)
        self._roster = Roster(self.broker, self.reach, self.names)
        self._tasks = TaskReader(
            self.broker, self.reach, self._roster, self.names, settings.console.stale_seconds
        )
        self._feed = ChangeFeed(self.reach, most_listeners=settings.console.event_streams)
        self._overview = Shared(self._look_over, OVERVIEW_SECONDS)
        self._running: list[asyncio.Task[None]] = []

    @classmethod
    def open(cls, settings: Settings, connect: Callable[[], Log], store_url: str | Path) -> Self:
        """A backend on the projection at this path or URL, which another process fills."""
        return cls(settings, connect, lambda: Store.open(store_url, prefix=settings.prefix))

    async def __aenter__(self) -> Self:
        self._running = [
            asyncio.create_task(self.broker.run(), name="broker"),
            asyncio.create_task(self.reach.run(), name="reach"),
        ]
        await self.reach.wait_looked()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._feed.close()
        await self._overview.close()
        await self._roster.close()
        for each in self._running:
            each.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    # ------------------------------------------------------------------------------------------- tasks

    async def tasks(self, query: TaskQuery, *, limit: int = 50, cursor: str | None = None) -> TaskPage:
        """A page of tasks, newest first. StoreUnavailable; DecodeError for a bad cursor."""
        return hidden(await self._ask(lambda reads: reads.tasks(query, limit=limit, cursor=cursor)))

    async def counts(self, query: TaskQuery) -> dict[TaskStatus, int]:
        """How many tasks fit, by state."""
        return await self._ask(lambda reads: reads.counts(query))

    async def task_ids(self, query: TaskQuery, *, limit: int) -> tuple[bytes, ...]:
        """The ids of those that fit, newest first."""
        return await self._ask(lambda reads: reads.task_ids(query, limit=limit))

    async def task_row(self, task_id: bytes) -> TaskRow | None:
        """The task's row in lists; None where the projection has none."""
        found: TaskRow | None = hidden(await self._ask(lambda reads: reads.task(task_id)))
        return found

    async def task(self, task_id: bytes, *, life: int | None = None) -> TaskDetails:
        """Everything about one life (default: the newest) of a task. NotFoundError."""
        return await self._tasks.read(task_id, self.now_ms(), life=life)

    async def as_of(
        self, task_id: bytes, at: int | None = None, *, offset: int | None = None, life: int | None = None
    ) -> TaskDetails:
        """The task as it was at a time (ms), or after the record at an offset of its transitions partition."""
        return await self._tasks.read(
            task_id, self.now_ms(), life=life, at=Instant(time_ms=at, offset=offset)
        )

    async def events_of(self, task_id: bytes) -> tuple[EventRow, ...]:
        """Domain events that the task published, each with its receipts and dead letters."""
        return hidden(await self._ask(lambda reads: reads.events(task_id)))

    def follow(
        self, task_id: bytes, *, after: int | None = None, is_following: bool = True
    ) -> AsyncGenerator[RecordEvent | None, None]:
        """The task's records after an offset, then those that come; see `following.follow_task`."""
        return follow_task(self.reach, self._feed, task_id, after=after, is_following=is_following)

    def changes(self) -> AsyncGenerator[Changes, None]:
        """What moves from now on; see `ChangeFeed.listen`. Close it (`contextlib.aclosing`)."""
        return self._feed.listen()

    # ------------------------------------------------------------------------------------------- asking

    async def submit(self, request: TaskRequest, *, wait: float | None = None) -> Submitted:
        """Send a task request; see `submitting.submit`."""
        return await submitting.submit(
            self.broker, self._known_task, request, wait=self._wait(wait), now=self.now_ms()
        )

    async def operate(
        self, task_id: bytes, action: OperatorAction, *, wait: float | None = None, **asked: Unpack[Asked]
    ) -> Outcome:
        """Send an operator's command; see `operating.operate`."""
        operation = Operation(action=action, **asked)
        return hidden(
            await operating.operate(
                self.broker, self._tasks, task_id, operation, wait=self._wait(wait), now=self.now_ms()
            )
        )

    async def bulk(
        self,
        query: TaskQuery,
        action: OperatorAction,
        *,
        dry_run: bool = True,
        limit: int = 1_000,
        per_second: float | None = None,
        on_row: Callable[[BulkRow], None] | None = None,
        **asked: Unpack[Asked],
    ) -> BulkReport:
        """The command to every task that fits, or what each would answer.

        `command_id` or `key` is the bulk's: the same acts once on each task. At most 10,000 tasks. CommandRejected
        (`invalid`) where no task could obey; InvalidInput for a pace that nobody can wait for.
        """
        operation = Operation(action=action, **asked)
        order = BulkOrder(
            action=operation.action,
            actor=operation.actor,
            reason=operation.reason,
            bulk_id=operation.id_for(None, self.now_ms()),
            steps=operation.steps,
            result=operation.result,
            max_attempts=operation.max_attempts,
            text=operation.text,
            tags=operation.tags,
            per_second=per_second,
        )
        chosen = await self.task_ids(query, limit=min(limit, BULK_MOST))
        if dry_run:
            return hidden(await rehearse_bulk(self._task_now, chosen, order))
        _check_pace(len(chosen), per_second)
        return hidden(await self.broker.use(lambda live: run_bulk(live.client, chosen, order, on_row=on_row)))

    # ------------------------------------------------------------------------------------------- the system

    async def templates(self) -> tuple[TemplateRow, ...]:
        """Every published version of every template; as last known while the broker is away."""
        return hidden(template_rows(self._plans()))

    async def template(self, namespace: str, name: str, version: str | None = None) -> TemplateDetails:
        """One version (default: the latest) with its graph. NotFoundError names the nearest."""
        plans = self._plans()
        plan = find_template(plans, namespace, name, version)
        measured: dict[str, float] = {}
        with contextlib.suppress(TaskerError):  # the graph is there without measures, too
            rows = await self.bottlenecks(PerformanceQuery(namespace=namespace, template=name))
            measured = {each.step: each.run_time.p50 / 1000 for each in rows if each.run_time.p50 is not None}
        return template_details(plan, plans, measured)

    def plan(self, namespace: str, name: str, version: str | None = None) -> Plan:
        """The plan of a version (default: the latest). NotFoundError names the nearest."""
        return find_template(self._plans(), namespace, name, version)

    async def workers(self) -> tuple[WorkerRow, ...]:
        """Every step worker that has announced itself, by id; while the broker is away, as the projection has them."""
        return await self._roster.workers()

    async def handlers(self) -> tuple[HandlerRow, ...]:
        """Who serves which handler, and what waits for nobody."""
        workers = await self._roster.workers()
        loads = await self.step_loads()
        return handler_rows(self._plans(), workers, loads, self.now_ms())

    async def stale(
        self, *, status: str | None = "pending", limit: int = 50, cursor: str | None = None
    ) -> LedgerPage:
        """Tasks that need (or needed: another status, or None for all) a person, newest first."""
        page = await self._ask(lambda reads: reads.ledger(status=status, limit=limit, cursor=cursor))
        return hidden(page)

    async def stale_entry(self, task_id: bytes) -> LedgerRow:
        """One task's entry. NotFoundError."""
        found = await self._ask(lambda reads: reads.ledger_entry(task_id))
        if found is None:
            raise NotFoundError(
                f"Task {format_id(task_id)} has no entry in the ledger of stale tasks.",
                next_step="GET /stale lists those that have one.",
            )
        return hidden(found)

    async def resolve_stale(
        self,
        task_id: bytes,
        action: OperatorAction = OperatorAction.RESOLVE_TASK,
        *,
        wait: float | None = None,
        **asked: Unpack[Asked],
    ) -> Outcome:
        """Settle a pending entry by a command to its task. NotFoundError without a pending entry.

        Who gives a key or an id may have settled it before: the task answers that.
        """
        entry = await self.stale_entry(task_id)
        is_repeatable = asked.get("key") is not None or asked.get("command_id") is not None
        if entry.status != "pending" and not is_repeatable:
            raise NotFoundError(
                f"The entry of task {format_id(task_id)} is {entry.status} already.",
                next_step="GET /stale lists those that are pending.",
            )
        return await self.operate(task_id, action, wait=wait, **asked)

    async def performance(self, query: PerformanceQuery) -> tuple[PerformanceRow, ...]:
        """Durations and outcomes of closed tasks, by template version."""
        return await self._ask(lambda reads: reads.performance(query))

    async def bottlenecks(self, query: PerformanceQuery) -> tuple[BottleneckRow, ...]:
        """Queue and run times of ended attempts, by step."""
        return await self._ask(lambda reads: reads.bottlenecks(query))

    def system_events(self) -> tuple[SystemEventEntry, ...]:
        """Every event of the engine."""
        return system_events()

    def domain_events(self) -> tuple[DomainEventEntry, ...]:
        """Every event that a published template declares."""
        return domain_events(self._plans())

    async def step_loads(self) -> tuple[StepLoad, ...]:
        """What lies with, or before, each handler."""
        return await self._ask(lambda reads: reads.step_loads())

    async def faults(self, *, limit: int = 100) -> tuple[FaultRow, ...]:
        """Records that could not be projected, the newest first."""
        return hidden(await self._ask(lambda reads: reads.faults(limit=limit)))

    async def pending(self) -> int:
        """How many tasks wait for a person, counted to 500."""
        return len((await self.stale(limit=PENDING_COUNTED)).rows)

    @property
    def listeners(self) -> int:
        """How many follow changes now."""
        return self._feed.listeners

    async def overview(self) -> Overview:
        """The whole, at most a second old: whoever asks within it is answered alike. Never fails."""
        return await self._overview.get()

    async def health(self) -> HealthReport:
        """How the whole is. Never fails for what is away."""
        seen = await self.overview()
        return hidden(health_report(self.reach, seen, prefix=self.settings.prefix, now=self.now_ms()))

    # ------------------------------------------------------------------------------------------- inside

    async def _ask(self, work: Callable[[Reads], Awaitable[T]]) -> T:
        return await self.reach.read(work)

    async def _look_over(self) -> Overview:
        loads = await self._or_none(self.step_loads())
        workers = await self._roster.workers_or_none()
        has_plans = self.broker.plans is not None
        is_known = has_plans and loads is not None and workers is not None
        return Overview(
            counts=await self._or_none(self.counts(TaskQuery())),
            loads=loads,
            pending=await self._or_none(self.pending()),
            faults=await self._or_none(self.faults()),
            workers=workers,
            handlers=handler_rows(self._plans(), workers or (), loads or (), self.now_ms())
            if is_known
            else None,
        )

    async def _known_task(self, task_id: bytes) -> tuple[TaskRow, StoredHistory | None] | None:
        with contextlib.suppress(TaskerError):  # intake finds a repeat, too; here it is only told sooner
            row = await self._ask(lambda reads: reads.task(task_id))
            return None if row is None else (row, await self._ask(lambda reads: reads.history(task_id)))
        return None

    async def _task_now(self, task_id: bytes) -> TaskNow:
        found = await self._ask(lambda reads: reads.history(task_id))
        if found is None:
            return TaskNow(None, None)
        return TaskNow(fold_life(found.records, found.plan), found.plan)

    def _plans(self) -> list[Plan]:
        store = self.broker.plans
        if store is None:
            raise BrokerUnavailable(
                f"templates are in the log, and the broker is away ({self.reach.broker.error})",
                next_step="try again in a few seconds",
            )
        return store.all()

    def _wait(self, seconds: float | None) -> float | None:
        return None if seconds is None else min(seconds, self.settings.console.wait_seconds)

    async def _or_none(self, reading: Awaitable[T]) -> T | None:
        try:
            return await reading
        except TaskerError:
            return None


def _check_pace(tasks: int, per_second: float | None) -> None:
    if per_second is not None and tasks / per_second > BULK_SECONDS:
        at_least = math.ceil(tasks / BULK_SECONDS * 100) / 100
        raise InvalidInput(
            (("per_second", f"{tasks} tasks would take over {BULK_SECONDS} s: give at least {at_least:g}"),),
            next_step="raise it, lower the limit, or ask with `tasker task`, which may take its time",
        )
