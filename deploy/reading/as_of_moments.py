"""Which moment of a log is meant, and which position of each partition it comes to.

Partitions have no common order, so a moment of the whole log is a vector of positions: of each partition the offset of
the first record that does not count any more. A time means, per partition, the first record at or after it by the
broker's clock. The vector that was used is always told, and can be given back to see exactly the same again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from tasker_kafka.schemas.errors import TaskerError
from tasker_kafka.topics.log import Isolation, Log, TopicPartition
from tasker_kafka.topics.names import TopicNames

__all__ = ["BadMoment", "Cut", "Moment", "PartitionCut", "parse_moment", "resolve", "vector_text"]

_UNITS_MS: Final = {
    "ms": 1,
    "s": 1000,
    "m": 60_000,
    "min": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 604_800_000,
}
_AGO: Final = re.compile(r"-?(?:\d+(?:ms|min|s|m|h|d|w))+")
_PART: Final = re.compile(r"(\d+)(ms|min|s|m|h|d|w)")
_VECTOR: Final = re.compile(r"@\d+:\d+(?:,\d+:\d+)*")
_FORMS: Final = (
    "Give an RFC 3339 time with its zone (2026-01-31T09:30:00Z), a span before now (-2h or 2h, -1d12h), now, an "
    "offset of the task's partition (@153), offsets of several (@0:153,1:98), or a file of them as --json prints it."
)
_FETCH_SECONDS: Final = 1.0
CLOCK_MARGIN_MS: Final = 60_000
"""How far the broker's clock may be ahead of this host's before a time is called future."""


class BadMoment(TaskerError):
    """The text names no moment of the log."""

    next_step = _FORMS


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for: one of a time (ms), a span before now (ms), an offset, or offsets by partition."""

    text: str
    at: int | None = None
    ago_ms: int | None = None
    offset: int | None = None
    offsets: Mapping[int, int] | None = None


class PartitionCut(msgspec.Struct, frozen=True, kw_only=True):
    """One partition of the transitions topic, cut."""

    partition: int
    offset: int
    """The first record that does not count any more."""
    begin: int
    """The first record still retained."""
    begin_at: int | None = None
    """Its broker time, where something before it was removed (ms)."""
    end: int
    """Where the partition ended when it was cut."""

    @property
    def is_lost(self) -> bool:
        """Whether something was written before the cut and retention has removed all of it."""
        return self.begin > 0 and self.offset <= self.begin

    @property
    def is_partial(self) -> bool:
        """Whether retention has removed something below the cut, so that tasks may be missing."""
        return self.begin > 0


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """A moment as positions. `at`: its time in ms where one was given."""

    text: str
    at: int | None
    partitions: tuple[PartitionCut, ...]

    @property
    def offsets(self) -> dict[int, int]:
        """Partition → offset: the vector that means the same again."""
        return {each.partition: each.offset for each in self.partitions}


def vector_text(offsets: Mapping[int, int]) -> str:
    """The offsets as a moment: `@0:153,1:98`."""
    return "@" + ",".join(f"{partition}:{offset}" for partition, offset in sorted(offsets.items()))


def parse_moment(text: str) -> Moment:
    """The moment that a text, or the file of that name, means. BadMoment when it means none."""
    if text == "now":
        return Moment(text=text, ago_ms=0)
    if _AGO.fullmatch(text):
        span = sum(int(count) * _UNITS_MS[unit] for count, unit in _PART.findall(text))
        return Moment(text=text, ago_ms=span)
    if text.startswith("@"):
        return _offsets(text)
    path = Path(text)
    if path.is_file():
        return Moment(text=text, offsets=_file_offsets(path))
    return Moment(text=text, at=_time(text))


async def resolve(log: Log, names: TopicNames, moment: Moment, *, partition: int | None = None) -> Cut:
    """Cut every partition of the transitions, or one of them.

    BadMoment for a lone offset where there are several partitions, a partition without an offset, an offset behind
    the end and a time that is still to come.
    """
    count = await log.partition_count(names.transitions)
    chosen = range(count) if partition is None else (partition,)
    if moment.offset is not None and len(chosen) > 1:
        raise BadMoment(
            f"{moment.text} is an offset of one partition, and there are {count}",
            next_step="Give one of each, as @0:153,1:98; of one task a single offset is enough.",
        )
    now = log.now_ms()
    at = moment.at if moment.ago_ms is None else now - moment.ago_ms
    if at is not None and at > now + CLOCK_MARGIN_MS:
        raise BadMoment(f"{moment.text} is still to come", next_step="Give a time that is over, or now.")
    found = [await _cut(log, TopicPartition(names.transitions, each), moment, at) for each in chosen]
    return Cut(text=moment.text, at=at, partitions=tuple(found))


async def _cut(log: Log, place: TopicPartition, moment: Moment, at: int | None) -> PartitionCut:
    begin, end = await log.begin_offset(place), await log.end_offset(place)
    if moment.ago_ms == 0:
        offset = end
    elif at is not None:
        offset = min(end, max(begin, await log.offset_at(place, at)))
    else:
        offset = _named(moment, place.partition)
    if offset > end:
        raise BadMoment(
            f"partition {place.partition} ends at offset {end}: there is no offset {offset} in it yet",
            next_step=f"Give an offset up to {end}, or now.",
        )
    begin_at = await _time_of(log, place, begin, end) if begin else None
    return PartitionCut(partition=place.partition, offset=offset, begin=begin, begin_at=begin_at, end=end)


def _named(moment: Moment, partition: int) -> int:
    if moment.offset is not None:
        return moment.offset
    found = (moment.offsets or {}).get(partition)
    if found is None:
        raise BadMoment(
            f"{moment.text} names no offset of partition {partition}",
            next_step="Give one of each partition, as @0:153,1:98.",
        )
    return found


async def _time_of(log: Log, place: TopicPartition, offset: int, end: int) -> int | None:
    """Broker time of the first record at or after an offset; None when nothing is left."""
    if offset >= end:
        return None
    reader = await log.reader({place: offset}, isolation=Isolation.COMMITTED)
    try:
        while reader.position(place) < end:
            batch = (await reader.fetch(timeout=_FETCH_SECONDS, max_records=1)).get(place)
            if batch is None:
                return None
            if batch.records:
                return batch.records[0].timestamp
    finally:
        await reader.close()
    return None


# ------------------------------------------------------------------------------------------------- texts


def _offsets(text: str) -> Moment:
    if text[1:].isascii() and text[1:].isdigit():
        return Moment(text=text, offset=int(text[1:]))
    if not _VECTOR.fullmatch(text):
        raise BadMoment(f"{text!r} is no offset")
    pairs = [each.split(":") for each in text[1:].split(",")]
    found = {int(partition): int(offset) for partition, offset in pairs}
    if len(found) != len(pairs):
        raise BadMoment(f"{text!r} names a partition twice")
    return Moment(text=text, offsets=found)


def _file_offsets(path: Path) -> dict[int, int]:
    """`{"0": 153, "1": 98}`, or a document that has this as `offsets`."""
    try:
        value: Any = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        raise BadMoment(f"{path} holds no JSON: {error}") from error
    if isinstance(value, dict) and "offsets" in value:
        value = value["offsets"]
    try:
        return msgspec.convert(value, dict[int, int], strict=False)
    except msgspec.ValidationError as error:
        raise BadMoment(f"{path} holds no offsets by partition: {error}") from error


def _time(text: str) -> int:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise BadMoment(f"{text!r} is no time, no offset and no file") from None
    if found.tzinfo is None:
        raise BadMoment(f"{text!r} does not say in which zone: for UTC write {text}Z")
    return int(found.astimezone(UTC).timestamp() * 1000)
