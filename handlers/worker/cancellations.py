"""Which attempts were cancelled, as the control topic says.

The topic is read whole before the worker takes its first dispatch, without a group, because a worker must know
what was cancelled while it was not there; then it is followed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from tasker_kafka.schemas.codec import Codec
from tasker_kafka.schemas.errors import DecodeError, LogError
from tasker_kafka.schemas.records import Cancellation, Dispatch
from tasker_kafka.topics.log import Batch, Log, Reader, Record, TopicPartition

from .settings import WorkerSettings

__all__ = ["Cancellations", "is_cancelled_by"]

_logger = logging.getLogger(__name__)

_KEPT_MS = 7 * 86_400_000
"""As long as the topic keeps its records, and as long as dispatches are kept."""
_PRUNE_ABOVE = 10_000


def is_cancelled_by(dispatch: Dispatch, cancellation: Cancellation) -> bool:
    """Whether this cancellation is about this dispatch, and not about an earlier stay of the task or step."""
    if dispatch.life != cancellation.life or cancellation.at < dispatch.dispatched_at:
        return False
    if cancellation.step is None:
        return True
    return cancellation.step == dispatch.step and dispatch.attempt <= cancellation.attempt


class Cancellations:
    """What the control topic has said so far."""

    def __init__(self, log: Log, topic: str, codec: Codec, settings: WorkerSettings) -> None:
        self._log = log
        self._topic = topic
        self._codec = codec
        self._settings = settings
        self._reader: Reader | None = None
        self._by_task: dict[bytes, list[Cancellation]] = {}
        self._prune_at = _PRUNE_ABOVE
        self.on_cancelled: Callable[[bytes, Cancellation], None] = lambda task_id, cancellation: None
        """Called for every cancellation that arrives while following."""

    async def start(self) -> None:
        """Read the topic to its present end."""
        count = await self._log.partition_count(self._topic)
        partitions = [TopicPartition(self._topic, number) for number in range(count)]
        ends = {each: await self._log.end_offset(each) for each in partitions}
        begins = {each: await self._log.begin_offset(each) for each in partitions}
        self._reader = await self._log.reader(begins)
        behind = {each for each in partitions if begins[each] < ends[each]}
        while behind:
            for partition, batch in (await self._reader.fetch()).items():
                self._take_in(batch)
                if batch.next_position >= ends[partition]:
                    behind.discard(partition)

    async def follow(self) -> None:
        """Take in what arrives, until cancelled."""
        if self._reader is None:
            raise LogError("the control topic is followed before it was read; call start() first")
        while True:
            try:
                batches = await self._reader.fetch()
            except LogError as error:
                _logger.warning("cancellations cannot be read, trying again: %s", error.message)
                await asyncio.sleep(self._settings.retry_max_seconds)
                continue
            for batch in batches.values():
                for task_id, cancellation in self._take_in(batch):
                    self.on_cancelled(task_id, cancellation)

    async def close(self) -> None:
        """Stop reading."""
        if self._reader is not None:
            await self._reader.close()

    def find(self, dispatch: Dispatch) -> Cancellation | None:
        """The cancellation of this attempt."""
        known = self._by_task.get(dispatch.task_id)
        if known is None:
            return None
        return next((each for each in known if is_cancelled_by(dispatch, each)), None)

    def _take_in(self, batch: Batch) -> list[tuple[bytes, Cancellation]]:
        found = [each for record in batch.records if (each := self._decoded(record)) is not None]
        for task_id, cancellation in found:
            self._by_task.setdefault(task_id, []).append(cancellation)
        if len(self._by_task) > self._prune_at:
            self._prune()
        return found

    def _decoded(self, record: Record) -> tuple[bytes, Cancellation] | None:
        if record.key is None or record.value is None:
            return None
        try:
            return record.key, self._codec.decode(record.value, Cancellation)
        except DecodeError as error:
            place = f"{record.topic}/{record.partition}@{record.offset}"
            _logger.error("%s is no cancellation and is left out: %s", place, error.message)
            return None

    def _prune(self) -> None:
        oldest = self._log.now_ms() - _KEPT_MS
        for task_id, known in list(self._by_task.items()):
            kept = [each for each in known if each.at >= oldest]
            if kept:
                self._by_task[task_id] = kept
            else:
                del self._by_task[task_id]
        self._prune_at = max(_PRUNE_ABOVE, 2 * len(self._by_task))
