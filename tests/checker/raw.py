"""The topics of one prefix as they lie in the log: bytes, offsets, times and headers, nothing decoded.

A `RawLog` can be read from a broker (`tests.checker.reading`), made by a test, saved and loaded. So a run's log can be
judged again later, and a good log can be damaged on purpose.
"""

from __future__ import annotations

import gzip
import struct
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

__all__ = ["Headers", "RawLog", "RawPartition", "RawRecord"]

Headers: TypeAlias = tuple[tuple[str, bytes], ...]

_LENGTH: Final = struct.Struct(">I")
_CHUNK: Final = 10_000


class RawRecord(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One record of a partition."""

    offset: int
    timestamp: int
    """Milliseconds, as the broker has it."""
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    committed: bool = True
    """False: of a transaction that was aborted, or is still open."""


class RawPartition(msgspec.Struct):
    """The records of one partition in the order of their offsets."""

    topic: str
    partition: int
    records: list[RawRecord] = []
    start: int = 0
    """First offset the broker still has."""
    end: int = 0
    """Offset after the last, control records of transactions included."""

    def at(self, offset: int) -> RawRecord | None:
        """The record of this offset; None if there is none (any more)."""
        place = bisect_left(self.records, offset, key=lambda each: each.offset)
        found = self.records[place] if place < len(self.records) else None
        return found if found is not None and found.offset == offset else None


class RawLog(msgspec.Struct):
    """Every partition of every topic of a prefix, and where its consumer groups stand."""

    prefix: str
    partitions: dict[str, dict[int, RawPartition]] = {}
    """Topic → partition."""
    groups: dict[str, dict[str, dict[int, int]]] = {}
    """Consumer group → topic → partition → committed offset."""

    def topic(self, name: str) -> str:
        """The whole name of a topic, e.g. of `commands` or `steps.default`."""
        return f"{self.prefix}.{name}.v1"

    def of(self, name: str) -> dict[int, RawPartition]:
        """The partitions of a topic by its short name; none if it does not exist."""
        return self.partitions.get(self.topic(name), {})

    def topics_of(self, kind: str) -> dict[str, dict[int, RawPartition]]:
        """The topics of one kind (`steps.`, `domain-events.`) by their whole names."""
        begin = f"{self.prefix}.{kind}"
        return {topic: found for topic, found in sorted(self.partitions.items()) if topic.startswith(begin)}

    def all(self) -> Iterator[RawPartition]:
        """Every partition."""
        for _, partitions in sorted(self.partitions.items()):
            for _, partition in sorted(partitions.items()):
                yield partition

    def partition(self, topic: str, number: int) -> RawPartition:
        """A partition by the topic's whole name; an empty one is made if there is none."""
        return self.partitions.setdefault(topic, {}).setdefault(number, RawPartition(topic, number))

    def save(self, path: Path | str) -> None:
        """Write everything to a gzip file."""
        with gzip.open(path, "wb", compresslevel=3) as file:
            for message in self._messages():
                data = msgspec.msgpack.encode(message)
                file.write(_LENGTH.pack(len(data)) + data)

    def _messages(self) -> Iterator[object]:
        yield [self.prefix, self.groups]
        for each in self.all():
            yield [each.topic, each.partition, each.start, each.end]
            for first in range(0, len(each.records), _CHUNK):
                yield each.records[first : first + _CHUNK]
            yield []

    @classmethod
    def load(cls, path: Path | str) -> RawLog:
        """Read what `save` has written. ValueError when the file is cut off or is something else."""
        try:
            with gzip.open(path, "rb") as file:
                messages = iter(lambda: _message(file), b"")
                prefix, groups = msgspec.msgpack.decode(
                    next(messages), type=tuple[str, dict[str, dict[str, dict[int, int]]]]
                )
                raw = cls(prefix, groups=groups)
                for head in messages:
                    topic, number, start, end = msgspec.msgpack.decode(head, type=tuple[str, int, int, int])
                    partition = raw.partition(topic, number)
                    partition.start, partition.end = start, end
                    while chunk := msgspec.msgpack.decode(next(messages), type=list[RawRecord]):
                        partition.records += chunk
        except (OSError, EOFError, StopIteration, msgspec.MsgspecError) as error:
            raise ValueError(f"{path} is no saved log, or a part of one: {error}") from error
        return raw


def _message(file: gzip.GzipFile) -> bytes:
    head = file.read(_LENGTH.size)
    if not head:
        return b""
    (length,) = _LENGTH.unpack(head)
    data = file.read(length)
    if len(data) < length:
        raise EOFError("the file ends within a message")
    return data
