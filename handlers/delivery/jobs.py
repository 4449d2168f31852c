"""A job, one event for one subscription, and what holds it in the log."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Any

from tasker_kafka.handlers.subscribing.event import DomainEvent
from tasker_kafka.handlers.watermark import Watermark
from tasker_kafka.topics.log import Record

from .journey import Journey

if TYPE_CHECKING:
    from .agenda import Lane

__all__ = ["Job", "JobState", "Stake", "copied"]


class JobState(Enum):
    """Where a job stands. Its lane's state machine is in `lanes`."""

    WAITING = "waiting"
    RUNNING = "running"
    """Its handler runs, or what follows from its end is being written."""
    MOVING = "moving"
    """It is being written to a retry topic."""
    STOPPED = "stopped"
    """It may be neither retried nor skipped: its lane stands still."""
    DONE = "done"


class Stake:
    """A record in the log, and how many jobs still need it."""

    __slots__ = ("jobs", "offset", "topic", "watermark")

    def __init__(self, topic: str, watermark: Watermark, offset: int, jobs: int) -> None:
        self.topic = topic
        self.watermark = watermark
        self.offset = offset
        self.jobs = jobs

    def release(self) -> bool:
        """One job less; with the last one the record is finished. Whether that is so before it was read."""
        self.jobs -= 1
        if self.jobs:
            return False
        self.watermark.finish(self.offset)
        return self.offset >= self.watermark.position

    def __str__(self) -> str:
        return f"{self.topic}@{self.offset}"


class Job:
    """One event for one subscription."""

    __slots__ = (
        "count",
        "event",
        "is_brief",
        "is_gated",
        "is_loose",
        "is_stopped",
        "is_stored",
        "journey",
        "lane",
        "record",
        "renew_at",
        "stakes",
        "started_at",
        "state",
        "stored_in",
        "subscription",
    )

    def __init__(
        self,
        subscription: int,
        record: Record,
        event: DomainEvent[Any] | None,
        stakes: list[Stake],
        *,
        journey: Journey | None = None,
        is_loose: bool = False,
    ) -> None:
        self.subscription = subscription
        """Its place in the group's specification."""
        self.record = record
        """The original."""
        self.event = event
        """None: to be decoded when it is due; what lies parked costs its bytes only."""
        self.stakes = stakes
        self.journey = journey
        """None: it has never failed and never been moved."""
        self.is_loose = is_loose
        """Fire and forget: nothing in the log waits for it."""
        self.is_stored = journey is not None
        """It lies in a retry topic."""
        self.is_brief = False
        """It waits for its time in memory, wherever its record lies."""
        self.is_gated = False
        """It waits until its source has been read up to it: an earlier event of its lane may still lie there."""
        self.is_stopped = False
        """It may not run again here: its lane stands still, also while its record is being written."""
        self.stored_in: str | None = None
        """The retry topic that its newest record lies in, as far as it is known."""
        self.renew_at = 0
        """When that record is to be written again, ms: its topic does not keep it for ever. 0: it need not be."""
        self.count = 0 if journey is None else journey.redrive_count
        self.state = JobState.WAITING
        self.started_at = 0
        self.lane: Lane

    @property
    def due_at(self) -> int:
        """Not to be delivered before, ms; 0: at once."""
        return 0 if self.journey is None else self.journey.due_at

    @property
    def identity(self) -> Identity:
        """What makes it the same job wherever a copy of it lies."""
        return (self.subscription, self.record.topic, self.record.offset, self.count)

    def repeats_of(self, event: DomainEvent[Any]) -> tuple[int, str, str, int]:
        """By which a repeat of its event is recognised; ids of foreign events are unique for their source only."""
        return (self.subscription, event.namespace, event.event_id, self.count)

    @property
    def size(self) -> int:
        """Bytes that it keeps in memory, about."""
        return len(self.record.value or b"") + _OVERHEAD

    def __str__(self) -> str:
        return f"{self.record.topic}/{self.record.partition}@{self.record.offset}"


Identity = tuple[int, str, int, int]
"""Subscription, topic, offset, how often it was redriven."""

_OVERHEAD = 512


def copied(event: DomainEvent[Any]) -> DomainEvent[Any]:
    """The event for a further handler: what one does to the payload, no other sees."""
    return replace(event, payload=deepcopy(event.payload))
