"""Makes bad bytes out of good ones: structure-aware where that reaches further than noise does.

Everything is drawn from one `random.Random`, so a seed is a run. A mutation of an Avro record decodes it with
fastavro by the public schema, changes one to three fields to values at the edges of their types, and encodes it
again; what Avro itself refuses falls back to bytes.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any

import fastavro

from tasker_kafka.schemas.avro_files import current, plain

__all__ = [
    "FRAME_BYTES",
    "avro_fields",
    "flip_bits",
    "json_bytes",
    "random_bytes",
    "reshape",
    "unknown_symbols",
]

FRAME_BYTES = 10
"""Marker and fingerprint of a single object."""
BOGUS_SYMBOLS = 20
STAYS = 0.8
"""How often a union keeps its branch, so that a change goes deeper."""

LONGS = (
    0,
    1,
    -1,
    2,
    255,
    -(1 << 31),
    (1 << 31) - 1,
    1 << 31,
    1 << 53,
    253_402_300_800_000,
    -(1 << 63),
    (1 << 63) - 1,
)
INTS = (0, 1, -1, 2, 100, 101, 1000, 32_767, -(1 << 31), (1 << 31) - 1)
TEXTS = (
    "", "\0", " ", "a\0b", "ä" * 33, "𝕏" * 20, "../../etc/passwd", "default/demo@1.0.0", "one", "two", "nobody",
    "x" * 64, "x" * 65, "x" * 257, "x" * 5_000, "x" * 66_000, "%s%s%n", "{0.__class__}", "$(id)", "\u202e\u200b",
    "1.0.0", "latest", "-1", "NaN", "null", "tasker:checkpoint", "00-" + "0" * 32 + "-" + "0" * 16 + "-01",
)  # fmt: skip
JSONS = (
    b"", b"{}", b"null", b"true", b"0", b"-0", b"[]", b'""', b'"text"', b"NaN", b"Infinity", b"-Infinity",
    b'{"a": NaN}', b'{"a": 1e999}', b'{"a": 1, "a": 2}', b'{"a": 18446744073709551616}', b'{"a": ' + b"9" * 5000 + b"}",
    b'{"a": "\\ud800"}', b'{"a": "\\u0000"}', b'{"\\ud83d": 1}', b"{'a': 1}", b"{", b"}", b"[" * 64 + b"]" * 64,
    b'{"a":' * 63 + b"1" + b"}" * 63, b'{"a":' * 64 + b"1" + b"}" * 64, b'{"a":' * 65 + b"1" + b"}" * 65,
    b"[" * 20_000, b'{"a":' * 20_000, b"\xff\xfe{\x00}\x00", b"\xef\xbb\xbf{}", b'{"a": "\xed\xa0\x80"}',
    b"\x1f\x8b\x08\x00", b'{"count": 1}', b'{"count": "1"}', b'{"count": 1.5}', b'{"count": -1}',
    b'{"count": null, "mode": 7}', b'{"__proto__": {}}',
    b'{"a": 1}garbage', b"\0" * 100, b'{"a": "' + b"x" * 5_000 + b'"}',
)  # fmt: skip


def random_bytes(rng: Random, most: int = 300) -> bytes:
    """Noise without any structure."""
    return rng.randbytes(rng.randrange(most))


def flip_bits(rng: Random, value: bytes, *, begin: int = 0) -> bytes:
    """One to eight bits changed at or after a place."""
    damaged = bytearray(value)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        if len(damaged) > begin:
            damaged[rng.randrange(begin, len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def reshape(rng: Random, value: bytes) -> bytes:
    """Cut short, made longer, a part repeated, removed, replaced by noise, or turned around."""
    at = rng.randrange(len(value) + 1)
    other = rng.randrange(len(value) + 1)
    low, high = sorted((at, other))
    part = value[low:high]
    changes: tuple[Callable[[], bytes], ...] = (
        lambda: value[:at],
        lambda: value[:-1],
        lambda: value + rng.randbytes(rng.randrange(1, 20)),
        lambda: value + value,
        lambda: value[:at] + rng.randbytes(4) + value[at:],
        lambda: value[:low] + part + part + value[high:],
        lambda: value[:low] + value[high:],
        lambda: value[:low] + rng.randbytes(len(part)) + value[high:],
        lambda: value[:low] + part[::-1] + value[high:],
        lambda: (
            value[:at] + b"\xed\xa0\x80" + value[at + 3 :]
        ),  # half of a surrogate pair, where a text may be
        lambda: value[:at] + b"\xff" * 10 + value[at + 10 :],  # a length, or a number, beyond 64 bits
    )
    return rng.choice(changes)()


def json_bytes(rng: Random, value: bytes | None = None) -> bytes:
    """JSON as nobody should send it; or the given one, damaged."""
    if not value or rng.random() < 0.6:
        return rng.choice(JSONS)
    return rng.choice((flip_bits, reshape))(rng, value)


# ------------------------------------------------------------------------------------------------- Avro


def avro_fields(rng: Random, name: str, value: bytes) -> bytes:
    """A framed record of this name with one to three of its fields at the edges of their types."""
    schema = _schema(name)
    record: Any = fastavro.schemaless_reader(
        io.BytesIO(value[FRAME_BYTES:]), schema, None, return_record_name=True
    )
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        # A command's first field is its task's id: another one would only make it a stray.
        deep = name == "Command" and rng.random() < STAYS
        record = _change(rng, record, schema["fields"][deep:])
    try:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, schema, record)
    except Exception:  # Avro itself refuses the value
        return flip_bits(rng, value, begin=FRAME_BYTES)
    return value[:FRAME_BYTES] + out.getvalue()


def unknown_symbols(rng: Random, name: str, value: bytes) -> bytes:
    """The record with an enum's symbol that this release does not know, as a newer one might have."""
    record: Any = fastavro.schemaless_reader(
        io.BytesIO(value[FRAME_BYTES:]), _schema(name), None, return_record_name=True
    )
    places: list[tuple[dict[str, Any], str]] = []
    _find_symbols(record, _schema(name)["fields"], places)
    if not places:
        return flip_bits(rng, value, begin=FRAME_BYTES)
    holder, field = rng.choice(places)
    holder[field] = f"bogus_{rng.randrange(BOGUS_SYMBOLS)}"
    out = io.BytesIO()
    fastavro.schemaless_writer(out, _wider(name), record)
    return value[:FRAME_BYTES] + out.getvalue()


def _change(rng: Random, record: dict[str, Any], fields: list[Any]) -> dict[str, Any]:
    field = rng.choice(fields)
    record[field["name"]] = _edge(rng, _resolved(field["type"]), record[field["name"]])
    return record


def _edge(rng: Random, schema: Any, value: Any) -> Any:
    """Another value of the type, the older one as a place to go deeper."""
    if isinstance(schema, list):
        return _edge_of_union(rng, schema, value)
    kind = schema["type"]
    if kind == "record":
        name, inner = value if isinstance(value, tuple) else (None, value)
        if not isinstance(inner, dict) or not schema["fields"]:
            return value
        changed = _change(rng, inner, schema["fields"])
        return changed if name is None else (name, changed)
    if kind == "array":
        return _edge_of_array(rng, schema, value)
    if kind == "enum":
        return rng.choice([each for each in schema["symbols"] if each != "UNKNOWN"])
    if kind == "fixed":
        size = schema["size"]
        return rng.choice((bytes(size), b"\xff" * size, rng.randbytes(size)))
    return _edge_of_primitive(rng, kind, value)


def _edge_of_primitive(rng: Random, kind: str, value: Any) -> Any:
    if kind == "long":
        near = value + rng.choice((-1, 1)) if isinstance(value, int) else 0
        return rng.choice((*LONGS, near, near))
    if kind == "int":
        near = value + rng.choice((-1, 1)) if isinstance(value, int) else 0
        return rng.choice((*INTS, near, near))
    if kind == "string":
        return rng.choice(TEXTS)
    if kind == "bytes":
        return json_bytes(rng, value)
    return rng.random() < 0.5 if kind == "boolean" else None


def _edge_of_array(rng: Random, schema: Any, value: list[Any]) -> list[Any]:
    how = rng.randrange(4)
    if how == 0:
        return []
    if how == 1 and value:
        return value * rng.choice((2, 3, 50))
    item = _edge(rng, _resolved(schema["items"]), value[0] if value else _blank(_resolved(schema["items"])))
    return [*value, item]


def _edge_of_union(rng: Random, schema: list[Any], value: Any) -> Any:
    branches = [_resolved(each) for each in schema]
    own = [each for each in branches if _fitting(each, value) is not None]
    branch = own[0] if own and rng.random() < STAYS else rng.choice(branches)
    if branch["type"] == "null":
        return None
    kept = _fitting(branch, value)
    if branch["type"] == "record":
        inner = _blank(branch) if kept is None else kept
        return branch["name"], _change(rng, inner, branch["fields"])
    return _edge(rng, branch, value if kept is not None else _blank(branch))


def _fitting(branch: Any, value: Any) -> Any:
    """The value, if it is one of this branch; None else."""
    if branch["type"] == "record":
        return value[1] if isinstance(value, tuple) and value[0] == branch["name"] else None
    blank = _blank(branch)
    return value if isinstance(value, type(blank)) else None


def _blank(schema: Any) -> Any:
    """The plainest value of a type."""
    if isinstance(schema, list):
        first = _resolved(schema[0])
        return _blank(first)
    kind = schema["type"]
    if kind == "record":
        return {field["name"]: _blank(_resolved(field["type"])) for field in schema["fields"]}
    plainest: dict[str, Any] = {
        "null": None, "boolean": False, "int": 0, "long": 0, "string": "", "bytes": b"", "array": [],
    }  # fmt: skip
    if kind == "enum":
        return schema["symbols"][-1]
    return bytes(schema["size"]) if kind == "fixed" else plainest[kind]


def _find_symbols(
    record: dict[str, Any], fields: list[Any], places: list[tuple[dict[str, Any], str]]
) -> None:
    for field in fields:
        schema, value = _resolved(field["type"]), record[field["name"]]
        if isinstance(value, tuple):
            value = value[1]
        if not isinstance(schema, list) and schema["type"] == "enum":
            places.append((record, field["name"]))
        elif isinstance(value, dict):
            _find_symbols(value, _fields_of(schema, record[field["name"]]), places)


def _fields_of(schema: Any, value: Any) -> list[Any]:
    if not isinstance(schema, list):
        return list(schema.get("fields", []))
    if isinstance(value, tuple):
        return next(list(each["fields"]) for each in map(_resolved, schema) if each.get("name") == value[0])
    return next((list(each["fields"]) for each in map(_resolved, schema) if each["type"] == "record"), [])


# ---------------------------------------------------------------------------------------------- schemas

_NAMED: dict[str, Any] = {}


def _resolved(schema: Any) -> Any:
    """A type as its definition, whether it is given by name or in place."""
    if isinstance(schema, str):
        return _NAMED.get(schema) or _NAMED.get(schema.rpartition(".")[2]) or {"type": schema}
    if isinstance(schema, dict) and isinstance(schema["type"], dict):
        return schema["type"]
    return schema


@cache
def _schema(name: str) -> Any:
    """The public schema, without logical types, its named types known."""
    found = _bare(plain(current()[name]))
    _collect(found)
    return found


@cache
def _wider(name: str) -> Any:
    """The same with more symbols in every enum."""
    return _widened(_schema(name))


def _bare(schema: Any) -> Any:
    """Without the namespace, so that a branch of a union has the name that stands in the file."""
    if isinstance(schema, list):
        return [_bare(each) for each in schema]
    if isinstance(schema, dict):
        return {key: _bare(value) for key, value in schema.items() if key != "namespace"}
    return schema


def _widened(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_widened(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {
        key: _widened(value) if key in ("type", "items", "fields") else value for key, value in schema.items()
    }
    if made.get("type") == "enum":
        made["symbols"] = [*made["symbols"], *(f"bogus_{number}" for number in range(BOGUS_SYMBOLS))]
    return made


def _collect(schema: Any) -> None:
    if isinstance(schema, list):
        for each in schema:
            _collect(each)
    elif isinstance(schema, dict):
        if "name" in schema and schema.get("type") in ("record", "enum", "fixed"):
            _NAMED[schema["name"]] = schema
        for key in ("type", "items"):
            if not isinstance(schema.get(key), str):
                _collect(schema.get(key))
        for field in schema.get("fields", []):
            _collect(field["type"])
