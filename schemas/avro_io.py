"""Turns an Avro record schema and the Python types of its records into two plain functions.

An engine encodes and decodes millions of records, and the way over dictionaries that Avro libraries take costs
twice: once for the dictionary, once for the record. So a function is written out as Python text for each
schema, with every nested record in place, and compiled once. It writes and reads plain Avro binary; a property
test holds it to fastavro byte by byte.

What is read comes from strangers: every length is checked before it is used, integers must fit their type,
booleans and symbols must exist, text must be UTF-8, and nothing may be left over.

Supported are the shapes our schemas use: boolean, int, long, string, bytes, fixed, enum, array, record, and
unions of null, bytes and records. A record of which the Python type is `tuple` stands for a plain tuple.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

from . import avro_parts as parts

__all__ = ["ByField", "PythonType", "Schema", "compile_reader", "compile_writer"]


class ByField(NamedTuple):
    """An enum that stands for two Python enums: `absent` where the record's field `name` is None."""

    name: str
    absent: type[StrEnum]
    present: type[StrEnum]


PythonType = type | ByField
Schema = Any
"""A schema as parsed JSON."""

_INDENT: Final = "    "
_UNKNOWN: Final = "UNKNOWN"
"""Symbol that stands for what a reader does not know; never written, and refused when read."""


def compile_writer(schema: Schema, types: Mapping[str, PythonType], prefix: bytes) -> Callable[[Any], bytes]:
    """A function from a value to `prefix` and the value's Avro bytes.

    It raises TypeError, AttributeError, KeyError or ValueError for a value that is not of the schema.
    """
    text = _WriterText(types)
    text.begin("write(x):", f"o = [{prefix!r}]", "a = o.append")
    text.value(schema, "x")
    text.put("return b''.join(o)")
    text.end()
    return text.run("write")  # type: ignore[no-any-return]  # made from text


def compile_reader(
    schema: Schema, types: Mapping[str, PythonType], *, whole: bool = True
) -> Callable[[bytes, int], Any]:
    """A function from data and the place where the value begins to the value.

    `whole`: nothing may follow. It raises ValueError, IndexError or KeyError for data that is not of the schema.
    """
    text = _ReaderText(types)
    text.begin("read(d, i):")
    value = text.value(schema)
    text.put(
        f"if i {'!=' if whole else '>'} len(d): raise ValueError(f'{{i}} bytes expected, {{len(d)}} found')"
    )
    text.put(f"return {value}")
    text.end()
    return text.run("read")  # type: ignore[no-any-return]  # made from text


class _Text:
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


def _without_null(schema: list[Schema]) -> list[Schema]:
    return [each for each in schema if each != "null"]


def _is_choice_of_records(branches: list[Schema]) -> bool:
    return len(branches) > 1 and "bytes" not in branches


class _WriterText(_Text):
    """Statements that append (`a`) the bytes of an expression."""

    def value(self, schema: Schema, what: str) -> None:
        kind, schema = self.resolve(schema)
        getattr(self, f"_put_{kind}")(schema, what)

    def _put_boolean(self, _schema: Schema, what: str) -> None:
        self.put(f"a(BOOLEAN[{what}])")

    def _put_int(self, _schema: Schema, what: str) -> None:
        self.put(f"v = {what}")
        self.put("a(SMALL[v] if 0 <= v < 1024 else write_int(v))")

    def _put_long(self, _schema: Schema, what: str) -> None:
        self.put(f"v = {what}")
        self.put("a(SMALL[v] if 0 <= v < 1024 else write_long(v))")

    def _put_string(self, _schema: Schema, what: str) -> None:
        self.put(f"v = {what}")
        self.put("a(write_name(v) if len(v) < 65 else write_text(v))")

    def _put_bytes(self, _schema: Schema, what: str) -> None:
        self.put(f"v = {what}")
        self.put("a(SMALL[n] if (n := len(v)) < 1024 else write_long(n))")
        self.put("a(v)")

    def _put_fixed(self, schema: Schema, what: str) -> None:
        self.put(f"v = {what}")
        self.put(
            f"if len(v) != {schema['size']}: raise ValueError(f'{{len(v)}} bytes, not {schema['size']}')"
        )
        self.put("a(v)")

    def _put_enum(self, schema: Schema, what: str) -> None:
        symbols = {each: parts.varint(at) for at, each in enumerate(schema["symbols"]) if each != _UNKNOWN}
        self.put(f"a({self.refer(symbols)}[{what}])")

    def _put_array(self, schema: Schema, what: str) -> None:
        item = self.fresh()
        self.put(f"{item} = {what}")
        self.put(f"if {item}:")
        self.indent(1)
        self.put(f"a(SMALL[n] if (n := len({item})) < 1024 else write_long(n))")
        self.put(f"for {item} in {item}:")
        self.indent(1)
        self.value(schema["items"], item)
        self.indent(-2)
        self.put("a(b'\\x00')")

    def _put_record(self, schema: Schema, what: str) -> None:
        fields = schema["fields"]
        if self.type_of(schema) is tuple:
            names = [self.fresh() for _ in fields]
            self.put(f"{', '.join(names)} = {what}")
        else:
            names = [f"{what}.{field['name']}" for field in fields]
        for field, name in zip(fields, names, strict=True):
            self.value(field["type"], name)

    def _put_union(self, schema: list[Schema], what: str) -> None:
        item = self.fresh()
        self.put(f"{item} = {what}")
        if "null" in schema:
            self.put(f"if {item} is None: a({self._tag(schema, 'null')})")
            self.put("else:")
            self.indent(1)
        branches = _without_null(schema)
        if _is_choice_of_records(branches):
            self._put_choice(schema, branches, item)
        elif len(branches) == 1:
            self._put_branch(schema, branches[0], item)
        else:
            self._put_bytes_or_record(schema, branches, item)
        if "null" in schema:
            self.indent(-1)

    def _put_branch(self, schema: list[Schema], branch: Schema, item: str) -> None:
        self.put(f"a({self._tag(schema, branch)})")
        self.value(branch, item)

    def _put_bytes_or_record(self, schema: list[Schema], branches: list[Schema], item: str) -> None:
        _, record = branches
        self.put(f"if {item}.__class__ is bytes:")
        self.indent(1)
        self._put_branch(schema, "bytes", item)
        self.indent(-1)
        self.put("else:")
        self.indent(1)
        self._put_branch(schema, record, item)
        self.indent(-1)

    def _put_choice(self, schema: list[Schema], branches: list[Schema], item: str) -> None:
        """One function per record, found by the value's class."""
        known = []
        for branch in branches:
            function = self.fresh("w")
            self.begin(f"{function}(x, a):")
            self._put_branch(schema, branch, "x")
            self.end()
            known.append(f"{self.refer(self.type_of(self.resolve(branch)[1]))}: {function}")
        choice = self.fresh("W")
        self.define(f"{choice} = {{{', '.join(known)}}}")
        self.put(f"{choice}[{item}.__class__]({item}, a)")

    @staticmethod
    def _tag(schema: list[Schema], branch: Schema) -> str:
        return repr(parts.varint(schema.index(branch)))


class _ReaderText(_Text):
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
        branches = _without_null(schema)
        choice = _is_choice_of_records(branches)
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
