"""Who serves which queue: the announcements of step workers."""

from __future__ import annotations

from collections.abc import Iterable

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.records import WorkerAnnouncement
from tasker_kafka.topics.log import Log
from tasker_kafka.topics.names import TopicNames

from .scan import newest_by_key, partitions_of

__all__ = ["SILENT_MS", "WorkerRow", "Workforce", "list_workers", "worker_rows"]

SILENT_MS = 25_000
"""A worker whose last announcement is older (they come every 10 s) is taken for dead."""


class WorkerRow(WorkerAnnouncement, frozen=True, kw_only=True):
    """One worker as it announced itself."""

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
    said = [codec.decode(record.value, WorkerAnnouncement) for record in held.values()]
    return list(worker_rows(said, log.now_ms()))


def worker_rows(said: Iterable[WorkerAnnouncement], now: int) -> tuple[WorkerRow, ...]:
    """The workers that said this, by id, with who of them is alive at this time (ms)."""
    names = WorkerAnnouncement.__struct_fields__
    rows = [
        WorkerRow(**{name: getattr(each, name) for name in names}, is_alive=now - each.seen_at <= SILENT_MS)
        for each in said
    ]
    return tuple(sorted(rows, key=lambda each: each.worker_id))
