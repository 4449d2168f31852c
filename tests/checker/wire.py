"""Bytes to plain dictionaries and back: single-object Avro by the schema files, keys, headers, partitions.

Only fastavro and the files in `schemas/avro` are used. Times stay integers (the logical types are taken out of the
schemas), so that nothing is rounded and comparing is cheap; fingerprints do not depend on logical types.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Mapping
from functools import cache, lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, TypeAlias

import fastavro
from fastavro.schema import fingerprint, parse_schema, to_parsing_canonical_form

from .raw import RawRecord

__all__ = [
    "CHECKPOINT_KEY",
    "FORGET_KEY",
    "OWNER_KEY",
    "RESERVED_KEYS",
    "Datum",
    "Wire",
    "WireError",
    "owner_of",
    "partition_of",
    "plan_of",
]

Datum: TypeAlias = dict[str, Any]
"""A decoded record: field → value."""

OWNER_KEY: Final = b"tasker:owner"
FORGET_KEY: Final = b"tasker:forget"
CHECKPOINT_KEY: Final = b"tasker:checkpoint"
RESERVED_KEYS: Final = frozenset({OWNER_KEY, FORGET_KEY, CHECKPOINT_KEY})

_MARK: Final = b"\xc3\x01"
_HEAD: Final = 10
_OWNER_HEADER: Final = "tasker-owner"
_FILES: Final = Path(__file__).parents[2] / "schemas" / "avro"


class WireError(Exception):
    """Bytes that are no record of the kind that was expected."""


class Wire:
    """Decodes by fingerprint, also what released schemas have written; encodes with the current schemas."""

    def __init__(self, folder: Path = _FILES) -> None:
        self._current: dict[str, Any] = {}
        self._heads: dict[str, bytes] = {}
        self._known: dict[bytes, tuple[str, Any, Any]] = {}
        for path in sorted(folder.glob("*.avsc")):
            _, schema, head = _parsed(path.read_text())
            self._current[path.stem] = schema
            self._heads[path.stem] = _MARK + head
            self._known[head] = path.stem, schema, None
        for path in sorted(folder.glob("released/*/*.avsc")):
            self.learn(path.read_text())

    def learn(self, text: str) -> None:
        """A schema of another release. It is read as the record of the same name."""
        name, schema, head = _parsed(text)
        if head not in self._known and name in self._current:
            self._known[head] = name, schema, self._current[name]

    def decode(self, value: bytes | None) -> tuple[str, Datum]:
        """The record's name and its fields. WireError when it is nothing of Tasker's.

        A Command's body is (name, fields), because the fields do not always tell which it is.
        """
        if value is None or value[:2] != _MARK:
            raise WireError("the value is no single-object Avro")
        found = self._known.get(value[2:_HEAD])
        if found is None:
            raise WireError(f"no schema has the fingerprint {value[2:_HEAD].hex()}")
        name, schema, reader = found
        source = io.BytesIO(value)
        source.seek(_HEAD)
        try:
            names = name == "Command"
            datum = fastavro.schemaless_reader(
                source, schema, reader, return_record_name=names, return_record_name_override=names
            )
        except Exception as error:  # what fastavro raises on damage is of many kinds
            raise WireError(f"a damaged {name}: {error!r}") from error
        if source.tell() != len(value):
            raise WireError(f"{len(value) - source.tell()} bytes follow the {name}")
        assert isinstance(datum, dict)
        return name, datum

    def decode_as(self, value: bytes | None, name: str) -> Datum:
        """The fields of a record of this name. WireError otherwise."""
        found, datum = self.decode(value)
        if found != name:
            raise WireError(f"a {found} where a {name} belongs")
        return datum

    def encode(self, name: str, datum: Mapping[str, Any]) -> bytes:
        """The one canonical form of a record."""
        out = io.BytesIO()
        out.write(self._heads[name])
        fastavro.schemaless_writer(out, self._current[name], datum, strict=True)
        return out.getvalue()


@cache
def _parsed(text: str) -> tuple[str, Any, bytes]:
    """Name, schema and fingerprint of a schema's text."""
    raw = json.loads(text)
    head = bytes.fromhex(fingerprint(to_parsing_canonical_form(raw), "CRC-64-AVRO"))
    return str(raw["name"]), parse_schema(_without_logical_types(raw)), head


def _without_logical_types(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_logical_types(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "logicalType" in schema:
        return schema["type"]
    return {key: _without_logical_types(value) for key, value in schema.items() if key != "doc"}


def owner_of(record: RawRecord) -> int | None:
    """The owner number in a record's header; None without one, or when it is no number."""
    for name, value in record.headers:
        if name == _OWNER_HEADER:
            return int(value) if value.isdigit() else None
    return None


def plan_of(published: Datum) -> tuple[bytes, Datum]:
    """Hash and plan of a PublishedTemplate. WireError when the hash is not that of the bytes."""
    text = published["plan"]
    if sha256(text).digest() != published["plan_hash"]:
        raise WireError("a plan whose hash is not that of its bytes")
    plan: Datum = json.loads(text)
    return published["plan_hash"], plan


@lru_cache(maxsize=1 << 16)
def partition_of(key: bytes, count: int) -> int:
    """The partition of a key as Kafka's default partitioner has it (murmur2, sign bit dropped)."""
    return (_murmur2(key) & 0x7FFFFFFF) % count


def _murmur2(data: bytes) -> int:
    factor, mask = 0x5BD1E995, 0xFFFFFFFF
    digest = 0x9747B28C ^ len(data)
    words = len(data) // 4
    for (word,) in struct.iter_unpack("<I", data[: words * 4]):
        mixed = word * factor & mask
        mixed = (mixed ^ mixed >> 24) * factor & mask
        digest = digest * factor & mask ^ mixed
    tail = data[words * 4 :]
    for place in reversed(range(len(tail))):
        digest ^= tail[place] << 8 * place
    if tail:
        digest = digest * factor & mask
    digest = (digest ^ digest >> 13) * factor & mask
    return digest ^ digest >> 15
