"""Who serves which queue: the announcements of step workers."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.records import WorkerAnnouncement
from tasker_kafka.topics.log import Log
from tasker_kafka.topics.names import TopicNames

from .scan import newest_by_key, partitions_of

__all__ = ["SILENT_MS", "WorkerRow", "Workforce", "list_workers"]

SILENT_MS = 25_000
"""A worker whose last announcement is older (they come every 10 s) is taken for dead."""


class WorkerRow(msgspec.Struct, frozen=True, kw_only=True):
    """One worker as it announced itself."""

    worker_id: str
    queues: tuple[str, ...]
    handlers: tuple[str, ...]
    version: str
    host: str
    pid: int
    started_at: int
    seen_at: int
    is_alive: bool


class Workforce:
    """The live workers, asked by queue and handler."""

    def __init__(self, workers: Iterable[WorkerRow]) -> None:
        self.workers = tuple(workers)
        self._alive = tuple(each for each in self.workers if each.is_alive)

    def serving(self, queue: str) -> tuple[WorkerRow, ...]:
        """Live workers that consume the queue."""
        return tuple(each for each in self._alive if queue in each.queues)

    def knowing(self, queue: str, handler: str) -> tuple[WorkerRow, ...]:
        """Live workers that consume the queue and know the handler."""
        return tuple(each for each in self.serving(queue) if handler in each.handlers)


async def list_workers(log: Log, names: TopicNames) -> list[WorkerRow]:
    """Every worker that has announced itself and not signed off, by id."""
    held = await newest_by_key(log, await partitions_of(log, names.workers))
    now = log.now_ms()
    rows = [_row(codec.decode(record.value, WorkerAnnouncement), now) for record in held.values()]
    return sorted(rows, key=lambda row: row.worker_id)


def _row(said: WorkerAnnouncement, now: int) -> WorkerRow:
    return WorkerRow(
        worker_id=said.worker_id,
        queues=said.queues,
        handlers=said.handlers,
        version=said.version,
        host=said.host,
        pid=said.pid,
        started_at=said.started_at,
        seen_at=said.seen_at,
        is_alive=now - said.seen_at <= SILENT_MS,
    )
