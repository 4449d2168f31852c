"""Writing in memory: the outbox over the cluster's faults, and the transactional writer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from tasker_kafka.schemas.errors import FencedError, LogError, TaskerError
from tasker_kafka.topics.delivery import Delivery
from tasker_kafka.topics.log import LogFailure, TopicPartitionOffset, Write
from tasker_kafka.topics.memory.cluster import MemoryCluster, record_size
from tasker_kafka.topics.memory.faults import WriteFault
from tasker_kafka.topics.memory.process import MemoryProcess
from tasker_kafka.topics.pipeline import PipelinedOutbox

__all__ = ["MemoryOutbox", "MemoryTransactionalWriter"]

_MAX_BATCH_BYTES = 256 * 1024
_PLAIN = WriteFault()


class _MemoryPayload:
    """Counts the bytes of a batch; the records are in the delivery."""

    __slots__ = ("size",)

    def __init__(self) -> None:
        self.size = 0

    def append(self, write: Write) -> bool:
        size = record_size(write)
        if self.size and self.size + size > _MAX_BATCH_BYTES:
            return False
        self.size += size
        return True


class MemoryOutbox(PipelinedOutbox):
    """An `Outbox` whose batches meet the cluster's faults."""

    def __init__(
        self,
        cluster: MemoryCluster,
        process: MemoryProcess,
        *,
        delivery_timeout: float,
        on_failure: Callable[[LogFailure], None] | None,
    ) -> None:
        super().__init__(delivery_timeout=delivery_timeout, on_failure=on_failure)
        self._cluster = cluster
        self._process = process

    def _new_payload(self) -> _MemoryPayload:
        return _MemoryPayload()

    async def _partitions(self, topic: str) -> int:
        await self._process.gate()
        return self._cluster.partitions(topic)

    def _deliver(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            fault = self._cluster.faults.next_for(delivery.place) or _PLAIN
            delay = self._cluster.latency + fault.delay
            self._loop.call_later(delay, self._process.run, lambda d=delivery, f=fault: self._arrive(d, f))

    def _arrive(self, delivery: Delivery, fault: WriteFault) -> None:
        offset: int | None = None
        error: TaskerError | None = fault.error
        if fault.written:
            try:
                offset = self._cluster.append(delivery.place, [write for write, _ in delivery.entries])
            except TaskerError as refusal:
                error = refusal
        if fault.acknowledged:
            self._loop.call_soon(self._process.run, lambda: self._settle(delivery, offset, error))

    async def _stop(self) -> None:
        """There is nothing to give up."""


class MemoryTransactionalWriter:
    """A `TransactionalWriter`."""

    def __init__(
        self, cluster: MemoryCluster, process: MemoryProcess, transactional_id: str, timeout_ms: int
    ) -> None:
        self._cluster = cluster
        self._process = process
        self._id = transactional_id
        self._timeout_ms = timeout_ms
        self._epoch: int | None = None
        self._broken: TaskerError | None = None
        self.is_closed = False

    async def start(self) -> None:
        """Fence the older writer."""
        await self._process.gate(self._cluster.latency)
        self._epoch = self._cluster.init_producer(self._id)
        await self._cluster.markers_written(self._id)

    async def commit(self, writes: Sequence[Write]) -> list[TopicPartitionOffset]:
        """Write and commit in one transaction."""
        if self._epoch is None:
            raise LogError(f"the writer {self._id!r} was not started")
        if self._broken is not None:
            raise LogError(f"the writer {self._id!r} is unusable after an error") from self._broken
        try:
            return await self._commit(self._epoch, writes)
        except TaskerError as error:
            self._broken = error
            self._abort(self._epoch)
            raise
        except asyncio.CancelledError:
            self._broken = LogError("a commit was cancelled half-way")
            raise

    async def close(self) -> None:
        """Stop; a transaction in flight is left to its timeout."""
        self.is_closed = True
        if self._broken is None:
            self._broken = LogError("the writer is closed")

    async def _commit(self, epoch: int, writes: Sequence[Write]) -> list[TopicPartitionOffset]:
        await self._process.gate(self._cluster.latency)
        if not writes:
            return []
        await self._cluster.markers_written(self._id)
        await self._process.gate()  # who was killed while it waited asks for nothing any more
        self._cluster.begin(self._id, epoch, self._timeout_ms)
        places = self._cluster.write_transaction(self._id, epoch, writes)
        held = self._cluster.faults.held_commit(self._id)
        if held is not None:
            forget = self._process.on_kill(held.set)
            await held.wait()
            forget()
        await self._process.gate(self._cluster.latency)
        self._cluster.end_transaction(self._id, epoch, commit=True)
        return places

    def _abort(self, epoch: int) -> None:
        """After an error of our own; a fenced or killed writer has nothing to abort any more."""
        if self._process.is_killed:
            return
        try:
            self._cluster.end_transaction(self._id, epoch, commit=False)
        except (FencedError, LogError):
            return
