"""A domain event as a record of its namespace's topic."""

from __future__ import annotations

from collections.abc import Callable

from tasker_kafka.schemas.records import DomainEvent

from .headers import for_event, for_trace
from .log import Headers, Write
from .names import TopicNames

__all__ = ["event_write"]


def event_write(
    event: DomainEvent,
    names: TopicNames,
    encode: Callable[[DomainEvent], bytes],
    *,
    traceparent: str | None = None,
    headers: Headers = (),
) -> Write:
    """The record of an event, with CloudEvents headers. `headers`: what stands before them."""
    own = headers + for_event(event) + for_trace(traceparent)
    return Write(names.domain_events(event.namespace), event.key.encode(), encode(event), own)
