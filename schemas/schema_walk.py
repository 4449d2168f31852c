"""Going through a value along its JSON Schema: fill in defaults, mask what is declared secret.

JSON Schema validators only judge. Both walks follow what always applies to a value (`properties`, `items`,
`prefixItems`, `additionalProperties`, `allOf`, local `$ref`) and leave alternatives (`anyOf`, `oneOf`, `if`)
alone, where it would depend on the value which branch speaks.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from .findings import Path
from .limits import CONTEXT_BYTES, JSON_DEPTH

__all__ = [
    "KEYWORDS",
    "REDACT_KEYWORD",
    "Schema",
    "expanded_size",
    "fill_defaults",
    "has_endless_defaults",
    "mapped",
    "mask_declared",
    "nesting",
    "resolve_pointer",
    "subschemas",
]

REDACT_KEYWORD: Final = "x-redact"
_MOST_REFS: Final = 64

Schema = dict[str, Any]

# fmt: off
_WITH_SCHEMA: Final = frozenset({
    "additionalProperties", "contains", "contentSchema", "else", "if", "items", "not", "propertyNames", "then",
    "unevaluatedItems", "unevaluatedProperties",
})
_DEFINITIONS: Final = frozenset({"$defs", "definitions"})
_WITH_SCHEMA_LIST: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_WITH_SCHEMA_MAP: Final = frozenset({"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"})
KEYWORDS: Final = _WITH_SCHEMA | _WITH_SCHEMA_LIST | _WITH_SCHEMA_MAP | frozenset({
    "$anchor", "$comment", "$dynamicAnchor", "$dynamicRef", "$id", "$ref", "$schema", "$vocabulary", "const",
    "contentEncoding", "contentMediaType", "default", "dependentRequired", "deprecated", "description", "enum",
    "examples", "exclusiveMaximum", "exclusiveMinimum", "format", "maxContains", "maxItems", "maxLength",
    "maxProperties", "maximum", "minContains", "minItems", "minLength", "minProperties", "minimum", "multipleOf",
    "pattern", "readOnly", "required", "title", "type", "uniqueItems", "writeOnly", REDACT_KEYWORD,
})
# fmt: on
"""Every keyword of JSON Schema 2020-12, and our own."""


def subschemas(schema: Schema) -> Iterator[tuple[Path, Schema]]:
    """The schema and every schema inside it, each with its path; properties that are named as keywords are none."""
    stack: list[tuple[Path, Any]] = [((), schema)]
    while stack:
        path, each = stack.pop()
        if isinstance(each, dict):
            yield path, each
            stack.extend(((*path, *below), child) for below, child in _parts(each))


def _parts(schema: Schema) -> Iterator[tuple[Path, Any]]:
    """The schemas directly inside one, with their paths from there."""
    for keyword, value in schema.items():
        if keyword in _WITH_SCHEMA:
            yield (keyword,), value
        elif keyword in _WITH_SCHEMA_LIST and isinstance(value, list):
            yield from (((keyword, position), child) for position, child in enumerate(value))
        elif keyword in _WITH_SCHEMA_MAP and isinstance(value, dict):
            yield from (((keyword, name), child) for name, child in value.items())


def mapped(schema: Any, change: Callable[[Schema], Any]) -> Any:
    """A copy in which every schema, the innermost first, is what `change` makes of it; true and false stay."""
    if not isinstance(schema, dict):
        return schema
    found: Schema = {}
    for keyword, value in schema.items():
        if keyword in _WITH_SCHEMA:
            found[keyword] = mapped(value, change)
        elif keyword in _WITH_SCHEMA_LIST and isinstance(value, list):
            found[keyword] = [mapped(each, change) for each in value]
        elif keyword in _WITH_SCHEMA_MAP and isinstance(value, dict):
            found[keyword] = {name: mapped(each, change) for name, each in value.items()}
        else:
            found[keyword] = value
    return change(found)


def expanded_size(root: Schema, most: int) -> int:
    """How many schemas there are when each `$ref` is replaced by its target, counted up to a little over `most`.

    What a validator may have to look at: twenty definitions that refer to the next one twice are a million. A
    schema's reference to itself counts once. Iterative, since chains of references may be long.
    """
    sizes: dict[int, int] = {}
    begun: set[int] = set()
    stack: list[tuple[Schema, bool]] = [(root, False)]
    while stack:
        schema, is_finished = stack.pop()
        applied = [
            child for path, child in _parts(schema) if path[0] not in _DEFINITIONS and isinstance(child, dict)
        ]
        if isinstance(target := resolve_pointer(root, str(schema.get("$ref", ""))), dict):
            applied.append(target)
        if is_finished:
            sizes[id(schema)] = min(most + 1, 1 + sum(sizes.get(id(each), 1) for each in applied))
        elif id(schema) not in begun:
            begun.add(id(schema))
            stack.append((schema, True))
            stack.extend((each, False) for each in applied)
    return sizes[id(root)]


def fill_defaults(schema: Schema, value: Any) -> Any:
    """A copy of `value` with the defaults of absent properties filled in; the value itself is not changed.

    An inserted default is completed by the defaults below it. Total, whoever sent the value: a default that would
    nest it deeper than JSON may is left out, and filling stops once the defaults alone are larger than a context
    may be (so whoever checks its size afterwards refuses it).
    """
    return _Filler(schema).fill(schema, copy.deepcopy(value), 1)


def has_endless_defaults(schema: Schema) -> bool:
    """Whether the defaults never end, because the schema refers to itself, or are larger than a context may be."""
    filler = _Filler(schema)
    filler.fill(schema, {}, 1)
    for _, each in subschemas(schema):
        if "default" in each:
            filler.fill(each, copy.deepcopy(each["default"]), 1)
    return filler.is_stopped or filler.is_too_deep


class _Filler:
    """One walk; counts what it inserts, because a chain of defaults can grow like 10 ** depth."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._inserted = 0
        self.is_too_deep = False

    @property
    def is_stopped(self) -> bool:
        """Whether the defaults inserted so far are larger than a context may be."""
        return CONTEXT_BYTES.is_exceeded(self._inserted)

    def fill(self, schema: Any, value: Any, depth: int) -> Any:
        """The value, completed in place; `depth` is how deep a container it would be, from 1."""
        for each in _applying(self._root, schema):
            if self.is_stopped:
                break
            if isinstance(value, dict):
                self._fill_object(each, value, depth)
            elif isinstance(value, list):
                for position, child in enumerate(value):
                    value[position] = self.fill(_item_schema(each, position), child, depth + 1)
        return value

    def _fill_object(self, schema: Schema, value: dict[str, Any], depth: int) -> None:
        properties = _mapping(schema, "properties")
        for name, below in properties.items():
            if name not in value:
                default = self._default(below)
                if default is _NOTHING or self.is_stopped or not self._fits(default, depth):
                    continue
                self._inserted += len(name) + len(msgspec.json.encode(default))
                value[name] = copy.deepcopy(default)
            value[name] = self.fill(below, value[name], depth + 1)
        others = schema.get("additionalProperties")
        if isinstance(others, dict):
            for name in value.keys() - properties.keys():
                value[name] = self.fill(others, value[name], depth + 1)

    def _fits(self, default: Any, depth: int) -> bool:
        if not JSON_DEPTH.is_exceeded(depth + nesting(default)):
            return True
        self.is_too_deep = True
        return False

    def _default(self, schema: Any) -> Any:
        return next(
            (each["default"] for each in _applying(self._root, schema) if "default" in each), _NOTHING
        )


def nesting(value: Any) -> int:
    """How many containers deep a value is: 0 for a scalar, 1 for `[]`, 2 for `[{}]`. Breadth first, no recursion."""
    level, depth = [value], 0
    while level := [each for each in level if isinstance(each, (dict, list))]:
        depth += 1
        level = [child for each in level for child in (each.values() if isinstance(each, dict) else each)]
    return depth


_NOTHING: Final = object()


def mask_declared(schema: Schema, value: Any, mask: str) -> Any:
    """A copy of `value` in which every property marked `x-redact: true` is replaced by `mask`."""
    return _masked(schema, schema, value, mask, 0)


def _masked(root: Schema, schema: Any, value: Any, mask: str, depth: int) -> Any:
    if JSON_DEPTH.is_exceeded(depth):
        return mask
    for each in _applying(root, schema):
        if each.get(REDACT_KEYWORD) is True:
            return mask
        if isinstance(value, dict):
            value = _masked_object(root, each, value, mask, depth)
        elif isinstance(value, list):
            value = [
                _masked(root, _item_schema(each, position), child, mask, depth + 1)
                for position, child in enumerate(value)
            ]
    return value


def _masked_object(
    root: Schema, schema: Schema, value: dict[str, Any], mask: str, depth: int
) -> dict[str, Any]:
    properties = _mapping(schema, "properties")
    others = schema.get("additionalProperties")
    return {
        name: _masked(root, properties.get(name, others), child, mask, depth + 1)
        for name, child in value.items()
    }


def _mapping(schema: Schema, keyword: str) -> Schema:
    found = schema.get(keyword)
    return found if isinstance(found, dict) else {}


def _item_schema(schema: Schema, position: int) -> Any:
    prefix = schema.get("prefixItems")
    if isinstance(prefix, list) and position < len(prefix):
        return prefix[position]
    return schema.get("items")


def _applying(root: Schema, schema: Any) -> Iterator[Schema]:
    """The schema and all it always brings with it, by `$ref` and `allOf`; each once, so that cycles end."""
    stack, seen = [schema], set[int]()
    while stack and len(seen) < _MOST_REFS:
        each = stack.pop()
        if not isinstance(each, dict) or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        all_of = each.get("allOf")
        stack.extend(reversed(all_of) if isinstance(all_of, list) else ())
        reference = each.get("$ref")
        if isinstance(reference, str):
            stack.append(resolve_pointer(root, reference))


def resolve_pointer(root: Schema, reference: str) -> Any:
    """The value a local reference (`#/$defs/price`) points to; None where there is nothing."""
    if not reference.startswith("#"):
        return None
    value: Any = root
    for part in reference[1:].split("/")[1:]:
        name = unquote(part).replace("~1", "/").replace("~0", "~")
        if isinstance(value, list) and name.isascii() and name.isdigit() and int(name) < len(value):
            value = value[int(name)]
        elif isinstance(value, dict) and name in value:
            value = value[name]
        else:
            return None
    return value
