"""What is finished in one partition, and how a commit says it: for step workers and for subscribers.

The committed offset is the watermark: everything below it is finished. Offsets finish out of order, so the
commit's metadata tells the rest: which offsets above are finished, how far the worker may have started records
(`reach`), how often suspects were delivered, and whether the partition is in use (`open`) or was given up cleanly.
One long step then does not make its successors run again after a crash, and a crash leaves a short list of
suspects.

Pure: no clock, no I/O. A record counts as unfinished from `extend` to `finish`; places that hold no record
(control records) never do.
"""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_right
from collections.abc import Iterable, Iterator

import msgspec

__all__ = ["MAX_METADATA_CHARACTERS", "Restored", "Watermark", "decode_metadata"]

MAX_METADATA_CHARACTERS = 4000
"""Brokers accept 4,096 bytes (`offset.metadata.max.bytes`)."""

_VERSION = "1"
_OPEN = 1
_SHAKEN = 2

Run = tuple[int, int]
"""Offsets from the first to before the second."""


class Restored(msgspec.Struct, frozen=True):
    """What a commit's metadata said. Offsets are absolute."""

    is_open: bool = False
    """The partition was in use: its last owner did not give it up."""
    reach: int = 0
    """No record from here on was started."""
    finished: tuple[Run, ...] = ()
    deliveries: tuple[tuple[int, int], ...] = ()
    """Offset and how often it has been delivered, where that is more than once."""
    is_shaken: bool = False
    """An owner was lost, and what it may have been running is not all done since."""


class Watermark:
    """The finished and unfinished offsets of one partition."""

    def __init__(self, position: int, restored: Restored | None = None) -> None:
        restored = restored or Restored()
        self._position = position
        # Insertion order is offset order, so the first key is the lowest unfinished offset.
        self._unfinished: dict[int, None] = {}
        self._early = [run for run in restored.finished if run[1] > position]
        self._deliveries = {offset: count for offset, count in restored.deliveries if offset >= position}

    @property
    def position(self) -> int:
        """Position after the last record taken in."""
        return self._position

    @property
    def offset(self) -> int:
        """What to commit: the lowest offset that is not finished."""
        return next(iter(self._unfinished), self._position)

    @property
    def unfinished(self) -> int:
        """How many records are unfinished."""
        return len(self._unfinished)

    def extend(self, offsets: Iterable[int], next_position: int) -> list[int]:
        """Take in records up to `next_position`, in order: those that are not finished already."""
        new = [offset for offset in offsets if offset >= self._position and not self._is_early(offset)]
        self._unfinished.update(dict.fromkeys(new))
        self._position = max(self._position, next_position)
        self._early = [run for run in self._early if run[1] > self._position]
        return new

    def finish(self, offset: int) -> None:
        """This record is done. Repeats are harmless."""
        self._unfinished.pop(offset, None)
        self._deliveries.pop(offset, None)

    def deliveries(self, offset: int) -> int:
        """How often the record is known to have been delivered; at least 1."""
        return self._deliveries.get(offset, 1)

    def count_delivery(self, offset: int) -> int:
        """The record is delivered once more: how often that is now."""
        self._deliveries[offset] = self.deliveries(offset) + 1
        return self._deliveries[offset]

    def note_delivery(self, offset: int, note: int) -> None:
        """Keep this number for the record, in place of a count; at most 1: nothing is to be kept."""
        if note > 1:
            self._deliveries[offset] = note
        else:
            self._deliveries.pop(offset, None)

    def uncount_delivery(self, offset: int) -> None:
        """Take the last count back."""
        count = self._deliveries.pop(offset, 1) - 1
        if count > 1:
            self._deliveries[offset] = count

    def lookahead(self, count: int) -> int:
        """The offset before which the first `count` unfinished records lie, and those not yet taken in."""
        for place, offset in enumerate(self._unfinished):
            if place == count:
                return offset
        return self._position + count - len(self._unfinished)

    def metadata(self, *, is_open: bool, reach: int, is_shaken: bool = False) -> str | None:
        """The text beside the committed offset; None when it would be longer than a broker keeps."""
        base = self.offset
        numbers = [_OPEN * is_open | _SHAKEN * is_shaken, max(0, reach - base)]
        runs = list(self._finished_runs(base))
        numbers.append(len(runs))
        place = base
        for first, end in runs:
            numbers += [first - place, end - first]
            place = end
        place = base
        for offset, count in sorted(self._deliveries.items()):
            if offset >= base:  # one that is gone from the log is never finished
                numbers += [offset - place, count]
                place = offset
        text = _VERSION + base64.b64encode(_varints(numbers)).decode()
        return text if len(text) <= MAX_METADATA_CHARACTERS else None

    def _is_early(self, offset: int) -> bool:
        place = bisect_right(self._early, offset, key=lambda run: run[0]) - 1
        return place >= 0 and offset < self._early[place][1]

    def _finished_runs(self, base: int) -> Iterator[Run]:
        """Between unfinished records, and what is known from before of records not yet taken in."""
        place = base
        for offset in self._unfinished:
            if offset > place:
                yield place, offset
            place = offset + 1
        for first, end in [(place, self._position), *self._early]:
            start = max(first, place)
            if end > start:
                yield start, end
                place = end


def decode_metadata(offset: int, text: str) -> Restored | None:
    """What `Watermark.metadata` wrote beside this committed offset; None if the text is no such thing.

    An empty text is what tools write that set offsets: nothing known, nothing in use.
    """
    if not text:
        return Restored()
    if not text.startswith(_VERSION):
        return None
    try:
        numbers = _numbers(base64.b64decode(text[1:], validate=True))
        flags, reach, run_count, *rest = numbers
        if len(rest) % 2 or len(rest) < 2 * run_count:
            return None
    except (binascii.Error, ValueError):
        return None
    place = offset
    runs: list[Run] = []
    for gap, length in zip(rest[: 2 * run_count : 2], rest[1 : 2 * run_count : 2], strict=True):
        runs.append((place + gap, place + gap + length))
        place += gap + length
    place = offset
    deliveries: list[tuple[int, int]] = []
    for gap, count in zip(rest[2 * run_count :: 2], rest[2 * run_count + 1 :: 2], strict=True):
        place += gap
        deliveries.append((place, count))
    is_shaken = bool(flags & _SHAKEN)
    return Restored(bool(flags & _OPEN), offset + reach, tuple(runs), tuple(deliveries), is_shaken)


def _varints(numbers: Iterable[int]) -> bytes:
    """Little-endian base 128, the highest bit of a byte: more to come."""
    found = bytearray()
    for number in numbers:
        rest = number
        while rest > 0x7F:
            found.append(rest & 0x7F | 0x80)
            rest >>= 7
        found.append(rest)
    return bytes(found)


def _numbers(data: bytes) -> list[int]:
    found: list[int] = []
    number = shift = 0
    for byte in data:
        number |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            found.append(number)
            number = shift = 0
    if shift:
        raise ValueError("cut short")
    return found
