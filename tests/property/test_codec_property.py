"""The generated functions write and read what fastavro writes and reads, byte by byte, and survive any bytes."""

from __future__ import annotations

import io
from enum import StrEnum
from typing import Any

import fastavro
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasker_kafka.schemas import avro_files, codec
from tasker_kafka.schemas.errors import DecodeError
from tasker_kafka.schemas.state import TaskHead, TaskState
from tests.support.examples import examples
from tests.support.record_values import kinds, values_of

pytestmark = pytest.mark.slow

QUIET = settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
ALL = pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)


def fastavro_form(value: Any) -> Any:
    """A record as fastavro wants it: dictionaries, and branches of unions by name."""
    if isinstance(value, msgspec.Struct):
        fields = {name: fastavro_form(getattr(value, name)) for name in value.__struct_fields__}
        return {"-type": f"{avro_files.SCHEMA_NAMESPACE}.{type(value).__name__}", **fields}
    if isinstance(value, tuple):
        if value and isinstance(value[0], tuple):
            return [{"key": key, "value": raw} for key, raw in value]
        return [fastavro_form(each) for each in value]
    return str(value) if isinstance(value, StrEnum) else value


@ALL
@QUIET
@given(data=st.data())
def test_written_as_fastavro_writes(kind: type[msgspec.Struct], data: st.DataObject) -> None:
    value = data.draw(values_of(kind))
    schema = fastavro.parse_schema(avro_files.plain(avro_files.current()[kind.__name__]))
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, fastavro_form(value), strict_allow_default=False)
    assert codec.encode(value)[10:] == out.getvalue()


@ALL
@QUIET
@given(data=st.data())
def test_read_as_written_to_the_last_type(kind: type[msgspec.Struct], data: st.DataObject) -> None:
    value = data.draw(values_of(kind))
    found = codec.decode(codec.encode(value), kind)
    assert found == value
    assert repr(found) == repr(value)


@QUIET
@given(values_of(TaskState))
def test_the_head_is_the_beginning_of_the_state(value: TaskState) -> None:
    head = codec.decode_head(codec.encode(value))
    assert type(head) is TaskHead
    assert all(getattr(head, name) == getattr(value, name) for name in TaskHead.__struct_fields__)


@ALL
@QUIET
@given(data=st.data())
def test_damage_is_an_error_or_another_record(kind: type[msgspec.Struct], data: st.DataObject) -> None:
    good = bytearray(codec.encode(data.draw(values_of(kind))))
    place = data.draw(st.integers(10, len(good) - 1))
    change = data.draw(st.sampled_from(["cut", "flip", "insert"]))
    if change == "cut":
        del good[place:]
    elif change == "flip":
        good[place] ^= data.draw(st.integers(1, 255))
    else:
        good[place:place] = data.draw(st.binary(min_size=1, max_size=12))
    try:
        value = codec.decode(bytes(good), kind)
    except DecodeError:
        return
    assert change != "cut"
    assert codec.decode(codec.encode(value), kind) == value


@ALL
@QUIET
@given(body=st.binary(max_size=200))
def test_noise_is_an_error_or_a_record_that_can_be_written(kind: type[msgspec.Struct], body: bytes) -> None:
    frame = b"\xc3\x01" + avro_files.fingerprint(avro_files.current()[kind.__name__])
    try:
        value = codec.decode(frame + body, kind)
    except DecodeError:
        return
    assert codec.decode(codec.encode(value), kind) == value
