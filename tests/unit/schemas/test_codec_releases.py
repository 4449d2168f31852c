"""What older releases and strangers with a registry wrote is read as the current schema has it."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Iterator
from typing import Any

import fastavro
import fastavro.schema
import pytest

from tasker_kafka.schemas import avro_files
from tasker_kafka.schemas import codec as module
from tasker_kafka.schemas.codec import Codec
from tasker_kafka.schemas.errors import DecodeError
from tasker_kafka.schemas.records import (
    Command,
    Forget,
    TaskRequest,
)
from tasker_kafka.schemas.state import Stub
from tests.support.record_samples import COMMAND, STATE, STUB, TASK


@pytest.fixture
def codec() -> Codec:
    return Codec()


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
    assert isinstance(value, dict)
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
