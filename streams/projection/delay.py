"""How far the projection is behind the log: in records, and in seconds of the oldest record that is missing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final

from tasker_kafka.topics.log import Log, TopicPartition
from tasker_kafka.topics.names import TopicNames

from .shapes import DelayRow, PositionRow

__all__ = ["measure"]

_FETCH_SECONDS: Final = 2.0


async def measure(log: Log, names: TopicNames, positions: Iterable[PositionRow]) -> tuple[DelayRow, ...]:
    """The delay of every partition of transitions, and of every other partition that has been projected.

    LogError when the log does not answer.
    """
    known = {TopicPartition(each.topic, each.partition): each.next_offset for each in positions}
    count = await log.partition_count(names.transitions)
    places = {TopicPartition(names.transitions, number) for number in range(count)} | set(known)
    there = await log.admin().names()
    wanted = sorted(place for place in places if place.topic in there)
    ends = dict(zip(wanted, await asyncio.gather(*map(log.end_offset, wanted)), strict=True))
    begins = dict(zip(wanted, await asyncio.gather(*map(log.begin_offset, wanted)), strict=True))
    at = {place: max(known.get(place, 0), begins[place]) for place in wanted}
    behind = {place: at[place] for place in wanted if at[place] < ends[place]}
    oldest = await _times(log, behind)
    now = log.now_ms()
    return tuple(
        DelayRow(
            topic=place.topic,
            partition=place.partition,
            next_offset=at[place],
            end_offset=ends[place],
            records=max(0, ends[place] - at[place]),
            seconds=max(0.0, (now - oldest[place]) / 1000) if place in oldest else 0.0,
        )
        for place in wanted
    )


async def _times(log: Log, starts: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
    """The time of the first record from each position on; absent: there are only control records."""
    found: dict[TopicPartition, int] = {}
    if not starts:
        return found
    reader = await log.reader(starts)
    left = set(starts)
    loop = asyncio.get_running_loop()
    until = loop.time() + _FETCH_SECONDS
    try:
        while left and loop.time() < until:
            batches = await reader.fetch(timeout=0.2, max_records=500)
            for place, batch in batches.items():
                if batch.records and place in left:
                    found[place] = batch.records[0].timestamp
                if batch.records:
                    left.discard(place)
            if not batches:
                break
    finally:
        await reader.close()
    return found
