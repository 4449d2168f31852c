"""Which dead letters an operator acts on, in the order of their originals, and their bytes.

A letter that died a second time lies behind its successors, so the order of the queue is not the order of its lanes.
Held are five numbers for each letter, and the bytes of one slice.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Final, NamedTuple, Self

import msgspec

from tasker_kafka.schemas.codec import Codec
from tasker_kafka.schemas.errors import NotFoundError
from tasker_kafka.topics.log import Log, Reader, Record, TopicPartition

from .letters import DeadLetter, DeadLetterQueue, LetterFilter, LetterPlace, LetterState, letters_of

__all__ = ["LetterReader", "Selected", "Selection", "has_any", "select"]

SLICE_LETTERS: Final = 100
SLICE_BYTES: Final = 4 * 1024 * 1024
"""Of one transaction, and so of what is held in memory and of what a crash undoes."""

_GAP: Final = 500
"""Offsets that are rather read over than sought past."""
_FETCH_RECORDS: Final = 500
_FETCH_SECONDS: Final = 0.5


class Selected(NamedTuple):
    """One letter of a selection."""

    partition: int
    offset: int
    size: int
    is_repeat: bool
    """The next one is of the same event, group and subscription: written twice by a crash, or redriven since."""


class Selection:
    """Letters of one queue by source and by offset there, so each lane is in its original order."""

    def __init__(self) -> None:
        self.count = 0
        self.skipped: list[tuple[LetterPlace, LetterState]] = []
        """Of the places asked for: those whose state is not meant."""
        self.reach: dict[str, int] = {}
        """Group → the highest partition that one of its letters came from."""
        self._sources: dict[tuple[str, int], tuple[array[int], ...]] = {}
        self._whose: dict[tuple[str, str], int] = {}

    def add(self, letter: DeadLetter) -> None:
        """Take in a letter; in each partition the one with the highest offset comes first."""
        journey, place = letter.journey, letter.place
        source = (journey.topic, journey.partition)
        if source not in self._sources:
            self._sources[source] = tuple(array(kind) for kind in "qiqii")
        whose = self._whose.setdefault((journey.group, journey.subscription), len(self._whose))
        numbers = (journey.offset, whose, place.offset, place.partition, letter.size)
        for column, number in zip(self._sources[source], numbers, strict=True):
            column.append(number)
        self.count += 1
        self.reach[journey.group] = max(journey.partition, self.reach.get(journey.group, 0))

    def slices(self, letters: int = SLICE_LETTERS) -> Iterator[list[Selected]]:
        """What is written together: at most so many letters, and 4 MiB if it is more than one."""
        part: list[Selected] = []
        size = 0
        for each in self._in_order():
            if part and (len(part) >= letters or size + each.size > SLICE_BYTES):
                yield part
                part, size = [], 0
            part.append(each)
            size += each.size
        if part:
            yield part

    def _in_order(self) -> Iterator[Selected]:
        for _, (originals, whose, offsets, partitions, sizes) in sorted(self._sources.items()):
            # Stable, and begun with the lowest offset: of repeats the one that was written last is the last.
            order = [original << 32 | who for original, who in zip(originals, whose, strict=True)]
            rows = sorted(range(len(order) - 1, -1, -1), key=order.__getitem__)
            for index, row in enumerate(rows):
                after = rows[index + 1] if index + 1 < len(rows) else None
                is_repeat = after is not None and order[row] == order[after]
                yield Selected(partitions[row], offsets[row], sizes[row], is_repeat)


async def select(log: Log, queue: DeadLetterQueue, wanted: LetterFilter, codec: Codec) -> Selection:
    """The letters of a queue that are meant.

    NotFoundError when there is no letter at a place that was asked for; one that is there in another state than
    asked for is in `skipped`.
    """
    selection = Selection()
    missing = {each for each in wanted.places or () if each.queue == queue.name}
    if wanted.places is not None and not missing:
        return selection
    seen = wanted if not missing else msgspec.structs.replace(wanted, states=frozenset(LetterState))
    for partition in range(await log.partition_count(queue.topic)):
        async for letter in letters_of(log, queue, partition, seen, codec=codec):
            missing.discard(letter.place)
            if letter.state in wanted.states:
                selection.add(letter)
            else:
                selection.skipped.append((letter.place, letter.state))
    if missing:
        raise NotFoundError(
            f"No dead letter that fits lies at {', '.join(sorted(map(str, missing)))}.",
            next_step="See `tasker dlq list --state all`; a letter that has outlived its retention is gone.",
        )
    return selection


async def has_any(log: Log, queue: DeadLetterQueue, wanted: LetterFilter, codec: Codec) -> bool:
    """Whether a letter of the queue is meant; reads no more than that takes."""
    for partition in range(await log.partition_count(queue.topic)):
        async with aclosing(letters_of(log, queue, partition, wanted, codec=codec)) as letters:
            async for _ in letters:
                return True
    return False


class LetterReader:
    """Reads letters by place, some at a time. Use as `async with`."""

    def __init__(self, log: Log, queue: DeadLetterQueue) -> None:
        self._log = log
        self._queue = queue
        self._readers: dict[int, Reader] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for reader in self._readers.values():
            await reader.close()

    async def read(self, wanted: Sequence[Selected]) -> list[Record]:
        """The letters as they lie in the queue, in the order asked for. NotFoundError when retention was faster."""
        found: dict[tuple[int, int], Record] = {}
        for partition in {each.partition for each in wanted}:
            offsets = sorted(each.offset for each in wanted if each.partition == partition)
            for run in _runs(offsets):
                await self._read_run(partition, run, found)
        records = [found.get((each.partition, each.offset)) for each in wanted]
        for each, record in zip(wanted, records, strict=True):
            if record is None:
                place = LetterPlace(self._queue.name, each.partition, each.offset)
                raise NotFoundError(
                    f"The dead letter at {place} is gone: its retention has ended meanwhile.",
                    next_step="Run it again for those that are left.",
                )
        return [record for record in records if record is not None]

    async def _read_run(self, partition: int, run: list[int], found: dict[tuple[int, int], Record]) -> None:
        where = TopicPartition(self._queue.topic, partition)
        reader = self._readers.get(partition)
        if reader is None:
            reader = self._readers[partition] = await self._log.reader({where: run[0]})
        wanted = set(run)
        position = reader.position(where)
        if not run[0] - _GAP <= position <= run[0]:
            await reader.seek(where, run[0])
        while (position := reader.position(where)) <= run[-1]:
            most = min(_FETCH_RECORDS, run[-1] + 1 - position)
            batch = (await reader.fetch(timeout=_FETCH_SECONDS, max_records=most)).get(where)
            for record in () if batch is None else batch.records:
                if record.offset in wanted:
                    found[partition, record.offset] = record


def _runs(offsets: Sequence[int]) -> Iterator[list[int]]:
    """Ascending offsets, cut where more than `_GAP` lies between two."""
    run: list[int] = []
    for offset in offsets:
        if run and offset - run[-1] > _GAP:
            yield run
            run = []
        run.append(offset)
    if run:
        yield run
