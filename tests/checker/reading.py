"""Reads the topics of a prefix from offset 0 with the bare driver.

Every topic is read uncommitted; those that are written in transactions are read committed as well, and what only the
first reading saw is marked. Of a system that is running, ends are asked for in the order consumer groups, task-state,
transitions, everything else: so whatever one of them refers to is there in the next.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from .raw import RawLog, RawPartition, RawRecord

__all__ = ["ReadingError", "read_raw"]

_TRANSACTIONAL: Final = ("transitions", "task-state", "templates", "task-requests")
_SILENCE_SECONDS: Final = 20.0
"""So long a reader may see nothing new before its end; a transaction is aborted by its timeout (10 s) before."""


class ReadingError(Exception):
    """The topics cannot be read to their ends; the text says where it stopped."""


async def read_raw(bootstrap: str, prefix: str) -> RawLog:
    """Everything under a prefix. ReadingError when there is nothing, or an end is not reached."""
    raw = RawLog(prefix)
    raw.groups = await _groups(bootstrap, prefix)
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, **_options("read_uncommitted"))
    await consumer.start()
    try:
        ends = await _ends(consumer, raw, await _topics(consumer, prefix))
        missing = await _read(consumer, ends, raw, {})
    finally:
        await consumer.stop()
    if missing:
        raise ReadingError(f"nothing comes any more, but these are not read to their ends: {missing}")
    await _mark_uncommitted(bootstrap, raw, ends)
    return raw


def _options(isolation: str) -> dict[str, Any]:
    return {
        "isolation_level": isolation,
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "fetch_max_bytes": 64 << 20,
        "max_partition_fetch_bytes": 8 << 20,
        "fetch_max_wait_ms": 100,
    }


async def _groups(bootstrap: str, prefix: str) -> dict[str, dict[str, dict[int, int]]]:
    """Committed offsets of every consumer group of the prefix."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    found: dict[str, dict[str, dict[int, int]]] = {}
    try:
        for name, *_ in await admin.list_consumer_groups():
            if not name.startswith(f"{prefix}-"):
                continue
            topics = found.setdefault(name, {})
            for place, committed in (await admin.list_consumer_group_offsets(name)).items():
                topics.setdefault(place.topic, {})[place.partition] = committed.offset
    finally:
        await admin.close()
    return found


async def _topics(consumer: Any, prefix: str) -> list[str]:
    found = sorted(name for name in await consumer.topics() if name.startswith(f"{prefix}."))
    if not found:
        raise ReadingError(f"no topic begins with {prefix}.: is the prefix right, and the broker?")
    return found


async def _ends(consumer: Any, raw: RawLog, topics: Sequence[str]) -> dict[TopicPartition, int]:
    first = [name for name in (raw.topic("task-state"), raw.topic("transitions")) if name in topics]
    ends: dict[TopicPartition, int] = {}
    for chosen in (*([name] for name in first), [name for name in topics if name not in first]):
        places = [
            TopicPartition(name, n) for name in chosen for n in consumer.partitions_for_topic(name) or ()
        ]
        starts = await consumer.beginning_offsets(places)
        for place, end in (await consumer.end_offsets(places)).items():
            ends[place] = end
            partition = raw.partition(place.topic, place.partition)
            partition.start, partition.end = starts[place], end
    return ends


async def _read(
    consumer: Any,
    ends: Mapping[TopicPartition, int],
    raw: RawLog,
    committed: dict[TopicPartition, set[int]],
) -> list[str]:
    """Read to the ends into `raw`, or only note the offsets if `committed` has a set for the partition.

    What could not be reached, because nothing came any more.
    """
    left = {place for place, end in ends.items() if end > raw.partition(*place).start}
    if not left:
        return []
    consumer.assign(list(left))
    for place in left:
        consumer.seek(place, raw.partition(*place).start)
    heard = time.monotonic()
    while left:
        batches = await consumer.getmany(*left, timeout_ms=500, max_records=20_000)
        for place, records in batches.items():
            _take(records, ends[place], raw.partition(*place), committed.get(place))
        done = {place for place in left if await consumer.position(place) >= ends[place]}
        left -= done
        if batches or done:
            heard = time.monotonic()
        elif time.monotonic() - heard > _SILENCE_SECONDS:
            return [f"{place.topic}/{place.partition}" for place in sorted(left)]
    return []


def _take(records: Iterable[Any], end: int, partition: RawPartition, offsets: set[int] | None) -> None:
    for each in records:
        if each.offset >= end:
            break
        if offsets is not None:
            offsets.add(each.offset)
        else:
            headers = tuple((name, bytes(value)) for name, value in each.headers)
            partition.records.append(RawRecord(each.offset, each.timestamp, each.key, each.value, headers))


async def _mark_uncommitted(bootstrap: str, raw: RawLog, ends: Mapping[TopicPartition, int]) -> None:
    """Mark what only readers of uncommitted records see."""
    names = {raw.topic(name) for name in _TRANSACTIONAL}
    chosen = {place: end for place, end in ends.items() if place.topic in names}
    committed: dict[TopicPartition, set[int]] = {place: set() for place in chosen}
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, **_options("read_committed"))
    await consumer.start()
    try:
        await _read(consumer, chosen, raw, committed)
    finally:
        await consumer.stop()
    for place, offsets in committed.items():
        partition = raw.partition(place.topic, place.partition)
        for index, record in enumerate(partition.records):
            if record.offset not in offsets:
                changed = RawRecord(
                    record.offset, record.timestamp, record.key, record.value, record.headers, False
                )
                partition.records[index] = changed
        await asyncio.sleep(0)
