"""Python text under construction: what the writer and the reader of `schemas.avro_io` have in common."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

from . import avro_parts as parts

__all__ = [
    "UNKNOWN",
    "ByField",
    "FunctionText",
    "PythonType",
    "Schema",
    "is_choice_of_records",
    "without_null",
]


class ByField(NamedTuple):
    """An enum that stands for two Python enums: `absent` where the record's field `name` is None."""

    name: str
    absent: type[StrEnum]
    present: type[StrEnum]


PythonType = type | ByField
Schema = Any
"""A schema as parsed JSON."""

UNKNOWN: Final = "UNKNOWN"
"""Symbol that stands for what a reader does not know; never written, and refused when read."""
_INDENT: Final = "    "


class FunctionText:
    """Functions under construction: their lines, the objects they refer to, and fresh names."""

    def __init__(self, types: Mapping[str, PythonType]) -> None:
        self._types = types
        self._named: dict[str, Schema] = {}
        self._objects: dict[str, Any] = {name: getattr(parts, name) for name in parts.__all__}
        self._done: list[str] = []
        self._open: list[list[str]] = []
        self._depth: list[int] = []
        self._count = 0

    def begin(self, signature: str, *lines: str) -> None:
        """Open a function; one that is open already goes on after `end`."""
        self._open.append([f"def {signature}"])
        self._depth.append(1)
        for line in lines:
            self.put(line)

    def end(self) -> None:
        """Close the function opened last."""
        self._done += self._open.pop()
        self._depth.pop()

    def put(self, line: str) -> None:
        self._open[-1].append(_INDENT * self._depth[-1] + line)

    def indent(self, steps: int) -> None:
        self._depth[-1] += steps

    def define(self, line: str) -> None:
        """A line outside the functions."""
        self._done.append(line)

    def fresh(self, letter: str = "v") -> str:
        self._count += 1
        return f"{letter}{self._count}"

    def refer(self, value: object) -> str:
        """A name for this object in the functions."""
        name = self.fresh("O")
        self._objects[name] = value
        return name

    def resolve(self, schema: Schema) -> tuple[str, Schema]:
        """Kind and full form of a schema, which may be a name or `{"type": "long"}`."""
        if isinstance(schema, list):
            return "union", schema
        if isinstance(schema, str):
            known = self._named.get(_short(schema))
            return (known["type"], known) if known is not None else (schema, schema)
        if "name" in schema:
            self._named[_short(schema["name"])] = schema
        return schema["type"], schema

    def type_of(self, schema: Schema) -> Any:
        return self._types[_short(schema["name"])]

    def run(self, name: str) -> Any:
        exec(compile("\n".join(self._done), "<avro>", "exec"), self._objects)
        return self._objects[name]


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def without_null(schema: list[Schema]) -> list[Schema]:
    return [each for each in schema if each != "null"]


def is_choice_of_records(branches: list[Schema]) -> bool:
    return len(branches) > 1 and "bytes" not in branches
