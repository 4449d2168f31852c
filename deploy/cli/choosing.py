"""Which tasks a command means: by their ids, or by a filter over the log or the projection's store."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .options import Namespace, Since, States, Tags, TemplateName, Text, Until, known_states, parse_moment
from .progress import Progress

if TYPE_CHECKING:
    from tasker_kafka.deploy.reading import TaskFilter, TaskRow
    from tasker_kafka.schemas.settings import Settings
    from tasker_kafka.streams.projection import Reads, TaskQuery

    from .session import Session

__all__ = ["Chosen", "rows_of_log", "rows_of_store"]

PAGE = 500
"""Rows of one question to the store."""


@dataclass(frozen=True)
class Chosen:
    """The options that choose tasks; all of them must fit."""

    states: States = None
    namespace: Namespace = None
    template: TemplateName = None
    tags: Tags = None
    text: Text = None
    since: Since = None
    until: Until = None

    @property
    def says_anything(self) -> bool:
        """Whether not every task is meant."""
        return any((self.states, self.namespace, self.template, self.tags, self.text, self.since, self.until))

    def filter(self, now_ms: int) -> TaskFilter:
        """As `deploy.reading` takes it. BadParameter for a state or time that is none."""
        from tasker_kafka.deploy.reading import TaskFilter

        return TaskFilter(
            states=known_states(self.states),
            namespace=self.namespace,
            template=self.template,
            tags=tuple(self.tags or ()),
            text=self.text,
            since=None if self.since is None else parse_moment(self.since, now_ms),
            until=None if self.until is None else parse_moment(self.until, now_ms),
        )

    def query(self, now_ms: int) -> TaskQuery:
        """As the projection takes it: a coarse status is every state that reads so."""
        from tasker_kafka.schemas.words import TaskStatus
        from tasker_kafka.streams.domain.views import coarse_task_status
        from tasker_kafka.streams.projection import TaskQuery

        wanted = self.filter(now_ms)
        return TaskQuery(
            states=tuple(
                each
                for each in TaskStatus
                if wanted.states and (each in wanted.states or coarse_task_status(each) in wanted.states)
            ),
            namespace=wanted.namespace,
            template=wanted.template,
            tags=wanted.tags,
            text=wanted.text,
            created_from=wanted.since,
            created_to=wanted.until,
        )


async def rows_of_log(session: Session, chosen: Chosen, *, as_json: bool) -> list[TaskRow]:
    """Every task that is meant, newest first, as of the partitions' last checkpoints."""
    from tasker_kafka.deploy.reading import list_tasks

    wanted = chosen.filter(session.log.now_ms())
    async with session.plans() as store:
        with Progress(is_wanted=not as_json) as bar:
            told = bar.by_partition("partition")
            return await list_tasks(session.log, session.names, store.get, wanted, told)


async def rows_of_store(chosen: Chosen, limit: int | None = None) -> tuple[list[TaskRow], int]:
    """The newest `limit` tasks that are meant (None: all), and how many there are. Needs no broker.

    ConfigurationError when there is no store, or the libraries that it needs are not installed.
    """
    from tasker_kafka.deploy.projecting import require_console_extra, store_place
    from tasker_kafka.deploy.wiring import apply_to_process
    from tasker_kafka.schemas.settings import load_settings

    settings: Settings = load_settings()
    apply_to_process(settings)
    require_console_extra()
    from tasker_kafka.streams.projection import Reads, Store

    store = await asyncio.to_thread(Store.open, store_place(settings), prefix=settings.prefix)
    try:
        return await _pages(Reads(store), chosen.query(time.time_ns() // 1_000_000), limit)
    finally:
        await asyncio.to_thread(store.close)


async def _pages(reads: Reads, query: TaskQuery, limit: int | None) -> tuple[list[TaskRow], int]:
    from tasker_kafka.deploy.reading import TaskRow

    counts = await reads.counts(query)
    total = sum(counts.values())
    wanted = total if limit is None else min(limit, total)
    rows: list[TaskRow] = []
    cursor: str | None = None
    while len(rows) < wanted:
        page = await reads.tasks(query, limit=min(PAGE, wanted - len(rows)), cursor=cursor)
        rows += [
            TaskRow(**{name: getattr(row, name) for name in TaskRow.__struct_fields__}) for row in page.rows
        ]
        cursor = page.next_cursor
        if cursor is None:
            break
    return rows, total
