"""Transactions on Kafka: write some records, all or none, and fence whoever had this transactional id before.

Every wait has an end. The driver waits without one: for a coordinator, for its retries, for ever in `stop()` while a
transaction is in flight. After any error the producer is given up; a transaction it left open is aborted by the next
writer of this id, or by the broker after its timeout.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.structs import RecordMetadata

from tasker_kafka.schemas.errors import BrokerUnavailable, LogError, RecordTooLarge, TaskerError
from tasker_kafka.topics.kafka.driver import abandon_producer
from tasker_kafka.topics.kafka.translation import translate
from tasker_kafka.topics.log import TopicPartition, TopicPartitionOffset, Write
from tasker_kafka.topics.partitioner import partition_for

__all__ = ["KafkaTransactionalWriter"]

_NO_HEADERS: list[tuple[str, bytes]] = []
_ABORT_SECONDS = 2.0


class KafkaTransactionalWriter:
    """A `TransactionalWriter` on Kafka. `patience` bounds `start` and each commit, in seconds."""

    def __init__(
        self,
        transactional_id: str,
        new_producer: Callable[[], AIOKafkaProducer],
        *,
        count_partitions: Callable[[str], Awaitable[int]],
        patience: float,
    ) -> None:
        self._id = transactional_id
        self._new_producer = new_producer
        self._count_partitions = count_partitions
        self._patience = patience
        self._producer: AIOKafkaProducer | None = None
        self._broken: TaskerError | None = None
        self.is_closed = False

    async def start(self) -> None:
        """Fence the older writer of this id; its open transaction is aborted."""
        producer = self._producer = self._new_producer()
        try:
            async with asyncio.timeout(self._patience):
                await producer.start()
        except BaseException as error:
            await self._give_up(error)
            if isinstance(error, TimeoutError):
                raise BrokerUnavailable(
                    f"transactional id {self._id!r} was not granted within {self._patience:g} s",
                    next_step="check that the transaction coordinator (topic __transaction_state) is available",
                ) from error
            if isinstance(error, Exception):
                raise translate(error, f"starting the writer {self._id!r}") from error
            raise

    async def commit(self, writes: Sequence[Write]) -> list[TopicPartitionOffset]:
        """Write and commit in one transaction; where the records lie."""
        if self._broken is not None:
            raise LogError(f"the writer {self._id!r} is unusable after an error") from self._broken
        producer = self._producer
        if producer is None:
            raise LogError(f"the writer {self._id!r} was not started")
        if not writes:
            return []
        try:
            async with asyncio.timeout(self._patience):
                return await self._commit(producer, writes)
        except BaseException as error:
            failure = translate(error, f"committing a transaction of {self._id!r}")
            if isinstance(failure, RecordTooLarge):
                await _abort(producer)
            await self._give_up(failure)
            if isinstance(error, Exception):
                raise failure from error
            raise

    async def close(self) -> None:
        """Stop without waiting for a transaction in flight."""
        if not self.is_closed:
            self.is_closed = True
            await self._give_up(LogError("the writer is closed"))

    # ------------------------------------------------------------ inside

    async def _commit(
        self, producer: AIOKafkaProducer, writes: Sequence[Write]
    ) -> list[TopicPartitionOffset]:
        by_place: dict[TopicPartition, list[int]] = {}
        for index, write in enumerate(writes):
            by_place.setdefault(await self._place(write), []).append(index)
        await producer.begin_transaction()
        sent: list[tuple[TopicPartition, list[int], asyncio.Future[RecordMetadata]]] = []
        for place, indexes in by_place.items():
            await self._send(producer, place, writes, indexes, sent)
        # The driver would commit a transaction although one of its batches was refused: look first.
        answers = await asyncio.gather(*(answer for _, _, answer in sent))
        await producer.commit_transaction()
        offsets: dict[int, TopicPartitionOffset] = {}
        for (place, indexes, _), metadata in zip(sent, answers, strict=True):
            for position, index in enumerate(indexes):
                offsets[index] = TopicPartitionOffset(*place, metadata.offset + position)
        return [offsets[index] for index in range(len(writes))]

    async def _place(self, write: Write) -> TopicPartition:
        count = await self._count_partitions(write.topic)
        partition = write.partition
        if partition is None:
            partition = partition_for(write.key or b"", count)
        elif not 0 <= partition < count:
            raise LogError(f"topic {write.topic!r} has {count} partitions, there is no {partition}")
        return TopicPartition(write.topic, partition)

    async def _send(
        self,
        producer: AIOKafkaProducer,
        place: TopicPartition,
        writes: Sequence[Write],
        indexes: Sequence[int],
        sent: list[tuple[TopicPartition, list[int], asyncio.Future[RecordMetadata]]],
    ) -> None:
        """Send the records at `indexes` to one partition, in as many batches as they need."""
        builder, taken = producer.create_batch(), list[int]()
        for index in indexes:
            write = writes[index]
            headers = list(write.headers) if write.headers else _NO_HEADERS
            record: dict[str, Any] = {
                "timestamp": write.timestamp,
                "key": write.key,
                "value": write.value,
                "headers": headers,
            }
            if builder.append(**record) is None:
                sent.append(
                    (place, taken, await producer.send_batch(builder, place.topic, partition=place.partition))
                )
                builder, taken = producer.create_batch(), []
                builder.append(**record)
            taken.append(index)
        sent.append(
            (place, taken, await producer.send_batch(builder, place.topic, partition=place.partition))
        )

    async def _give_up(self, error: BaseException) -> None:
        if self._broken is None:
            if not isinstance(error, TaskerError):
                error = LogError(f"the writer {self._id!r} was interrupted: {error!r}")
            self._broken = error
        producer, self._producer = self._producer, None
        if producer is not None:
            await asyncio.shield(abandon_producer(producer))


async def _abort(producer: AIOKafkaProducer) -> None:
    """Free the partitions' last stable offset at once; if that fails the broker does it after its timeout."""
    try:
        async with asyncio.timeout(_ABORT_SECONDS):
            await producer.abort_transaction()
    except Exception:
        return
