"""Avro's primitive values as bytes: what the functions made by `schemas.avro_io` are put together from.

What is read comes from strangers: a number must fit its type, and a length or count the data that is left.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

__all__ = [
    "BOOLEAN",
    "BYTE",
    "OPTIONAL_TEXT",
    "OPTIONAL_TIME",
    "SMALL",
    "TEXT",
    "TIME",
    "TIMES",
    "join",
    "read_count",
    "read_int",
    "read_long",
    "read_size",
    "read_time",
    "refuse_size",
    "varint",
    "write_bytes",
    "write_int",
    "write_long",
    "write_texts",
]

_INT: Final = (-(1 << 31), (1 << 31) - 1)
_LONG: Final = (-(1 << 63), (1 << 63) - 1)

V = TypeVar("V")
join: Final = b"".join


def varint(value: int) -> bytes:
    """A number of up to 64 bits: zigzag, seven bits a byte, low bits first."""
    return _unsigned((value << 1) ^ (value >> 63))


def _unsigned(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


class Remembered(dict[V, bytes], Generic[V]):
    """Value → its bytes, written when first asked for and remembered if short.

    Times and lives recur in the records of one batch, names of steps and handlers for ever.
    """

    _MOST: Final = 1 << 14
    _LONGEST: Final = 66

    __slots__ = ("_write",)

    def __init__(self, write: Callable[[V], bytes]) -> None:
        super().__init__()
        self._write = write

    def __missing__(self, value: V) -> bytes:
        data = self._write(value)
        if len(data) <= self._LONGEST:
            if len(self) >= self._MOST:
                self.clear()
            self[value] = data
        return data


SMALL: Final = tuple(varint(value) for value in range(1024))
"""The bytes of small numbers."""
BYTE: Final = tuple((each >> 1) ^ -(each & 1) for each in range(128))
"""The number that a single byte below 128 is."""
BOOLEAN: Final = (b"\x00", b"\x01")
"""The bytes of False and True."""

_LOW: Final = tuple(bytes((first, second)) for second in range(128, 256) for first in range(128, 256, 2))
"""The first two bytes of a number from 8192 on, by its lowest 13 bits."""


def _rest(number: int) -> bytes:
    if number >> 50:
        raise ValueError("a number does not fit 64 bits")
    return _unsigned(number)


_REST: Final = Remembered(_rest)
"""The other bytes, by the other bits: of a growing offset they stay the same for a long time."""


def write_long(value: int) -> bytes:
    """A `long`; ValueError beyond 64 bits."""
    if value > 8191:
        return _LOW[value & 8191] + _REST[value >> 13]
    if value < _LONG[0]:
        raise ValueError(f"{value} does not fit 64 bits")
    return varint(value)


def write_int(value: int) -> bytes:
    """An `int`; ValueError beyond 32 bits."""
    if not _INT[0] <= value <= _INT[1]:
        raise ValueError(f"{value} does not fit 32 bits")
    return varint(value)


def _write_text(value: str) -> bytes:
    raw = value.encode()
    return write_long(len(raw)) + raw


def _write_optional_text(value: str | None) -> bytes:
    return b"\x00" if value is None else b"\x02" + _write_text(value)


def _write_optional_time(value: int | None) -> bytes:
    return b"\x00" if value is None else b"\x02" + write_long(value)


TEXT: Final = Remembered(_write_text)
"""A `string`: length and UTF-8."""
OPTIONAL_TEXT: Final = Remembered(_write_optional_text)
"""A union of null and `string`."""
TIME: Final = Remembered(write_long)
"""A `long` that is a time."""
OPTIONAL_TIME: Final = Remembered(_write_optional_time)
"""A union of null and such a `long`."""


def write_texts(values: tuple[str, ...]) -> bytes:
    """An array of `string`, not empty."""
    return write_long(len(values)) + join([TEXT[each] for each in values]) + b"\x00"


def write_bytes(value: bytes) -> bytes:
    """A `bytes`: length and value."""
    return write_long(len(value)) + value


def refuse_size(value: bytes, size: int) -> bytes:
    """ValueError: a `fixed` of another size."""
    raise ValueError(f"{len(value)} bytes, not {size}")


def read_long(data: bytes, at: int) -> tuple[int, int]:
    """The number that begins at `at` with a byte of 128 or more, and the place after it."""
    first = data[at]
    second = data[at + 1]
    if second < 128:
        number = first + (second << 7) - 128
        return (number >> 1) ^ -(number & 1), at + 2
    number = first + (second << 7) - 16512
    shift = 14
    at += 2
    while (byte := data[at]) > 127:
        number += (byte & 127) << shift
        shift += 7
        at += 1
        if shift > 63:
            raise ValueError("a number of more than 64 bits")
    number += byte << shift
    if number >> 64:
        raise ValueError("a number of more than 64 bits")
    return (number >> 1) ^ -(number & 1), at + 1


def read_int(data: bytes, at: int) -> tuple[int, int]:
    """As `read_long`, of 32 bits at most."""
    value, at = read_long(data, at)
    if not _INT[0] <= value <= _INT[1]:
        raise ValueError("a number of more than 32 bits")
    return value, at


TIMES: Final[dict[bytes, int]] = {}
"""Numbers of just six bytes (times from 2004 to 2039), by their bytes: those of one batch recur many times.

A number's bytes tell where it ends, so whatever begins with the six bytes of one is that number.
"""


def read_time(data: bytes, at: int) -> tuple[int, int]:
    """As `read_long`, for a number that is not in `TIMES`; remembers it."""
    first = data[at]
    value, end = (BYTE[first], at + 1) if first < 128 else read_long(data, at)
    if end - at == 6:
        if len(TIMES) >= 1 << 14:
            TIMES.clear()
        TIMES[data[at:end]] = value
    return value, end


def read_size(data: bytes, at: int) -> tuple[int, int]:
    """A length that the rest of the data can hold."""
    first = data[at]
    size, at = (BYTE[first], at + 1) if first < 128 else read_long(data, at)
    if not 0 <= size <= len(data) - at:
        raise ValueError(f"a length of {size} where {len(data) - at} bytes are left")
    return size, at


def read_count(data: bytes, at: int) -> tuple[int, int]:
    """The count of an array's next block; every item takes a byte or more."""
    first = data[at]
    count, at = (BYTE[first], at + 1) if first < 128 else read_long(data, at)
    if count < 0:
        count = -count
        _, at = read_size(data, at)
    if count > len(data) - at:
        raise ValueError(f"an array of {count} items where {len(data) - at} bytes are left")
    return count, at
