"""Which partition a key belongs to: murmur2, as the Java client's default partitioner has it.

It is here, and not the driver's, because a record in the wrong partition is refused (`misrouted`): the rule must be
the same for every writer, on Kafka and in memory, and must not change with a library.
"""

from __future__ import annotations

import struct
from functools import lru_cache

__all__ = ["murmur2", "partition_for"]

_SEED = 0x9747B28C
_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """The hash as an unsigned 32-bit integer."""
    length = len(data)
    whole = length & ~3
    h = _SEED ^ length
    for k in struct.unpack_from(f"<{whole >> 2}I", data):
        k = (k * _M) & _MASK  # noqa: PLW2901 - the names of the published algorithm
        h = ((h * _M) ^ ((k ^ (k >> 24)) * _M)) & _MASK
    if whole != length:
        h = ((h ^ int.from_bytes(data[whole:], "little")) * _M) & _MASK
    h = ((h ^ (h >> 13)) * _M) & _MASK
    return h ^ (h >> 15)


@lru_cache(maxsize=32_768)
def partition_for(key: bytes, partitions: int) -> int:
    """The partition of `key` in a topic of `partitions` partitions.

    Cached: the records of one task, all of one key, follow each other closely.
    """
    return (murmur2(key) & 0x7FFFFFFF) % partitions
