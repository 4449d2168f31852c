"""Header names that are no UTF-8 do not stop a reader; everything else is read as the driver reads it."""

from __future__ import annotations

import inspect
import struct
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatchBuilder, _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

from tasker_kafka.topics.kafka.forgiving import ForgivingRecords
from tests.support.strange_records import batch_with_strange_headers

ESCAPED = "\\xff\\xfe\\xed\\xa0"


def read(records: Any) -> list[tuple[int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]]:
    """Every record of every batch."""
    found = []
    while records.has_next():
        batch = records.next_batch()
        assert batch.validate_crc()
        found += [(each.offset, each.key, each.value, list(each.headers)) for each in batch]
    return found


async def strange(*which: bool) -> bytes:
    """A batch of records, some with a name that is no text."""
    producer = AIOKafkaProducer(bootstrap_servers="127.0.0.1:1")
    producer._closed = True
    rows = [(b"k%d" % number, b"v" * number, is_strange) for number, is_strange in enumerate(which)]
    data: bytes = batch_with_strange_headers(producer, rows)._builder.build()
    return data


def moved(data: bytes, offset: int) -> bytes:
    """The batch at another offset, which is no part of its checksum."""
    return struct.pack(">q", offset) + data[8:]


def ordinary(compression: int = 0) -> bytes:
    """A batch as our own producers write it."""
    builder = DefaultRecordBatchBuilder(
        2,
        compression,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=0,
        batch_size=9999,
    )
    for number in range(5):
        builder.append(number, timestamp=number, key=b"k", value=None, headers=[("ä", b"1"), ("b", None)])
    return bytes(builder.build())


@pytest.mark.parametrize("compression", [0, 1, 2, 3, 4])
def test_ordinary_batches_are_read_as_the_driver_reads_them(compression: int) -> None:
    data = ordinary(compression) * 2
    assert read(ForgivingRecords(data)) == read(MemoryRecords(data))
    assert ForgivingRecords(data).size_in_bytes() == len(data)
    assert ForgivingRecords(b"").next_batch() is None


@pytest.mark.parametrize(
    "which", [(True,), (False, True, False), (True, True), (False, False, True)], ids=str
)
async def test_a_name_that_is_no_text_is_escaped(which: tuple[bool, ...]) -> None:
    data = await strange(*which)
    with pytest.raises(UnicodeDecodeError):
        read(MemoryRecords(data))
    expected = [
        (number, b"k%d" % number, b"v" * number, [(ESCAPED, b"x")] if is_strange else [])
        for number, is_strange in enumerate(which)
    ]
    assert read(ForgivingRecords(data)) == expected
    around = read(ForgivingRecords(moved(ordinary(), 0) + moved(data, 5) + moved(ordinary(), 90)))
    assert [(offset - 5, *rest) for offset, *rest in around if 5 <= offset < 90] == expected
    assert len(around) == len(expected) + 10


def test_attributes_and_single_records_are_the_drivers() -> None:
    mine, its = ForgivingRecords(ordinary()).next_batch(), MemoryRecords(ordinary()).next_batch()
    assert mine is not None
    for name in ("base_offset", "next_offset", "producer_id", "is_control_batch", "is_transactional"):
        assert getattr(mine, name) == getattr(its, name)
    assert next(mine).offset == 0


def test_the_fetcher_uses_it() -> None:
    assert fetcher.MemoryRecords is ForgivingRecords
    source = inspect.getsource(fetcher)
    assert source.count("MemoryRecords(") == 1
    used = {"has_next", "next_batch", "size_in_bytes"}
    assert {name for name in used if f"records.{name}(" in source} == used
    assert {"_maybe_uncompress", "_read_msg"} <= set(vars(_DefaultRecordBatchPy))
    assert 'decode("utf-8")' in inspect.getsource(_DefaultRecordBatchPy._read_msg)
