"""The Avro files and the structs say the same, and the files are fit to be public and to change."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import fastavro
import fastavro.schema
import msgspec
import pytest

from tasker_kafka.schemas import avro_files
from tasker_kafka.schemas import codec as module
from tasker_kafka.schemas.state import TaskHead


def name_of(kind: type) -> str:
    return kind.__name__


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
