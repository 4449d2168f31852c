"""Who works: the workers' announcements, and for each handler who serves it and what waits for nobody.

Announcements come every ten seconds and reading them scans a topic, so they are read once for all who ask within some
seconds. While the broker is away they are told as the projection has them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tasker_kafka.deploy.reading import WorkerRow, Workforce, duration_text, list_workers
from tasker_kafka.deploy.reading.waiting import describe_queue
from tasker_kafka.deploy.reading.workers import worker_rows
from tasker_kafka.schemas.errors import LogError, TopicsDrifted
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.streams.projection import StepLoad, StoredWorker, StoreUnavailable
from tasker_kafka.topics.names import TopicNames

from .broker import Broker
from .reach import Reach
from .shapes import HandlerRow
from .sharing import Shared
from .templates import latest_plans

__all__ = ["Roster", "handler_rows", "last_known"]

KEPT_SECONDS: Final = 2.0


class Roster:
    """The workers, read at most every two seconds. A failure is not kept."""

    def __init__(self, broker: Broker, reach: Reach, names: TopicNames) -> None:
        self._broker = broker
        self._reach = reach
        self._names = names
        self._workers = Shared(self._read, KEPT_SECONDS)

    async def workers(self) -> tuple[WorkerRow, ...]:
        """Every worker that has announced itself and not signed off, by id.

        While the broker is away: as it was last known, and alive who was so then. BrokerUnavailable when the projection
        cannot be read, either.
        """
        try:
            return await self._workers.get()
        except LogError as error:
            try:
                found = await self._reach.read(lambda reads: reads.workers())
            except StoreUnavailable:
                raise error from None
            return last_known(found)

    async def workers_or_none(self) -> tuple[WorkerRow, ...] | None:
        """The same, but only if it is so now: None when nobody can tell."""
        try:
            return await self._workers.get()
        except (LogError, TopicsDrifted):
            return None

    async def close(self) -> None:
        """Stop reading."""
        await self._workers.close()

    async def _read(self) -> tuple[WorkerRow, ...]:
        return tuple(await self._broker.use(lambda live: list_workers(live.log, self._names)))


def last_known(found: Iterable[StoredWorker]) -> tuple[WorkerRow, ...]:
    """Rows of the projection as of the last word that it has of any worker, by id. Pure."""
    here = [each for each in found if each.left_at is None]
    last = max((each.seen_at for each in here), default=0)
    return worker_rows(here, last)


def handler_rows(
    plans: Iterable[Plan], workers: Iterable[WorkerRow], loads: Iterable[StepLoad], now: int
) -> tuple[HandlerRow, ...]:
    """Every handler that a template's latest version or an open step names, by queue and name. Pure."""
    workforce = Workforce(workers)
    by_load = {(each.queue, each.handler): each for each in loads}
    users: dict[tuple[str, str], set[str]] = {}
    for plan in latest_plans(plans):
        for step in plan.steps:
            place = f"{plan.namespace}/{plan.name}@{plan.version}"
            users.setdefault((step.queue, step.handler), set()).add(place)
    found = []
    for queue, handler in sorted({*users, *by_load}):
        load = by_load.get((queue, handler))
        knowing = workforce.knowing(queue, handler)
        found.append(
            HandlerRow(
                queue=queue,
                handler=handler,
                templates=tuple(sorted(users.get((queue, handler), ()))),
                workers=tuple(each.worker_id for each in knowing),
                enqueued=0 if load is None else load.enqueued,
                in_progress=0 if load is None else load.in_progress,
                waiting_for_retry=0 if load is None else load.waiting_for_retry,
                oldest_dispatched_at=None if load is None else load.oldest_dispatched_at,
                message=_message(load, workforce, now) if load is not None and not knowing else None,
            )
        )
    return tuple(found)


def _message(load: StepLoad, workforce: Workforce, now: int) -> str | None:
    if not load.enqueued and not load.waiting_for_retry:
        return None
    _, why = describe_queue(load.queue, load.handler, workforce)
    waits = "" if load.oldest_dispatched_at is None else f"{duration_text(now - load.oldest_dispatched_at)}: "
    return f"{waits}{why}"
