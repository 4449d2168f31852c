"""Records to bytes and back: plain Avro, in the frame that names its schema.

By default a record is framed as an Avro single object: C3 01, the schema's fingerprint (CRC-64-AVRO, 8 bytes,
little-endian), the body. With a schema registry it has Confluent's frame: 00, the schema's number there (4 bytes,
big-endian), the body. Either is read.

A frame that names the current schema is read directly. One of a released version, or of any schema that the
registry knows and Avro can resolve, is read by Avro's rules as the current one. A fingerprint that this release
does not know is told apart from damage (`SchemaUnknown`), because it may come from a newer release: the caller
looks it up among the published schemas and stops, or treats the record as poison.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from enum import StrEnum
from functools import cache
from typing import Any, Final, NamedTuple, Protocol, TypeVar, cast

import fastavro
import fastavro.schema
import msgspec

from . import records, state, template_records, words
from .avro_files import SCHEMA_NAMESPACE, current, fingerprint, plain, released, text_of
from .avro_io import ByField, PythonType, compile_reader, compile_writer
from .errors import DecodeError, EncodeError, SchemaUnknown
from .limits import MAX_VALUE_BYTES
from .records import Checkpoint, Forgotten, OwnerMarker, Transitions
from .state import Stub, TaskHead, TaskState
from .template_records import PublishedTemplate, TemplatePointer

__all__ = [
    "Codec",
    "SchemaRegistry",
    "codec",
    "decode",
    "decode_head",
    "decode_state",
    "decode_template_record",
    "decode_transition_record",
    "encode",
    "kind_of",
    "published_schemas",
]

T = TypeVar("T", bound=msgspec.Struct)

_SINGLE_OBJECT: Final = b"\xc3\x01"
_CONFLUENT: Final = b"\x00"
_MOST_FOREIGN: Final = 256
_BROKEN: Final = (IndexError, KeyError, ValueError)
_UNFIT: Final = (TypeError, AttributeError, KeyError, ValueError)


class SchemaRegistry(Protocol):
    """A schema registry, as far as the codec needs one. Both calls may block and are asked once per schema."""

    def id_for(self, name: str, schema: str) -> int:
        """The number of this schema (JSON text) under the record's full name; registers it if it is new."""
        ...

    def schema_for(self, number: int) -> str | None:
        """The schema (JSON text) of a number; None when the registry has none."""
        ...


class _Reading(NamedTuple):
    frame: bytes
    read: Callable[[bytes, int], Any]


class Codec:
    """Encodes and decodes every record of the language; cheap to make, and made once per process."""

    def __init__(self, registry: SchemaRegistry | None = None) -> None:
        self._registry = registry
        self._writers: dict[type, Callable[[Any], bytes]] = {}
        self._readings: dict[type, _Reading] = {}
        self._foreign: dict[int, _Origin] = {}

    def use_registry(self, registry: SchemaRegistry | None) -> None:
        """Write and read the frames of this registry from now on; None: single objects again.

        It is asked for the number of every current schema at once, so that no call blocks for it afterwards and a
        registry that refuses is known at the start. Once per process, before the first record.
        """
        if registry is not None:
            for name in current():
                registry.id_for(f"{SCHEMA_NAMESPACE}.{name}", text_of(name))
        self._registry = registry
        for made in (self._writers, self._readings, self._foreign):
            made.clear()

    def encode(self, value: msgspec.Struct) -> bytes:
        """The framed bytes of a record. EncodeError when a field does not fit its schema."""
        kind = value.__class__
        try:
            return (self._writers.get(kind) or self._make_writer(kind))(value)
        except _UNFIT as error:
            raise EncodeError(f"this {kind.__name__} does not fit its schema: {error}") from error

    def decode(self, data: bytes | None, expected: type[T]) -> T:
        """The record in these bytes.

        DecodeError when they are no such record, SchemaUnknown when they name a schema unknown to this release.
        """
        reading = self._readings.get(expected) or self._reading(expected)
        if data is None or len(data) > MAX_VALUE_BYTES:
            raise _not_readable(data, (expected,))
        frame = reading.frame
        if not data.startswith(frame):
            return cast("T", self._decode_other(data, (expected,)))
        try:
            return reading.read(data, len(frame))  # type: ignore[no-any-return]  # made from text
        except _BROKEN as error:
            raise _broken(expected, error) from None

    def decode_head(self, data: bytes | None) -> TaskHead:
        """The head of a TaskState, without decoding the rest."""
        reading = self._readings.get(TaskHead) or self._head_reading()
        if data is None or not data.startswith(reading.frame):
            whole = self.decode(data, TaskState)
            return TaskHead(**{name: getattr(whole, name) for name in TaskHead.__struct_fields__})
        try:
            return reading.read(data, len(reading.frame))  # type: ignore[no-any-return]  # made from text
        except _BROKEN as error:
            raise _broken(TaskHead, error) from None

    def decode_state(self, data: bytes | None) -> TaskState | Stub | Checkpoint:
        """A value of the task-state topic."""
        return cast("TaskState | Stub | Checkpoint", self._decode_one_of(data, (TaskState, Stub, Checkpoint)))

    def decode_transition_record(self, data: bytes | None) -> Transitions | OwnerMarker | Forgotten:
        """A value of the transitions topic."""
        return cast(
            "Transitions | OwnerMarker | Forgotten",
            self._decode_one_of(data, (Transitions, OwnerMarker, Forgotten)),
        )

    def decode_template_record(self, data: bytes | None) -> PublishedTemplate | TemplatePointer:
        """A value of the templates topic."""
        return cast(
            "PublishedTemplate | TemplatePointer",
            self._decode_one_of(data, (PublishedTemplate, TemplatePointer)),
        )

    def kind_of(self, data: bytes | None) -> type[msgspec.Struct] | None:
        """Which record the frame names, of this or any released version; None for anything else."""
        if data is None:
            return None
        try:
            return self._origin(data)[0].kind
        except DecodeError:
            return None

    # ---------------------------------------------------------------------------------------- slow paths

    def _decode_one_of(self, data: bytes | None, kinds: tuple[type[msgspec.Struct], ...]) -> msgspec.Struct:
        if data is None:
            raise _not_readable(data, kinds)
        origin = _origins().get(data[:10])
        if origin is not None and origin.kind in kinds:
            return self.decode(data, origin.kind)
        return self._decode_other(data, kinds)

    def _decode_other(self, data: bytes, kinds: tuple[type[msgspec.Struct], ...]) -> msgspec.Struct:
        """A frame that is not the usual one: another kind, a released version, the other framing, or damage."""
        origin, start = self._origin(data)
        if origin.kind not in kinds:
            raise DecodeError(f"a {origin.kind.__name__} where a {_names(kinds)} belongs")
        if origin.schema is not None:
            data, start = _as_current(data[start:], origin), 0
        try:
            return self._reading(origin.kind).read(data, start)  # type: ignore[no-any-return]  # made from text
        except _BROKEN as error:
            raise _broken(origin.kind, error) from None

    def _origin(self, data: bytes) -> tuple[_Origin, int]:
        """What wrote this record, and where its body begins."""
        origin = _origins().get(data[:10])
        if origin is not None:
            return origin, 10
        if data.startswith(_SINGLE_OBJECT) and len(data) >= 10:
            mark = data[2:10]
            raise SchemaUnknown(
                f"a record of schema {mark.hex()}, which this release does not know",
                fingerprint=mark,
                next_step="upgrade if a newer release writes to these topics; else the record is damaged",
            )
        if self._registry is not None and data.startswith(_CONFLUENT) and len(data) >= 5:
            return self._foreign_origin(self._registry, int.from_bytes(data[1:5], "big")), 5
        raise DecodeError(
            "the bytes are no record of Tasker: they begin with neither C3 01 nor, with a registry, 00",
            next_step="produce with the client, or encode by the published Avro files as single objects",
        )

    def _foreign_origin(self, registry: SchemaRegistry, number: int) -> _Origin:
        known = self._foreign.get(number)
        if known is not None:
            return known
        text = registry.schema_for(number)
        if text is None:
            raise DecodeError(f"the schema registry has no schema {number}")
        try:
            schema = json.loads(text)
            origin = _origins().get(_SINGLE_OBJECT + fingerprint(schema))
            if origin is None:
                kind = _value_kinds()[str(schema["name"]).removeprefix(f"{SCHEMA_NAMESPACE}.")]
                origin = _Origin(kind, plain(schema))
        except (ValueError, LookupError, TypeError, fastavro.schema.SchemaParseException):
            raise DecodeError(f"schema {number} of the registry is none of Tasker's records") from None
        if len(self._foreign) >= _MOST_FOREIGN:
            self._foreign.clear()
        self._foreign[number] = origin
        return origin

    # ---------------------------------------------------------------------------------------- made on first use

    def _frame(self, kind: type) -> bytes:
        if self._registry is None:
            return _SINGLE_OBJECT + fingerprint(current()[kind.__name__])
        name = f"{SCHEMA_NAMESPACE}.{kind.__name__}"
        return _CONFLUENT + self._registry.id_for(name, text_of(kind.__name__)).to_bytes(4, "big")

    def _make_writer(self, kind: type) -> Callable[[Any], bytes]:
        if kind.__name__ not in _value_kinds():
            raise EncodeError(f"a {kind.__name__} is not the value of any topic")
        writer = compile_writer(current()[kind.__name__], _types(), self._frame(kind))
        self._writers[kind] = writer
        return writer

    def _reading(self, kind: type) -> _Reading:
        known = self._readings.get(kind)
        if known is None:
            if kind.__name__ not in _value_kinds():
                raise DecodeError(f"a {kind.__name__} is not the value of any topic")
            known = _Reading(self._frame(kind), compile_reader(current()[kind.__name__], _types()))
            self._readings[kind] = known
        return known

    def _head_reading(self) -> _Reading:
        known = self._readings.get(TaskHead)
        if known is None:
            fields = current()[TaskState.__name__]["fields"][: len(TaskHead.__struct_fields__)]
            head = {"type": "record", "name": TaskHead.__name__, "fields": fields}
            known = _Reading(self._frame(TaskState), compile_reader(head, _types(), whole=False))
            self._readings[TaskHead] = known
        return known


class _Origin(NamedTuple):
    """What a frame names: a record, and the schema it was written with if that is not the current one."""

    kind: type[msgspec.Struct]
    schema: Any


@cache
def _origins() -> dict[bytes, _Origin]:
    """First ten bytes of a single object → what wrote it, of this and every released version."""
    found: dict[bytes, _Origin] = {}
    for schemas in released().values():
        for name, schema in schemas.items():
            if name in _value_kinds():
                found[_SINGLE_OBJECT + fingerprint(schema)] = _Origin(_value_kinds()[name], plain(schema))
    for name, schema in current().items():
        found[_SINGLE_OBJECT + fingerprint(schema)] = _Origin(_value_kinds()[name], None)
    return found


@cache
def _types() -> dict[str, PythonType]:
    """Every name of the schemas → its Python type."""
    found: dict[str, PythonType] = {
        "Header": tuple,
        "StateName": ByField("step", words.TaskStatus, words.StepStatus),
    }
    for module in (records, state, template_records, words):
        for name in module.__all__:
            value = getattr(module, name)
            if isinstance(value, type) and issubclass(value, (msgspec.Struct, StrEnum)):
                found[name] = value
    return found


@cache
def _value_kinds() -> dict[str, type[msgspec.Struct]]:
    """The records that are the value of some topic, by name."""
    return {name: kind for name in current() if isinstance(kind := _types()[name], type)}


def _as_current(body: bytes, origin: _Origin) -> bytes:
    """The body of a record of another schema, as the current schema writes it, by Avro's resolution."""
    reader = _parsed(origin.kind.__name__)
    stream, out = io.BytesIO(body), io.BytesIO()
    try:
        value = fastavro.schemaless_reader(stream, origin.schema, reader, return_record_name=True)
        fastavro.schemaless_writer(out, reader, value)
    except Exception as error:  # the library raises whatever the bytes provoke
        raise _broken(origin.kind, error) from None
    if stream.tell() != len(body):
        raise _broken(origin.kind, ValueError(f"{len(body) - stream.tell()} bytes are left over"))
    return out.getvalue()


@cache
def _parsed(name: str) -> Any:
    return fastavro.parse_schema(plain(current()[name]))


def published_schemas() -> dict[bytes, str]:
    """Fingerprint → text of every current schema: what the schemas topic holds for this release."""
    return {fingerprint(schema): text_of(name) for name, schema in current().items()}


def _names(kinds: tuple[type, ...]) -> str:
    return " or ".join(each.__name__ for each in kinds)


def _not_readable(data: bytes | None, kinds: tuple[type, ...]) -> DecodeError:
    if data is None:
        return DecodeError(f"no value where a {_names(kinds)} belongs")
    return DecodeError(f"{len(data)} bytes, more than any {_names(kinds)} may have ({MAX_VALUE_BYTES})")


def _broken(kind: type, error: Exception) -> DecodeError:
    reason = str(error)
    if isinstance(error, IndexError):
        reason = "they end too early"
    elif isinstance(error, KeyError):
        reason = f"they hold an unknown symbol or branch ({error})"
    return DecodeError(f"the bytes are no {kind.__name__}: {reason}")


codec: Final = Codec()
"""The process's codec; without a registry unless a role has set one from its settings."""
encode = codec.encode
decode = codec.decode
decode_head = codec.decode_head
decode_state = codec.decode_state
decode_template_record = codec.decode_template_record
decode_transition_record = codec.decode_transition_record
kind_of = codec.kind_of
