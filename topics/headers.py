"""Record headers: what is needed of a record before, or without, decoding it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from tasker_kafka.schemas.identity import format_id
from tasker_kafka.schemas.records import DomainEvent

from .log import Headers

__all__ = [
    "DELIVERY",
    "OWNER",
    "TRACEPARENT",
    "for_event",
    "for_owner",
    "for_trace",
    "header_of",
    "owner_of",
    "traceparent_of",
]

OWNER: Final = "tasker-owner"
"""Number of the partition's owner who wrote the record, ASCII decimal: the offset of its owner marker."""
DELIVERY: Final = "tasker-delivery"
"""What is promised for a domain event: fire_and_forget, durable or acknowledged."""
TRACEPARENT: Final = "traceparent"
"""W3C trace context."""

_LONGEST_NUMBER: Final = 19
_LONGEST_TRACE: Final = 256
"""Version 00 has 55 characters; later versions may append to them."""


def header_of(headers: Headers, name: str) -> bytes | None:
    """The first header of this name."""
    for key, value in headers:
        if key == name:
            return value
    return None


def for_owner(owner: int) -> Headers:
    """Headers of a record that a partition's owner writes."""
    return ((OWNER, b"%d" % owner),)


def owner_of(headers: Headers) -> int | None:
    """The owner's number; None when the record carries none, or no number."""
    value = header_of(headers, OWNER)
    if value is None or not value.isdigit() or len(value) > _LONGEST_NUMBER:
        return None
    return int(value)


def for_trace(traceparent: str | None) -> Headers:
    """Headers that hand a trace on; none without one."""
    return () if traceparent is None else ((TRACEPARENT, traceparent.encode()),)


def traceparent_of(headers: Headers) -> str | None:
    """The W3C trace context; None when there is none, or it is too long, or no ASCII text.

    It is handed on with every record of the task, so a long one would make records that no topic takes.
    """
    value = header_of(headers, TRACEPARENT)
    if value is None or len(value) > _LONGEST_TRACE:
        return None
    try:
        return value.decode("ascii")
    except UnicodeDecodeError:
        return None


def for_event(event: DomainEvent) -> Headers:
    """CloudEvents 1.0 in binary mode, so that filters and foreign consumers need no decoding."""
    time = datetime.fromtimestamp(event.fired_at / 1000, UTC).isoformat(timespec="milliseconds")
    found = [
        ("ce_specversion", "1.0"),
        ("ce_id", format_id(event.event_id)),
        ("ce_type", event.name),
        ("ce_source", f"/tasker/{event.namespace}"),
        ("ce_time", time.replace("+00:00", "Z")),
        ("content-type", "application/avro"),
        (DELIVERY, event.delivery),
    ]
    if event.task_id is not None:
        found.append(("ce_subject", format_id(event.task_id)))
    return tuple((name, value.encode()) for name, value in found)
