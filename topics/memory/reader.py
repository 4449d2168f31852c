"""Reading in memory: what arrived in some partitions since their positions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from tasker_kafka.schemas.errors import LogError
from tasker_kafka.topics.log import Batch, Isolation, TopicPartition
from tasker_kafka.topics.memory.cluster import MemoryCluster
from tasker_kafka.topics.memory.process import MemoryProcess
from tasker_kafka.topics.memory.store import PartitionStore

__all__ = ["MemoryReader", "collect", "wait_for_change"]


def collect(
    cluster: MemoryCluster,
    positions: dict[TopicPartition, int],
    order: Iterable[TopicPartition],
    *,
    isolation: Isolation,
    limit: int,
) -> dict[TopicPartition, Batch]:
    """Read up to `limit` records from the partitions in `order`; moves `positions`."""
    batches: dict[TopicPartition, Batch] = {}
    for partition in order:
        if limit <= 0:
            break
        first = positions[partition]
        records, position = cluster.store(partition).read(first, limit, isolation)
        if position != first:
            positions[partition] = position
            batches[partition] = Batch(first, position, tuple(records))
            limit -= len(records)
    return batches


async def wait_for_change(
    stores: Iterable[PartitionStore], wake: asyncio.Future[None], timeout: float
) -> None:
    """Wait until one of the partitions changes, `wake` is resolved, or the time is over."""
    for store in stores:
        store.watch(wake)
    await asyncio.wait([wake], timeout=timeout)
    if not wake.done():
        wake.set_result(None)


class MemoryReader:
    """A `Reader`."""

    def __init__(
        self,
        cluster: MemoryCluster,
        process: MemoryProcess,
        positions: Mapping[TopicPartition, int],
        isolation: Isolation,
    ) -> None:
        self._cluster = cluster
        self._process = process
        self._isolation = isolation
        self._positions = {
            partition: _existing(cluster.store(partition), offset) for partition, offset in positions.items()
        }
        self._turn = 0
        self._wake: asyncio.Future[None] | None = None
        self.is_closed = False

    async def fetch(self, *, timeout: float = 0.5, max_records: int = 5000) -> dict[TopicPartition, Batch]:
        """What has arrived; see the port."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while True:
            await self._process.gate(self._cluster.latency)
            self._check_open()
            batches = self._collect(max_records)
            left = deadline - loop.time()
            if batches or left <= 0:
                return batches
            self._wake = loop.create_future()
            await wait_for_change(map(self._cluster.store, self._positions), self._wake, left)

    def position(self, partition: TopicPartition) -> int:
        """Offset of the next record to read."""
        if partition not in self._positions:
            raise LogError(f"{partition.topic}/{partition.partition} is not read by this reader")
        return self._positions[partition]

    async def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from `offset`."""
        self.position(partition)
        self._positions[partition] = max(offset, self._cluster.store(partition).begin)
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def close(self) -> None:
        """No more reading; a `fetch` that waits ends with an error."""
        self.is_closed = True
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def _collect(self, limit: int) -> dict[TopicPartition, Batch]:
        """Begin with another partition each time, so that none starves."""
        partitions = list(self._positions)
        if not partitions:
            return {}
        self._turn = (self._turn + 1) % len(partitions)
        order = partitions[self._turn :] + partitions[: self._turn]
        return collect(self._cluster, self._positions, order, isolation=self._isolation, limit=limit)

    def _check_open(self) -> None:
        if self.is_closed:
            raise LogError("the reader is closed")


def _existing(store: PartitionStore, offset: int) -> int:
    if offset > store.end:
        raise LogError(f"{store.topic}/{store.partition} ends at {store.end}; there is no position {offset}")
    return max(offset, store.begin)
