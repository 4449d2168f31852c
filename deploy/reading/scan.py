"""Reading a stretch of the log: from given positions to the end as it was when the reading began.

Every question that the command line and the API ask of the log is one such scan; what is written meanwhile is the
next question's business, so that a scan of a busy topic ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping

from tasker_kafka.topics.log import Isolation, Log, Record, TopicPartition

__all__ = ["beginnings", "ends_of", "newest_by_key", "partitions_of", "scan"]

FETCH_SECONDS = 0.5


async def partitions_of(log: Log, topic: str) -> tuple[TopicPartition, ...]:
    """Every partition of a topic. TopicsDrifted when it does not exist."""
    return tuple(TopicPartition(topic, number) for number in range(await log.partition_count(topic)))


async def beginnings(log: Log, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    """The first offset still available of each partition."""
    wanted = tuple(partitions)
    offsets = await asyncio.gather(*(log.begin_offset(each) for each in wanted))
    return dict(zip(wanted, offsets, strict=True))


async def ends_of(log: Log, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    """The last stable offset of each partition."""
    wanted = tuple(partitions)
    offsets = await asyncio.gather(*(log.end_offset(each) for each in wanted))
    return dict(zip(wanted, offsets, strict=True))


async def scan(log: Log, starts: Mapping[TopicPartition, int]) -> AsyncIterator[Record]:
    """Every committed record from `starts` to the ends as they are now, in order per partition."""
    ends = await ends_of(log, starts)
    open_until = {each: end for each, end in ends.items() if starts[each] < end}
    if not open_until:
        return
    reader = await log.reader({each: starts[each] for each in open_until}, isolation=Isolation.COMMITTED)
    try:
        while open_until:
            for partition, batch in (await reader.fetch(timeout=FETCH_SECONDS)).items():
                if partition not in open_until:
                    continue
                for record in batch.records:
                    if record.offset < ends[partition]:
                        yield record
                if batch.next_position >= ends[partition]:
                    del open_until[partition]
    finally:
        await reader.close()


async def newest_by_key(log: Log, partitions: Iterable[TopicPartition]) -> dict[tuple[int, bytes], Record]:
    """What a compacted topic holds: the newest record of each (partition, key), tombstones taken out."""
    held: dict[tuple[int, bytes], Record] = {}
    async for record in scan(log, await beginnings(log, partitions)):
        if record.key is None:
            continue
        place = (record.partition, record.key)
        if record.value is None:
            held.pop(place, None)
        else:
            held[place] = record
    return held
