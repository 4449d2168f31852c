"""Tells poison from records of a newer release.

Every release publishes its schemas by fingerprint. A fingerprint that is listed there but unknown here is newer: this
process must stop before it judges such a record. One that is not listed was never written by Tasker.
"""

from __future__ import annotations

from tasker_kafka.topics.log import Log, TopicPartition
from tasker_kafka.topics.names import TopicNames

from .reading import read_range

__all__ = ["is_published"]


async def is_published(log: Log, names: TopicNames, fingerprint: bytes, *, timeout_ms: int) -> bool:
    """Whether any release has published a schema with this fingerprint; reads the schemas topic to its end."""
    for number in range(await log.partition_count(names.schemas)):
        partition = TopicPartition(names.schemas, number)
        start, end = await log.begin_offset(partition), await log.end_offset(partition)
        async for records in read_range(log, partition, start, end, timeout_ms=timeout_ms):
            if any(each.key == fingerprint and each.value is not None for each in records):
                return True
    return False
