"""Mends the payload of a dead letter before it is redriven; everything around the payload stays as it was.

An event's payload lies in Tasker's envelope, is the value itself (CloudEvents, binary mode), or the `data` of a JSON
document (structured mode). A record that is none of these can only be given another value as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from tasker_kafka.schemas.codec import Codec
from tasker_kafka.schemas.codec import codec as default_codec
from tasker_kafka.schemas.errors import DecodeError, TaskerError
from tasker_kafka.schemas.json_strict import decode_json
from tasker_kafka.schemas.limits import RECORD_BYTES
from tasker_kafka.schemas.paths import PathError, PathSteps, parse_path
from tasker_kafka.schemas.records import DomainEvent
from tasker_kafka.topics.headers import header_of
from tasker_kafka.topics.log import Record

__all__ = ["Assignment", "EditFault", "Payload", "assign", "parse_assignment", "payload_of"]

STRUCTURED: Final = "application/cloudevents+json"
_LARGEST: Final = 4 * RECORD_BYTES.maximum


class EditFault(TaskerError):
    """A payload cannot be changed as asked."""


class Payload(msgspec.Struct, frozen=True):
    """An event's payload and the way back into the record."""

    value: Any
    """As JSON decodes it."""
    name: str | None
    """Of the event, as far as the record tells it."""
    _encode: Callable[[bytes], bytes]

    def encoded(self, value: Any) -> bytes:
        """The record's value with this payload instead. EditFault if JSON cannot carry it, or it is too large."""
        try:
            text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
            data = self._encode(text.encode())
        except (TypeError, ValueError) as error:
            raise EditFault(f"the new payload is no JSON value: {error}") from None
        RECORD_BYTES.check(len(data), "the edited record")
        return data


class Assignment(msgspec.Struct, frozen=True):
    """Set what lies at a path of the payload."""

    path: PathSteps
    value: Any
    where: str
    """The path as it was written."""


def payload_of(record: Record, *, codec: Codec = default_codec) -> Payload:
    """The payload of an original record. DecodeError when it is no event with a JSON payload."""
    if record.value is None:
        raise DecodeError("the record has no value")
    try:
        event = codec.decode(record.value, DomainEvent)
    except DecodeError as error:
        return _foreign(record, record.value, error)
    payload = _json(event.payload, "the event's payload")
    return Payload(
        payload, event.name, lambda data: codec.encode(msgspec.structs.replace(event, payload=data))
    )


def parse_assignment(text: str) -> Assignment:
    """`customer.address[0].zip=12345`: what is set where. The value is JSON, or else the text as it is."""
    where, is_given, what = text.partition("=")
    if not is_given or not where.strip():
        raise EditFault(
            f"{text[:80]!r} sets nothing",
            next_step="write PATH=VALUE, as amount=12.5 or customer.mail=ann@example.org",
        )
    where = where.strip()
    try:
        path = parse_path(where if where.startswith("$") else f"$.{where}")
    except PathError as error:
        raise EditFault(f"{where[:80]!r} is no path into a payload: {error}") from None
    if not path:
        raise EditFault(
            "`$` is the whole payload", next_step="give a file with the new payload instead: --edit FILE"
        )
    try:
        value = decode_json(what, max_bytes=_LARGEST, what="the value")
    except DecodeError:
        value = what
    return Assignment(path, value, where)


def assign(payload: Any, assignments: Sequence[Assignment]) -> Any:
    """A copy of the payload with these set, in order.

    The last name of a path may be new; what leads to it must be there. EditFault names what is not.
    """
    made = json.loads(json.dumps(payload))
    for each in assignments:
        *way, last = each.path
        holder = made
        for step in way:
            holder = _below(holder, step, each)
        if isinstance(last, str) and isinstance(holder, dict):
            holder[last] = each.value
        else:
            _below(holder, last, each)
            holder[last] = each.value
    return made


def _below(holder: Any, step: str | int, whole: Assignment) -> Any:
    if isinstance(step, int):
        if isinstance(holder, list) and step < len(holder):
            return holder[step]
    elif isinstance(holder, dict) and step in holder:
        return holder[step]
    found = f"names {', '.join(sorted(holder)[:8])}" if isinstance(holder, dict) else type(holder).__name__
    raise EditFault(
        f"{whole.where[:80]}: there is no {step!r} in the payload",
        next_step=f"there is {found}; a path leads over what exists, only its last name may be new",
    )


def _foreign(record: Record, value: bytes, error: DecodeError) -> Payload:
    """A CloudEvent of somebody else's."""
    kind = (_text(record, "content-type") or "").lower()
    if kind.startswith(STRUCTURED):
        document = _json(value, "the event")
        if isinstance(document, dict) and "data" in document:
            name = document.get("type")
            return Payload(
                document["data"],
                name if isinstance(name, str) else None,
                lambda data: _dump({**document, "data": json.loads(data)}),
            )
        raise DecodeError("the event is a JSON document without `data`")
    name = _text(record, "ce_type")
    if name is None:
        raise error
    return Payload(_json(value, "the event's payload"), name, lambda data: data)


def _json(data: bytes, what: str) -> Any:
    return decode_json(data, max_bytes=_LARGEST, what=what)


def _dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _text(record: Record, header: str) -> str | None:
    value = header_of(record.headers, header)
    return None if value is None else value.decode("utf-8", "replace")
