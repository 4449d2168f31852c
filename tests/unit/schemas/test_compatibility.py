"""The check finds every kind of break, agrees with Avro itself, and the committed releases have none."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastavro
import fastavro.schema
import pytest

from tasker_kafka.schemas import avro_files, compatibility
from tasker_kafka.schemas.compatibility import find_breaks, find_unreadable

BASE: dict[str, Any] = {
    "type": "record",
    "name": "A",
    "fields": [
        {"name": "n", "type": "int"},
        {
            "name": "e",
            "type": {"type": "enum", "name": "E", "symbols": ["UNKNOWN", "x"], "default": "UNKNOWN"},
        },
        {
            "name": "u",
            "type": ["null", {"type": "record", "name": "B", "fields": [{"name": "s", "type": "string"}]}],
            "default": None,
        },
        {"name": "a", "type": {"type": "array", "items": "B"}},
        {"name": "f", "type": {"type": "fixed", "name": "F", "size": 2}},
        {"name": "d", "type": "string", "default": ""},
    ],
}
VALUE = {"n": 1, "e": "x", "u": {"s": "t"}, "a": [{"s": "v"}], "f": b"ab", "d": "w"}


def field(schema: Any, name: str) -> Any:
    return next(each for each in schema["fields"] if each["name"] == name)


def drop(name: str) -> Callable[[Any], None]:
    return lambda schema: schema["fields"].remove(field(schema, name))


def add(extra: dict[str, Any]) -> Callable[[Any], None]:
    return lambda schema: schema["fields"].append(extra)


def retype(name: str, kind: Any) -> Callable[[Any], None]:
    return lambda schema: field(schema, name).update(type=kind)


SAFE: dict[str, Callable[[Any], None]] = {
    "nothing": lambda schema: None,
    "a field with a default more": add({"name": "z", "type": "long", "default": 0}),
    "a field with a default less": drop("d"),
    "fields in another order": lambda schema: schema["fields"].insert(0, schema["fields"].pop()),
    "a symbol more, which older readers call UNKNOWN": lambda schema: field(schema, "e")["type"][
        "symbols"
    ].append("y"),
    "documentation": lambda schema: schema.update(doc="text"),
    "a logical type": retype("n", {"type": "int", "logicalType": "date"}),
}
BROKEN: dict[str, tuple[Callable[[Any], None], str, str]] = {
    "a field without a default more": (add({"name": "z", "type": "long"}), "A.z", "this release"),
    "a field without a default less": (drop("n"), "A.n", "1.0"),
    "another type": (retype("n", "string"), "A.n", "both"),
    "a wider type, which older readers cannot read": (retype("n", "long"), "A.n", "1.0"),
    "another size": (retype("f", {"type": "fixed", "name": "F", "size": 3}), "A.f", "both"),
    "another name": (retype("f", {"type": "fixed", "name": "G", "size": 2}), "A.f", "both"),
    "null where there was none": (retype("n", ["null", "int"]), "A.n", "1.0"),
    "a branch more": (lambda schema: field(schema, "u")["type"].append("bytes"), "A.u", "1.0"),
    "a branch less": (lambda schema: field(schema, "u")["type"].remove("null"), "A.u", "this release"),
    "a field inside a branch": (
        lambda schema: field(schema, "u")["type"][1]["fields"].append({"name": "q", "type": "int"}),
        "A.u.q",
        "this release",
    ),
    "other items": (retype("a", {"type": "array", "items": "int"}), "A.a[]", "both"),
    "a symbol more and no default": (
        lambda schema: field(schema, "e").update(type={"type": "enum", "name": "E", "symbols": ["x", "y"]}),
        "A.e",
        "this release",
    ),
}


def changed(change: Callable[[Any], None]) -> Any:
    schema = copy.deepcopy(BASE)
    change(schema)
    return schema


@pytest.mark.parametrize("name", SAFE)
def test_safe_changes_are_none(name: str) -> None:
    assert find_breaks({"1.0": {"A": BASE}}, {"A": changed(SAFE[name])}) == []


@pytest.mark.parametrize("name", BROKEN)
def test_breaks_are_found_with_place_and_direction(name: str) -> None:
    change, place, reader = BROKEN[name]
    found = find_breaks({"1.0": {"A": BASE}}, {"A": changed(change)})
    assert place in {each.place for each in found}
    assert {each.reader for each in found} == ({"this release", "1.0"} if reader == "both" else {reader})


@pytest.mark.parametrize(
    "change", [*SAFE.values(), *(each[0] for each in BROKEN.values())], ids=[*SAFE, *BROKEN]
)
def test_what_the_check_calls_readable_avro_reads(change: Callable[[Any], None]) -> None:
    """A sample of every type, written by the old and read by the new schema."""
    schema = changed(change)
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(copy.deepcopy(BASE)), VALUE)
    out.seek(0)
    reader = fastavro.parse_schema(copy.deepcopy(schema))
    if find_unreadable(BASE, schema):
        return
    assert isinstance(
        fastavro.schemaless_reader(out, fastavro.parse_schema(copy.deepcopy(BASE)), reader), dict
    )


def test_a_record_that_is_gone_is_a_break() -> None:
    (found,) = find_breaks({"1.0": {"A": BASE}}, {})
    assert "A: the record is gone" in str(found)


@pytest.mark.parametrize("name", sorted(avro_files.current()))
def test_every_current_schema_reads_itself(name: str) -> None:
    schema = avro_files.current()[name]
    assert find_unreadable(schema, schema) == []


def test_the_committed_releases_and_this_one_read_each_other() -> None:
    assert [str(each) for each in find_breaks(avro_files.released(), avro_files.current())] == []


def test_the_command_prints_breaks_and_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compatibility.main([]) == 0
    assert "compatible" in capsys.readouterr().out
    old = copy.deepcopy(avro_files.current())
    old["Command"]["fields"].append({"name": "priority", "type": "int"})
    monkeypatch.setattr(compatibility, "released", lambda: {"0.0.1": old})
    assert compatibility.main([]) == 1
    assert "0.0.1 cannot read what this release wrote: Command.priority" in capsys.readouterr().out


def test_a_release_is_kept_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = compatibility.keep_release("9.9.9", tmp_path)
    assert "release 9.9.9" in text
    kept = {each.stem: each.read_text() for each in (tmp_path / "9.9.9").iterdir()}
    assert kept == {name: avro_files.text_of(name) for name in avro_files.current()}
    monkeypatch.setattr(compatibility, "released", lambda: {"9.9.9": avro_files.current()})
    assert "already" in compatibility.keep_release("9.9.9", tmp_path)
    monkeypatch.setattr(compatibility, "released", lambda: {"9.9.9": {"A": BASE}})
    with pytest.raises(SystemExit, match="other schemas"):
        compatibility.keep_release("9.9.9", tmp_path)
