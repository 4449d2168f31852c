"""Batches with positions out of the driver's consumer.

The driver returns records, and moves its position silently over control records and aborted ones. The port promises the
positions too, also where no record came; so positions are compared around each poll, and a poll that waits is cut into
slices, at first short ones: what is read to its end has a transaction's marker last, and waiting for nothing would cost
a reader its whole timeout.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord
from aiokafka.structs import TopicPartition as DriverPartition

from tasker_kafka.topics.kafka.driver import positions_now
from tasker_kafka.topics.kafka.translation import translating
from tasker_kafka.topics.log import Batch, Record, TopicPartition

__all__ = ["Poller", "driver_partition", "to_record"]

_FIRST_SLICE_SECONDS = 0.005
_SLICE_GROWTH = 3


def driver_partition(partition: TopicPartition) -> DriverPartition:
    """The driver's name of a partition."""
    return DriverPartition(partition.topic, partition.partition)


class Poller:
    """Polls a consumer and keeps its positions."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self.positions: dict[TopicPartition, int] = {}
        # Kept here until they are returned: a poll may be cancelled after the driver has moved on.
        self._ready: dict[TopicPartition, Batch] = {}

    async def fetch(
        self, *, timeout: float, max_records: int, may_return: Callable[[], bool] = lambda: True
    ) -> dict[TopicPartition, Batch]:
        """What has arrived, up to `max_records`; waits up to `timeout` seconds for something that may be returned."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        slice_seconds = 0.0
        while True:
            if not self._ready:
                with translating("reading"):
                    got = await self._consumer.getmany(
                        timeout_ms=round(slice_seconds * 1000), max_records=max_records
                    )
                self._collect(got)
            left = deadline - loop.time()
            if self._ready and may_return():
                ready, self._ready = self._ready, {}
                return ready
            if left <= 0:
                return {}
            slice_seconds = min(left, max(_FIRST_SLICE_SECONDS, slice_seconds * _SLICE_GROWTH))
            if self._ready:
                await asyncio.sleep(slice_seconds)

    async def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from `offset`."""
        with translating("seeking"):
            self._consumer.seek(driver_partition(partition), offset)
        self.positions[partition] = offset
        self._ready.pop(partition, None)

    async def locate(self, partitions: Iterable[TopicPartition]) -> None:
        """Take over exactly these partitions at the driver's positions."""
        self.forget()
        with translating("looking up positions"):
            for partition in partitions:
                self.positions[partition] = await self._consumer.position(driver_partition(partition))

    def forget(self) -> None:
        """Give up all partitions."""
        self.positions = {}
        self._ready = {}

    def _collect(self, got: dict[DriverPartition, list[ConsumerRecord[bytes, bytes]]]) -> None:
        for place, position in positions_now(self._consumer, self.positions).items():
            first = self.positions[place]
            if position != first:
                self.positions[place] = position
                records = tuple(map(to_record, got.get(driver_partition(place), ())))
                self._ready[place] = Batch(first, position, records)


def to_record(record: ConsumerRecord[bytes, bytes]) -> Record:
    """The driver's record as the port's."""
    # A foreign client may write headers without a value.
    headers = tuple([(name, value or b"") for name, value in record.headers]) if record.headers else ()
    return Record(
        record.topic, record.partition, record.offset, record.timestamp, record.key, record.value, headers
    )
