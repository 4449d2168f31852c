"""Generated models take every payload that the schema takes, so that no event dies for its types alone."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from tasker_kafka.handlers.scaffold.event_models import Declared, new_event_models
from tasker_kafka.handlers.scaffold.layout import Layout
from tasker_kafka.schemas.containment.documents import Document
from tasker_kafka.schemas.containment.examples import values_near
from tasker_kafka.schemas.plan import EventDeclaration
from tasker_kafka.schemas.schema_walk import mapped
from tasker_kafka.schemas.words import Delivery, EventCondition
from tests.support.examples import examples
from tests.support.schema_author import Schema, pairs


def type_of_payload(schema: Schema) -> TypeAdapter[object]:
    """What the generated module of one event makes of its payloads."""
    event = EventDeclaration("a.b", Delivery.DURABLE, EventCondition.SUCCESS, schema=schema)
    draft = new_event_models("shop", [Declared("shop", event, "here")], Layout(Path()))
    module = ModuleType("generated")
    sys.modules[module.__name__] = module
    exec(compile(draft.files[0].text, module.__name__, "exec", dont_inherit=True), vars(module))
    return TypeAdapter(module.AB)


def said(schema: Any) -> Any:
    """The schema, where objects are said to be objects: `properties` alone also take a text, which no class does."""
    return mapped(schema, lambda each: {"type": "object", **each} if "properties" in each else each)


@pytest.mark.slow
@settings(max_examples=examples(15), deadline=None)
@given(st.integers(0, 2**32))
@example(579)  # an array with `properties`
def test_what_the_schema_takes_the_model_takes(seed: int) -> None:
    for drawn, _ in pairs(seed)[:8]:
        schema = said(drawn)
        adapter = type_of_payload(schema)
        for value in itertools.islice(values_near(Document(schema, "writer")), 300):
            try:
                adapter.validate_json(json.dumps(value))
            except ValidationError as error:
                raise AssertionError(f"{schema} takes {value!r}: {error}") from None
