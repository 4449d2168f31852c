"""Statements that read Avro: the reading half of `schemas.avro_io`."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from .avro_text import ByField, FunctionText, PythonType, Schema, is_choice_of_records, without_null

__all__ = ["ReaderText"]


class ReaderText(FunctionText):
    """Statements that take a value from the data `d` at `i` and move `i` on; each gives its variable's name."""

    def __init__(self, types: Mapping[str, PythonType]) -> None:
        super().__init__(types)
        self._fields: list[dict[str, str]] = []

    def value(self, schema: Schema) -> str:
        kind, schema = self.resolve(schema)
        name = self.fresh()
        getattr(self, f"_take_{kind}")(schema, name)
        return name

    def _take_boolean(self, _schema: Schema, name: str) -> None:
        self.put(f"{name} = {self.refer((False, True))}[d[i]]; i += 1")

    def _take_int(self, _schema: Schema, name: str) -> None:
        self._take_number(name, "read_int")

    def _take_long(self, schema: Schema, name: str) -> None:
        if isinstance(schema, dict) and schema.get("logicalType") == "timestamp-millis":
            self.put(f"{name} = TIMES.get(d[i:i + 6])")
            self.put(f"if {name} is None: {name}, i = read_time(d, i)")
            self.put("else: i += 6")
        else:
            self._take_number(name, "read_long")

    def _take_number(self, name: str, large: str) -> None:
        self.put("b = d[i]")
        self.put(f"if b < 128: {name} = BYTE[b]; i += 1")
        self.put(f"else: {name}, i = {large}(d, i)")

    def _take_string(self, _schema: Schema, name: str) -> None:
        self._take_size()
        self.put(f"{name} = d[i:j].decode(); i = j")

    def _take_bytes(self, _schema: Schema, name: str) -> None:
        self._take_size()
        self.put(f"{name} = d[i:j]; i = j")

    def _take_size(self) -> None:
        """`j`: where it ends. Beyond the data by less than 64 bytes at most, which the next read finds."""
        self.put("b = d[i]")
        self.put("if b < 128 and not b & 1: i += 1; j = i + (b >> 1)")
        self.put("else: n, i = read_size(d, i); j = i + n")

    def _take_fixed(self, schema: Schema, name: str) -> None:
        self.put(f"j = i + {schema['size']}; {name} = d[i:j]; i = j")

    def _take_enum(self, schema: Schema, name: str) -> None:
        kind = self.type_of(schema)
        if isinstance(kind, ByField):
            absent, present = (self._members(schema, each) for each in (kind.absent, kind.present))
            self.put(
                f"{name} = ({absent} if {self._fields[-1][kind.name]} is None else {present})[d[i]]; i += 1"
            )
        else:
            self.put(f"{name} = {self._members(schema, kind)}[d[i]]; i += 1")

    def _members(self, schema: Schema, kind: type[StrEnum]) -> str:
        known = {each.value: each for each in kind}
        return self.refer(
            {at << 1: known[each] for at, each in enumerate(schema["symbols"]) if each in known}
        )

    def _take_array(self, schema: Schema, name: str) -> None:
        left = self.fresh("n")
        self.put(f"if d[i] == 0: {name} = (); i += 1")
        self.put("else:")
        self.indent(1)
        self.put(f"{name} = []; {left}, i = read_count(d, i)")
        self.put(f"while {left}:")
        self.indent(1)
        self.put(f"for _ in range({left}):")
        self.indent(1)
        self.put(f"{name}.append({self.value(schema['items'])})")
        self.indent(-1)
        self.put(f"{left}, i = read_count(d, i)")
        self.indent(-1)
        self.put(f"{name} = tuple({name})")
        self.indent(-1)

    def _take_record(self, schema: Schema, name: str) -> None:
        fields: dict[str, str] = {}
        self._fields.append(fields)
        for field in schema["fields"]:
            fields[field["name"]] = self.value(field["type"])
        self._fields.pop()
        kind = self.type_of(schema)
        if kind is tuple:
            self.put(f"{name} = ({', '.join(fields.values())},)")
        else:
            given = ", ".join(f"{field}={value}" for field, value in fields.items())
            self.put(f"{name} = {self.refer(kind)}({given})")

    def _take_union(self, schema: list[Schema], name: str) -> None:
        branches = without_null(schema)
        choice = is_choice_of_records(branches)
        self.put("b = d[i]; i += 1")
        word = "if"
        for branch in schema if not choice else [each for each in schema if each == "null"]:
            self.put(f"{word} b == {schema.index(branch) << 1}:")
            self.indent(1)
            self.put(f"{name} = {'None' if branch == 'null' else self.value(branch)}")
            self.indent(-1)
            word = "elif"
        otherwise = (
            f"{name}, i = {self._choice(schema, branches)}[b](d, i)" if choice else "raise KeyError(b)"
        )
        self.put(f"else: {otherwise}" if word == "elif" else otherwise)

    def _choice(self, schema: list[Schema], branches: list[Schema]) -> str:
        """One function per record, found by the branch's number."""
        known = []
        for branch in branches:
            function = self.fresh("r")
            self.begin(f"{function}(d, i):")
            self.put(f"return {self.value(branch)}, i")
            self.end()
            known.append(f"{schema.index(branch) << 1}: {function}")
        choice = self.fresh("R")
        self.define(f"{choice} = {{{', '.join(known)}}}")
        return choice
