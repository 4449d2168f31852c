"""The Kafka side of the log port."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, Protocol, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor as _DEFAULT_ASSIGNOR
from aiokafka.errors import KafkaError

from tasker_kafka.schemas.errors import LogError
from tasker_kafka.topics.kafka.admin import KafkaAdmin
from tasker_kafka.topics.kafka.assignor import CoPartitionedAssignor
from tasker_kafka.topics.kafka.diagnosis import diagnose
from tasker_kafka.topics.kafka.group import KafkaGroupConsumer
from tasker_kafka.topics.kafka.lookup import EARLIEST, LATEST, Lookup
from tasker_kafka.topics.kafka.options import Compression, KafkaOptions, SecurityOptions
from tasker_kafka.topics.kafka.outbox import KafkaOutbox
from tasker_kafka.topics.kafka.reader import KafkaReader
from tasker_kafka.topics.kafka.transactions import KafkaTransactionalWriter
from tasker_kafka.topics.kafka.translation import translating
from tasker_kafka.topics.log import Isolation, LogFailure, Record, TopicPartition, TopicPartitionOffset

__all__ = ["KafkaLog"]

# What a member may take to give up its partitions and join again.
_REBALANCE_MS = 20_000
# Members are judged by their heartbeats; a paused one polls nothing for as long as it likes.
_MAX_POLL_MS = 24 * 3_600_000
# A transaction waits this often for the one before it to be closed.
_TRANSACTION_BACKOFF_MS = 5


class _Closable(Protocol):
    is_closed: bool

    async def close(self) -> None: ...


_Made = TypeVar("_Made", bound=_Closable)


class KafkaLog:
    """A `Log` on the cluster at `bootstrap` ("host:port" or several, with commas)."""

    def __init__(
        self,
        bootstrap: str,
        *,
        security: SecurityOptions | None = None,
        client_id: str = "tasker",
        options: KafkaOptions | None = None,
    ) -> None:
        self._bootstrap = bootstrap
        self._security = security if security is not None else SecurityOptions()
        self._client_id = client_id
        self._options = options if options is not None else KafkaOptions()
        self._lookup_made: Lookup | None = None
        self._made: list[_Closable] = []

    def now_ms(self) -> int:
        """Wall time in ms."""
        return int(time.time() * 1000)

    async def start(self) -> None:
        """Connect; BrokerUnavailable names every address with its likely cause."""
        if self._lookup_made is not None:
            return
        options = self._options
        client = AIOKafkaClient(
            **self._common(self._client_id), request_timeout_ms=round(options.request_timeout * 1000)
        )
        lookup = Lookup(client, patience=options.request_timeout)
        try:
            async with asyncio.timeout(options.connect_timeout):
                await lookup.start()
        except (KafkaError, OSError, TimeoutError) as error:
            await client.close()
            raise await diagnose(self._bootstrap, self._security) from error
        self._lookup_made = lookup

    async def close(self) -> None:
        """Close everything made from this log that is still open."""
        async with AsyncExitStack() as closing:
            lookup, self._lookup_made = self._lookup_made, None
            if lookup is not None:
                closing.push_async_callback(lookup.close)
            made, self._made = self._made, []
            for item in made:
                closing.push_async_callback(item.close)

    async def outbox(
        self, *, client_id: str, on_failure: Callable[[LogFailure], None] | None = None
    ) -> KafkaOutbox:
        """A started outbox."""
        outbox = KafkaOutbox(
            lambda: self._producer(client_id),
            self._lookup.partition_count,
            delivery_timeout=self._options.delivery_timeout,
            on_failure=on_failure,
        )
        with translating("starting an outbox"):
            await outbox.start()
        return self._remember(outbox)

    def transactional(self, transactional_id: str, *, timeout_ms: int = 10_000) -> KafkaTransactionalWriter:
        """A transactional writer, not yet started; its commits take at most its transaction timeout."""

        def new_producer() -> AIOKafkaProducer:
            return self._producer(
                transactional_id,
                transactional_id=transactional_id,
                transaction_timeout_ms=timeout_ms,
                retry_backoff_ms=_TRANSACTION_BACKOFF_MS,
            )

        writer = KafkaTransactionalWriter(
            transactional_id,
            new_producer,
            count_partitions=self._lookup.partition_count,
            patience=timeout_ms / 1000,
        )
        return self._remember(writer)

    async def reader(
        self, positions: Mapping[TopicPartition, int], *, isolation: Isolation = Isolation.COMMITTED
    ) -> KafkaReader:
        """A started reader; an offset below the first available is raised to it, one beyond the end refused."""
        existing = {
            partition: await self._existing(partition, offset) for partition, offset in positions.items()
        }
        reader = KafkaReader(self._consumer(self._client_id, isolation))
        await reader.start(existing)
        return self._remember(reader)

    async def fetch_at(self, place: TopicPartitionOffset) -> Record:
        """The one record at this place; NotFoundError when it is gone."""
        return await self._lookup.record_at(place)

    def group(
        self,
        group: str,
        *,
        client_id: str,
        instance_id: str | None = None,
        session_timeout_ms: int = 10_000,
        heartbeat_ms: int = 1_000,
        co_partitioned: bool = False,
    ) -> KafkaGroupConsumer:
        """A member of a group, not yet started."""
        consumer = self._consumer(
            client_id,
            Isolation.COMMITTED,
            group_id=group,
            group_instance_id=instance_id,
            session_timeout_ms=session_timeout_ms,
            heartbeat_interval_ms=heartbeat_ms,
            rebalance_timeout_ms=max(session_timeout_ms, _REBALANCE_MS),
            max_poll_interval_ms=_MAX_POLL_MS,
            partition_assignment_strategy=(CoPartitionedAssignor if co_partitioned else _DEFAULT_ASSIGNOR,),
        )
        return self._remember(
            KafkaGroupConsumer(
                group,
                consumer,
                self._lookup,
                instance_id=instance_id,
                session_seconds=session_timeout_ms / 1000,
                fetch_wait_ms=self._options.fetch_wait_ms,
            )
        )

    async def partition_count(self, topic: str) -> int:
        """Partitions of a topic; TopicsDrifted when it does not exist. Cached."""
        return await self._lookup.partition_count(topic)

    async def end_offset(
        self, partition: TopicPartition, *, isolation: Isolation = Isolation.COMMITTED
    ) -> int:
        """Position after the last record; for COMMITTED the last stable offset."""
        return await self._lookup.offset(partition, LATEST, isolation) or 0

    async def begin_offset(self, partition: TopicPartition) -> int:
        """Offset of the first record still available."""
        return await self._lookup.offset(partition, EARLIEST, Isolation.COMMITTED) or 0

    async def offset_at(self, partition: TopicPartition, timestamp_ms: int) -> int:
        """Offset of the first record at or after this broker time; the end offset when there is none."""
        offset = await self._lookup.offset(partition, timestamp_ms, Isolation.COMMITTED)
        return await self.end_offset(partition) if offset is None else offset

    def admin(self) -> KafkaAdmin:
        """Topic administration."""
        return KafkaAdmin(lambda: AIOKafkaAdminClient(**self._common(self._client_id)), self._lookup)

    # ------------------------------------------------------------ inside

    async def _existing(self, partition: TopicPartition, offset: int) -> int:
        if offset <= 0:
            return await self.begin_offset(partition)
        end = await self.end_offset(partition, isolation=Isolation.UNCOMMITTED)
        if offset > end:
            raise LogError(
                f"{partition.topic}/{partition.partition} ends at {end}; there is no position {offset}"
            )
        return max(offset, await self.begin_offset(partition))

    @property
    def _lookup(self) -> Lookup:
        if self._lookup_made is None:
            raise LogError("the log is not started", next_step="call `await log.start()` first")
        return self._lookup_made

    def _common(self, client_id: str) -> dict[str, Any]:
        return {"bootstrap_servers": self._bootstrap, "client_id": client_id, **self._security.arguments()}

    def _producer(self, client_id: str, **arguments: Any) -> AIOKafkaProducer:
        options = self._options
        compression = options.compression
        return AIOKafkaProducer(
            **self._common(client_id),
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=options.max_batch_bytes,
            compression_type=None if compression is Compression.NONE else compression.value,
            request_timeout_ms=round(options.request_timeout * 1000),
            **arguments,
        )

    def _consumer(self, client_id: str, isolation: Isolation, **arguments: Any) -> AIOKafkaConsumer:
        options = self._options
        return AIOKafkaConsumer(
            **self._common(client_id),
            isolation_level=isolation.value,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=options.fetch_wait_ms,
            max_partition_fetch_bytes=options.fetch_partition_bytes,
            **arguments,
        )

    def _remember(self, item: _Made) -> _Made:
        """Keep what has to be closed with the log; forget what is closed already."""
        self._made = [made for made in self._made if not made.is_closed]
        self._made.append(item)
        return item
