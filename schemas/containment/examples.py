"""Values that one schema accepts and another refuses, looked for near the limits of both.

A search, not a proof: it tries each named limit, choice and property, one at a time, in values that are otherwise as
small or as full as the writer allows. Whatever it returns is checked with the validators themselves.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from tasker_kafka.schemas.schema_walk import Schema

from .cases import cases
from .documents import Document, Part, allows, kind_of
from .objects import Objects

__all__ = ["counterexample", "values_near"]

_MOST_TRIED: Final = 3_000
_MOST_KEPT: Final = 40
"""Examples of one place; their product would never end."""
_MOST_CANDIDATES: Final = 400
_MOST_LOOKED_AT: Final = 20_000
"""Values of all places together."""
_DEEPEST: Final = 6
_LONGEST: Final = 4_096
_MOST_ITEMS: Final = 64
_NUMBERS: Final = (0, 1, -1, 0.5, 7, 1_000_003)
_TEXTS: Final = (
    "", "x", "X", "word", "two words", "0", "7", "2024-02-29", "2024-02-29T12:00:00Z", "12:00:00Z", "P1D",
    "a@example.com", "example.com", "https://example.com/a", "192.0.2.1", "2001:db8::1",
    "7d444840-9dc0-11d1-b245-5ffdce74fad2", "ABC-123", "abc", "EUR", "A1", "$", "ß", "💡",
)  # fmt: skip
_MOST_CASES: Final = 16
_ANYTHING: Final[tuple[Any, ...]] = (1, "x", None, True, [], {})
_NAMES: Final = ("other", "x-1", "7")
_LIMITS: Final = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "multipleOf")


def counterexample(writer: Document, reader: Document, *, is_open: bool) -> Any:
    """A value that the writer's schema accepts and the reader's refuses, in a list; an empty list if none is found."""
    search = _Search(writer, reader, is_open)
    for value in itertools.islice(search.values([writer.root], [reader.root], 0), _MOST_TRIED):
        if writer.accepts([writer.root], value) and not reader.accepts([reader.root], value):
            return [value]
    return []


def values_near(document: Document) -> Iterator[Any]:
    """Values that a schema accepts, most of them near one of its limits."""
    search = _Search(document, document, is_open=True)
    for value in itertools.islice(search.values([document.root], [document.root], 0), _MOST_TRIED):
        if document.accepts([document.root], value):
            yield value


class _Search:
    def __init__(self, writer: Document, reader: Document, is_open: bool) -> None:
        self._writer = writer
        self._reader = reader
        self._is_open = is_open
        self._left = _MOST_LOOKED_AT

    def values(self, facts: Sequence[Part], wanted: Sequence[Part], depth: int) -> Iterator[Any]:
        """Values that may fit the facts, those near the limits of either side among them."""
        known, asked = self._all(self._writer, facts), self._all(self._reader, wanted)
        both = [*known, *asked]
        for each in both:
            said = [*each.get("enum", ()), *([each["const"]] if "const" in each else [])]
            # What only the reader names may hold properties that are taken as not sent.
            yield from (
                value
                for value in said
                if self._is_open or each in known or not isinstance(value, dict | list)
            )
        yield from (None, True, False)
        yield from _numbers(both)
        yield from _texts(both)
        yield []
        yield {}
        if depth < _DEEPEST:
            for case in itertools.islice(
                cases(self._writer, self._writer.conjuncts(facts) or ()), _MOST_CASES
            ):
                if all(allows(each, "object") for each in case):
                    yield from self._objects(case, asked, depth)
                if all(allows(each, "array") for each in case):
                    yield from self._arrays(case, asked, depth)

    def _all(self, document: Document, parts: Iterable[Part]) -> list[Schema]:
        """Every schema that these parts apply to the same value, the alternatives, too."""
        found: dict[int, Schema] = {}
        stack = list(parts)
        while stack:
            part = stack.pop()
            if not isinstance(part, dict) or id(part) in found:
                continue
            found[id(part)] = part
            for keyword in ("allOf", "anyOf", "oneOf"):
                stack.extend(part.get(keyword, ()))
            stack.extend(part[keyword] for keyword in ("if", "then", "else", "not") if keyword in part)
            stack.extend(part.get("dependentSchemas", {}).values())
            if "$ref" in part:
                stack.append(document.resolve(part["$ref"]))
        return list(found.values())

    def _fitting(self, facts: Sequence[Part], wanted: Sequence[Part], depth: int) -> list[Any]:
        """Some values that fit the facts, of every kind that there is, refused ones first."""
        if not facts and not wanted:
            return list(_ANYTHING)
        good: dict[str, list[Any]] = {}
        bad: list[Any] = []
        for value in itertools.islice(self.values(facts, wanted, depth), _MOST_CANDIDATES):
            self._left -= 1
            if self._left < 0:
                break
            if not self._writer.accepts(facts, value):
                continue
            if not self._reader.accepts(wanted, value):
                bad.append(value)
            else:
                good.setdefault(kind_of(value), []).append(value)
        rest = [
            value
            for of_kind in itertools.zip_longest(*good.values())
            for value in of_kind
            if value is not None
        ]
        return [*bad[:_MOST_KEPT], *rest[:_MOST_KEPT], *([None] if "null" in good else [])]

    def _objects(
        self, known: Sequence[Schema], asked: Sequence[Schema], depth: int
    ) -> Iterator[dict[str, Any]]:
        facts = Objects(self._writer, known, is_open=self._is_open)
        further = {name for each in asked for name in each.get("properties", ())} | {*_NAMES}
        names = facts.names | {name for name in further if not facts.is_absent(name)}
        required = facts.required
        choices = {
            name: self._fitting(
                _below(known, name, self._writer), _below(asked, name, self._reader), depth + 1
            )
            for name in sorted(names)
        }
        full = {name: values[0] for name, values in choices.items() if values}
        small = {name: value for name, value in full.items() if name in required}
        for base in (small, full):
            yield base
            for name, values in choices.items():
                yield {each: value for each, value in base.items() if each != name}
                yield from ({**base, name: value} for value in values)

    def _arrays(self, known: Sequence[Schema], asked: Sequence[Schema], depth: int) -> Iterator[list[Any]]:
        most = max((len(each.get("prefixItems", ())) for each in (*known, *asked)), default=0)
        items = [
            self._fitting(_item(known, position), _item(asked, position), depth + 1)
            for position in range(most + 1)
        ]
        lengths = {most, most + 1, most + 2, *_near([*known, *asked], ("minItems", "maxItems"))}
        for length in sorted(each for each in lengths if 0 < each <= _MOST_ITEMS):
            columns = [items[min(position, most)] for position in range(length)]
            if not all(columns):
                continue
            base = [values[position % len(values)] for position, values in enumerate(columns)]
            yield base
            yield [values[0] for values in columns]
            for position, values in enumerate(columns[: most + 1]):
                yield from ([*base[:position], value, *base[position + 1 :]] for value in values)


def _below(schemas: Sequence[Schema], name: str, document: Document) -> list[Part]:
    found: list[Part] = []
    for each in schemas:
        own = [each["properties"][name]] if name in each.get("properties", {}) else []
        own += [
            part for text, part in each.get("patternProperties", {}).items() if document.has_name(text, name)
        ]
        found += own or ([each["additionalProperties"]] if "additionalProperties" in each else [])
    return found


def _item(schemas: Sequence[Schema], position: int) -> list[Part]:
    found: list[Part] = []
    for each in schemas:
        prefix = each.get("prefixItems", ())
        if position < len(prefix):
            found.append(prefix[position])
        elif "items" in each:
            found.append(each["items"])
    return found


def _numbers(schemas: Iterable[Schema]) -> Iterator[float]:
    yield from _NUMBERS
    for each in schemas:
        for keyword in _LIMITS:
            if keyword in each:
                yield from (each[keyword] + step for step in (0, 1, -1, 0.5, -0.5))
                yield each[keyword] * 3


def _texts(schemas: Sequence[Schema]) -> Iterator[str]:
    yield from _TEXTS
    yield from ("x" * length for length in _near(schemas, ("minLength", "maxLength")) if length <= _LONGEST)


def _near(schemas: Iterable[Schema], keywords: Sequence[str]) -> list[int]:
    limits = [each[keyword] for each in schemas for keyword in keywords if keyword in each]
    return sorted({max(0, math.floor(limit) + step) for limit in limits for step in (-1, 0, 1)})
