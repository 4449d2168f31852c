"""A member of a consumer group in memory: joins, keeps its session, gives up and takes partitions, reads, commits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from tasker_kafka.schemas.errors import FencedError, LogError, TaskerError
from tasker_kafka.topics.log import Batch, Committed, Isolation, RebalanceListener, TopicPartition
from tasker_kafka.topics.memory.cluster import MemoryCluster
from tasker_kafka.topics.memory.groups import GroupCoordinator, Joined
from tasker_kafka.topics.memory.process import MemoryProcess
from tasker_kafka.topics.memory.reader import collect, wait_for_change

__all__ = ["MemoryGroupConsumer"]


class MemoryGroupConsumer:
    """A `GroupConsumer`."""

    def __init__(
        self,
        cluster: MemoryCluster,
        process: MemoryProcess,
        group: GroupCoordinator,
        *,
        client_id: str,
        instance_id: str | None,
        session_seconds: float,
        heartbeat_seconds: float,
        co_partitioned: bool = False,
    ) -> None:
        self._cluster = cluster
        self._process = process
        self._group = group
        self._client_id = client_id
        self._instance_id = instance_id
        self._session_seconds = session_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._co_partitioned = co_partitioned
        self._topics: tuple[str, ...] = ()
        self._listener: RebalanceListener | None = None
        self._member_id: str | None = None
        self._generation = -1
        self._heard_at = 0.0
        """When the group has last heard of this member (loop time)."""
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._turn = 0
        self._reading = asyncio.Event()
        self._rejoin = asyncio.Event()
        self._wake: asyncio.Future[None] | None = None
        self._failure: BaseException | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.is_closed = False

    # ------------------------------------------------------------ the port

    async def start(self, topics: Iterable[str], listener: RebalanceListener) -> None:
        """Join and wait for the first assignment."""
        self._topics = tuple(topics)
        self._listener = listener
        for topic in self._topics:
            self._cluster.partitions(topic)
        self._process.on_kill(self._killed)
        self._tasks = [asyncio.create_task(self._membership()), asyncio.create_task(self._heartbeats())]
        waiting = asyncio.create_task(self._reading.wait())
        await asyncio.wait([waiting, self._tasks[0]], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        self._raise_failure()

    async def fetch(self, *, timeout: float = 0.5, max_records: int = 500) -> dict[TopicPartition, Batch]:
        """What has arrived; see the port."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while True:
            await self._process.gate(self._cluster.latency)
            self._raise_failure()
            batches = self._collect(max_records) if self._reading.is_set() else {}
            left = deadline - loop.time()
            if batches or left <= 0:
                return batches
            self._wake = loop.create_future()
            await wait_for_change(map(self._cluster.store, self._readable()), self._wake, left)

    def is_heard(self) -> bool:
        """Whether nobody else can have its partitions; see the port."""
        return asyncio.get_running_loop().time() - self._heard_at < self._session_seconds

    def assignment(self) -> set[TopicPartition]:
        """The partitions now assigned."""
        return set(self._positions)

    def position(self, partition: TopicPartition) -> int:
        """Offset of the next record to read."""
        if partition not in self._positions:
            raise LogError(f"{partition.topic}/{partition.partition} is not assigned to this member")
        return self._positions[partition]

    async def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from `offset`."""
        self.position(partition)
        self._positions[partition] = max(offset, self._cluster.store(partition).begin)
        self._notify()

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Fetch nothing from these until resumed."""
        self._paused.update(partition for partition in partitions if partition in self._positions)

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """Undo `pause`."""
        self._paused.difference_update(partitions)
        self._notify()

    async def commit(self, offsets: Mapping[TopicPartition, Committed]) -> None:
        """Commit, checked."""
        await self._process.gate(self._cluster.latency)
        strangers = [partition for partition in offsets if partition not in self._positions]
        if self._member_id is None or strangers:
            raise FencedError(f"group {self._group.name!r} has moved on: {strangers} are not assigned")
        self._group.commit(self._member_id, self._generation, offsets)

    async def committed(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, Committed]:
        """The group's committed offsets."""
        await self._process.gate(self._cluster.latency)
        offsets = self._group.offsets
        return {partition: offsets[partition] for partition in partitions if partition in offsets}

    async def close(self, *, leave: bool = True) -> None:
        """Revoke, then leave."""
        if self.is_closed:
            return
        self.is_closed = True
        try:
            await self._end(self._tasks[:1])
            if not self._process.is_killed:
                await self._revoke()
        finally:
            # Also if nobody waits any longer: a member that heartbeats for ever would keep its partitions.
            await self._end(self._tasks)
            if leave and self._member_id is not None and not self._process.is_killed:
                self._group.leave(self._member_id)
            self._notify()

    # ------------------------------------------------------------ membership

    async def _membership(self) -> None:
        try:
            while True:
                await self._process.gate(self._cluster.latency)
                try:
                    joined = await self._join()
                except FencedError:
                    if self._instance_id is not None:
                        raise
                    self._member_id = None
                    continue
                await self._take(joined)
                await self._rejoin.wait()
                await self._revoke()
        except asyncio.CancelledError:
            raise
        except BaseException as failure:
            # The listener's errors and a lost static membership reach the reader with its next fetch.
            self._failure = failure
            self._notify()

    async def _join(self) -> Joined:
        return await self._group.join(
            self._member_id,
            client_id=self._client_id,
            instance_id=self._instance_id,
            topics=self._topics,
            session_seconds=self._session_seconds,
            co_partitioned=self._co_partitioned,
        )

    async def _take(self, joined: Joined) -> None:
        self._member_id, self._generation = joined.member_id, joined.generation
        self._heard()
        self._rejoin.clear()
        self._paused.clear()
        self._positions = {
            partition: self._start_of(partition)
            for partition in sorted(joined.partitions)
            if self._cluster.partitions_of(partition.topic) > partition.partition
        }
        if self._listener is not None:
            await self._listener.on_assigned(set(self._positions))
        self._reading.set()
        self._notify()

    def _start_of(self, partition: TopicPartition) -> int:
        committed = self._group.offsets.get(partition)
        begin = self._cluster.store(partition).begin
        return begin if committed is None else max(begin, committed.offset)

    async def _revoke(self) -> None:
        self._reading.clear()
        if self._listener is not None and self._positions:
            await self._listener.on_revoked(set(self._positions))
        self._positions = {}

    async def _heartbeats(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat_seconds)
            try:
                await self._process.gate()
            except TaskerError:
                return
            if self._member_id is None or self._rejoin.is_set() or not self._reading.is_set():
                self._keep_session()
                continue
            try:
                if self._group.heartbeat(self._member_id, self._generation):
                    self._rejoin.set()
                self._heard()
            except FencedError:
                self._rejoin.set()

    def _heard(self) -> None:
        was_heard, self._heard_at = self.is_heard(), asyncio.get_running_loop().time()
        if not was_heard:
            self._notify()

    def _keep_session(self) -> None:
        """Heartbeats go on while the listener works."""
        if self._member_id is not None:
            try:
                self._group.heartbeat(self._member_id, self._generation)
                self._heard()
            except FencedError:
                self._rejoin.set()

    # ------------------------------------------------------------ inside

    def _readable(self) -> list[TopicPartition]:
        if not (self._reading.is_set() and self.is_heard()):
            return []
        return [partition for partition in self._positions if partition not in self._paused]

    def _collect(self, limit: int) -> dict[TopicPartition, Batch]:
        partitions = self._readable()
        if not partitions:
            return {}
        self._turn = (self._turn + 1) % len(partitions)
        order = partitions[self._turn :] + partitions[: self._turn]
        return collect(self._cluster, self._positions, order, isolation=Isolation.COMMITTED, limit=limit)

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def _raise_failure(self) -> None:
        if self.is_closed:
            raise LogError("the consumer is closed")
        if self._failure is not None:
            raise self._failure

    def _killed(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._notify()

    async def _end(self, tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
