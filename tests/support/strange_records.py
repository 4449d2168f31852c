"""Record batches that only clients in other languages can write."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.record.util import calc_crc32c

__all__ = ["STRANGE_NAME", "Prepared", "batch_with_strange_headers"]

STRANGE_NAME = b"\xff\xfe\xed\xa0"
PLACEHOLDER = "AAAA"


class Prepared:
    """Bytes in the place of a producer's batch builder."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def build(self) -> bytes:
        """The batch."""
        return self._data

    def size(self) -> int:
        """Its length."""
        return len(self._data)


def batch_with_strange_headers(
    producer: AIOKafkaProducer, records: Sequence[tuple[bytes | None, bytes | None, bool]]
) -> Any:
    """A batch of (key, value, with a header whose name is no UTF-8); for producers without compression."""
    batch: Any = producer.create_batch()
    for key, value, is_strange in records:
        headers = [(PLACEHOLDER, b"x")] if is_strange else []
        batch.append(timestamp=None, key=key, value=value, headers=headers)
    batch.close()
    data = bytearray(batch._builder.build()).replace(PLACEHOLDER.encode(), STRANGE_NAME)
    data[17:21] = struct.pack(">I", calc_crc32c(bytes(data[21:])))
    batch._builder = Prepared(bytes(data))
    return batch
