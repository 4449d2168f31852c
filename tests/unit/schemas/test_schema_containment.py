"""Whether a newer schema takes what an older one allowed: every kind of change, and what the answer must be."""

from __future__ import annotations

from typing import Any

import pytest

from tasker_kafka.schemas.containment import Verdict, compare
from tasker_kafka.schemas.redaction import DEFAULT_MASK
from tasker_kafka.schemas.schema_check import check_schema

TEXT = {"type": "string"}
WHOLE = {"type": "integer"}
B = {"$ref": "#/$defs/b"}


def thing(required: list[str] | None = None, **properties: Any) -> dict[str, Any]:
    """An object's schema."""
    found: dict[str, Any] = {"type": "object", "properties": properties}
    return {**found, "required": required} if required else found


def one_of(*kinds: str) -> dict[str, Any]:
    """Alternatives that a property tells apart."""
    return {"oneOf": [thing(["kind", kind], kind={"const": kind}, **{kind: TEXT}) for kind in kinds]}


TREE = {
    "$defs": {"node": thing(["name"], name=TEXT, below={"type": "array", "items": {"$ref": "#/$defs/node"}})},
    "$ref": "#/$defs/node",
}
STRICTER_TREE = {
    "$defs": {
        "node": thing(
            ["name"], name=TEXT, below={"type": "array", "maxItems": 2, "items": {"$ref": "#/$defs/node"}}
        )
    },
    "$ref": "#/$defs/node",
}
COMPATIBLE: dict[str, tuple[Any, Any]] = {
    "the same": (thing(a=TEXT), thing(a=TEXT)),
    "anything is taken": ({"type": "object"}, {}),
    "nothing is said, nothing is asked": (None, None),
    "a further property": (thing(a=TEXT), thing(a=TEXT, b=WHOLE)),
    "a property less": (thing(["a"], a=TEXT, b=WHOLE), thing(["a"], a=TEXT)),
    "required no more": (thing(["a"], a=TEXT), thing(a=TEXT)),
    "null, too": (thing(a=TEXT), thing(a={"type": ["string", "null"]})),
    "null, too, as an alternative": (thing(a=TEXT), thing(a={"anyOf": [TEXT, {"type": "null"}]})),
    "numbers for integers": (thing(a=WHOLE), thing(a={"type": "number"})),
    "a further value": (thing(a={"enum": ["x"]}), thing(a={"enum": ["x", "y"]})),
    "values become any text": (thing(a={"enum": ["x", "y"]}), thing(a=TEXT)),
    "a constant within an enumeration": (thing(a={"const": 1.0}), thing(a={"enum": [1, 2]})),
    "longer texts": (thing(a={**TEXT, "maxLength": 3}), thing(a={**TEXT, "maxLength": 4})),
    "wider numbers": (
        {"type": "number", "minimum": 2, "maximum": 3},
        {"type": "number", "exclusiveMinimum": 1},
    ),
    "above 2 is at least 3 for integers": ({**WHOLE, "exclusiveMinimum": 2}, {**WHOLE, "minimum": 3}),
    "coarser multiples": ({**WHOLE, "multipleOf": 6}, {**WHOLE, "multipleOf": 3}),
    "every integer is a multiple of one": (WHOLE, {"type": "number", "multipleOf": 1}),
    "numbers that can only be integers": ({"type": "number", "multipleOf": 2}, WHOLE),
    "the pattern stays": ({**TEXT, "pattern": "^a+$"}, {**TEXT, "pattern": "^a+$"}),
    "the pattern goes": ({**TEXT, "pattern": "^a+$"}, TEXT),
    "the format stays": ({**TEXT, "format": "uuid"}, {**TEXT, "format": "uuid", "minLength": 0}),
    "words do not matter": (thing(a={**TEXT, "title": "A"}), thing(a={**TEXT, "description": "Other words"})),
    "a closed object opens": ({**thing(a=TEXT), "additionalProperties": False}, thing(a=TEXT)),
    "an object closes": (thing(a=TEXT), {**thing(a=TEXT), "additionalProperties": False}),
    "a further alternative": ({"anyOf": [TEXT, WHOLE]}, {"anyOf": [{"type": "null"}, WHOLE, TEXT]}),
    "alternatives become types": ({"anyOf": [TEXT, WHOLE]}, {"type": ["string", "number"]}),
    "types become alternatives": ({"type": ["string", "integer"]}, {"oneOf": [TEXT, WHOLE]}),
    "a further kind": (one_of("card", "cash"), one_of("cash", "card", "coin")),
    "parts instead of a whole": (
        thing(["a"], a=TEXT, b=WHOLE),
        {"allOf": [thing(["a"], a=TEXT), thing(b=WHOLE)]},
    ),
    "a whole instead of parts": (
        {"allOf": [thing(["a"], a=TEXT), thing(b=WHOLE)]},
        thing(["a"], a=TEXT, b=WHOLE),
    ),
    "a definition instead of the thing itself": (
        thing(a=thing(b=TEXT)),
        {**thing(a={"$ref": "#/$defs/inner"}), "$defs": {"inner": thing(b=TEXT)}},
    ),
    "the thing itself instead of a definition": (
        {**thing(a={"$ref": "#/properties/b"}, b=WHOLE)},
        thing(a=WHOLE, b=WHOLE),
    ),
    "a tree": (STRICTER_TREE, TREE),
    "lists": (
        {"type": "array", "items": WHOLE, "maxItems": 3},
        {"type": "array", "items": {"type": "number"}},
    ),
    "a pair becomes a list": (
        {"type": "array", "prefixItems": [WHOLE, WHOLE], "items": False},
        {"type": "array", "items": WHOLE, "maxItems": 2},
    ),
    "sets": ({"type": "array", "uniqueItems": True}, {"type": "array", "uniqueItems": True, "minItems": 0}),
    "at most one item is a set": ({"type": "array", "maxItems": 1}, {"type": "array", "uniqueItems": True}),
    "contents": (
        {"type": "array", "contains": {"const": 1}, "minContains": 2},
        {"type": "array", "contains": {"const": 1}},
    ),
    "maps": (
        {"type": "object", "additionalProperties": WHOLE},
        {"type": "object", "additionalProperties": {"type": "number"}},
    ),
    "maps by pattern": (
        {"type": "object", "patternProperties": {"^x-": WHOLE}, "additionalProperties": False},
        {"type": "object", "patternProperties": {"^x-": {"type": "number"}}, "additionalProperties": False},
    ),
    "a named property fits the pattern": (
        {"type": "object", "properties": {"x-a": WHOLE}, "additionalProperties": False},
        {"type": "object", "patternProperties": {"^x-": {"type": "number"}}, "additionalProperties": False},
    ),
    "what must not be stays": (
        {**thing(a=TEXT), "not": {"required": ["a", "b"]}},
        {**thing(a=TEXT), "not": {"required": ["a", "b"]}},
    ),
    "conditions stay": (
        {**thing(a=TEXT), "if": {"required": ["a"]}, "then": {"required": ["b"]}},
        {**thing(a=TEXT, c=WHOLE), "if": {"required": ["a"]}, "then": {"required": ["b"]}},
    ),
    "a condition that never holds": (
        thing(["kind"], kind={"const": "cash"}),
        {
            **thing(["kind"], kind=TEXT),
            "if": {"properties": {"kind": {"const": "card"}}},
            "then": {"required": ["number"]},
        },
    ),
    "dependents": (
        {**thing(["b"], a=TEXT, b=TEXT)},
        {**thing(a=TEXT, b=TEXT), "dependentRequired": {"a": ["b"], "zzz": ["a"]}},
    ),
    "the redacted stays so": (thing(a={**WHOLE, "x-redact": True}), thing(a={**WHOLE, "x-redact": True})),
    "redacted from now on": (thing(a=WHOLE), thing(a={**WHOLE, "x-redact": True})),
    "no more redacted, and any text is taken": (thing(a={**WHOLE, "x-redact": True}), thing(a=TEXT)),
}
BROKEN: dict[str, tuple[Any, Any, str]] = {
    "a property becomes required": (thing(a=TEXT), thing(["a"], a=TEXT), "$.a: is required now"),
    "a new property is required": (thing(a=TEXT), thing(["b"], a=TEXT, b=TEXT), "$.b: is required now"),
    "another type": (
        thing(a=WHOLE),
        thing(a=TEXT),
        "$.a: may be of type integer, only string is accepted now",
    ),
    "integers for numbers": (thing(a={"type": "number"}), thing(a=WHOLE), "$.a: may be of type number"),
    "null no more": (thing(a={"type": ["string", "null"]}), thing(a=TEXT), "$.a: may be of type null"),
    "a value less": (thing(a={"enum": ["x", "y"]}), thing(a={"enum": ["x"]}), '$.a: "y" is not accepted now'),
    "any text becomes values": (thing(a=TEXT), thing(a={"enum": ["x"]}), "$.a: only certain values"),
    "shorter texts": (
        thing(a={**TEXT, "maxLength": 300}),
        thing(a={**TEXT, "maxLength": 299}),
        "at most 299",
    ),
    "longer texts only": (TEXT, {**TEXT, "minLength": 1}, "$: must have at least 1 characters now"),
    "smaller numbers": (WHOLE, {**WHOLE, "maximum": 5_000_000_000}, "must be at most 5000000000 now"),
    "excluded bound": ({"minimum": 2, **WHOLE}, {**WHOLE, "exclusiveMinimum": 2}, "must be more than 2 now"),
    "fractions between": (
        {"type": "number", "minimum": 1},
        {"type": "number", "minimum": 1.25},
        "must be at least 1.25 now",
    ),
    "other multiples": ({**WHOLE, "multipleOf": 4}, {**WHOLE, "multipleOf": 3}, "a multiple of 3"),
    "a new pattern": (thing(a=TEXT), thing(a={**TEXT, "pattern": "^[A-Z]{3}$"}), "$.a: `pattern`"),
    "a new format": (thing(a=TEXT), thing(a={**TEXT, "format": "email"}), "$.a: `format`"),
    "another format": ({**TEXT, "format": "date"}, {**TEXT, "format": "date-time"}, "$: `format`"),
    "a closed object loses a property": (
        {**thing(a=TEXT, b=TEXT), "additionalProperties": False},
        {**thing(a=TEXT), "additionalProperties": False},
        "$.b: is not accepted now",
    ),
    "an object that named nothing closes": (
        {"type": "object"},
        {**thing(a=TEXT), "additionalProperties": False},
        "*",
    ),
    "said to be open": (
        {**thing(a=TEXT), "additionalProperties": True},
        thing(a=TEXT, b=WHOLE),
        "$.b: may be",
    ),
    "an alternative less": ({"anyOf": [TEXT, WHOLE]}, {"anyOf": [TEXT]}, "$: may be of type integer"),
    "a kind less": (one_of("card", "cash"), one_of("card"), "kind"),
    "deep inside": (
        thing(a={"type": "array", "items": thing(b={"type": "array", "items": WHOLE})}),
        thing(a={"type": "array", "items": thing(b={"type": "array", "items": TEXT})}),
        "$.a[].b[]: may be of type integer",
    ),
    "a smaller tree": (TREE, STRICTER_TREE, "$.below: must have at most 2 items now"),
    "shorter lists": ({"type": "array"}, {"type": "array", "maxItems": 7}, "at most 7 items"),
    "lists become sets": ({"type": "array"}, {"type": "array", "uniqueItems": True}, "an item twice"),
    "a second item of another type": (
        {"type": "array", "prefixItems": [TEXT, WHOLE]},
        {"type": "array", "prefixItems": [TEXT, TEXT]},
        "$[1]: may be of type integer",
    ),
    "narrower maps": (
        {"type": "object", "additionalProperties": WHOLE},
        {"type": "object", "additionalProperties": TEXT},
        "$.*: may be of type integer",
    ),
    "nothing was said": (None, thing(a=TEXT), "$: may be of type null"),
    "redacted no more": (
        thing(a={**WHOLE, "x-redact": True}),
        thing(a=WHOLE),
        f'$.a: "{DEFAULT_MASK}" is not accepted now',
    ),
    "an odd name": ({"properties": {"a b": WHOLE}}, {"properties": {"a b": TEXT}}, "$['a b']: may be"),
    "dependents": (
        thing(a=TEXT, b=TEXT),
        {**thing(a=TEXT, b=TEXT), "dependentRequired": {"a": ["b"]}},
        "needs b",
    ),
    "one of two that are alike": (TEXT, {"oneOf": [True, True]}, "may fit more than one alternative"),
    "more than one alternative": (
        {"type": "string", "maxLength": 2},
        {"oneOf": [{"maxLength": 3}, {"minLength": 1}]},
        "may fit more than one alternative",
    ),
    "named by `required` alone": (
        {**thing(a=TEXT), "required": ["b"]},
        thing(["b"], a=TEXT, b=TEXT),
        "$.b: may be of type integer",
    ),
    "an else": (
        {**thing(["kind"], kind=TEXT, number=TEXT)},
        {
            **thing(["kind"], kind=TEXT, number=TEXT),
            "if": {"properties": {"kind": {"const": "cash"}}},
            "else": {"required": ["number"]},
        },
        "$.number: is required now",
    ),
    "a condition": (
        thing(kind=TEXT, number=TEXT),
        {
            **thing(kind=TEXT, number=TEXT),
            "if": {"properties": {"kind": {"const": "card"}}, "required": ["kind"]},
            "then": {"required": ["number"]},
        },
        "$.number: is required now",
    ),
}
UNDECIDED: dict[str, tuple[Any, Any, str]] = {
    "a wider pattern": ({**TEXT, "pattern": "^[a-c]{9}$"}, {**TEXT, "pattern": "^[a-d]{9}$"}, "`pattern`"),
    "a pattern that has the length": (
        {**TEXT, "pattern": "^[a-c]{9}$"},
        {**TEXT, "minLength": 9},
        "at least 9",
    ),
    "into the redacted": (
        thing(a={**thing(c=TEXT), "x-redact": True}, b={"$ref": "#/properties/a/properties/c"}),
        thing(b=TEXT),
        "a reference leads into a redacted property",
    ),
}


def test_the_examples_are_schemas() -> None:
    pairs = [*COMPATIBLE.values(), *BROKEN.values(), *UNDECIDED.values()]
    assert [each for pair in pairs for each in pair[:2] if each is not None and check_schema(each)] == []


@pytest.mark.parametrize("name", COMPATIBLE)
def test_compatible(name: str) -> None:
    older, newer = COMPATIBLE[name]
    found = compare(older, newer)
    assert (found.verdict, found.doubts) == (Verdict.COMPATIBLE, ())


@pytest.mark.parametrize("name", BROKEN)
def test_broken_with_its_place_and_an_example(name: str) -> None:
    older, newer, reason = BROKEN[name]
    found = compare(older, newer)
    assert found.verdict is Verdict.BROKEN
    assert reason in "\n".join(map(str, found.doubts))


@pytest.mark.parametrize("name", UNDECIDED)
def test_what_nobody_can_decide_is_said_to_be_so(name: str) -> None:
    older, newer, reason = UNDECIDED[name]
    found = compare(older, newer)
    assert (found.verdict, found.example) == (Verdict.UNDECIDED, None)
    assert reason in "\n".join(map(str, found.doubts))


@pytest.mark.parametrize("newer", [thing(a=TEXT, b=WHOLE), {**thing(a=TEXT), "additionalProperties": False}])
def test_a_property_that_was_not_declared_may_break_when_objects_are_open(newer: dict[str, Any]) -> None:
    assert compare(thing(a=TEXT), newer).verdict is Verdict.COMPATIBLE
    found = compare(thing(a=TEXT), newer, is_open=True)
    assert found.verdict is Verdict.BROKEN
    assert set(found.example) - {"a"}


@pytest.mark.parametrize(
    "schema",
    [
        {"$defs": {"a": B, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
        {"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}, TEXT]}}, "$ref": "#/$defs/a"},
        {
            "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}]}, "b": {"oneOf": [{"$ref": "#/$defs/a"}]}},
            "$ref": "#/$defs/a",
        },
    ],
)
def test_references_without_an_end_end(schema: dict[str, Any]) -> None:
    newer = {**schema, "title": "other words", "minLength": 1}
    assert compare(schema, newer).verdict is not Verdict.COMPATIBLE


@pytest.mark.slow
def test_what_is_too_large_is_undecided() -> None:
    """Definitions that refer to the next one twice are a million values, and no proof looks at all of them."""

    def doubling(last: dict[str, Any]) -> dict[str, Any]:
        named = {
            f"d{at}": thing(a={"$ref": f"#/$defs/d{at + 1}"}, b={"$ref": f"#/$defs/d{at + 1}"})
            for at in range(14)
        }
        return {"$defs": {**named, "d14": last}, "$ref": "#/$defs/d0"}

    found = compare(doubling({**TEXT, "pattern": "^[a-c]{9}$"}), doubling({**TEXT, "pattern": "^[a-d]{9}$"}))
    assert found.verdict is Verdict.UNDECIDED
    assert str(found.doubts[0]) == "$: the schemas are too large to compare"
