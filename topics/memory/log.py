"""The in-memory side of the log port: one client process of a cluster in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Protocol, TypeVar

from tasker_kafka.schemas.errors import NotFoundError
from tasker_kafka.topics.log import (
    Isolation,
    LogFailure,
    Record,
    TopicPartition,
    TopicPartitionOffset,
)
from tasker_kafka.topics.memory.admin import MemoryAdmin
from tasker_kafka.topics.memory.cluster import MemoryCluster
from tasker_kafka.topics.memory.consumer import MemoryGroupConsumer
from tasker_kafka.topics.memory.process import MemoryProcess
from tasker_kafka.topics.memory.reader import MemoryReader
from tasker_kafka.topics.memory.writer import MemoryOutbox, MemoryTransactionalWriter

__all__ = ["MemoryLog"]


class _Closable(Protocol):
    is_closed: bool

    async def close(self) -> None: ...


_Made = TypeVar("_Made", bound=_Closable)


class MemoryLog:
    """A `Log` on a `MemoryCluster`; without one it makes its own.

    Two logs on one cluster are two processes. `kill` ends one as a crash does, `pause` and `resume` make it a zombie.
    """

    def __init__(self, cluster: MemoryCluster | None = None, *, delivery_timeout: float = 30.0) -> None:
        self.cluster = cluster if cluster is not None else MemoryCluster()
        self._delivery_timeout = delivery_timeout
        self._process = MemoryProcess()
        self._made: list[_Closable] = []

    def now_ms(self) -> int:
        """Wall time in ms, virtual on a loop with a virtual clock."""
        return self.cluster.now_ms()

    def kill(self) -> None:
        """Crash: nothing is flushed, aborted or left; calls of its tasks fail from now on."""
        self._process.kill()

    def pause(self) -> None:
        """Stand still: calls wait, heartbeats stop, what is queued stays queued."""
        self._process.pause()

    def resume(self) -> None:
        """Go on after `pause`; what was queued arrives now."""
        self._process.resume()

    async def start(self) -> None:
        """Nothing to connect to; fails only for a killed process."""
        await self._process.gate(self.cluster.latency)

    async def close(self) -> None:
        """Close everything made from this log that is still open."""
        async with AsyncExitStack() as closing:
            made, self._made = self._made, []
            for item in made:
                closing.push_async_callback(item.close)

    async def outbox(
        self, *, client_id: str, on_failure: Callable[[LogFailure], None] | None = None
    ) -> MemoryOutbox:
        """A started outbox."""
        await self._process.gate()
        outbox = MemoryOutbox(
            self.cluster, self._process, delivery_timeout=self._delivery_timeout, on_failure=on_failure
        )
        return self._remember(outbox)

    def transactional(self, transactional_id: str, *, timeout_ms: int = 10_000) -> MemoryTransactionalWriter:
        """A transactional writer, not yet started."""
        writer = MemoryTransactionalWriter(self.cluster, self._process, transactional_id, timeout_ms)
        return self._remember(writer)

    async def reader(
        self, positions: Mapping[TopicPartition, int], *, isolation: Isolation = Isolation.COMMITTED
    ) -> MemoryReader:
        """A started reader."""
        await self._process.gate(self.cluster.latency)
        reader = MemoryReader(self.cluster, self._process, positions, isolation)
        return self._remember(reader)

    async def fetch_at(self, place: TopicPartitionOffset) -> Record:
        """The one record at this place; NotFoundError when it is gone."""
        await self._process.gate(self.cluster.latency)
        record = self.cluster.store(TopicPartition(place.topic, place.partition)).at(place.offset)
        if record is None:
            raise NotFoundError(f"no record at {place.topic}/{place.partition}/{place.offset}")
        return record

    def group(
        self,
        group: str,
        *,
        client_id: str,
        instance_id: str | None = None,
        session_timeout_ms: int = 10_000,
        heartbeat_ms: int = 1_000,
        co_partitioned: bool = False,
    ) -> MemoryGroupConsumer:
        """A member of a group, not yet started."""
        consumer = MemoryGroupConsumer(
            self.cluster,
            self._process,
            self.cluster.group(group),
            client_id=client_id,
            instance_id=instance_id,
            session_seconds=session_timeout_ms / 1000,
            heartbeat_seconds=heartbeat_ms / 1000,
            co_partitioned=co_partitioned,
        )
        return self._remember(consumer)

    async def partition_count(self, topic: str) -> int:
        """Partitions of a topic; TopicsDrifted when it does not exist."""
        await self._process.gate()
        return self.cluster.partitions(topic)

    async def end_offset(
        self, partition: TopicPartition, *, isolation: Isolation = Isolation.COMMITTED
    ) -> int:
        """Position after the last record; for COMMITTED the last stable offset."""
        await self._process.gate(self.cluster.latency)
        store = self.cluster.store(partition)
        return store.last_stable if isolation is Isolation.COMMITTED else store.end

    async def begin_offset(self, partition: TopicPartition) -> int:
        """Offset of the first record still available."""
        await self._process.gate(self.cluster.latency)
        return self.cluster.store(partition).begin

    async def offset_at(self, partition: TopicPartition, timestamp_ms: int) -> int:
        """Offset of the first record at or after this broker time; the end offset when there is none."""
        await self._process.gate(self.cluster.latency)
        return self.cluster.store(partition).offset_at(timestamp_ms)

    def admin(self) -> MemoryAdmin:
        """Topic administration."""
        return MemoryAdmin(self.cluster, self._process)

    def _remember(self, item: _Made) -> _Made:
        """Keep what has to be closed with the log; forget what is closed already."""
        self._made = [made for made in self._made if not made.is_closed]
        self._made.append(item)
        return item
