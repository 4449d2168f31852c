"""Hypothesis strategies for every record, made from its Avro schema: all that the public form allows."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st

from tasker_kafka.schemas import avro_files, codec
from tasker_kafka.schemas.avro_io import ByField

__all__ = ["kinds", "values_of"]

INT = st.integers(-(1 << 31), (1 << 31) - 1)
LONG = st.integers(-(1 << 63), (1 << 63) - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)


def kinds() -> list[type[msgspec.Struct]]:
    """The records that are the value of some topic."""
    return list(codec._value_kinds().values())


def values_of(kind: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    """Values of a record."""
    return _Builder().strategy(avro_files.current()[kind.__name__])


class _Builder:
    def __init__(self) -> None:
        self.named: dict[str, Any] = {}

    def strategy(self, schema: Any) -> st.SearchStrategy[Any]:
        if isinstance(schema, list):
            return st.one_of(*(self.strategy(each) for each in schema))
        if isinstance(schema, str):
            return self.primitive(schema) if schema not in self.named else self.strategy(self.named[schema])
        if "name" in schema:
            self.named[schema["name"]] = schema
        kind = schema["type"]
        if kind == "array":
            return st.lists(self.strategy(schema["items"]), max_size=3).map(tuple)
        if kind == "fixed":
            return st.binary(min_size=schema["size"], max_size=schema["size"])
        if kind == "enum":
            members: Any = codec._types()[schema["name"]]
            return st.sampled_from(list(members))
        return self.record(schema) if kind == "record" else self.primitive(kind)

    @staticmethod
    def primitive(name: str) -> st.SearchStrategy[Any]:
        return {
            "null": st.none(),
            "boolean": st.booleans(),
            "int": INT,
            "long": LONG,
            "string": TEXT,
            "bytes": st.binary(max_size=80),
        }[name]

    def record(self, schema: Any) -> st.SearchStrategy[Any]:
        kind = codec._types()[schema["name"]]
        if kind is tuple:
            return st.tuples(*(self.strategy(field["type"]) for field in schema["fields"]))
        assert isinstance(kind, type)
        if schema["name"] == "Transition":
            return self.transition(schema, kind)
        return st.builds(kind, **{field["name"]: self.strategy(field["type"]) for field in schema["fields"]})

    def transition(self, schema: Any, kind: type) -> st.SearchStrategy[Any]:
        """A task's states where there is no step, a step's where there is one."""
        states = codec._types()["StateName"]
        assert isinstance(states, ByField)
        self.named["StateName"] = None
        fields = {
            field["name"]: self.strategy(field["type"])
            for field in schema["fields"]
            if not field["name"].endswith("_state")
        }

        def edges(step: st.SearchStrategy[Any], names: Any) -> st.SearchStrategy[Any]:
            name = st.sampled_from(list(names))
            return st.builds(
                kind, **{**fields, "step": step, "from_state": st.none() | name, "to_state": name}
            )

        return edges(st.none(), states.absent) | edges(TEXT, states.present)
