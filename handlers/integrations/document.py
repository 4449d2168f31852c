"""An event as one JSON object, as webhooks and the audit log hand it on: ours, or CloudEvents 1.0."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from tasker_kafka.handlers.subscribing.event import DomainEvent

from .facts import Facts
from .texts import payload_of

__all__ = ["DOCUMENT_KEYS", "cloud_event", "event_document", "utc_text"]

_METADATA: Final = (
    "task_id",
    "step_id",
    "step_name",
    "attempt",
    "template",
    "template_version",
    "environment",
    "correlation_id",
    "causation_id",
    "fired_by",
)
DOCUMENT_KEYS: Final = frozenset(
    {
        "event_id",
        "name",
        "version",
        "namespace",
        "key",
        "fired_at",
        "delivery",
        "outcome",
        "headline",
        "error_type",
        "error_code",
        "error_message",
        "payload",
        *_METADATA,
    }
)
"""Keys of the document, all of which are always there."""


def utc_text(at: datetime) -> str:
    """RFC 3339 in UTC with milliseconds: `2026-03-01T12:00:00.000Z`."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def event_document(event: DomainEvent[Any], facts: Facts, *, redacted: bool = False) -> dict[str, Any]:
    """Every key of `DOCUMENT_KEYS`; `payload` as it was declared, or redacted; the error's texts always redacted."""
    document: dict[str, Any] = {
        "event_id": event.event_id,
        "name": event.name,
        "version": event.version,
        "namespace": event.namespace,
        "key": event.key,
        "fired_at": utc_text(event.metadata.fired_at),
        "delivery": str(event.delivery),
        "outcome": str(facts.outcome),
        "headline": facts.headline,
        "error_type": None if facts.error is None else facts.error.type,
        "error_code": None if facts.error is None else facts.error.code,
        "error_message": None if facts.error is None else facts.error.message,
    }
    document.update({name: getattr(event.metadata, name) for name in _METADATA})
    document["payload"] = facts.payload if redacted else facts.declared
    return document


def cloud_event(event: DomainEvent[Any]) -> dict[str, Any]:
    """CloudEvents 1.0 in structured mode, its attributes as in the record's headers.

    Source: cloudevents.io, spec 1.0.2, "JSON Event Format"; extension attributes are lower-case letters and digits.
    """
    about = event.metadata
    found: dict[str, Any] = {
        "specversion": "1.0",
        "id": event.event_id,
        "type": event.name,
        "source": f"/tasker/{event.namespace}",
        "time": utc_text(about.fired_at),
        "datacontenttype": "application/json",
    }
    further = {
        "subject": about.task_id,
        "partitionkey": event.key,
        "correlationid": about.correlation_id,
        "causationid": about.causation_id,
        "traceparent": about.traceparent,
        "environment": about.environment or None,
        "eventversion": event.version,
    }
    found.update({name: value for name, value in further.items() if value is not None})
    found["data"] = payload_of(event.payload)
    return found
