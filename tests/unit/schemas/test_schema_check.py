"""JSON Schema: what is refused when a template loads, what violations say, defaults and declared secrets."""

import json
from typing import Any

import pytest

from tasker_kafka.schemas.limits import CONTEXT_BYTES, JSON_DEPTH
from tasker_kafka.schemas.schema_check import JsonSchema, check_schema, schema_for
from tasker_kafka.schemas.schema_walk import (
    expanded_size,
    fill_defaults,
    mask_declared,
    nesting,
    resolve_pointer,
    subschemas,
)

CART = {
    "type": "object",
    "required": ["items"],
    "additionalProperties": False,
    "properties": {
        "items": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/line"}},
        "currency": {"type": "string", "pattern": "^[A-Z]{3}$", "default": "EUR"},
        "mail": {"type": "string", "format": "email"},
        "options": {"type": "object", "default": {}, "properties": {"gift": {"default": False}}},
    },
    "$defs": {
        "line": {
            "type": "object",
            "properties": {"price": {"type": "number", "minimum": 0}, "count": {"default": 1}},
        }
    },
}


def test_a_value_that_fits_has_no_violations() -> None:
    schema = schema_for(CART)
    assert schema.is_satisfied_by({"items": [{"price": 1}]})
    assert schema.violations({"items": [{"price": 1}], "mail": "a@b.example"}) == ()


def test_violations_name_path_and_keyword_and_never_the_value() -> None:
    value = {"items": [{"price": "s3cret"}, {"price": -1}], "currency": "s3cret", "mail": "s3cret", "x": 1}
    found = {(each.path, each.keyword) for each in schema_for(CART).violations(value, root="context")}
    assert found == {
        ("context.items[0].price", "type"),
        ("context.items[1].price", "minimum"),
        ("context.currency", "pattern"),
        ("context.mail", "format"),
        ("context", "additionalProperties"),
    }
    assert "s3cret" not in " ".join(str(each) for each in schema_for(CART).violations(value))


def test_a_missing_property_is_named() -> None:
    (violation,) = schema_for(CART).violations({}, root="context")
    assert str(violation) == 'context: "items" is a required property'


def test_violations_are_at_most_twenty() -> None:
    assert len(schema_for({"items": {"type": "string"}}).violations([1] * 1_000)) == 20


def test_equal_schemas_are_compiled_once() -> None:
    assert schema_for({"type": "object", "title": "t"}) is schema_for({"title": "t", "type": "object"})


def test_a_faulty_schema_is_not_compiled() -> None:
    with pytest.raises(ValueError, match=r"\$ref: .* points to nothing"):
        JsonSchema({"$ref": "#/$defs/x"})


@pytest.mark.parametrize(
    ("schema", "path", "code"),
    [
        ([], (), "bad_schema"),
        ({"type": "strin"}, ("type",), "bad_schema"),
        ({"minimum": "3"}, ("minimum",), "bad_schema"),
        ({"properties": {"a": {"$ref": "https://example.com/x"}}}, ("properties", "a", "$ref"), "remote_reference"),
        ({"$ref": "file:///etc/passwd"}, ("$ref",), "remote_reference"),
        ({"$ref": "other.json#/x"}, ("$ref",), "remote_reference"),
        ({"$ref": "#name"}, ("$ref",), "remote_reference"),
        ({"$ref": "#/$defs/b", "$defs": {"a": {}}}, ("$ref",), "dangling_reference"),
        ({"$anchor": "a"}, ("$anchor",), "bad_schema"),
        ({"$dynamicRef": "#a"}, ("$dynamicRef",), "bad_schema"),
        ({"items": {"$id": "x"}}, ("items", "$id"), "bad_schema"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, ("$schema",), "bad_schema"),
        ({"pattern": "(?=a)b"}, ("pattern",), "bad_pattern"),
        ({"pattern": r"(a)\1"}, ("pattern",), "bad_pattern"),
        ({"pattern": "("}, ("pattern",), "bad_pattern"),
        ({"pattern": "a{1000}{1000}"}, ("pattern",), "bad_pattern"),
        ({"patternProperties": {"(?!x)": {}}}, ("patternProperties", "(?!x)"), "bad_pattern"),
        ({"properties": {"a": {"format": "emial"}}}, ("properties", "a", "format"), "unknown_format"),
        ({"items": {"x-redact": "yes"}}, ("items", "x-redact"), "bad_schema"),
        ({"properties": {"a": {"$ref": "#", "default": {}}}}, (), "endless_defaults"),
    ],
)  # fmt: skip
def test_what_is_refused(schema: Any, path: tuple[Any, ...], code: str) -> None:
    (fault,) = check_schema(schema)
    assert (fault.path, fault.code) == (path, code)


@pytest.mark.parametrize(
    "schema",
    [
        {},
        CART,
        {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://example.com/cart"},
        {"properties": {"$ref": {"type": "string"}, "pattern": {"type": "integer"}, "$anchor": {}}},
        {
            "enum": ["$ref"],
            "const": {"$ref": "http://x"},
            "default": {"$schema": "x"},
            "examples": [{"$id": 1}],
        },
        {"properties": {"child": {"$ref": "#"}}},
        {"allOf": [{"$ref": "#"}]},
        {"$ref": "#/$defs/a~1b%25", "$defs": {"a/b%": {"type": "string"}}},
        {"x-redact": True, "x-anything": {"$ref": 5}},
    ],
)
def test_what_is_accepted(schema: Any) -> None:
    assert check_schema(schema) == ()
    assert schema_for(schema).is_satisfied_by(schema) in {True, False}


def test_defaults_are_filled_in_and_the_value_is_not_changed() -> None:
    value = {"items": [{"price": 1}, {"price": 2, "count": 5}]}
    assert schema_for(CART).with_defaults(value) == {
        "items": [{"price": 1, "count": 1}, {"price": 2, "count": 5}],
        "currency": "EUR",
        "options": {"gift": False},
    }
    assert value == {"items": [{"price": 1}, {"price": 2, "count": 5}]}


def test_an_explicit_null_is_no_absence() -> None:
    assert fill_defaults(CART, {"currency": None})["currency"] is None


def test_a_default_is_a_fresh_copy_each_time() -> None:
    schema: dict[str, Any] = {"properties": {"a": {"default": []}}}
    fill_defaults(schema, {})["a"].append(1)
    assert fill_defaults(schema, {}) == {"a": []}


@pytest.mark.parametrize(
    ("schema", "value", "filled"),
    [
        ({"allOf": [{"properties": {"a": {"default": 1}}}]}, {}, {"a": 1}),
        ({"additionalProperties": {"properties": {"a": {"default": 1}}}}, {"x": {}}, {"x": {"a": 1}}),
        ({"prefixItems": [{"properties": {"a": {"default": 1}}}], "items": {}}, [{}, {}], [{"a": 1}, {}]),
        ({"anyOf": [{"properties": {"a": {"default": 1}}}]}, {}, {}),
        ({"properties": {"a": {"$ref": "#/$defs/d"}}, "$defs": {"d": {"default": 1}}}, {}, {"a": 1}),
        ({"properties": {"a": {"default": 1}}}, "text", "text"),
        (
            {"properties": {"next": {"$ref": "#"}, "a": {"default": 1}}},
            {"next": {}},
            {"next": {"a": 1}, "a": 1},
        ),
        ({"allOf": [{"$ref": "#"}], "properties": {"a": {"default": 1}}}, {}, {"a": 1}),
    ],
)
def test_where_defaults_come_from(schema: Any, value: Any, filled: Any) -> None:
    assert fill_defaults(schema, value) == filled


def test_defaults_cannot_grow_without_end() -> None:
    levels = {
        f"d{level}": {
            "properties": {f"p{each}": {"$ref": f"#/$defs/d{level + 1}", "default": {}} for each in range(10)}
        }
        for level in range(12)
    }
    schema: dict[str, Any] = {"$ref": "#/$defs/d0", "$defs": {**levels, "d12": {}}}
    assert [each.code for each in check_schema(schema)] == ["schema_too_large"]
    large = {"properties": {f"p{each}": {"default": "x" * 10_000} for each in range(30)}}
    assert [each.code for each in check_schema(large)] == ["endless_defaults"]
    assert len(str(fill_defaults(schema, {}))) > CONTEXT_BYTES.maximum


def test_filling_is_total_and_what_is_too_large_is_seen_by_its_size() -> None:
    """A stranger's list of empty objects must not end the process that fills it."""
    schema = {"items": {"properties": {"note": {"default": "x" * 100}}}}
    assert check_schema(schema) == ()
    filled = schema_for(schema).with_defaults([{}] * 80_000)
    assert len(json.dumps(filled)) > CONTEXT_BYTES.maximum
    assert filled[0] == {"note": "x" * 100}


def test_a_default_never_makes_a_value_too_deep() -> None:
    schema: dict[str, Any] = {"properties": {"next": {"$ref": "#"}, "a": {"default": [[]]}}}
    assert check_schema(schema) == ()
    value: Any = {}
    for _ in range(JSON_DEPTH.maximum - 1):
        value = {"next": value}
    filled = fill_defaults(schema, value)
    assert nesting(filled) == JSON_DEPTH.maximum
    assert filled["a"] == [[]]


def doubling(levels: int) -> dict[str, Any]:
    """Definitions that each refer to the next one twice: 2 ** levels at the end."""
    twice = {f"d{at}": {"allOf": [{"$ref": f"#/$defs/d{at + 1}"}] * 2} for at in range(levels)}
    return {"$ref": "#/$defs/d0", "$defs": {**twice, f"d{levels}": {}}}


@pytest.mark.parametrize(
    ("levels", "codes"), [(3, []), (13, []), (14, ["schema_too_large"]), (1_000, ["schema_too_large"])]
)
def test_a_schema_is_measured_with_its_references_followed(levels: int, codes: list[str]) -> None:
    assert [each.code for each in check_schema(doubling(levels))] == codes


@pytest.mark.parametrize(
    ("schema", "size"),
    [
        ({}, 1),
        ({"properties": {"a": {}, "b": {"items": {}}}, "$defs": {"unused": {"items": {}}}}, 4),
        (
            {
                "properties": {"a": {"$ref": "#/$defs/x"}, "b": {"$ref": "#/$defs/x"}},
                "$defs": {"x": {"not": {}}},
            },
            7,
        ),
        ({"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}}, 5),
        ({"items": True, "additionalProperties": False, "$ref": 5}, 1),
    ],
)
def test_expanded_size(schema: dict[str, Any], size: int) -> None:
    assert expanded_size(schema, 1_000) == size
    assert expanded_size(schema, size - 1) == size


def test_endless_defaults_are_found_wherever_they_begin() -> None:
    node = {"properties": {"child": {"$ref": "#/$defs/node", "default": {}}}}
    assert [
        each.code
        for each in check_schema({"properties": {"a": {"$ref": "#/$defs/node"}}, "$defs": {"node": node}})
    ] == ["endless_defaults"]


@pytest.mark.parametrize(
    ("value", "depth"), [(1, 0), ([], 1), ({"a": 1}, 1), ([{}], 2), ([1, [2, {"a": []}]], 4)]
)
def test_nesting(value: Any, depth: int) -> None:
    assert nesting(value) == depth


def test_declared_secrets_are_masked_wherever_the_schema_reaches() -> None:
    schema = {
        "properties": {
            "card": {"x-redact": True},
            "open": {"x-redact": False},
            "people": {"items": {"$ref": "#/$defs/person"}},
        },
        "additionalProperties": {"allOf": [{"properties": {"pin": {"x-redact": True}}}]},
        "$defs": {"person": {"properties": {"ssn": {"x-redact": True}}}},
    }
    value = {"card": {"no": 1}, "open": 1, "people": [{"ssn": 2, "name": "B"}], "other": {"pin": 3, "x": 4}}
    assert mask_declared(schema, value, "***") == {
        "card": "***",
        "open": 1,
        "people": [{"ssn": "***", "name": "B"}],
        "other": {"pin": "***", "x": 4},
    }
    assert value["card"] == {"no": 1}


def test_masking_too_deep_a_value_masks_it() -> None:
    value: Any = {"secret": 1}
    for _ in range(200):
        value = {"next": value}
    schema = {"properties": {"next": {"$ref": "#"}, "secret": {"x-redact": True}}}
    assert "1" not in str(mask_declared(schema, value, "***"))


def test_pointers() -> None:
    root = {"$defs": {"a/b": [{"c": 1}], "~": 2}}
    assert resolve_pointer(root, "#") is root
    assert resolve_pointer(root, "#/$defs/a~1b/0/c") == 1
    assert resolve_pointer(root, "#/$defs/~0") == 2
    for reference in ("#/$defs/x", "#/$defs/a~1b/9", "#/$defs/a~1b/x", "x#/$defs"):
        assert resolve_pointer(root, reference) is None


def test_only_places_of_schemas_are_walked() -> None:
    schema = {"properties": {"$ref": {"items": {}}}, "enum": [{"items": {}}], "allOf": [{}], "not": {}}
    assert {path for path, _ in subschemas(schema)} == {
        (),
        ("properties", "$ref"),
        ("properties", "$ref", "items"),
        ("allOf", 0),
        ("not",),
    }
