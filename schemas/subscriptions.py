"""What subscriber groups and those who watch them write down: receipts, the registry, acts about dead letters."""

from __future__ import annotations

import msgspec

from .words import DeadLetterAction, Delivery, ReceiptOutcome

__all__ = ["DeadLetterAct", "GroupSubscription", "Receipt", "SubscriberGroup"]


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one acknowledged event at one subscription of one group (receipts topic, compacted).

    A later receipt of the same event, group and subscription replaces an earlier one; that it was missing is a fact
    of its own, which a receipt that comes late does not replace.
    """

    namespace: str
    """The event's; of a foreign one its source."""
    event_id: str
    """UUID text, or what a foreign publisher gave it, which is unique for its source only."""
    event_name: str
    group: str
    subscription: str
    outcome: ReceiptOutcome
    topic: str
    """Where the event's original lies."""
    partition: int
    offset: int
    at: int
    deliveries: int
    """Deliveries it took; 0 when it was never delivered."""
    written_by: str


class GroupSubscription(msgspec.Struct, frozen=True, kw_only=True):
    """One subscription of a group, as the registry tells it."""

    name: str
    patterns: tuple[str, ...]
    since: int
    """It owes receipts for events from then on."""
    delivery: Delivery | None = None
    """How it takes every event; None: as each was published."""
    headers: tuple[tuple[str, bytes], ...] = ()
    """It takes only events that carry these headers with these values."""
    fields: bytes = b""
    """JSON object, path → value: it takes only events whose payload holds them. Empty: no such filter."""


class SubscriberGroup(msgspec.Struct, frozen=True, kw_only=True):
    """A subscriber group's word of itself (groups topic, compacted; tombstone: forgotten)."""

    group: str
    subscriptions: tuple[GroupSubscription, ...]
    namespaces: tuple[str, ...]
    topics: tuple[str, ...]
    retry_topics: tuple[str, ...]
    ordering: str
    version: str
    announced_by: str
    announced_at: int


class DeadLetterAct(msgspec.Struct, frozen=True, kw_only=True):
    """What was done about a dead letter; lies in the same topic and partition after it, under its key."""

    action: DeadLetterAction
    offset: int
    """Of the dead letter."""
    group: str
    subscription: str
    """Empty: the whole group's, as of a record that could not be decoded."""
    at: int
    actor: str
    reason: str
    event_id: str | None = None
    changes: tuple[str, ...] = ()
    """Paths in the payload that were edited before it was redriven."""
    redriven_topic: str | None = None
    redriven_partition: int | None = None
