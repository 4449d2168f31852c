"""A job, one event for one subscription: what holds it in the log, the lane it waits in, and what may become of it."""

from __future__ import annotations

from collections.abc import Callable, Container
from copy import deepcopy
from dataclasses import replace
from enum import Enum
from typing import Any, Protocol

from tasker_kafka.handlers.subscribing.event import DomainEvent
from tasker_kafka.handlers.watermark import Watermark
from tasker_kafka.topics.log import Record, TopicPartitionOffset

from .journey import Journey

__all__ = ["Gate", "Identity", "Job", "JobState", "Lane", "LaneKey", "LaneOwner", "Stake", "copied"]


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
    def is_movable(self) -> bool:
        """It waits in its source: it can be moved to a retry topic, out of the way."""
        return self.state is JobState.WAITING and not self.is_stored and not self.is_loose

    @property
    def size(self) -> int:
        """Bytes that it keeps in memory, about."""
        return len(self.record.value or b"") + _OVERHEAD

    def __str__(self) -> str:
        return f"{self.record.topic}/{self.record.partition}@{self.record.offset}"


Identity = tuple[int, str, int, int]
"""Subscription, topic, offset, how often it was redriven."""
LaneKey = tuple[int, str, object, bool]
"""Subscription, source topic, what orders it, whether it is fire and forget."""

_OVERHEAD = 512


class Lane:
    """The jobs that wait for one another."""

    __slots__ = ("current", "is_ready", "is_stopped", "key", "owner", "parked_in", "timer_at", "waiting")

    def __init__(self, key: LaneKey, owner: LaneOwner) -> None:
        self.key = key
        self.owner = owner
        self.current: Job | None = None
        """Started, or the head that is being moved or stands still."""
        self.waiting: list[tuple[int, int, Job]] = []
        """A heap by original offset and redrives."""
        self.is_ready = False
        """It is on the agenda."""
        self.is_stopped = False
        """Its first job may be neither retried nor skipped: it stands still."""
        self.timer_at = 0
        """When the agenda looks at it (ms); 0: it does not."""
        self.parked_in: str | None = None
        """The retry topic in which its head waits for its time: where its successors go, too."""

    @property
    def head(self) -> Job | None:
        """The first that waits."""
        return self.waiting[0][2] if self.waiting else None


class LaneOwner(Protocol):
    """The partition number that a lane is of: what whoever holds a job or a lane may say or ask.

    What each does to the lane is drawn in `lanes`, which keeps them.
    """

    number: int
    caution: Gate | None
    surplus: list[tuple[Job, str]]
    """Successors of parked heads, to be moved to that topic; whoever moves them takes them out."""

    @property
    def places(self) -> Container[str]:
        """The topics of which this partition number is ours."""
        ...

    def woken(self, lane: Lane, now_ms: int) -> None:
        """A time that the lane waited for has come."""
        ...

    def start(self, lane: Lane, now_ms: int) -> Job | None:
        """Start its head, if that can be."""
        ...

    def reschedule(self, lane: Lane) -> None:
        """A lane whose job was put back can go on."""
        ...

    def put_back(self, job: Job) -> None:
        """It was started and has not run."""
        ...

    def finish(self, job: Job) -> None:
        """It is done."""
        ...

    def delay(self, job: Job, journey: Journey) -> None:
        """It has failed, and waits in memory."""
        ...

    def stop(self, job: Job) -> None:
        """It has failed for the last time, and there is nowhere to put it."""
        ...

    def can_move(self, job: Job) -> bool:
        """Whether a job of `surplus` still waits where it was."""
        ...

    def move(self, job: Job, journey: Journey) -> None:
        """It is about to be written to a retry topic."""
        ...

    def moved(self, job: Job, place: TopicPartitionOffset, now_ms: int) -> None:
        """It lies there now."""
        ...

    def stay(self, job: Job, now_ms: int) -> None:
        """It cannot be moved."""
        ...


class Gate(Protocol):
    """Asked before anything of a partition number starts, while something of it is suspect (`caution`)."""

    on_news: Callable[[], None]
    """Something of it has ended, or has not begun."""

    def admits(self, lane: Lane) -> bool:
        """Whether the lane's head need not wait for a commit (any more)."""
        ...

    def convicts(self, job: Job) -> bool:
        """Whether it has ended its process often enough."""
        ...


def copied(event: DomainEvent[Any]) -> DomainEvent[Any]:
    """The event for a further handler: what one does to the payload, no other sees."""
    return replace(event, payload=deepcopy(event.payload))
