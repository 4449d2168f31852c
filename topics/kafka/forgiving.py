"""Reads records whose header names are no UTF-8, as clients in C can write them.

The driver decodes header names while it iterates over a batch, and raises; its position then stays where it is, so one
such record would stop its partition for every reader, for ever. Kafka itself does not mind. So the driver's fetcher is
given batches that, where that happens, are read once more with such names escaped (`\\xff`).

`tests/unit/topics/test_forgiving_records.py` pins the private names that are used.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, SupportsIndex

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

__all__ = ["ForgivingRecords", "install"]

_OVERHEAD = struct.calcsize(">qi")


def install() -> None:
    """Give the driver's fetcher these records from now on, in this process."""
    fetcher.MemoryRecords = ForgivingRecords


class ForgivingRecords:
    """The batches of one fetched partition, as the driver's `MemoryRecords` gives them."""

    __slots__ = ("_data", "_records")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._records: Any = MemoryRecords(data)

    def size_in_bytes(self) -> int:
        """Of what was fetched."""
        return int(self._records.size_in_bytes())

    def has_next(self) -> bool:
        """Whether there is another batch."""
        return bool(self._records.has_next())

    def next_batch(self) -> _ForgivingBatch | None:
        """The next batch; None after the last."""
        batch = self._records.next_batch()
        return None if batch is None else _ForgivingBatch(batch, self._data)


class _ForgivingBatch:
    """One batch: the driver's, until it fails."""

    __slots__ = ("_batch", "_data")

    def __init__(self, batch: Any, data: bytes) -> None:
        self._batch = batch
        self._data = data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        last = -1
        try:
            for record in self._batch:
                last = record.offset
                yield record
        except UnicodeDecodeError:
            for record in _read_again(self._data, self._batch.base_offset):
                if record.offset > last:
                    yield record


def _read_again(data: bytes, base_offset: int) -> Iterator[Any]:
    """The records of the batch that begins with this offset."""
    position = 0
    while position + _OVERHEAD <= len(data):
        base, length = struct.unpack_from(">qi", data, position)
        end = position + _OVERHEAD + length
        if base == base_offset:
            batch: Any = _DefaultRecordBatchPy(data[position:end])
            batch._maybe_uncompress()  # noqa: SLF001 - before its buffer is exchanged
            batch._buffer = _Escaping(batch._buffer)  # noqa: SLF001 - its slices decode without raising
            yield from batch
            return
        position = end


class _Escaping(bytearray):
    """A buffer whose parts decode to text whatever they hold."""

    def __getitem__(self, index: SupportsIndex | slice) -> Any:
        found = super().__getitem__(index)
        return _Escaping(found) if isinstance(found, bytearray) else found

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """As text; bytes that are none are escaped."""
        return super().decode(encoding, "backslashreplace")
