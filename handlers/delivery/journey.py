"""What has happened to a record on its way to one subscription, and how it travels beside the original's bytes."""

from __future__ import annotations

from enum import StrEnum

import msgspec

__all__ = ["FailureClass", "Journey"]


class FailureClass(StrEnum):
    """Why a record became a dead letter."""

    DECODE = "decode"
    SCHEMA = "schema"
    HANDLER = "handler"
    TIMEOUT = "timeout"
    EXPIRED = "expired"
    BLOCKED_BY_KEY = "blocked_by_key"
    UNACKNOWLEDGED = "unacknowledged"


class Journey(msgspec.Struct, frozen=True, kw_only=True):
    """One record's way to one subscription of one group. Times are ms since 1970 UTC."""

    group: str
    subscription: str
    """Empty for a record that could not be decoded: it belongs to the whole group."""
    topic: str
    """Where the original lies."""
    partition: int
    offset: int
    timestamp: int
    attempts: int = 0
    """Deliveries that have failed."""
    due_at: int = 0
    """Not to be delivered before; 0: at once."""
    event_id: str | None = None
    first_failed_at: int | None = None
    last_failed_at: int | None = None
    failure_class: FailureClass | None = None
    error_type: str | None = None
    message: str | None = None
    """Bounded and redacted."""
    stack: str | None = None
    """Bounded."""
    redrive_count: int = 0
