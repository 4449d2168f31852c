"""JSON Schema 2020-12 as templates may use it: compiled once, linear in time, closed to the outside.

Contexts are checked at intake, results and event payloads in workers, never in `decide`. A schema comes from a
template author and a value from a stranger, so patterns run on an engine without backtracking, references stay
inside the document, and messages never quote the value (it may be a secret).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Any, Final

import jsonschema_rs
import msgspec

from .findings import MOST_FAULTS, Fault, Path, path_text
from .limits import CONTEXT_BYTES, SCHEMA_DEPTH, SCHEMA_SIZE
from .nearest import did_you_mean, nearest
from .schema_walk import (
    KEYWORDS,
    REDACT_KEYWORD,
    Schema,
    expanded_size,
    fill_defaults,
    has_endless_defaults,
    nesting,
    resolve_pointer,
    subschemas,
)

__all__ = ["JsonSchema", "Violation", "check_schema", "compiled", "lint_schema", "schema_for"]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_MOST_VIOLATIONS: Final = 20
_MASK: Final = "the value"
# fmt: off
_FORMATS: Final = frozenset({
    "date", "date-time", "duration", "email", "hostname", "idn-email", "idn-hostname", "ipv4", "ipv6", "iri",
    "iri-reference", "json-pointer", "regex", "relative-json-pointer", "time", "uri", "uri-reference",
    "uri-template", "uuid",
})
# fmt: on
_TYPES: Final = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
_REFUSED: Final = {
    "$anchor": "write the schema under `$defs` and refer to it as `#/$defs/name`",
    "$dynamicAnchor": "write the schema under `$defs` and refer to it as `#/$defs/name`",
    "$dynamicRef": "use `$ref` with `#/$defs/name`",
    "$vocabulary": "the vocabulary of JSON Schema 2020-12 is always the whole one",
}


class Violation(msgspec.Struct, frozen=True):
    """One way in which a value does not fit. The message names names and numbers of the schema, not the value."""

    path: str
    """As `context.items[2].price`."""
    message: str
    keyword: str
    """The JSON Schema keyword that was violated."""

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class JsonSchema:
    """A compiled schema. ValueError for one that `check_schema` finds fault with; make them by `schema_for`."""

    def __init__(self, schema: Schema) -> None:
        faults = check_schema(schema)
        if faults:
            raise ValueError("; ".join(f"{path_text(each.path)}: {each.message}" for each in faults))
        self.schema = schema
        self._validator = compiled(schema)

    def is_satisfied_by(self, value: Any) -> bool:
        """Whether a decoded JSON value fits."""
        return self._validator.is_valid(value)

    def violations(self, value: Any, *, root: str = "$") -> tuple[Violation, ...]:
        """Why a decoded JSON value does not fit, at most 20 reasons; empty if it does. `root` begins each path."""
        found = islice(self._validator.iter_errors(value), _MOST_VIOLATIONS)
        return tuple(
            Violation(path_text((root, *each.instance_path)), each.message, each.kind.name) for each in found
        )

    def with_defaults(self, value: Any) -> Any:
        """A copy of the value with absent properties filled in from `default`; check it, and its size, afterwards."""
        return fill_defaults(self.schema, value)


def schema_for(schema: Schema) -> JsonSchema:
    """The compiled schema; equal ones are compiled once in a process."""
    return _cached(msgspec.json.encode(schema, order="sorted"))


@lru_cache(maxsize=2048)
def _cached(encoded: bytes) -> JsonSchema:
    return JsonSchema(msgspec.json.decode(encoded))


def check_schema(schema: Any) -> tuple[Fault, ...]:
    """Every reason why the schema is refused, with its path inside the schema."""
    if not isinstance(schema, dict):
        return (Fault((), "bad_schema", "a JSON Schema is a mapping, as {type: object, properties: {…}}"),)
    if SCHEMA_DEPTH.is_exceeded(depth := nesting(schema)):
        return (Fault((), SCHEMA_DEPTH.error, f"{SCHEMA_DEPTH.message(depth)}: {SCHEMA_DEPTH.way_out}"),)
    faults = tuple(islice(_closed_faults(schema), MOST_FAULTS))
    if faults:
        return faults
    if SCHEMA_SIZE.is_exceeded(size := expanded_size(schema, SCHEMA_SIZE.maximum)):
        return (Fault((), SCHEMA_SIZE.error, f"{SCHEMA_SIZE.message(size)}: {SCHEMA_SIZE.way_out}"),)
    try:
        compiled(schema)
    except jsonschema_rs.ValidationError as error:
        return (_as_fault(schema, error),)
    except (ValueError, OverflowError) as error:
        return (Fault((), "bad_schema", str(error)),)
    if has_endless_defaults(schema):
        message = f"the defaults never end (a schema that refers to itself?) or exceed {CONTEXT_BYTES.maximum:,} bytes"
        return (Fault((), "endless_defaults", message),)
    return ()


def lint_schema(schema: Schema) -> Iterator[Fault]:
    """What is allowed but most likely not meant: misspelt keywords, defaults that do not fit."""
    for path, each in subschemas(schema):
        for keyword in each:
            meant = None if keyword in KEYWORDS or keyword.startswith("x-") else nearest(keyword, KEYWORDS)
            if meant is not None:
                message = f"JSON Schema ignores this keyword; did you mean `{meant}`?"
                yield Fault((*path, keyword), "unknown_keyword", message, "warning")
        if "default" in each and not _fits(schema, each, each["default"]):
            message = "the default does not fit its own schema: every value that needs it will be refused"
            yield Fault((*path, "default"), "unfit_default", message, "warning")


def compiled(schema: Schema) -> jsonschema_rs.Validator:
    """The validator of a schema that `check_schema` finds no fault with; see `schema_for` for one that is kept."""
    return jsonschema_rs.Draft202012Validator(
        schema,
        mask=_MASK,
        offline=True,
        pattern_options=jsonschema_rs.RegexOptions(),
        validate_formats=True,
        ignore_unknown_formats=False,
    )


def _closed_faults(schema: Schema) -> Iterator[Fault]:
    """What the validator would accept, but what is not linear, not local or not what we follow."""
    for path, each in subschemas(schema):
        for keyword, advice in _REFUSED.items():
            if keyword in each:
                yield Fault((*path, keyword), "bad_schema", f"`{keyword}` is not supported: {advice}")
        if str(each.get("$schema", DIALECT)).rstrip("#") != DIALECT:
            yield Fault((*path, "$schema"), "bad_schema", f"only JSON Schema 2020-12 is supported: {DIALECT}")
        if path and "$id" in each:
            yield Fault((*path, "$id"), "bad_schema", "`$id` may stand at the schema's root only")
        if not isinstance(each.get(REDACT_KEYWORD, False), bool):
            yield Fault((*path, REDACT_KEYWORD), "bad_schema", f"`{REDACT_KEYWORD}` is true or false")
        yield from _reference_faults(schema, path, each.get("$ref"))


def _reference_faults(schema: Schema, path: Path, reference: Any) -> Iterator[Fault]:
    if not isinstance(reference, str):
        return
    if reference != "#" and not reference.startswith("#/"):
        message = f"`{reference[:80]}` is not in this document; only local references, as `#/$defs/name`, are followed"
        yield Fault((*path, "$ref"), "remote_reference", message)
    elif resolve_pointer(schema, reference) is None:
        known = [f"#/$defs/{name}" for name in schema.get("$defs", ()) if isinstance(name, str)]
        message = (
            f"`{reference[:80]}` points to nothing; {did_you_mean(reference, known, kind='definitions')}"
        )
        yield Fault((*path, "$ref"), "dangling_reference", message)


def _as_fault(schema: Schema, error: jsonschema_rs.ValidationError) -> Fault:
    path = tuple(error.instance_path)
    value = _at(schema, path)
    if "Unknown format" in error.message:
        return Fault(
            path, "unknown_format", f"unknown format; {did_you_mean(str(value), _FORMATS, kind='formats')}"
        )
    if path[-1:] == ("type",) and isinstance(value, str):
        return Fault(path, "bad_schema", f"no JSON Schema type; {did_you_mean(value, _TYPES, kind='types')}")
    if '"regex"' in error.message:
        message = (
            "not a pattern that runs in linear time: no look-around, back-references or huge repetitions"
        )
        return Fault(path, "bad_pattern", message)
    return Fault(path, "bad_schema", error.message)


def _at(value: Any, path: Path) -> Any:
    for item in path:
        value = value[item]
    return value


def _fits(root: Schema, schema: Schema, value: Any) -> bool:
    definitions: Schema = {key: root[key] for key in ("$defs", "definitions") if key in root}
    references = (each.get("$ref", "") for _, each in subschemas(schema))
    if any(not each.startswith(("#/$defs/", "#/definitions/")) for each in references if each):
        return True
    try:
        return compiled({**definitions, **schema}).is_valid(value)
    except (jsonschema_rs.ValidationError, ValueError):
        return True
