"""The part of the proof about objects."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from tasker_kafka.schemas.schema_walk import Schema

from .documents import Document, Part, text_of
from .doubts import Doubt, Prover
from .ranges import least, most

__all__ = ["Objects", "object_demands", "tells_apart"]

_APPLYING = frozenset({"$ref", "allOf", "anyOf", "dependentSchemas", "else", "if", "not", "oneOf", "then"})


class Objects:
    """What these facts say of an object's properties."""

    def __init__(self, document: Document, case: Sequence[Schema], *, is_open: bool) -> None:
        self._document = document
        self.case = case
        self.names = {name for each in case for name in each.get("properties", ())}
        self.required = {name for each in case for name in each.get("required", ())}
        self.patterns = {
            name: part for each in case for name, part in each.get("patternProperties", {}).items()
        }
        lists_names = bool(self.names or self.patterns)
        is_said = any("additionalProperties" in each for each in case)
        self.is_closed = (lists_names and not is_said and not is_open) or any(
            each.get("additionalProperties") is False for each in case
        )
        """No other names than those listed, and those of the patterns."""
        self.names |= self.required

    def facts(self, name: str) -> list[Part]:
        """What is said of the property of this name."""
        found: list[Part] = []
        for each in self.case:
            own = list(self._own(each, name))
            if not own and "additionalProperties" in each:
                own = [each["additionalProperties"]]
            found += own
        if self.is_closed and not found and name not in self.required:
            return [False]
        return found

    def _own(self, schema: Schema, name: str) -> Iterator[Part]:
        if name in schema.get("properties", {}):
            yield schema["properties"][name]
        for pattern, part in schema.get("patternProperties", {}).items():
            if self._document.has_name(pattern, name):
                yield part

    def other_facts(self) -> list[Part]:
        """What is said of properties without a name of their own."""
        return [
            each["additionalProperties"]
            for each in self.case
            if "additionalProperties" in each and not each.get("patternProperties")
        ]

    def is_absent(self, name: str) -> bool:
        """No object of the case has the property."""
        return any(each is False for each in self.facts(name))

    @property
    def is_impossible(self) -> bool:
        """No object fits these facts."""
        return any(self.is_absent(name) for name in self.required)

    @property
    def most(self) -> float:
        """How many properties an object has at most."""
        listed = len(self.names) if self.is_closed and not self.patterns else math.inf
        return min(most(self.case, "maxProperties"), listed)

    @property
    def least(self) -> int:
        """How many properties an object has at least."""
        return max(least(self.case, "minProperties"), len(self.required))


def object_demands(
    proof: Prover, case: Sequence[Schema], wanted: Schema, path: str, depth: int
) -> Iterator[Doubt]:
    """What a schema asks of objects beyond what these facts promise."""
    facts = Objects(proof.writer, case, is_open=proof.is_open)
    if facts.is_impossible:
        return
    for name in wanted.get("required", ()):
        if name not in facts.required:
            yield Doubt(below(path, name), "required", "is required now")
    if least([wanted], "minProperties") > facts.least:
        yield Doubt(path, "minProperties", f"must have at least {wanted['minProperties']} properties now")
    if most([wanted], "maxProperties") < facts.most:
        yield Doubt(path, "maxProperties", f"must have at most {wanted['maxProperties']} properties now")
    yield from _named(proof, facts, wanted, path, depth)
    yield from _others(proof, facts, wanted, path, depth)
    yield from _names(proof, case, facts, wanted, path)
    yield from _dependents(proof, facts, wanted, path, depth)
    if "unevaluatedProperties" in wanted and not _is_plain(wanted):
        yield Doubt(
            path, "unevaluatedProperties", "`unevaluatedProperties` is new, or another one than it was"
        )


def below(path: str, name: str) -> str:
    """The path of a property."""
    return f"{path}.{name}" if name.replace("_", "").replace("-", "").isalnum() else f"{path}[{name[:64]!r}]"


def _named(proof: Prover, facts: Objects, wanted: Schema, path: str, depth: int) -> Iterator[Doubt]:
    """Properties with a name on either side."""
    for name in sorted({*facts.names, *wanted.get("properties", ())}):
        if facts.is_absent(name):
            continue
        asked: list[Part] = []
        if name in wanted.get("properties", {}):
            asked.append(wanted["properties"][name])
        for pattern, part in wanted.get("patternProperties", {}).items():
            if proof.reader.has_name(pattern, name):
                asked.append(part)
        for each in asked or _rest(wanted):
            yield from proof.prove(facts.facts(name), each, below(path, name), depth + 1)


def _others(proof: Prover, facts: Objects, wanted: Schema, path: str, depth: int) -> Iterator[Doubt]:
    """Properties without a name: those of the writer's patterns, and all others."""
    asked = wanted.get("patternProperties", {})
    for pattern, part in facts.patterns.items():
        same = [each for text, each in asked.items() if text == pattern]
        for each in [*asked.values()] if asked else []:
            yield from proof.prove([part], each, f"{path}.*", depth + 1)
        for each in [] if same else _rest(wanted):
            yield from proof.prove([part], each, f"{path}.*", depth + 1)
    if not facts.is_closed:
        for each in [*asked.values(), *_rest(wanted)]:
            yield from proof.prove(facts.other_facts(), each, f"{path}.*", depth + 1)


def _rest(wanted: Schema) -> list[Part]:
    """What is asked of properties that no keyword names."""
    found: list[Part] = []
    if "additionalProperties" in wanted:
        found.append(wanted["additionalProperties"])
    elif "unevaluatedProperties" in wanted and _is_plain(wanted):
        found.append(wanted["unevaluatedProperties"])
    return found


def _names(
    proof: Prover, case: Sequence[Schema], facts: Objects, wanted: Schema, path: str
) -> Iterator[Doubt]:
    if "propertyNames" not in wanted or proof.has_same(case, wanted, "propertyNames"):
        return
    asked: Part = wanted["propertyNames"]
    is_known = facts.is_closed and not facts.patterns
    refused = [name for name in facts.names if not proof.reader.accepts([asked], name)]
    if not is_known or any(not facts.is_absent(name) for name in refused):
        yield Doubt(path, "propertyNames", "the names of properties are restricted now")


def _dependents(proof: Prover, facts: Objects, wanted: Schema, path: str, depth: int) -> Iterator[Doubt]:
    for name, needed in wanted.get("dependentRequired", {}).items():
        promised = {other for each in facts.case for other in each.get("dependentRequired", {}).get(name, ())}
        if not facts.is_absent(name) and not set(needed) <= {*facts.required, *promised, name}:
            yield Doubt(below(path, name), "dependentRequired", f"needs {', '.join(needed)} beside it now")
    for name, part in wanted.get("dependentSchemas", {}).items():
        same = any(
            text_of(each["dependentSchemas"][name]) == text_of(part)
            for each in facts.case
            if name in each.get("dependentSchemas", {}) and "$ref" not in text_of(part)
        )
        if not facts.is_absent(name) and not same:
            yield from proof.demand(facts.case, "object", part, path, depth)


def tells_apart(proof: Prover, case: Sequence[Schema], others: Sequence[Schema]) -> bool:
    """Whether a property shows that an object of the case fits none of what all of `others` fit."""
    facts = Objects(proof.writer, case, is_open=proof.is_open)
    if facts.is_impossible:
        return True
    for other in others:
        if any(facts.is_absent(name) for name in other.get("required", ())):
            return True
        for name, asked in other.get("properties", {}).items():
            values = _values(proof, facts, name) if name in facts.required else None
            if values is not None and not any(proof.reader.accepts([asked], each) for each in values):
                return True
    return False


def _values(proof: Prover, facts: Objects, name: str) -> list[object] | None:
    """The values that a property may have, if they are few."""
    known = proof.writer.conjuncts(facts.facts(name))
    if known is None:
        return []
    for each in known:
        if "const" in each:
            return [each["const"]]
        if "enum" in each:
            return list(each["enum"])
    return None


def _is_plain(wanted: Schema) -> bool:
    """Without keywords that could look at a property in another way."""
    return not _APPLYING & wanted.keys()
