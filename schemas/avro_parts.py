"""Avro's primitive values as bytes: what the functions made by `schemas.avro_io` are put together from.

What is read comes from strangers: a number must fit its type, and a length or count the data that is left.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

__all__ = [
    "BOOLEAN",
    "BYTE",
    "SMALL",
    "TIMES",
    "read_count",
    "read_int",
    "read_long",
    "read_size",
    "read_time",
    "varint",
    "write_int",
    "write_long",
    "write_name",
    "write_text",
]

_INT: Final = (-(1 << 31), (1 << 31) - 1)
_LONG: Final = (-(1 << 63), (1 << 63) - 1)


def varint(value: int) -> bytes:
    """A number of up to 64 bits: zigzag, seven bits a byte, low bits first."""
    number = (value << 1) ^ (value >> 63)
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


# Times, offsets and lives recur in the records of one batch; names of steps and handlers recur for ever.
@lru_cache(maxsize=1 << 14)
def write_long(value: int) -> bytes:
    """A `long`; ValueError beyond 64 bits."""
    if not _LONG[0] <= value <= _LONG[1]:
        raise ValueError(f"{value} does not fit 64 bits")
    return varint(value)


@lru_cache(maxsize=1 << 12)
def write_int(value: int) -> bytes:
    """An `int`; ValueError beyond 32 bits."""
    if not _INT[0] <= value <= _INT[1]:
        raise ValueError(f"{value} does not fit 32 bits")
    return varint(value)


def write_text(value: str) -> bytes:
    """A `string`: length and UTF-8."""
    raw = value.encode()
    return write_long(len(raw)) + raw


write_name = lru_cache(maxsize=1 << 14)(write_text)
"""As `write_text`, remembered: for short text only."""
SMALL: Final = tuple(varint(value) for value in range(1024))
"""The bytes of small numbers."""
BYTE: Final = tuple((each >> 1) ^ -(each & 1) for each in range(128))
"""The number that a single byte below 128 is."""
BOOLEAN: Final = (b"\x00", b"\x01")
"""The bytes of False and True."""


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
