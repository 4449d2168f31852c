"""Reads a partition from its end to its beginning.

A log is read forwards, but some questions are about the newest records, and some are answered by a later record about
an earlier one (what became of a dead letter). Read backwards in blocks, both need one pass and the memory of a block,
however long the partition is.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Final, TypeVar

from .log import Isolation, Log, Reader, Record, TopicPartition

__all__ = ["newest_first"]

T = TypeVar("T")

FIRST_BLOCK: Final = 64
"""Offsets. A question about the newest few should not read thousands."""
LARGEST_BLOCK: Final = 2_048
_FETCH_RECORDS: Final = 500
_FETCH_SECONDS: Final = 0.5


async def newest_first(
    log: Log,
    partition: TopicPartition,
    take: Callable[[Record], T | None],
    *,
    begin: int | None = None,
    end: int | None = None,
) -> AsyncGenerator[T, None]:
    """What `take` makes of each committed record from before `end` down to `begin`, the newest first.

    partition: an existing one. begin, end: offsets; by default the first available one and the last stable one as they
    are now. take: called once per record, in order within a block of up to 2,048 offsets; None leaves the record out.
    Only what it returns is held, so whoever drops a record's value reads large ones in little memory. Records that
    retention removes meanwhile are left out. Who stops early closes it (`contextlib.aclosing`). Raises LogError.
    """
    first = await log.begin_offset(partition)
    lowest = first if begin is None else max(begin, first)
    above = await log.end_offset(partition) if end is None else end
    if lowest >= above:
        return
    block = FIRST_BLOCK
    reader = await log.reader({partition: max(lowest, above - block)}, isolation=Isolation.COMMITTED)
    try:
        while lowest < above:
            start = max(lowest, above - block)
            for each in reversed(await _block(reader, partition, start, above, take)):
                yield each
            above, block = start, min(2 * block, LARGEST_BLOCK)
    finally:
        await reader.close()


async def _block(
    reader: Reader, partition: TopicPartition, start: int, end: int, take: Callable[[Record], T | None]
) -> list[T]:
    found: list[T] = []
    await reader.seek(partition, start)
    while reader.position(partition) < end:
        wanted = min(_FETCH_RECORDS, end - reader.position(partition))
        batches = await reader.fetch(timeout=_FETCH_SECONDS, max_records=wanted)
        if (batch := batches.get(partition)) is None:
            continue
        for record in batch.records:
            if start <= record.offset < end and (made := take(record)) is not None:
                found.append(made)
    return found
