"""The committed Avro files: the current schema of every record, and those of released versions.

The `.avsc` files under `avro/` are the public form of the language. `avro/released/<version>/` keeps each
release's files for ever, so that this release reads what any earlier one wrote.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

import fastavro.schema

__all__ = ["SCHEMA_NAMESPACE", "current", "fingerprint", "plain", "released", "text_of"]

SCHEMA_NAMESPACE = "tasker.v1"
"""Namespace of every record. Another one would be another language."""


@cache
def current() -> dict[str, Any]:
    """Record name → schema as parsed JSON, of every record that is the value of some topic."""
    return _read(_root())


@cache
def released() -> dict[str, dict[str, Any]]:
    """Version → the same of that release; empty before the first release."""
    folder = _root() / "released"
    if not folder.is_dir():
        return {}
    return {each.name: _read(each) for each in folder.iterdir() if each.is_dir()}


def text_of(name: str) -> str:
    """The file of a current schema, as it was written."""
    return (_root() / f"{name}.avsc").read_text(encoding="utf-8")


def fingerprint(schema: Any) -> bytes:
    """CRC-64-AVRO of the schema's canonical form, 8 bytes as they stand in a record (little-endian)."""
    canonical = fastavro.schema.to_parsing_canonical_form(schema)
    return bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"))


def plain(schema: Any) -> Any:
    """The schema without logical types and documentation: the same bytes, times stay numbers."""
    if isinstance(schema, list):
        return [plain(each) for each in schema]
    if isinstance(schema, dict):
        return {key: plain(value) for key, value in schema.items() if key not in {"logicalType", "doc"}}
    return schema


def _root() -> Traversable:
    return resources.files("tasker_kafka.schemas") / "avro"


def _read(folder: Traversable) -> dict[str, Any]:
    files = sorted(
        (each for each in folder.iterdir() if each.name.endswith(".avsc")), key=lambda each: each.name
    )
    return {each.name.removesuffix(".avsc"): json.loads(each.read_text(encoding="utf-8")) for each in files}
