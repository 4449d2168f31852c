"""Reads the topics of a prefix from offset 0 with the bare driver.

Every topic is read uncommitted; those that are written in transactions are read committed as well, and what only the
first reading saw is marked. Of a system that is running, ends are asked for in the order consumer groups, task-state,
transitions, everything else: so whatever one of them refers to is there in the next.
"""

from __future__ import annotations

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
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        raw.groups = await _groups(admin, prefix)
        places = await _places(admin, prefix)
    finally:
        await admin.close()
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, **_options("read_uncommitted"))
    await consumer.start()
    try:
        ends = await _ends(consumer, raw, places)
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


async def _groups(admin: Any, prefix: str) -> dict[str, dict[str, dict[int, int]]]:
    """Committed offsets of every consumer group of the prefix."""
    found: dict[str, dict[str, dict[int, int]]] = {}
    for name, *_ in await admin.list_consumer_groups():
        if not name.startswith(f"{prefix}-"):
            continue
        topics = found.setdefault(name, {})
        for place, committed in (await admin.list_consumer_group_offsets(name)).items():
            topics.setdefault(place.topic, {})[place.partition] = committed.offset
    return found


async def _places(admin: Any, prefix: str) -> list[TopicPartition]:
    """Every partition of the prefix."""
    names = sorted(name for name in await admin.list_topics() if name.startswith(f"{prefix}."))
    if not names:
        raise ReadingError(f"no topic begins with {prefix}.: is the prefix right, and the broker?")
    return [
        TopicPartition(topic["topic"], each["partition"])
        for topic in await admin.describe_topics(names)
        for each in topic["partitions"]
    ]


async def _ends(consumer: Any, raw: RawLog, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
    """Where each partition ends now; starts and ends are noted in `raw`."""
    first = {raw.topic("task-state"): 0, raw.topic("transitions"): 1}
    ends: dict[TopicPartition, int] = {}
    for rank in range(3):
        chosen = [place for place in places if first.get(place.topic, 2) == rank]
        starts = await consumer.beginning_offsets(chosen)
        for place, end in (await consumer.end_offsets(chosen)).items():
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
    consumer.assign(list(left))
    for place in left:
        consumer.seek(place, raw.partition(*place).start)
    heard = time.monotonic()
    while left:
        try:
            batches = await consumer.getmany(*left, timeout_ms=500, max_records=20_000)
        except UnicodeDecodeError as error:
            text = (
                f"a record has a header whose name is no UTF-8, and the driver cannot read past it: {error}"
            )
            raise ReadingError(text) from error
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
    if not any(chosen.values()):
        return
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
