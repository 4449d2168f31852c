"""A domain event as a subscriber sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from tasker_kafka.schemas.words import Delivery

__all__ = ["DomainEvent", "EventMetadata"]

PayloadT = TypeVar("PayloadT")


@dataclass(frozen=True, slots=True, kw_only=True)
class EventMetadata:
    """Where an event comes from. Ids are UUID text; a foreign event has few of these."""

    fired_at: datetime
    """With zone."""
    fired_by: str = ""
    task_id: str | None = None
    step_id: str | None = None
    step_name: str | None = None
    attempt: int | None = None
    template: str | None = None
    template_version: str | None = None
    environment: str = ""
    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainEvent(Generic[PayloadT]):
    """One delivery of a domain event."""

    event_id: str
    """The same for every repeat and every group: the key for effects that must happen once."""
    name: str
    version: str
    namespace: str
    delivery: Delivery
    """What its publisher promised."""
    key: str
    """Events of one key are delivered in order."""
    payload: PayloadT
    """As the subscription's model, else as decoded JSON."""
    metadata: EventMetadata
    topic: str
    partition: int
    offset: int
    """Where the original lies, also for a retry or a redrive."""
    headers: Mapping[str, bytes] = field(default_factory=dict)
    delivery_attempt: int = 1
    """How often it has been delivered to this subscription, this time included; 1 is the first."""
    is_redriven: bool = False
