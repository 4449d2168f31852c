"""Frames and damage: what is read, as what, and what is told apart."""

from __future__ import annotations

from typing import Any

import fastavro
import fastavro.schema
import msgspec
import pytest

from tasker_kafka.schemas import avro_files
from tasker_kafka.schemas.codec import Codec
from tasker_kafka.schemas.errors import DecodeError, EncodeError, SchemaUnknown
from tasker_kafka.schemas.limits import MAX_VALUE_BYTES
from tasker_kafka.schemas.records import (
    Command,
    Forget,
    OwnerMarker,
    Rejection,
    RequestPlace,
    StepStarted,
    TaskRequest,
    TimerDue,
)
from tasker_kafka.schemas.state import TaskHead, TaskState
from tasker_kafka.schemas.words import TimerKind
from tests.support.record_samples import COMMAND, STATE, STUB, TASK


@pytest.fixture
def codec() -> Codec:
    return Codec()


# ------------------------------------------------------------------------------------------- frames


def test_a_record_is_a_single_object(codec: Codec) -> None:
    data = codec.encode(COMMAND)
    canonical = fastavro.schema.to_parsing_canonical_form(avro_files.current()["Command"])
    mark = bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"))
    assert data[:10] == b"\xc3\x01" + mark
    assert codec.kind_of(data) is Command


def test_fingerprints_are_those_of_the_specification() -> None:
    assert int.from_bytes(avro_files.fingerprint("null"), "little") == 0x63DD24E7CC258F8A
    assert int.from_bytes(avro_files.fingerprint("int"), "little") == 0x7275D51A3F395C8F


def test_a_closed_task_needs_hundred_bytes_at_most(codec: Codec) -> None:
    assert len(codec.encode(STUB)) <= 100


def test_values_of_one_topic_are_told_apart(codec: Codec) -> None:
    for value in (STATE, STUB):
        assert codec.decode_state(codec.encode(value)) == value
    marker = OwnerMarker(1, "a", "b")
    assert codec.decode_transition_record(codec.encode(marker)) == marker
    with pytest.raises(DecodeError, match="a OwnerMarker where a TaskState or Stub or Checkpoint belongs"):
        codec.decode_state(codec.encode(marker))
    with pytest.raises(DecodeError, match="a Stub where a Command belongs"):
        codec.decode(codec.encode(STUB), Command)


def test_the_head_of_a_state_alone(codec: Codec) -> None:
    data = codec.encode(STATE)
    assert codec.decode_head(data) == TaskHead(
        **{each: getattr(STATE, each) for each in TaskHead.__struct_fields__}
    )
    cut = data.index(b"1.0.0") + 60
    assert codec.decode_head(data[:cut]).version == "1.0.0"
    with pytest.raises(DecodeError):
        codec.decode_head(codec.encode(STUB))


# ------------------------------------------------------------------------------------------- damage


@pytest.mark.parametrize("data", [None, b"", b"\xc3", b"{}", b"\xc3\x01short", b"\x00\x00\x00\x00\x01rest"])
def test_what_is_no_record_is_poison(codec: Codec, data: bytes | None) -> None:
    with pytest.raises(DecodeError) as caught:
        codec.decode(data, Command)
    assert not isinstance(caught.value, SchemaUnknown)
    assert codec.kind_of(data) is None
    for decode in (
        codec.decode_head,
        codec.decode_state,
        codec.decode_transition_record,
        codec.decode_template_record,
    ):
        with pytest.raises(DecodeError):
            decode(data)


def test_an_unknown_fingerprint_is_named(codec: Codec) -> None:
    with pytest.raises(SchemaUnknown, match=r"6e6577736368656d.*does not know") as caught:
        codec.decode(b"\xc3\x01newschem" + b"body", Command)
    assert caught.value.fingerprint == b"newschem"


def test_what_is_too_long_is_not_decoded(codec: Codec) -> None:
    data = codec.encode(COMMAND) + bytes(MAX_VALUE_BYTES)
    with pytest.raises(DecodeError, match="more than any Command"):
        codec.decode(data, Command)


FORGET = b"\x0c"
STARTED = b"\x02"
ZEROS = bytes(16)


def test_what_is_damaged_below_is_whole_here(codec: Codec) -> None:
    frame = codec.encode(COMMAND)[:10]
    assert codec.decode(frame + ZEROS + FORGET + b"\x02", Command) == Command(ZEROS, Forget(1))
    assert codec.decode(frame + ZEROS + STARTED + b"\x02\x02a\x02\x02w\x00", Command).body == StepStarted(
        life=1, step="a", attempt=1, worker_id="w", started_at=0
    )


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "too early"),
        (ZEROS[:5], "too early"),
        (ZEROS + FORGET, "too early"),
        (ZEROS + FORGET + b"\x02\x00", "28 bytes expected, 29 found"),
        (ZEROS + b"\x10", "unknown symbol or branch"),
        (ZEROS + b"\x0b", "unknown symbol or branch"),
        (ZEROS + FORGET + b"\xff" * 9 + b"\x02", "64 bits"),
        (ZEROS + FORGET + b"\xff" * 11, "64 bits"),
        (ZEROS + STARTED + b"\x02\x01", "a length of -1"),
        (ZEROS + STARTED + b"\x02\xfe\xff\xff\xff\x0f", "a length of"),
        (ZEROS + STARTED + b"\x02\x04\xff\xfe", "utf-8"),
        (ZEROS + STARTED + b"\x02\x02a\xfe\xff\xff\xff\x1f", "32 bits"),
    ],
)
def test_damage_is_named(codec: Codec, body: bytes, reason: str) -> None:
    with pytest.raises(DecodeError, match=reason):
        codec.decode(codec.encode(COMMAND)[:10] + body, Command)


def test_symbols_that_stand_for_unknown_ones_are_poison(codec: Codec) -> None:
    data = bytearray(codec.encode(Command(TASK, TimerDue(life=0, kind=TimerKind.RETRY, due_at=0))))
    place = 10 + 16 + 1 + 1
    assert data[place] == 2 * (1 + list(TimerKind).index(TimerKind.RETRY))
    for symbol in (0, 2 * (1 + len(TimerKind)), 1):
        data[place] = symbol
        with pytest.raises(DecodeError, match="unknown symbol"):
            codec.decode(bytes(data), Command)


def test_booleans_are_zero_or_one(codec: Codec) -> None:
    data = codec.encode(msgspec.structs.replace(STATE, error_code=None))
    place = data.rindex(b"\x00\x00\x00")
    broken = data[:place] + b"\x02" + data[place + 1 :]
    assert codec.decode(data, TaskState).stale_reported is False
    with pytest.raises(DecodeError):
        codec.decode(broken, TaskState)


def test_arrays_in_blocks_with_sizes_are_read(codec: Codec) -> None:
    """Other writers may cut arrays into blocks, and say how many bytes each has."""
    request = TaskRequest(name="a", context=b"{}", tags=("x", "yz"))
    data = codec.encode(request)
    plain = b"\x04\x02x\x04yz\x00"
    assert data.count(plain) == 1
    for other in (b"\x02\x02x\x02\x04yz\x00", b"\x03\x0a\x02x\x04yz\x00", b"\x01\x04\x02x\x02\x04yz\x00"):
        assert codec.decode(data.replace(plain, other), TaskRequest) == request
    for broken in (b"\x03\xfe\x03\x02x\x04yz\x00", b"\xfe\xff\xff\xff\xff\x0f\x02x\x04yz\x00"):
        with pytest.raises(DecodeError):
            codec.decode(data.replace(plain, broken), TaskRequest)


def test_a_count_beyond_the_data_is_refused_before_anything_is_made(codec: Codec) -> None:
    """The items are of fixed size, so nothing else would stop a loop of 2⁴⁰ rounds."""
    data = codec.encode(STATE)
    assert data.endswith(b"\x00")
    with pytest.raises(DecodeError, match="an array of 1099511627776 items"):
        codec.decode(data[:-1] + b"\x80\x80\x80\x80\x80\x40", TaskState)


# ------------------------------------------------------------------------------------------- writing


def wrong(value: Any) -> Any:
    """A value that the types forbid."""
    return value


@pytest.mark.parametrize(
    "value",
    [
        Command(TASK[:15], Forget(1)),
        Command(TASK, Forget(1 << 63)),
        Command(TASK, Forget(wrong("soon"))),
        Command(TASK, wrong("noise")),
        Command(TASK, TimerDue(life=0, kind=TimerKind.RETRY, due_at=0, attempt=1 << 31)),
        Command(TASK, TimerDue(life=0, kind=wrong("never"), due_at=0)),
        TaskRequest(name="a", context=wrong("{}")),
        TaskRequest(name=wrong(None), context=b"{}"),
        TaskRequest(name="\ud800", context=b"{}"),
        Command(TASK, TimerDue(life=0, kind=wrong("UNKNOWN"), due_at=0)),
        RequestPlace(0, 0, 0),
    ],
)
def test_what_does_not_fit_is_not_written(codec: Codec, value: msgspec.Struct) -> None:
    with pytest.raises(EncodeError):
        codec.encode(value)


def test_a_rejection_keeps_headers_that_repeat(codec: Codec) -> None:
    rejection = Rejection(
        code="x", message="", path=None, topic="t", partition=0, offset=0, rejected_at=0,
        headers=(("a", b"1"), ("a", b"\xff"), ("", b"")),
    )  # fmt: skip
    assert codec.decode(codec.encode(rejection), Rejection) == rejection
