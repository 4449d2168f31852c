"""Reads topics at the price of the driver alone: the port's own records would double what the load costs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition as DriverPartition

from tasker_kafka.topics.log import TopicPartition

__all__ = ["Raw", "consumer", "fetched", "read_range"]

Raw = Any
"""The driver's record: topic, partition, offset, timestamp, key, value, headers."""

_MOST_AT_ONCE = 20_000
_POLL_MS = 500
_FETCH_BYTES = 8 * 1024 * 1024


@asynccontextmanager
async def consumer(
    bootstrap: str, begin: Mapping[TopicPartition, int], *, wait_ms: int = 100, least_bytes: int = 1
) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer without a group, read_uncommitted, at these offsets.

    The broker answers a fetch once `least_bytes` are there, at the latest after `wait_ms`.
    """
    made = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        auto_offset_reset="none",
        fetch_max_wait_ms=wait_ms,
        fetch_min_bytes=least_bytes,
        fetch_max_bytes=4 * _FETCH_BYTES,
        max_partition_fetch_bytes=_FETCH_BYTES,
    )
    await made.start()
    try:
        places = {DriverPartition(*place): offset for place, offset in begin.items()}
        made.assign([*places])
        for place, offset in places.items():
            made.seek(place, offset)
        yield made
    finally:
        await made.stop()


async def fetched(made: AIOKafkaConsumer) -> Iterable[Sequence[Raw]]:
    """What has arrived, partition by partition; empty after half a second of silence."""
    got: Mapping[Any, Sequence[Raw]] = await made.getmany(timeout_ms=_POLL_MS, max_records=_MOST_AT_ONCE)
    return got.values()


async def read_range(
    bootstrap: str, begin: Mapping[TopicPartition, int], end: Mapping[TopicPartition, int]
) -> AsyncGenerator[Sequence[Raw], None]:
    """Every record between these offsets, a batch of one partition at a time; control records are left out."""
    wanted = {place: offset for place, offset in begin.items() if end[place] > offset}
    if not wanted:
        return
    async with consumer(bootstrap, wanted) as made:
        unread = set(wanted)
        while unread:
            for batch in await fetched(made):
                last = end[TopicPartition(batch[0].topic, batch[0].partition)]
                yield batch if batch[-1].offset < last else [each for each in batch if each.offset < last]
            for place in tuple(unread):
                if await made.position(DriverPartition(*place)) >= end[place]:
                    unread.discard(place)
                    made.pause(DriverPartition(*place))
