"""Schemas as people write them, drawn from a seed, and pairs of which the newer is the older with one thing changed."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

from tasker_kafka.schemas.schema_check import check_schema
from tasker_kafka.schemas.schema_walk import subschemas

__all__ = ["Author", "Schema", "pairs", "whole"]

Schema = dict[str, Any]
NAMES = ("a", "b", "c")
PAIRS = 15
"""Of one example; drawing is cheap beside comparing."""


class Author:
    """Writes schemas as people do: mostly of one type, with keywords that mean something for it."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def schema(self, depth: int = 0) -> Any:
        """A schema; the deeper, the simpler."""
        kinds: list[Callable[[int], Any]] = [self.number, self.text, self.choice]
        if depth < 3:
            kinds += [self.thing, self.thing, self.list, self.alternatives, self.parts, self.condition]
        if depth > 0:
            kinds += [lambda _: {"$ref": "#/$defs/one"}, lambda _: self.random.choice([True, False, {}])]
        return self.random.choice(kinds)(depth)

    def number(self, _: int) -> Schema:
        """A number between limits."""
        found: Schema = {"type": self.random.choice(["integer", "number"])}
        for keyword in ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"):
            self.sometimes(found, keyword, lambda: self.random.choice([-1, 0, 0.5, 1, 2, 2.5]))
        self.sometimes(found, "multipleOf", lambda: self.random.choice([1, 2, 3, 4, 0.5]))
        return found

    def text(self, _: int) -> Schema:
        """A text of some length or shape."""
        found: Schema = {"type": self.random.choice(["string", "string", ["string", "null"]])}
        for keyword in ("minLength", "maxLength"):
            self.sometimes(found, keyword, lambda: self.random.randrange(4))
        self.sometimes(found, "pattern", lambda: self.random.choice(["^x", "[0-9]$", "o"]))
        self.sometimes(found, "format", lambda: self.random.choice(["date", "uuid", "email"]))
        return found

    def choice(self, _: int) -> Schema:
        """One of some values."""
        some: list[Any] = [None, True, 0, 1, 2, 0.5, "x", "xx", "7", [], {"a": 1}]
        if self.random.random() < 0.3:
            return {"const": self.random.choice(some)}
        return {"enum": self.random.sample(some, self.random.randrange(1, 4))}

    def thing(self, depth: int) -> Schema:
        """An object."""
        found: Schema = {"type": "object"} if self.random.random() < 0.9 else {}
        self.sometimes(found, "properties", lambda: self.named(depth), often=0.9)
        self.sometimes(found, "required", lambda: self.random.sample(NAMES, self.random.randrange(3)))
        self.sometimes(found, "additionalProperties", lambda: self.schema(depth + 1))
        self.sometimes(
            found, "patternProperties", lambda: {self.random.choice(["^a", "b|c"]): self.schema(depth + 1)}
        )
        self.sometimes(found, "maxProperties", lambda: self.random.randrange(4), often=0.1)
        self.sometimes(found, "minProperties", lambda: self.random.randrange(3), often=0.1)
        self.sometimes(
            found, "propertyNames", lambda: {"pattern": self.random.choice(["a", "[ab]"])}, often=0.1
        )
        self.sometimes(
            found, "dependentRequired", lambda: {self.random.choice(NAMES): [self.random.choice(NAMES)]}
        )
        self.sometimes(found, "unevaluatedProperties", lambda: False, often=0.1)
        return found

    def named(self, depth: int) -> Schema:
        """Properties."""
        return {
            name: self.schema(depth + 1) for name in self.random.sample(NAMES, self.random.randrange(1, 3))
        }

    def list(self, depth: int) -> Schema:
        """An array."""
        found: Schema = {"type": "array"}
        self.sometimes(found, "items", lambda: self.schema(depth + 1), often=0.6)
        self.sometimes(found, "prefixItems", lambda: [self.schema(depth + 1), self.schema(depth + 1)])
        for keyword in ("minItems", "maxItems"):
            self.sometimes(found, keyword, lambda: self.random.randrange(4))
        self.sometimes(found, "uniqueItems", lambda: True)
        self.sometimes(found, "contains", lambda: self.schema(depth + 1))
        if "contains" in found:
            self.sometimes(found, "minContains", lambda: self.random.randrange(3))
            self.sometimes(found, "maxContains", lambda: self.random.randrange(1, 3))
        return found

    def alternatives(self, depth: int) -> Schema:
        """One of some schemas."""
        return {self.random.choice(["anyOf", "oneOf"]): [self.schema(depth + 1) for _ in range(2)]}

    def parts(self, depth: int) -> Schema:
        """All of some schemas."""
        return {"allOf": [self.schema(depth + 1) for _ in range(2)], **self.number(depth)}

    def condition(self, depth: int) -> Schema:
        """A schema that depends on another."""
        found = {**self.thing(depth), "if": self.thing(depth + 1), "then": self.thing(depth + 1)}
        self.sometimes(found, "else", lambda: self.thing(depth + 1))
        return {"not": found["if"]} if self.random.random() < 0.2 else found

    def sometimes(self, schema: Schema, keyword: str, value: Callable[[], Any], often: float = 0.3) -> None:
        """Write a keyword now and then."""
        if self.random.random() < often:
            schema[keyword] = value()

    def changed(self, schema: Schema) -> Schema:
        """The schema with one thing changed: a keyword gone, one moved a little, or a part written anew."""
        found = copy.deepcopy(schema)
        places = [each for path, each in subschemas(found) if each and path[:1] != ("$defs",)]
        place = self.random.choice(places)
        keyword = self.random.choice([each for each in place if each != "$defs"] or ["title"])
        value = place.get(keyword)
        what = self.random.random()
        if what < 0.35:
            place.pop(keyword, None)
        elif isinstance(value, int | float) and not isinstance(value, bool) and what < 0.8:
            place[keyword] = max(value + self.random.choice([-1, 1]), 1 if keyword == "multipleOf" else 0)
        elif isinstance(value, list) and len(value) > 1 and what < 0.8:
            value.pop(self.random.randrange(len(value)))
        else:
            made = self.schema(2)
            place.update(made if isinstance(made, dict) else {"maxLength": 1})
        return found


def whole(author: Author) -> Schema:
    """A schema that an author may write, with a definition that refers to itself."""
    while True:
        found = author.schema()
        node = {"type": "object", "properties": {"a": {"$ref": "#/$defs/one"}, "b": author.text(0)}}
        schema = {**found, "$defs": {"one": node}} if isinstance(found, dict) else {}
        if schema and not check_schema(schema):
            return schema


def pairs(seed: int) -> list[tuple[Schema, Schema]]:
    """Older and newer."""
    author = Author(seed)
    found: list[tuple[Schema, Schema]] = []
    while len(found) < PAIRS:
        older = whole(author)
        newer = author.changed(older)
        if author.random.random() < 0.5:
            older, newer = newer, older
        if not check_schema(older) and not check_schema(newer):
            found.append((older, newer))
    return found
