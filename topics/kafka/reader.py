"""Reading partitions without a group."""

from __future__ import annotations

from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer

from tasker_kafka.schemas.errors import LogError
from tasker_kafka.topics.kafka.driver import stop_consumer
from tasker_kafka.topics.kafka.polling import Poller, driver_partition
from tasker_kafka.topics.kafka.translation import translating
from tasker_kafka.topics.log import Batch, TopicPartition

__all__ = ["KafkaReader"]

_STOP_SECONDS = 2.0


class KafkaReader:
    """A `Reader` on a consumer of its own."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self._poller = Poller(consumer)
        self.is_closed = False

    async def start(self, positions: Mapping[TopicPartition, int]) -> None:
        """Connect and begin at these offsets, which exist. When that fails it is closed."""
        try:
            with translating("starting a reader"):
                await self._consumer.start()
                self._consumer.assign([driver_partition(partition) for partition in positions])
            for partition, offset in positions.items():
                await self._poller.seek(partition, offset)
        except BaseException:
            await self.close()
            raise

    async def fetch(self, *, timeout: float = 0.5, max_records: int = 5000) -> dict[TopicPartition, Batch]:
        """What has arrived; see the port."""
        if self.is_closed:
            raise LogError("the reader is closed")
        return await self._poller.fetch(timeout=timeout, max_records=max_records)

    def position(self, partition: TopicPartition) -> int:
        """Offset of the next record to read."""
        try:
            return self._poller.positions[partition]
        except KeyError:
            raise LogError(f"{partition.topic}/{partition.partition} is not read by this reader") from None

    async def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from `offset`."""
        self.position(partition)
        await self._poller.seek(partition, offset)

    async def close(self) -> None:
        """Give up the connection."""
        if not self.is_closed:
            self.is_closed = True
            await stop_consumer(self._consumer, seconds=_STOP_SECONDS)
