"""Reads a stretch of a partition from one offset to another, and gives up when nothing moves any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from tasker_kafka.schemas.errors import PartitionLost
from tasker_kafka.topics.log import Isolation, Log, Record, TopicPartition

__all__ = ["read_range"]

_FETCH_SECONDS = 1.0


async def read_range(
    log: Log, partition: TopicPartition, start: int, end: int, *, timeout_ms: int
) -> AsyncIterator[tuple[Record, ...]]:
    """The committed records with `start <= offset < end`, in batches.

    `end` must not lie after the last stable offset. PartitionLost when the position has not moved for
    `timeout_ms`.
    """
    if start >= end:
        return
    loop = asyncio.get_running_loop()
    reader = await log.reader({partition: start}, isolation=Isolation.COMMITTED)
    try:
        position, moved_at = start, loop.time()
        while position < end:
            batch = (await reader.fetch(timeout=_FETCH_SECONDS)).get(partition)
            if batch is not None and batch.next_position > position:
                position, moved_at = batch.next_position, loop.time()
                within = batch.records
                if within and within[-1].offset >= end:
                    within = tuple(each for each in within if each.offset < end)
                yield within
            elif (loop.time() - moved_at) * 1000 > timeout_ms:
                raise PartitionLost(
                    f"{partition.topic} [{partition.partition}] cannot be read beyond offset {position} of {end}: "
                    f"nothing came for {timeout_ms} ms",
                    next_step="look for a transaction that hangs (kafka-transactions.sh find-hanging) or a broker "
                    "that is away; the process may be started again at any time",
                )
    finally:
        await reader.close()
