"""Frames, releases, a registry and damage: what is read, as what, and what is told apart."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Iterator
from typing import Any

import fastavro
import msgspec
import pytest

from tasker_kafka.schemas import avro_files
from tasker_kafka.schemas import codec as module
from tasker_kafka.schemas.codec import MAX_VALUE_BYTES, Codec
from tasker_kafka.schemas.errors import DecodeError, EncodeError, SchemaUnknown
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
from tasker_kafka.schemas.state import Stub, TaskHead, TaskState
from tasker_kafka.schemas.words import Identity, TaskStatus, TimerKind

TASK = bytes(range(16))
COMMAND = Command(
    TASK, StepStarted(life=1, step="pay", attempt=1, worker_id="w", started_at=1_790_000_000_123)
)
STUB = Stub(
    task_id=TASK, request_id=TASK, life=1 << 34, outcome=TaskStatus.COMPLETE, created_at=1_790_000_000_000,
    closed_at=1_790_000_000_001, forget_at=1_790_000_000_002, plan_hash=bytes(32),
)  # fmt: skip
STATE = TaskState(
    task_id=TASK, life=1, seq=1, state=TaskStatus.PENDING, plan_hash=bytes(32), namespace="a", name="b",
    version="1.0.0", created_at=0, now=0, next_due=None, closed_at=None, total=0, pending=0, enqueued=0,
    in_progress=0, waiting_for_retry=0, complete=0, failed=0, cancelled=0, resolved=0, steps=(),
    request_id=TASK, request=RequestPlace(0, 0, 0), identity=Identity.ALWAYS_UNIQUE, context=b"{}", initiator="",
    source_system="", reason="", tags=(), correlation_id="", idempotency_key=None, requested_at=None,
    not_before=None, traceparent=None, state_since=0,
)  # fmt: skip


@pytest.fixture
def codec() -> Codec:
    return Codec()


def name_of(kind: type) -> str:
    return kind.__name__


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


# ------------------------------------------------------------------------------------------- writing


@pytest.mark.parametrize(
    "value",
    [
        Command(TASK[:15], Forget(1)),
        Command(TASK, Forget(1 << 63)),
        Command(TASK, Forget("soon")),  # type: ignore[arg-type]  # on purpose
        Command(TASK, "noise"),  # type: ignore[arg-type]  # on purpose
        Command(TASK, TimerDue(life=0, kind=TimerKind.RETRY, due_at=0, attempt=1 << 31)),
        Command(TASK, TimerDue(life=0, kind="never", due_at=0)),  # type: ignore[arg-type]  # on purpose
        TaskRequest(name="a", context="{}"),  # type: ignore[arg-type]  # on purpose
        TaskRequest(name=None, context=b"{}"),  # type: ignore[arg-type]  # on purpose
        TaskRequest(name="\ud800", context=b"{}"),
        RequestPlace(0, 0, 0),
    ],
)
def test_what_does_not_fit_is_not_written(codec: Codec, value: msgspec.Struct) -> None:
    with pytest.raises(EncodeError):
        codec.encode(value)


# ------------------------------------------------------------------------------------------- releases


@pytest.fixture
def older(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """A released version, to be changed by the test before anything is decoded."""
    schemas = copy.deepcopy(avro_files.current())
    monkeypatch.setattr(module, "released", lambda: {"0.0.1": schemas})
    module._origins.cache_clear()
    yield schemas
    module._origins.cache_clear()


def written(schema: Any, value: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(avro_files.plain(schema)), value)
    return b"\xc3\x01" + avro_files.fingerprint(schema) + out.getvalue()


def without(schema: Any, *names: str) -> None:
    schema["fields"] = [each for each in schema["fields"] if each["name"] not in names]


def test_an_older_release_s_record_is_read_with_defaults(codec: Codec, older: dict[str, Any]) -> None:
    without(older["TaskRequest"], "reason", "tags", "not_before")
    fields = {"name": "checkout", "context": b"{}", "namespace": "shop", "initiator": "me", "source_system": "x",
              "version": None, "request_id": TASK, "bypass_steps": ["a"], "idempotency_key": None,
              "correlation_id": None, "requested_at": 1_790_000_000_123, "traceparent": None}  # fmt: skip
    data = written(older["TaskRequest"], fields)
    expected = TaskRequest(name="checkout", context=b"{}", namespace="shop", initiator="me", source_system="x",
                           request_id=TASK, bypass_steps=("a",), requested_at=1_790_000_000_123)  # fmt: skip
    assert codec.decode(data, TaskRequest) == expected
    assert codec.kind_of(data) is TaskRequest
    with pytest.raises(DecodeError, match="left over"):
        codec.decode(data + b"\x00", TaskRequest)
    with pytest.raises(DecodeError, match="no TaskRequest"):
        codec.decode(data[:-5], TaskRequest)


def test_an_older_release_s_command_keeps_its_body(codec: Codec, older: dict[str, Any]) -> None:
    """Unions of records are resolved by name, however the branches have moved."""
    body = next(each for each in older["Command"]["fields"] if each["name"] == "body")
    body["type"] = [each for each in body["type"] if each["name"] in {"TimerDue", "Forget"}][::-1]
    data = written(older["Command"], {"task_id": TASK, "body": ("tasker.v1.Forget", {"until": 7})})
    assert codec.decode(data, Command) == Command(TASK, Forget(7))


def test_an_older_release_s_head_is_read(codec: Codec, older: dict[str, Any]) -> None:
    without(older["Stub"], "plan_hash")
    without(older["TaskState"], "stale_reported")
    out = io.BytesIO()
    current = fastavro.parse_schema(avro_files.plain(avro_files.current()["TaskState"]))
    value = fastavro.schemaless_reader(
        io.BytesIO(codec.encode(STATE)[10:]), current, None, return_record_name=True
    )
    del value["stale_reported"]
    fastavro.schemaless_writer(out, fastavro.parse_schema(avro_files.plain(older["TaskState"])), value)
    data = b"\xc3\x01" + avro_files.fingerprint(older["TaskState"]) + out.getvalue()
    assert codec.decode_state(data) == STATE
    assert codec.decode_head(data).version == "1.0.0"


# ------------------------------------------------------------------------------------------- registry


class Registry:
    def __init__(self) -> None:
        self.schemas: dict[int, str] = {}
        self.asked = 0

    def id_for(self, name: str, schema: str) -> int:
        assert json.loads(schema)["name"] == name.removeprefix("tasker.v1.")
        self.schemas[len(self.schemas) + 1] = schema
        return len(self.schemas)

    def schema_for(self, number: int) -> str | None:
        self.asked += 1
        return self.schemas.get(number)


def test_with_a_registry_records_name_the_schema_there() -> None:
    registry = Registry()
    ours, others = Codec(registry), Codec(registry)
    data = ours.encode(STUB)
    assert data[:5] == b"\x00\x00\x00\x00\x01"
    assert data[5:] == Codec().encode(STUB)[10:]
    assert ours.decode(data, Stub) == others.decode_state(data) == STUB
    assert ours.decode(Codec().encode(STUB), Stub) == STUB
    assert others.kind_of(data) is Stub
    assert others.decode(ours.encode(COMMAND), Command) == COMMAND


def test_a_foreign_schema_of_ours_is_resolved() -> None:
    """People may produce requests with a schema of their own that has only the fields they use."""
    registry = Registry()
    schema = {"type": "record", "name": "tasker.v1.TaskRequest", "fields": [
        {"name": "context", "type": "bytes"}, {"name": "name", "type": "string"}]}  # fmt: skip
    registry.schemas[7] = json.dumps(schema)
    body = written(schema, {"context": b"{}", "name": "checkout"})[10:]
    codec = Codec(registry)
    for _ in range(3):
        found = codec.decode(b"\x00\x00\x00\x00\x07" + body, TaskRequest)
        assert found == TaskRequest(name="checkout", context=b"{}")
    assert registry.asked == 1


@pytest.mark.parametrize(
    "text", [None, "{", '"string"', '{"type": "record", "name": "Other", "fields": []}', "[]"]
)
def test_other_schemas_of_a_registry_are_poison(text: str | None) -> None:
    registry = Registry()
    if text is not None:
        registry.schemas[7] = text
    with pytest.raises(DecodeError, match="schema 7"):
        Codec(registry).decode(b"\x00\x00\x00\x00\x07body", TaskRequest)


# ------------------------------------------------------------------------------------------- files and structs


KINDS = [
    kind for kind in module._types().values() if isinstance(kind, type) and issubclass(kind, msgspec.Struct)
]


def named(schema: Any) -> Iterator[Any]:
    if isinstance(schema, list):
        for each in schema:
            yield from named(each)
    elif isinstance(schema, dict):
        if "name" in schema:
            yield schema
        for field in schema.get("fields", ()):
            yield from named(field["type"])
        for key in ("items", "type"):
            yield from named(schema.get(key))


ALL_NAMED = [(name, each) for name, schema in avro_files.current().items() for each in named(schema)]


def test_every_struct_is_in_the_files() -> None:
    in_files = {each["name"] for _, each in ALL_NAMED if each["type"] == "record"}
    assert {name_of(each) for each in KINDS} - {"TaskHead"} == in_files - {"Header"}


@pytest.mark.parametrize("kind", KINDS, ids=name_of)
def test_structs_and_files_have_the_same_fields(kind: type[msgspec.Struct]) -> None:
    for _, schema in ALL_NAMED:
        if schema["name"] != kind.__name__ or schema["type"] != "record":
            continue
        fields = {each.name: each for each in msgspec.structs.fields(kind)}
        assert {each["name"] for each in schema["fields"]} == set(fields)
        for each in schema["fields"]:
            if fields[each["name"]].default is not msgspec.NODEFAULT:
                default = fields[each["name"]].default
                plain = list(default) if isinstance(default, tuple) else default
                assert each["default"] == ("" if plain == b"" else plain), each["name"]


def test_the_head_is_the_beginning_of_the_state() -> None:
    names = [each["name"] for each in avro_files.current()["TaskState"]["fields"]]
    assert tuple(names[: len(TaskHead.__struct_fields__)]) == TaskHead.__struct_fields__


@pytest.mark.parametrize("file", sorted(avro_files.current()))
def test_files_are_whole_documented_and_open_to_change(file: str) -> None:
    schema = avro_files.current()[file]
    assert (schema["name"], schema["namespace"]) == (file, "tasker.v1")
    fastavro.parse_schema(copy.deepcopy(schema))
    for each in named(schema):
        assert each.get("doc"), each["name"]
        assert all(field.get("doc") for field in each.get("fields", ()))
        if each["type"] == "enum":
            assert (each["symbols"][0], each["default"]) == ("UNKNOWN", "UNKNOWN")
        for field in each.get("fields", ()):
            if isinstance(field["type"], list) and field["type"][0] == "null":
                assert field["default"] is None, field["name"]


def test_one_name_is_one_type_in_all_files() -> None:
    known: dict[str, Any] = {}
    for _, each in ALL_NAMED:
        assert known.setdefault(each["name"], each) == each or shallow(known[each["name"]]) == shallow(each)


def shallow(schema: Any) -> Any:
    """A named type with the types inside by name only: where they are defined differs between files."""
    if isinstance(schema, dict) and "fields" in schema:
        fields = [{**each, "type": by_name(each["type"])} for each in schema["fields"]]
        return {**schema, "fields": fields, "namespace": None}
    return schema


def by_name(schema: Any) -> Any:
    if isinstance(schema, list):
        return [by_name(each) for each in schema]
    if isinstance(schema, dict):
        return schema["name"] if "name" in schema else {**schema, "items": by_name(schema.get("items"))}
    return schema


def test_a_rejection_keeps_headers_that_repeat(codec: Codec) -> None:
    rejection = Rejection(
        code="x", message="", path=None, topic="t", partition=0, offset=0, rejected_at=0,
        headers=(("a", b"1"), ("a", b"\xff"), ("", b"")),
    )  # fmt: skip
    assert codec.decode(codec.encode(rejection), Rejection) == rejection
