"""The two sides of a rebuild, read from the log: what the table holds at a cut, and the records that count.

Reading is in stretches whose end was asked for before, so that a busy partition ends too.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import NamedTuple

import msgspec

from tasker_kafka.schemas.codec import decode, decode_transition_record
from tasker_kafka.schemas.errors import DecodeError, LogError, SchemaUnknown
from tasker_kafka.schemas.records import (
    CHECKPOINT_KEY,
    OWNER_KEY,
    Checkpoint,
    Forgotten,
    OwnerMarker,
    Transitions,
)
from tasker_kafka.topics.headers import owner_of
from tasker_kafka.topics.history import AcceptedHistory, HistoryMark
from tasker_kafka.topics.log import Isolation, Log, Record, TopicPartition

__all__ = [
    "Accepted",
    "Saved",
    "SavedTable",
    "Stretch",
    "accepted_records",
    "covered_from_of",
    "read_stretch",
    "read_table",
    "retained_log",
]

NOTHING_RETAINED = sys.maxsize

STALL_SECONDS = 30.0
FETCH_SECONDS = 1.0
PASSES = 2
"""The log cleaner may take a value away in front of a slow reader, because a newer one lies behind the end that was
asked for. The second pass reads those: it is short, and the cleaner leaves the newest segment alone."""


class Saved(NamedTuple):
    """One value of the changelog and where it lies."""

    offset: int
    data: bytes


class SavedTable(NamedTuple):
    """The newest value of every key up to a Checkpoint, which is the last record of its transaction."""

    values: dict[bytes, Saved]
    checkpoint: Checkpoint | None
    checkpoint_offset: int | None


class Stretch(NamedTuple):
    """A transitions partition as far as it is retained."""

    partition: TopicPartition
    begin: int
    end: int
    owner: int
    """Owner in office at `begin`; -1: the partition is there from its first record, or nobody has written."""


class Accepted(msgspec.Struct, frozen=True):
    """A record that counts by the readers' rule, or one that nobody can read."""

    offset: int
    key: bytes
    record: Transitions | Forgotten | DecodeError
    timestamp: int = 0
    """Broker time, ms."""


async def read_stretch(
    log: Log, place: TopicPartition, start: int, end: int
) -> AsyncGenerator[tuple[Record, ...]]:
    """The committed records with `start <= offset < end`, in batches. LogError when nothing comes any more."""
    if start >= end:
        return
    loop = asyncio.get_running_loop()
    reader = await log.reader({place: start}, isolation=Isolation.COMMITTED)
    try:
        position, moved_at = start, loop.time()
        while position < end:
            batch = (await reader.fetch(timeout=FETCH_SECONDS)).get(place)
            if batch is not None and batch.next_position > position:
                position, moved_at = batch.next_position, loop.time()
                yield tuple(each for each in batch.records if each.offset < end)
            elif loop.time() - moved_at > STALL_SECONDS:
                raise LogError(
                    f"{place.topic} [{place.partition}] cannot be read beyond offset {position} of {end}",
                    next_step="see that its leader is there (`tasker doctor`), then try again",
                )
    finally:
        await reader.close()


async def read_table(log: Log, place: TopicPartition, wanted: bytes | None = None) -> SavedTable:
    """A changelog partition as of its last Checkpoint; of one task (`wanted`) or all."""
    held: dict[bytes, Saved] = {}
    position = await log.begin_offset(place)
    for _ in range(PASSES):
        end = await log.end_offset(place)
        async with aclosing(read_stretch(log, place, position, end)) as batches:
            async for records in batches:
                for record in records:
                    _hold(held, record, wanted)
        position = max(position, end)
    saved = held.pop(CHECKPOINT_KEY, None)
    if saved is None:
        return SavedTable(held, None, None)
    return SavedTable(held, decode(saved.data, Checkpoint), saved.offset)


def _hold(held: dict[bytes, Saved], record: Record, wanted: bytes | None) -> None:
    key = record.key
    if key is None or (wanted is not None and key not in (wanted, CHECKPOINT_KEY)):
        return
    if record.value is None:
        held.pop(key, None)
    else:
        held[key] = Saved(record.offset, record.value)


async def retained_log(
    log: Log, place: TopicPartition, *, start: int | None = None, end: int | None = None
) -> Stretch:
    """How far a transitions partition reaches, and who was in office where it begins.

    start, end: only from here, only up to there; the default is what is retained, and its end as it is now

    Retention may have removed the marker of that owner. Every marker's own offset is its owner's number, so up to
    the first marker that is left, the owner in office is the highest that any record names.
    """
    begin, last = await log.begin_offset(place), await log.end_offset(place)
    begin = begin if start is None else max(begin, start)
    end = last if end is None else max(begin, min(end, last))
    if begin == 0:
        return Stretch(place, begin, end, -1)
    owner = -1
    async with aclosing(read_stretch(log, place, begin, last)) as batches:
        async for records in batches:
            for record in records:
                if record.key == OWNER_KEY:
                    return Stretch(place, begin, end, owner)
                owner = max(owner, owner_of(record.headers) or -1)
    return Stretch(place, begin, end, owner)


async def covered_from_of(log: Log, stretch: Stretch) -> int:
    """Lives that began at or above this command offset are retained whole."""
    if stretch.begin == 0:
        return 0
    async with aclosing(accepted_records(log, stretch)) as records:
        async for each in records:
            if not isinstance(each.record, DecodeError):
                return each.record.command_offset
    return NOTHING_RETAINED


async def accepted_records(
    log: Log, stretch: Stretch, wanted: bytes | None = None
) -> AsyncGenerator[Accepted]:
    """The records that count, in order; of one task (`wanted`, with the partition's Forgotten) or all.

    A record that cannot be decoded comes with its DecodeError. SchemaUnknown when a newer release wrote it.
    """
    history = AcceptedHistory(HistoryMark(position=stretch.begin, owner=stretch.owner))
    batches = read_stretch(log, stretch.partition, stretch.begin, stretch.end)
    async with aclosing(batches):
        async for records in batches:
            for record in records:
                key = record.key or b""
                if wanted is not None and len(key) == len(wanted) and key != wanted:
                    history.see(record)
                    continue
                try:
                    decoded = decode_transition_record(record.value)
                except SchemaUnknown:
                    raise
                except DecodeError as error:
                    if history.see(record):
                        yield Accepted(record.offset, key, error, record.timestamp)
                    continue
                if history.accept(record, decoded) and not isinstance(decoded, OwnerMarker):
                    yield Accepted(record.offset, key, decoded, record.timestamp)
