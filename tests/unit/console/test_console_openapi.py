"""The description of the API is the committed one, and complete."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tasker_kafka.deploy.console.api.answering import answer
from tasker_kafka.deploy.console.api.json_schema import Schemas
from tasker_kafka.deploy.console.api.openapi import openapi_document, openapi_text

FILE = Path(__file__).parents[3] / "docs" / "reference" / "openapi.json"


def test_the_committed_description_is_this_releases() -> None:
    assert FILE.read_text(encoding="utf-8") == openapi_text(), (
        "write it anew: `tasker console openapi -o docs/reference/openapi.json`"
    )


def test_every_reference_leads_somewhere_and_every_route_says_how_it_fails() -> None:
    document = openapi_document()
    text = json.dumps(document)
    known = document["components"]["schemas"]
    for part in text.split('"#/components/schemas/')[1:]:
        assert part.partition('"')[0] in known
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation.get("description"), (method, path)
            if path not in {"/metrics", "/health/live"}:
                assert "503" in operation["responses"], (method, path)


def test_a_graph_is_described_in_both_its_forms() -> None:
    graphs = [path for path in openapi_document()["paths"] if path.endswith("/graph")]
    assert len(graphs) == 2
    for path in graphs:
        content = openapi_document()["paths"][path]["get"]["responses"]["200"]["content"]
        assert set(content) == {"application/json", "text/plain"}


class Colour(StrEnum):
    RED = "red"


class Inner(msgspec.Struct, frozen=True):
    seen_at: int | None
    size: int


class Outer(msgspec.Struct, frozen=True):
    """A struct."""

    inner: tuple[Inner, ...]
    colour: Colour
    id: bytes
    pair: tuple[int, str]
    extra: str | msgspec.UnsetType = msgspec.UNSET
    from_: str = msgspec.field(name="from", default="")
    anything: Any = None


def test_structs_are_described_as_they_are_printed() -> None:
    schemas = Schemas()
    assert schemas.of(Outer) == {"$ref": "#/components/schemas/Outer"}
    outer, inner = schemas.components["Outer"], schemas.components["Inner"]
    assert outer["required"] == ["inner", "colour", "id", "pair", "from", "anything"]
    assert outer["properties"]["extra"] == {"type": "string"}
    assert outer["properties"]["pair"]["prefixItems"] == [{"type": "integer"}, {"type": "string"}]
    assert outer["properties"]["anything"] == {}
    assert inner["properties"]["seen_at"] == {
        "anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]
    }
    assert inner["properties"]["size"] == {"type": "integer"}
    assert schemas.components["Colour"]["enum"] == ["red"]


def test_two_shapes_of_one_name_are_refused() -> None:
    schemas = Schemas()
    schemas.of(Inner)
    other = msgspec.defstruct("Inner", [("x", int)])
    with pytest.raises(TypeError, match="same name"):
        schemas.of(other)


def test_what_is_no_json_is_answered_as_json_all_the_same() -> None:
    """A worker of another make may have written it into a result."""
    made = answer({"a": [float("inf"), float("nan")], "b": "x\ud800y", "c": 1.5, "d": "ä"})
    assert json.loads(bytes(made.body)) == {"a": ["inf", "nan"], "b": "x\ud800y", "c": 1.5, "d": "ä"}
