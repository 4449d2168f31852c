"""Typed payloads from schemas: names, versions, what travels again, and code that type checkers and linters accept."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic_core import to_json

from tasker_kafka.handlers.scaffold.annotations import literal
from tasker_kafka.handlers.scaffold.errors import ScaffoldError
from tasker_kafka.handlers.scaffold.event_models import MARK, Declared, new_event_models
from tasker_kafka.handlers.scaffold.layout import Layout
from tasker_kafka.schemas.plan import EventDeclaration
from tasker_kafka.schemas.redaction import DEFAULT_MASK
from tasker_kafka.schemas.schema_check import check_schema
from tasker_kafka.schemas.words import Delivery, EventCondition
from tests.support.generated import Place

Tasker = Callable[..., Any]
LONG = "as_long_as_nobody_would_write_it_but_a_machine_does_so_"
NODE = {
    "type": ["object", "null"],
    "required": ["name"],
    "properties": {"name": {"type": "string"}, "below": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
    "not": {"required": ["nothing"]},
}
ODD = {
    "type": "object",
    "required": ["amount", "class", "Größe", "a-b", "date"],
    "properties": {
        "amount": {"type": "number", "exclusiveMinimum": 0},
        "cents": {"type": "integer", "minimum": 0.5, "multipleOf": 5},
        "class": {"type": "string", "minLength": 1, "description": 'What "kind" \\ of """thing"""'},
        "Größe": {"type": ["integer", "null"]},
        "a-b": {"type": "string"},
        "a_b": {"type": "string"},
        "date": {"type": "string", "format": "date"},
        "at": {"type": "string", "format": "date-time"},
        "id": {"type": "string", "format": "uuid"},
        "model_name": {"type": "string"},
        "model_config": {"type": "string"},
        "only_what_is_set": {"type": "string"},
        "EVENT": {"type": "string"},
        "_x": {"type": "string"},
        "2fa": {"type": "boolean"},
        "card": {"type": "string", "minLength": 4, "x-redact": True},
        "pin": {"type": "integer", "x-redact": True},
        f"state_{LONG}": {"enum": ["authorised", "captured", "refunded", 'odd "one"', "it's", "ä", "\n"]},
        "maybe": {"enum": ["x", None]},
        "lines": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["sku"],
                "properties": {"sku": {"type": "string", "pattern": "^A"}},
            },
        },
        "pair": {
            "type": "array",
            "prefixItems": [{"type": "integer"}, {"type": "string"}],
            "items": False,
            "minItems": 2,
        },
        "extra": {"type": "object", "additionalProperties": {"type": "integer"}},
        "anything": {},
        "either": {
            "oneOf": [
                {"type": "object", "required": ["kind"], "properties": {"kind": {"const": "card"}}},
                {"type": "object", "required": ["kind"], "properties": {"kind": {"const": "cash"}}},
            ]
        },
        LONG: {
            "type": "array",
            "items": {"anyOf": [{"const": "a" * 70}, {"const": "b" * 40}, {"type": "number"}]},
        },
        "tree": {"$ref": "#/$defs/node"},
        "self": {"$ref": "#"},
        "merged": {
            "allOf": [
                {"$ref": "#/$defs/node"},
                {"type": "object", "required": ["more"], "properties": {"more": {"type": "integer"}}},
            ]
        },
        "flag": {"const": True},
        "half": {"const": 0.5},
    },
    "$defs": {"node": NODE},
}
PAYLOAD = {
    "amount": 1.5,
    "class": "x",
    "Größe": None,
    "a-b": "q",
    "date": "2024-02-29",
    "card": DEFAULT_MASK,
    "pin": DEFAULT_MASK,
    "2fa": True,
    "pair": [1, "x"],
    "either": {"kind": "cash"},
    "tree": {"name": "a", "below": [{"name": "b"}, None]},
    "self": {"amount": 2.5, "class": "y", "Größe": 1, "a-b": "", "date": "2024-02-29"},
    "merged": {"name": "a", "more": 1},
}


def declared(
    name: str, schema: Any = None, *, version: str = "1.0", source: str = "here", words: str = ""
) -> Declared:
    """A declared event of the shop."""
    event = EventDeclaration(
        name, Delivery.DURABLE, EventCondition.SUCCESS, version=version, schema=schema, description=words
    )
    return Declared("shop", event, source)


def text(*events: Declared) -> str:
    """The module of these events."""
    return new_event_models("shop", events, Layout(Path())).files[0].text


def module(*events: Declared) -> ModuleType:
    """The module, imported."""
    found = ModuleType("generated_events")
    sys.modules[found.__name__] = found
    exec(compile(text(*events), found.__name__, "exec", dont_inherit=True), vars(found))
    return found


def thing(**properties: Any) -> dict[str, Any]:
    """An object's schema."""
    return {"type": "object", "properties": properties}


def test_a_payload_travels_as_it_came() -> None:
    assert check_schema(ODD) == ()
    event = module(declared("payment.charged", ODD)).PaymentCharged.model_validate_json(json.dumps(PAYLOAD))
    assert json.loads(to_json(event)) == PAYLOAD == json.loads(event.model_dump_json())
    assert (event.class_, event.grosse, event.tree.below[1], event.n2fa) == ("x", None, None, True)


def test_models_are_made_by_the_names_of_their_fields() -> None:
    made = module(
        declared("payment.charged", thing(**{"class": {"type": "string"}, "n": {"type": "integer"}}))
    )
    event = made.PaymentCharged(class_="x")
    assert (json.loads(to_json(event)), event.n) == ({"class": "x"}, None)
    assert (event.EVENT, event.VERSION) == ("payment.charged", "1.0")
    with pytest.raises(ValueError, match="frozen"):
        event.n = 1


def test_properties_that_no_schema_names_are_ignored() -> None:
    made = module(declared("payment.charged", thing(n={"type": "integer"})))
    assert json.loads(to_json(made.PaymentCharged.model_validate({"n": 1, "new": 2}))) == {"n": 1}


def test_the_newest_version_is_written() -> None:
    older = declared("a.b", thing(x={"type": "string"}), version="1.9")
    newer = declared("a.b", thing(x={"type": "string"}, y={"type": "string"}), version="1.10")
    for events in ((older, newer), (newer, older), (newer, older, newer)):
        assert module(*events).AB.VERSION == "1.10"


def test_two_schemas_under_one_version_are_refused() -> None:
    one = declared("a.b", thing(x={"type": "string"}), source="one.yaml")
    other = declared("a.b", thing(x={"type": "integer"}), source="other.yaml", version="1.0.0")
    with pytest.raises(ScaffoldError, match=r"a\.b 1\.0\.0 has two schemas, in one\.yaml and in other\.yaml"):
        text(one, other)
    assert "class AB(Payload)" in text(
        one, declared("a.b", {**thing(x={"type": "string"}), "title": "Words"})
    )


def test_a_namespace_without_events_is_told_which_there_are() -> None:
    with pytest.raises(ScaffoldError, match=r"'shoop' \(namespaces with events: shop\)"):
        new_event_models("shoop", [declared("a.b")], Layout(Path()))


def test_events_without_a_schema_or_class() -> None:
    found = text(declared("a.b"), declared("a.codes", {"type": "array", "items": {"type": "string"}}))
    assert "# a.b 1.0 declares no schema" in found
    assert "ACodes = list[str]" in found
    assert found.partition("\n")[0].count(MARK) == 1


def test_classes_of_two_events_do_not_meet() -> None:
    inner = thing(b=thing(c={"type": "string"}))
    made = module(
        declared("a.b", inner), declared("a.b.b", thing(x={"type": "string"})), declared("a_b.b", inner)
    )
    assert {"AB", "ABB", "ABB2"} <= set(made.__all__)
    assert made.AB.model_validate({"b": {"c": "x"}}).b.c == "x"


def test_what_only_the_schema_checks_is_said() -> None:
    schema = {
        **thing(a={"type": "string", "pattern": "^A"}, b={"type": "array", "uniqueItems": True}),
        "not": {"const": 1},
    }
    assert "Only the schema checks: not, pattern of a, uniqueItems of b." in text(declared("a.b", schema))


@pytest.mark.parametrize(
    "value", ["", "it's", 'say "so"', """both ' and " and "x""", "\\", "\n\t\0", "ä€💡", "\ud800"]
)
def test_literals_mean_what_they_meant(value: str) -> None:
    assert eval(literal(value)) == value
    assert literal(value).isascii()


@pytest.mark.slow
def test_the_code_is_clean(place: Place) -> None:
    words = 'Charged – “really”, as everybody who has ever paid for anything with a card, \\ or """cash""", would say."'
    template = {
        "name": "t",
        "namespace": "shop",
        "publishes_events": [
            {"name": "payment.charged", "schema": ODD, "description": words},
            {"name": f"{LONG}.{LONG}", "schema": ODD},
            {"name": "payment.voided"},
            {"name": "payment.codes", "schema": {"type": "array", "items": {"enum": ["a" * 50, "b" * 50]}}},
            {"name": "payment.any", "schema": {"type": "object"}},
            {
                "name": "config.dict",
                "schema": thing(x={"description": "date"}),
                "description": "UUID or Literal",
            },
            {"name": "base.model", "schema": {"type": "string"}},
        ],
        "steps": [],
    }
    (place.folder / "t.yaml").write_text(json.dumps(template), encoding="utf-8")
    place.tasker("generate", "events", "shop", "--templates", "t.yaml")
    assert place.files == {"t.yaml", "events/__init__.py", "events/shop.py"}
    place.check(has_tests=False, left_out="PLR2004,E501")


def test_what_is_published_is_the_default_source(
    tasker: Tasker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tasker("topics", "create", "--partitions", "1")
    for version, name in (("1.0", "x"), ("1.1", "y")):
        event = {"name": "a.b", "version": version, "schema": thing(**{name: {}})}
        template = {
            "name": "t",
            "namespace": "shop",
            "version": f"{version}.0",
            "publishes_events": [event],
            "steps": [],
        }
        (tmp_path / "t.yaml").write_text(json.dumps(template))
        assert tasker("template", "publish", "t.yaml").code == 0
        assert tasker("generate", "events", "shop").code == 0
    found = (tmp_path / "events" / "shop.py").read_text()
    assert ("y: Any" in found, "x: Any" in found) == (True, False)
    told = tasker("generate", "events", "nowhere")
    assert (told.code, "namespaces with events: shop" in told.err) == (1, True)
