"""The two sides of the log port, so that one suite runs on both.

A contract is a coroutine function over a `Side`. `@contract` makes a test of it for each side: in memory on a virtual
clock, on Kafka on a real one.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from tasker_kafka.schemas.errors import LogError
from tasker_kafka.topics.kafka import KafkaLog
from tasker_kafka.topics.kafka.driver import abandon_producer, group_member
from tasker_kafka.topics.kafka.group import KafkaGroupConsumer
from tasker_kafka.topics.log import (
    Batch,
    GroupConsumer,
    Isolation,
    Log,
    Outbox,
    Reader,
    Record,
    TopicDescription,
    TopicPartition,
    TopicPartitionOffset,
    Write,
)
from tasker_kafka.topics.memory import MemoryCluster, MemoryLog, run_virtual
from tasker_kafka.topics.memory.consumer import MemoryGroupConsumer
from tests.support.patience import PATIENCE_SECONDS

__all__ = [
    "SESSION_MS",
    "Listener",
    "Side",
    "contract",
    "drain",
    "fetch_until",
    "outbox_for",
    "until",
    "visible",
]

HEARTBEAT_MS = 100
SESSION_MS = 1500


class Side(ABC):
    """A cluster, and processes that use it."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self._topics = 0

    @abstractmethod
    async def log(self) -> Log:
        """A new process's log, started. Closed after the test."""

    @abstractmethod
    async def crash(self, log: Log) -> None:
        """End a process without closing anything."""

    @abstractmethod
    async def stand_still(self, log: Log, seconds: float) -> None:
        """Stop a process that long, and let it go on. (Others may stand still, too.)"""

    @abstractmethod
    async def leave_open(self, transactional_id: str, writes: Sequence[Write]) -> None:
        """Write in a transaction and die before it ends."""

    @abstractmethod
    async def drop(self, member: GroupConsumer) -> None:
        """Take a member out of its group behind its back, as when its session runs out."""

    @abstractmethod
    async def close(self) -> None:
        """Close all logs."""

    async def topic(self, log: Log, partitions: int = 1, **config: str) -> str:
        """A new topic; `cleanup_policy="compact"` sets cleanup.policy."""
        self._topics += 1
        name = f"{self.prefix}-{self._topics}"
        settings = {key.replace("_", "."): value for key, value in config.items()}
        await log.admin().create([TopicDescription(name, partitions, 1, settings)])
        return name

    def member(self, log: Log, group: str = "group", **arguments: Any) -> GroupConsumer:
        """A group member with a short session."""
        options: dict[str, Any] = {
            "heartbeat_ms": HEARTBEAT_MS,
            "session_timeout_ms": SESSION_MS,
            **arguments,
        }
        options.setdefault("client_id", "member")
        return log.group(f"{self.prefix}-{group}", **options)


class MemorySide(Side):
    """In memory, on a virtual clock."""

    def __init__(self, prefix: str) -> None:
        super().__init__(prefix)
        self.cluster = MemoryCluster(latency=0.001, marker_delay=0.005)
        self._logs: list[MemoryLog] = []

    async def log(self) -> MemoryLog:
        log = MemoryLog(self.cluster)
        await log.start()
        self._logs.append(log)
        return log

    async def crash(self, log: Log) -> None:
        assert isinstance(log, MemoryLog)
        log.kill()

    async def stand_still(self, log: Log, seconds: float) -> None:
        assert isinstance(log, MemoryLog)
        log.pause()
        await asyncio.sleep(seconds)
        log.resume()

    async def drop(self, member: GroupConsumer) -> None:
        assert isinstance(member, MemoryGroupConsumer)
        assert member._member_id is not None
        member._group.leave(member._member_id)

    async def leave_open(self, transactional_id: str, writes: Sequence[Write]) -> None:
        log = await self.log()
        writer = log.transactional(transactional_id)
        await writer.start()
        self.cluster.faults.hold_commits(transactional_id)
        commit = asyncio.create_task(writer.commit(writes))
        await asyncio.sleep(0.1)
        log.kill()
        self.cluster.faults.release_commits(transactional_id)
        with pytest.raises(LogError):
            await commit

    async def close(self) -> None:
        for log in self._logs:
            await log.close()


class KafkaSide(Side):
    """On a real broker."""

    def __init__(self, prefix: str, bootstrap: str) -> None:
        super().__init__(prefix)
        self._bootstrap = bootstrap
        self._logs: list[KafkaLog] = []

    async def log(self) -> KafkaLog:
        log = KafkaLog(self._bootstrap)
        await log.start()
        self._logs.append(log)
        return log

    async def crash(self, log: Log) -> None:
        assert isinstance(log, KafkaLog)
        for item in log._made:
            await _cut(item)
        log._made.clear()

    async def stand_still(self, log: Log, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - the loop is to stand still

    async def drop(self, member: GroupConsumer) -> None:
        assert isinstance(member, KafkaGroupConsumer)
        await member._lookup.leave_group(member._group, group_member(member._consumer)[0])

    async def leave_open(self, transactional_id: str, writes: Sequence[Write]) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self._bootstrap, transactional_id=transactional_id)
        await producer.start()
        await producer.begin_transaction()
        for write in writes:
            await producer.send_and_wait(write.topic, write.value, write.key, write.partition)
        await abandon_producer(producer)

    async def close(self) -> None:
        for log in self._logs:
            await log.close()


async def _cut(item: Any) -> None:
    """Cut what a log has made off its broker."""
    item.is_closed = True
    producer, consumer = getattr(item, "_producer", None), getattr(item, "_consumer", None)
    if producer is not None:
        await abandon_producer(producer)
    if consumer is not None:
        consumer._closed = True
        coordinator = consumer._coordinator
        for name in ("_coordination_task", "_heartbeat_task", "_commit_refresh_task"):
            task = getattr(coordinator, name, None)
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await consumer._fetcher.close()
        await consumer._client.close()


Contract = Callable[[Side], Awaitable[None]]


def contract(body: Contract) -> Callable[..., None]:
    """A test of `body` on both sides."""

    @pytest.mark.parametrize("side_name", ["memory", pytest.param("kafka", marks=pytest.mark.kafka)])
    def test(side_name: str, prefix: str, request: pytest.FixtureRequest) -> None:
        async def run() -> None:
            side: Side
            if side_name == "memory":
                side = MemorySide(prefix)
            else:
                side = KafkaSide(prefix, request.getfixturevalue("kafka").bootstrap_servers)
            try:
                await body(side)
            finally:
                await side.close()

        if side_name == "memory":
            run_virtual(run())
        else:
            # The fixture starts its broker without a loop.
            request.getfixturevalue("kafka")
            asyncio.run(run())

    test.__name__ = body.__name__
    test.__doc__ = body.__doc__
    test.__module__ = body.__module__
    return test


class Listener:
    """Records what it is told; `on_revoke` is awaited before a revocation returns."""

    def __init__(self, on_revoke: Callable[[set[TopicPartition]], Awaitable[None]] | None = None) -> None:
        self.events: list[tuple[str, frozenset[TopicPartition]]] = []
        self.held: set[TopicPartition] = set()
        self._on_revoke = on_revoke

    async def on_assigned(self, partitions: set[TopicPartition]) -> None:
        self.events.append(("assigned", frozenset(partitions)))
        self.held = set(partitions)

    async def on_revoked(self, partitions: set[TopicPartition]) -> None:
        if self._on_revoke is not None:
            await self._on_revoke(partitions)
        self.events.append(("revoked", frozenset(partitions)))
        self.held = set()


async def outbox_for(log: Log, *topics: str, **arguments: Any) -> Outbox:
    """An outbox that knows these topics."""
    outbox = await log.outbox(client_id="test", **arguments)
    await outbox.warm(topics)
    return outbox


async def drain(
    log: Log, partition: TopicPartition, *, start: int = 0, isolation: Isolation = Isolation.COMMITTED
) -> list[Record]:
    """All records of a partition from `start` to its end."""
    reader = await log.reader({partition: start}, isolation=isolation)
    end = await log.end_offset(partition, isolation=isolation)
    records: list[Record] = []
    while reader.position(partition) < end:
        for batch in (await reader.fetch()).values():
            records += batch.records
    await reader.close()
    return records


async def visible(log: Log, places: Iterable[TopicPartitionOffset]) -> None:
    """Wait until what was committed at these places can be read."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        for topic, partition, offset in places:
            while await log.end_offset(TopicPartition(topic, partition)) <= offset:  # noqa: ASYNC110 - polled
                await asyncio.sleep(0.002)


async def fetch_until(
    source: Reader | GroupConsumer, count: int, seconds: float = PATIENCE_SECONDS
) -> list[Record]:
    """Fetch until `count` records have come."""
    records: list[Record] = []
    async with asyncio.timeout(seconds):
        while len(records) < count:
            batches: dict[TopicPartition, Batch] = await source.fetch()
            records += [record for batch in batches.values() for record in batch.records]
    return records


async def until(condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the condition is anybody's
            await asyncio.sleep(0.01)
