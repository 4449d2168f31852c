"""Proves that what one schema accepts is accepted by another; where it cannot, a `Doubt` says at which place and why.

The reader's schema is a conjunction of demands (keywords). The writer's promises are *facts*: the schemas that are
known to hold for a value at a place. Values are told apart by case (one alternative of each `anyOf` and `oneOf` of the
facts) and by kind, and within a case of a kind each demand must follow from the facts. Forgetting a fact is always
right, only less is proved then; so facts of `not` and `if` are forgotten. Values of a finite set are simply tried.

A pair that is met again deeper in the value is taken as proved: its values are smaller, so by induction the whole
holds if everything else does. Met again at the same depth it is not.

Unless `is_open`, an object whose schema lists `properties` and leaves `additionalProperties` out is taken to hold no
others: an event carries what its schema declares. Otherwise no property could ever be added.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from tasker_kafka.schemas.schema_walk import Schema

from .arrays import array_demands, longest
from .cases import cases
from .documents import Document, Part, allows, kind_of, text_of
from .doubts import Doubt
from .objects import object_demands, tells_apart
from .ranges import COUNTS, is_multiple, least, most, number_demands

__all__ = ["KINDS", "Proof"]

KINDS: Final = ("null", "boolean", "integer", "fraction", "string", "array", "object")
"""Kinds of values; an integer is a number without a fraction, 1.0 included."""
_MOST_STEPS: Final = 20_000
_TRIED: Final[dict[str, list[Any]]] = {"null": [None], "boolean": [False, True]}


class TooLarge(Exception):
    """The proof has too many steps."""


class Proof:
    """One comparison. `doubts()` is empty when the reader accepts everything that the writer's schema does."""

    def __init__(self, writer: Document, reader: Document, *, is_open: bool = False) -> None:
        self.writer = writer
        self.reader = reader
        self.is_open = is_open
        self._steps = 0
        self._running: dict[tuple[frozenset[int], str, int], int] = {}
        self._texts: dict[int, str] = {}
        self._same_definitions = _definitions(writer.root) == _definitions(reader.root)

    def doubts(self) -> tuple[Doubt, ...]:
        """Every demand that does not follow, each once."""
        if not (self.writer.is_sound and self.reader.is_sound):
            return (Doubt("$", "$ref", "a reference leads into a redacted property"),)
        try:
            found = self.prove([self.writer.root], self.reader.root, "$", 0)
        except TooLarge:
            return (Doubt("$", "$ref", "the schemas are too large to compare"),)
        return tuple(dict.fromkeys(found))

    def prove(self, facts: Sequence[Part], wanted: Part, path: str, depth: int) -> list[Doubt]:
        """What of `wanted` does not follow for a value that all of `facts` hold for."""
        if wanted is True or wanted == {}:
            return []
        known = self.writer.conjuncts(facts)
        if known is None:
            return []
        found: list[Doubt] = []
        for case in cases(self.writer, known):
            for kind in self._kinds(case):
                found += self.demand(case, kind, wanted, path, depth)
        return found

    def demand(self, case: Sequence[Schema], kind: str, wanted: Part, path: str, depth: int) -> list[Doubt]:
        """What of `wanted` does not follow for values of one kind in one case."""
        self._steps += 1
        if self._steps > _MOST_STEPS:
            raise TooLarge
        if wanted is True or (isinstance(wanted, dict) and self._is_promised(case, wanted)):
            return []
        tried = self._finite(case, kind)
        if tried is not None:
            lost = self._try(case, tried, wanted, path)
            if not lost or tried is not _TRIED.get(kind) or wanted is False:
                return lost
        if wanted is False:
            return [Doubt(path, "false", "is not accepted now")]
        assert isinstance(wanted, dict), "true and false are dealt with"
        key = (frozenset(map(id, case)), kind, id(wanted))
        if key in self._running:
            is_deeper = depth > self._running[key]
            return [] if is_deeper else [Doubt(path, "$ref", "the schema refers to itself without an end")]
        self._running[key] = depth
        try:
            return [*self._demands(case, kind, wanted, path, depth)]
        finally:
            del self._running[key]

    # ------------------------------------------------------------------------------------------ cases

    def _kinds(self, case: Sequence[Schema]) -> list[str]:
        found = [kind for kind in KINDS if all(allows(each, kind) for each in case)]
        whole = any(is_multiple(each["multipleOf"], 1) for each in case if "multipleOf" in each)
        return [kind for kind in found if kind != "fraction" or not whole]

    def _finite(self, case: Sequence[Schema], kind: str) -> list[Any] | None:
        """All values of the case and kind, if they are few."""
        sets = [each["enum"] for each in case if "enum" in each]
        sets += [[each["const"]] for each in case if "const" in each]
        if not sets:
            return _TRIED.get(kind)
        return [each for each in min(sets, key=len) if kind_of(each) == kind]

    def _try(self, case: Sequence[Schema], values: Iterable[Any], wanted: Part, path: str) -> list[Doubt]:
        lost = [
            each
            for each in values
            if self.writer.accepts(case, each) and not self.reader.accepts([wanted], each)
        ]
        return [Doubt(path, "enum", f"{text_of(each)[:80]} is not accepted now") for each in lost]

    def _is_promised(self, case: Sequence[Schema], wanted: Schema) -> bool:
        """Whether a fact says just the same, so that it needs no understanding."""
        text = self._text(wanted)
        if '"$ref"' in text and not self._same_definitions:
            return False
        return any(self._text(each) == text for each in case)

    def _text(self, schema: Schema) -> str:
        if id(schema) not in self._texts:
            self._texts[id(schema)] = text_of(schema)
        return self._texts[id(schema)]

    # ---------------------------------------------------------------------------------------- demands

    def _demands(
        self, case: Sequence[Schema], kind: str, wanted: Schema, path: str, depth: int
    ) -> Iterator[Doubt]:
        if not allows(wanted, kind):
            types = wanted["type"] if isinstance(wanted["type"], list) else [wanted["type"]]
            name = "number" if kind == "fraction" else kind
            yield Doubt(path, "type", f"may be of type {name}, only {' or '.join(types)} is accepted now")
            return
        if "enum" in wanted or "const" in wanted:
            yield Doubt(path, "enum", "only certain values are accepted now")
        for part in (*wanted.get("allOf", ()), *([wanted["$ref"]] if "$ref" in wanted else ())):
            target = self.reader.resolve(part) if isinstance(part, str) else part
            yield from self.demand(case, kind, target, path, depth)
        yield from self._choices(case, kind, wanted, path, depth)
        if kind in ("integer", "fraction"):
            for keyword, message in number_demands(case, wanted, is_whole=kind == "integer"):
                yield Doubt(path, keyword, message)
        elif kind == "string":
            yield from self._sizes(case, kind, wanted, path)
            yield from self._unchanged(case, wanted, ("pattern", "format"), path)
        elif kind == "array":
            yield from self._sizes(case, kind, wanted, path)
            yield from array_demands(self, case, wanted, path, depth)
        elif kind == "object":
            yield from object_demands(self, case, wanted, path, depth)

    def _choices(
        self, case: Sequence[Schema], kind: str, wanted: Schema, path: str, depth: int
    ) -> Iterator[Doubt]:
        if "anyOf" in wanted:
            yield from self._any_of(case, kind, wanted["anyOf"], path, depth)[0]
        if "oneOf" in wanted:
            doubts, taken = self._any_of(case, kind, wanted["oneOf"], path, depth)
            yield from doubts
            others = [each for at, each in enumerate(wanted["oneOf"]) if at != taken]
            if not doubts and not all(self.is_disjoint(case, kind, each) for each in others):
                yield Doubt(path, "oneOf", "may fit more than one alternative of `oneOf`")
        if "not" in wanted and not self.is_disjoint(case, kind, wanted["not"]):
            yield from self._unchanged(case, wanted, ("not",), path)
        if "if" in wanted:
            yield from self._condition(case, kind, wanted, path, depth)

    def _any_of(
        self, case: Sequence[Schema], kind: str, parts: Sequence[Part], path: str, depth: int
    ) -> tuple[list[Doubt], int]:
        """Nothing and the position of the alternative that fits, or the doubts about the nearest one and -1."""
        failed: list[tuple[bool, list[Doubt]]] = []
        for at, each in enumerate(parts):
            doubts = self.demand(case, kind, each, path, depth)
            if not doubts:
                return [], at
            is_other_kind = doubts[0].keyword in ("type", "false") and doubts[0].path == path
            failed.append((is_other_kind, doubts))
        near = [doubts for is_other_kind, doubts in failed if not is_other_kind]
        nearest = near or [doubts for _, doubts in failed]
        if len(nearest) == 1:
            return nearest[0], -1
        return [Doubt(path, "anyOf", f"fits none of the {len(parts)} alternatives for certain")], -1

    def _condition(
        self, case: Sequence[Schema], kind: str, wanted: Schema, path: str, depth: int
    ) -> Iterator[Doubt]:
        texts = [{key: each.get(key) for key in ("if", "then", "else")} for each in (*case, wanted)]
        if texts[-1] in texts[:-1] and ("$ref" not in text_of(texts[-1]) or self._same_definitions):
            return
        if not self.is_disjoint(case, kind, wanted["if"]):
            yield from self.demand(case, kind, wanted.get("then", True), path, depth)
        if self.demand(case, kind, wanted["if"], path, depth):
            yield from self.demand(case, kind, wanted.get("else", True), path, depth)

    def _sizes(self, case: Sequence[Schema], kind: str, wanted: Schema, path: str) -> Iterator[Doubt]:
        low, high = COUNTS[kind]
        unit = "characters" if kind == "string" else "items"
        if least([wanted], low) > least(case, low):
            yield Doubt(path, low, f"must have at least {wanted[low]} {unit} now")
        if most([wanted], high) < (longest(case) if kind == "array" else most(case, high)):
            yield Doubt(path, high, f"must have at most {wanted[high]} {unit} now")

    def _unchanged(
        self, case: Sequence[Schema], wanted: Schema, keywords: Sequence[str], path: str
    ) -> Iterator[Doubt]:
        for keyword in keywords:
            if keyword in wanted and not self.has_same(case, wanted, keyword):
                yield Doubt(path, keyword, f"`{keyword}` is new, or another one than it was")

    # -------------------------------------------------------------------------------------- questions

    def has_same(self, case: Sequence[Schema], wanted: Schema, keyword: str) -> bool:
        """Whether a fact has this keyword with the same value."""
        text = text_of(wanted[keyword])
        if '"$ref"' in text and not self._same_definitions:
            return False
        return any(text_of(each[keyword]) == text for each in case if keyword in each)

    def is_disjoint(self, case: Sequence[Schema], kind: str, part: Part) -> bool:
        """Whether it is certain that no value of the case and kind fits a part of the reader's."""
        others = self.reader.conjuncts([part])
        if others is None or not all(allows(each, kind) for each in others):
            return True
        tried = self._finite(case, kind)
        if tried is not None:
            return not any(
                self.reader.accepts([part], each) for each in tried if self.writer.accepts(case, each)
            )
        if kind != "object":
            return False
        return tells_apart(self, case, others)


def _definitions(root: Part) -> str:
    kept = root if isinstance(root, dict) else {}
    return text_of({key: kept[key] for key in ("$defs", "definitions") if key in kept})
