"""A schema as the comparison reads it: one document whose every part can be validated against, masks included.

`x-redact` changes what travels: a redacted property reaches readers as the mask, whatever its schema says. So in what
is written it *is* the mask, and who reads must take the mask beside what the schema says.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal

import jsonschema_rs
import msgspec

from tasker_kafka.schemas.redaction import DEFAULT_MASK
from tasker_kafka.schemas.schema_check import compiled
from tasker_kafka.schemas.schema_walk import REDACT_KEYWORD, Schema, mapped, resolve_pointer, subschemas

__all__ = ["WORDS", "Document", "Part", "allows", "kind_of", "text_of"]

Part = dict[str, Any] | bool
"""A schema or a part of one; parts are told apart by identity, so they are never copied."""

_ROOT: Final = "#/$defs/root"
WORDS: Final = frozenset({
    "$comment", "$id", "$schema", "contentEncoding", "contentMediaType", "contentSchema", "default", "deprecated",
    "description", "examples", "readOnly", "title", "writeOnly",
})  # fmt: skip
"""Keywords that refuse no value."""


class Document:
    """One side of a comparison. `schema` must have passed `check_schema`; None accepts everything."""

    def __init__(self, schema: Schema | None, side: Literal["writer", "reader"]) -> None:
        self.root: Part = mapped(schema or {}, lambda each: _prepared(each, side))
        self._definitions = {"root": self.root}
        self._whole: Schema = {"$defs": self._definitions}
        self._validators: dict[tuple[int, ...], jsonschema_rs.Validator] = {}
        self.is_sound = all(
            resolve_pointer(self._whole, each["$ref"]) is not None
            for _, each in subschemas({"allOf": [self.root]})
            if "$ref" in each
        )
        """False: a reference leads into a redacted property, whose inside is hidden."""

    def resolve(self, reference: str) -> Part:
        """The target of a reference of this document."""
        found: Part = resolve_pointer(self._whole, reference)
        return found

    def accepts(self, parts: Sequence[Part], value: Any) -> bool:
        """Whether a value fits all of these parts."""
        if not parts:
            return True
        key = tuple(map(id, parts))
        if key not in self._validators:
            self._validators[key] = compiled({"$defs": self._definitions, "allOf": list(parts)})
        return self._validators[key].is_valid(value)

    def conjuncts(self, parts: Iterable[Part]) -> list[Schema] | None:
        """These parts and all they always bring with them by `$ref` and `allOf`, each once; None: nothing fits."""
        found: dict[int, Schema] = {}
        stack = list(parts)
        while stack:
            part = stack.pop()
            if part is False:
                return None
            if isinstance(part, dict) and id(part) not in found:
                found[id(part)] = part
                stack.extend(part.get("allOf", ()))
                if "$ref" in part:
                    stack.append(self.resolve(part["$ref"]))
        return list(found.values())

    def has_name(self, pattern: str, name: str) -> bool:
        """Whether a property's name fits a pattern, as the validator sees it."""
        return not compiled({"patternProperties": {pattern: False}}).is_valid({name: None})


def text_of(part: Any) -> str:
    """A part's canonical text."""
    return msgspec.json.encode(part, order="sorted").decode()


def allows(schema: Schema, kind: str) -> bool:
    """Whether a schema's `type` lets values of a kind pass; `integer` and `fraction` are the kinds of numbers."""
    types = schema.get("type")
    if types is None:
        return True
    names = types if isinstance(types, list) else [types]
    return kind in names or (kind in ("integer", "fraction") and "number" in names)


def kind_of(value: Any) -> str:
    """The kind of a JSON value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "integer" if value == int(value) else "fraction"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def _prepared(schema: Schema, side: Literal["writer", "reader"]) -> Part:
    found = {name: value for name, value in schema.items() if name not in {*WORDS, REDACT_KEYWORD}}
    if "$ref" in found:
        found["$ref"] = _ROOT + found["$ref"].removeprefix("#")
    if schema.get(REDACT_KEYWORD) is not True:
        return found
    mask: Schema = {"const": DEFAULT_MASK}
    return mask if side == "writer" else {"anyOf": [found, mask]}
