"""Statements that write Avro: the writing half of `schemas.avro_io`.

What a record is made of is gathered as a list of bytes and joined once. Fields that are one expression each, which
most are, become one tuple; only what has a choice in it (an optional record, an array) is a statement of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from . import avro_parts as parts
from .avro_text import UNKNOWN, FunctionText, PythonType, Schema, is_choice_of_records, without_null

__all__ = ["WriterText"]

_ABSENT: Final = b"\x00"
"""Null in a union of which it is the first branch; also the end of an array."""


class WriterText(FunctionText):
    """Functions that give a list, or a tuple, of the bytes of a value."""

    def __init__(self, types: Mapping[str, PythonType]) -> None:
        super().__init__(types)
        self._pending: list[list[str]] = []
        self._is_begun: list[bool] = []

    def begin(self, signature: str, *lines: str) -> None:
        """As for any function; what it returns is gathered from here on."""
        self._pending.append([])
        self._is_begun.append(False)
        super().begin(signature, *lines)

    def end(self) -> None:
        """Close the function opened last: it returns what was gathered."""
        if self._is_begun[-1]:
            self.put("return o")
        else:
            gathered, self._pending[-1] = self._pending[-1], []
            self.put(f"return ({', '.join(gathered)},)")
        self._pending.pop()
        self._is_begun.pop()
        super().end()

    def put(self, line: str) -> None:
        """A statement, after all that was gathered before it."""
        self._flush()
        super().put(line)

    def indent(self, steps: int) -> None:
        """Change the depth; what was gathered before belongs to the old one."""
        self._flush()
        super().indent(steps)

    def gather(self, *expressions: str) -> None:
        """Bytes, in order."""
        self._pending[-1] += expressions

    def _flush(self) -> None:
        gathered, self._pending[-1] = self._pending[-1], []
        if not gathered:
            return
        if self._is_begun[-1]:
            super().put(f"o += ({', '.join(gathered)},)")
        else:
            super().put(f"o = [{', '.join(gathered)}]")
            self._is_begun[-1] = True

    # ------------------------------------------------------------------------------------------ values

    def value(self, schema: Schema, what: str) -> None:
        """Gather the bytes of an expression."""
        kind, schema = self.resolve(schema)
        getattr(self, f"_put_{kind}")(schema, what)

    def _put_boolean(self, _schema: Schema, what: str) -> None:
        self.gather(f"BOOLEAN[{what}]")

    def _put_int(self, _schema: Schema, what: str) -> None:
        self.gather(f"SMALL[v] if 0 <= (v := {what}) < 1024 else write_int(v)")

    def _put_long(self, schema: Schema, what: str) -> None:
        if _is_time(schema):
            self.gather(f"TIME[{what}]")
        else:
            self.gather(f"SMALL[v] if 0 <= (v := {what}) < 1024 else write_long(v)")

    def _put_string(self, _schema: Schema, what: str) -> None:
        self.gather(f"TEXT[{what}]")

    def _put_bytes(self, _schema: Schema, what: str) -> None:
        value = self.fresh()
        self.gather(f"SMALL[n] if (n := len({value} := {what})) < 1024 else write_long(n)", value)

    def _put_fixed(self, schema: Schema, what: str) -> None:
        size = schema["size"]
        self.gather(f"v if len(v := {what}) == {size} else refuse_size(v, {size})")

    def _put_enum(self, schema: Schema, what: str) -> None:
        self.gather(f"{self.refer(_symbols(schema))}[{what}]")

    def _put_array(self, schema: Schema, what: str) -> None:
        item = self.fresh()
        if self.resolve(schema["items"])[0] == "string":
            self.gather(f"write_texts({item}) if ({item} := {what}) else {_ABSENT!r}")
            return
        self.put(f"{item} = {what}")
        self.put(f"if {item}:")
        self.indent(1)
        self.gather(f"SMALL[n] if (n := len({item})) < 1024 else write_long(n)")
        self.put(f"for {item} in {item}:")
        self.indent(1)
        self.value(schema["items"], item)
        self.indent(-2)
        self.gather(repr(_ABSENT))

    def _put_record(self, schema: Schema, what: str) -> None:
        fields = schema["fields"]
        if self.type_of(schema) is tuple:
            names = [self.fresh() for _ in fields]
            self.put(f"{', '.join(names)} = {what}")
        else:
            names = [f"{what}.{field['name']}" for field in fields]
        for field, name in zip(fields, names, strict=True):
            self.value(field["type"], name)

    # ------------------------------------------------------------------------------------------ unions

    def _put_union(self, schema: list[Schema], what: str) -> None:
        branches = without_null(schema)
        if is_choice_of_records(branches):
            self._put_choice(schema, branches, what)
            return
        if len(schema) == 2 and schema[0] == "null" and self._put_optional(schema[1], what):
            return
        value = self.fresh()
        text = " else ".join(self._branches(schema, branches, value))
        if "null" in schema:
            text = f"{_tag(schema, 'null')} if ({value} := {what}) is None else {text}"
        else:
            self.put(f"{value} = {what}")
        self.gather(text)

    def _put_optional(self, branch: Schema, what: str) -> bool:
        """What has a table that knows None, too."""
        kind, branch = self.resolve(branch)
        if kind == "string":
            self.gather(f"OPTIONAL_TEXT[{what}]")
        elif kind == "long" and _is_time(branch):
            self.gather(f"OPTIONAL_TIME[{what}]")
        elif kind == "enum":
            known = {symbol: b"\x02" + raw for symbol, raw in _symbols(branch).items()}
            self.gather(f"{self.refer({None: _ABSENT, **known})}[{what}]")
        else:
            return False
        return True

    def _branches(self, schema: list[Schema], branches: list[Schema], value: str) -> list[str]:
        """An expression for each branch but null; those before the last end with their condition."""
        found = []
        for branch in branches:
            kind, _ = self.resolve(branch)
            tag = parts.varint(schema.index(branch))
            if kind == "bytes" and len(branches) > 1:
                short = self.refer(tuple(tag + each for each in parts.SMALL))
                found.append(
                    f"{short}[n] + {value} if {value}.__class__ is bytes and (n := len({value})) < 1024"
                )
                found.append(f"{tag!r} + write_bytes({value}) if {value}.__class__ is bytes")
            elif kind == "bytes":
                found.append(f"{tag!r} + write_bytes({value})")
            else:
                found.append(f"join({self._function(tag, branch)}({value}))")
        return found

    def _function(self, tag: bytes, branch: Schema) -> str:
        """The name of a function that gives the parts of a branch, its tag first."""
        name = self.fresh("w")
        self.begin(f"{name}(x):")
        self.gather(repr(tag))
        self.value(branch, "x")
        self.end()
        return name

    def _put_choice(self, schema: list[Schema], branches: list[Schema], what: str) -> None:
        """One function per record, found by the value's class."""
        item = self.fresh()
        self.put(f"{item} = {what}")
        if "null" in schema:
            self.put(f"if {item} is None: o.append({_tag(schema, 'null')})")
            self.put("else:")
            self.indent(1)
        known = []
        for branch in branches:
            kind = self.refer(self.type_of(self.resolve(branch)[1]))
            known.append(f"{kind}: {self._function(parts.varint(schema.index(branch)), branch)}")
        choice = self.fresh("W")
        self.define(f"{choice} = {{{', '.join(known)}}}")
        self.put(f"o += {choice}[{item}.__class__]({item})")
        if "null" in schema:
            self.indent(-1)


def _tag(schema: list[Schema], branch: Schema) -> str:
    return repr(parts.varint(schema.index(branch)))


def _symbols(schema: Schema) -> dict[str | None, bytes]:
    return {each: parts.varint(at) for at, each in enumerate(schema["symbols"]) if each != UNKNOWN}


def _is_time(schema: Schema) -> bool:
    return isinstance(schema, dict) and schema.get("logicalType") == "timestamp-millis"
