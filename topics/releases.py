"""Tells poison from records of a newer release.

Every release publishes its schemas by fingerprint. A fingerprint that is listed there but unknown here is newer: this
process must stop before it judges such a record. One that is not listed was never written by Tasker.
"""

from __future__ import annotations

import asyncio

from tasker_kafka.schemas.errors import LogError

from .log import Isolation, Log, TopicPartition
from .names import TopicNames

__all__ = ["is_published"]

_FETCH_SECONDS = 1.0


async def is_published(log: Log, names: TopicNames, fingerprint: bytes, *, timeout_ms: int) -> bool:
    """Whether any release has published a schema with this fingerprint; reads the schemas topic to its end.

    LogError when it cannot be read within `timeout_ms`.
    """
    try:
        async with asyncio.timeout(timeout_ms / 1000):
            for number in range(await log.partition_count(names.schemas)):
                if await _is_in(log, TopicPartition(names.schemas, number), fingerprint):
                    return True
    except TimeoutError:
        raise LogError(
            f"{names.schemas} cannot be read to its end: nothing came for {timeout_ms} ms",
            next_step="see that its leader is there (`tasker doctor`); the process may be started again at any time",
        ) from None
    return False


async def _is_in(log: Log, partition: TopicPartition, fingerprint: bytes) -> bool:
    begin, end = await log.begin_offset(partition), await log.end_offset(partition)
    if begin >= end:
        return False
    reader = await log.reader({partition: begin}, isolation=Isolation.COMMITTED)
    try:
        while reader.position(partition) < end:
            batch = (await reader.fetch(timeout=_FETCH_SECONDS)).get(partition)
            records = () if batch is None else batch.records
            if any(each.key == fingerprint and each.value is not None for each in records):
                return True
    finally:
        await reader.close()
    return False
