"""From a record to a domain event: Tasker's envelope (Avro), or a CloudEvent of anybody.

CloudEvents 1.0 come in binary mode (attributes in headers `ce_…`, the value is the data) or in structured mode (the
value is one JSON object). Data must be JSON. What is neither is a DecodeError that says why; nothing else leaves
`decode_event`, however the bytes were made. SchemaUnknown, a DecodeError too, may mean a newer release.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from tasker_kafka.handlers.subscribing.event import DomainEvent, EventMetadata
from tasker_kafka.schemas.codec import Codec
from tasker_kafka.schemas.codec import codec as default_codec
from tasker_kafka.schemas.deliveries import DomainEvent as Envelope
from tasker_kafka.schemas.errors import DecodeError
from tasker_kafka.schemas.identity import format_id
from tasker_kafka.schemas.json_strict import decode_json
from tasker_kafka.schemas.limits import JSON_DEPTH, MAX_VALUE_BYTES
from tasker_kafka.schemas.words import Delivery
from tasker_kafka.topics.headers import TRACEPARENT, traceparent_of
from tasker_kafka.topics.log import Record

__all__ = ["CE_TYPE", "decode_event", "name_of"]

CE_TYPE: Final = "ce_type"
"""The header with the event's name."""

_AVRO: Final = b"application/avro"
_SINGLE_OBJECT: Final = b"\xc3\x01"
_STRUCTURED: Final = "application/cloudevents+json"
_MAJOR: Final = "1"
_MOST_TEXT: Final = 1024
"""Characters of an attribute; names and ids become parts of keys, logs and headers."""
_FOREIGN_VERSION: Final = "1.0"
_quick_json: Final = msgspec.json.Decoder().decode


def name_of(record: Record) -> str | None:
    """The event's name as a header says it, without decoding; None when no header does."""
    for name, value in record.headers:
        if name == CE_TYPE:
            return value.decode("utf-8", "replace")
    return None


def decode_event(record: Record, codec: Codec = default_codec) -> DomainEvent[Any]:
    """The event in a record, its payload as decoded JSON. DecodeError when there is none."""
    value = record.value
    if value is None:
        raise DecodeError("the record has no value, so there is no event in it")
    headers = dict(record.headers)
    if value.startswith(_SINGLE_OBJECT) or headers.get("content-type") == _AVRO:
        return _from_envelope(codec.decode(value, Envelope), record, headers)
    if len(value) > MAX_VALUE_BYTES:
        raise DecodeError(f"the value has {len(value)} bytes; at most {MAX_VALUE_BYTES} are read")
    try:
        if "ce_specversion" in headers:
            return _from_binary(record, headers)
        return _from_structured(record, headers)
    except (ValueError, OverflowError, OSError) as error:
        raise DecodeError(f"an attribute of the event cannot be read: {error}") from None


def _from_envelope(found: Envelope, record: Record, headers: Mapping[str, bytes]) -> DomainEvent[Any]:
    if max(len(found.name), len(found.namespace)) > _MOST_TEXT:
        raise DecodeError(f"the event's name or namespace is longer than {_MOST_TEXT} characters")
    try:
        fired_at = datetime.fromtimestamp(found.fired_at / 1000, UTC)
        event_id = format_id(found.event_id)
        metadata = EventMetadata(
            fired_at=fired_at,
            fired_by=found.fired_by,
            task_id=None if found.task_id is None else format_id(found.task_id),
            step_id=None if found.step_id is None else format_id(found.step_id),
            step_name=found.step_name,
            attempt=found.attempt,
            template=found.template,
            template_version=found.template_version,
            environment=found.environment,
            correlation_id=found.correlation_id,
            causation_id=found.causation_id,
            traceparent=traceparent_of(record.headers) if TRACEPARENT in headers else None,
        )
    except (ValueError, OverflowError, OSError) as error:
        raise DecodeError(f"a field of the envelope is out of its range: {error}") from None
    return DomainEvent(
        event_id=event_id,
        name=found.name,
        version=found.version,
        namespace=found.namespace,
        delivery=found.delivery,
        key=found.key,
        payload=_json(found.payload),
        metadata=metadata,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        headers=headers,
    )


# ------------------------------------------------------------------------------------------------ CloudEvents


def _from_binary(record: Record, headers: Mapping[str, bytes]) -> DomainEvent[Any]:
    attributes: dict[str, Any] = {
        name[3:]: value.decode() for name, value in headers.items() if name.startswith("ce_")
    }
    kind = headers.get("content-type", b"application/json").decode("ascii", "replace")
    return _event(record, headers, attributes, _data(record.value or b"", kind))


def _from_structured(record: Record, headers: Mapping[str, bytes]) -> DomainEvent[Any]:
    kind = headers.get("content-type", _STRUCTURED.encode()).decode("ascii", "replace")
    value = record.value or b""
    if not (kind.startswith((_STRUCTURED, "application/json")) and value.lstrip()[:1] == b"{"):
        raise DecodeError(
            "the record is neither Tasker's envelope nor a CloudEvent",
            next_step="produce CloudEvents: headers ce_specversion, ce_id, ce_source and ce_type, or one JSON object",
        )
    found = _json(value)
    data = found.pop("data", None)
    if "data_base64" in found:
        try:
            raw = base64.b64decode(found.pop("data_base64"), validate=True)
        except (binascii.Error, TypeError, ValueError):
            raise DecodeError("the attribute data_base64 is no Base64") from None
        data = _data(raw, str(found.get("datacontenttype", "application/json")))
    return _event(record, headers, found, data)


def _event(
    record: Record, headers: Mapping[str, bytes], attributes: dict[str, Any], data: Any
) -> DomainEvent[Any]:
    version = _text(attributes, "specversion")
    if version.partition(".")[0] != _MAJOR:
        raise DecodeError(f"the event is of CloudEvents {version}; 1.x is read")
    key = record.key.decode("utf-8", "replace") if record.key is not None else ""
    return DomainEvent(
        event_id=_text(attributes, "id"),
        name=_text(attributes, "type"),
        version=_FOREIGN_VERSION,
        namespace=_text(attributes, "source"),
        delivery=Delivery.DURABLE,
        key=key,
        payload=data,
        metadata=EventMetadata(
            fired_at=_time(attributes.get("time"), record.timestamp),
            fired_by=_text(attributes, "source"),
            correlation_id=_optional(attributes, "correlationid"),
            causation_id=_optional(attributes, "causationid"),
            traceparent=traceparent_of(record.headers) or _optional(attributes, TRACEPARENT),
        ),
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        headers=headers,
    )


def _text(attributes: Mapping[str, Any], name: str) -> str:
    value = attributes.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= _MOST_TEXT:
        raise DecodeError(f"the event's attribute {name} is missing, empty, too long or no text")
    return value


def _optional(attributes: Mapping[str, Any], name: str) -> str | None:
    value = attributes.get(name)
    return value if isinstance(value, str) and len(value) <= _MOST_TEXT else None


def _time(value: object, timestamp: int) -> datetime:
    """The event's time, with a zone; the record's where there is none."""
    if value is None:
        return datetime.fromtimestamp(max(0, timestamp) / 1000, UTC)
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        raise DecodeError("the event's attribute time is no time (RFC 3339)") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _data(value: bytes, kind: str) -> Any:
    """Data of this content type."""
    plain = kind.partition(";")[0].strip().lower()
    if plain not in {"application/json", "text/json"} and not plain.endswith("+json"):
        raise DecodeError(f"the event's data are {plain[:80]!r}; JSON is read")
    return _json(value) if value else None


def _json(data: bytes) -> Any:
    """The value of JSON text; flat text takes the quick way, which knows no limit of depth of its own."""
    if data.count(b"{") + data.count(b"[") <= JSON_DEPTH.maximum:
        try:
            return _quick_json(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass  # the strict reader says what is wrong, and where
    return decode_json(data, max_bytes=MAX_VALUE_BYTES, what="payload")
