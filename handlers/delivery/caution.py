"""Which event ends its process? What is known of that in one partition number, kept beside its commits. Pure.

| lost with it | how it was running | what the next owner does |
|---|---|---|
| one process | nobody knows | *watches*: an event starts once a commit names it, so the next loss has few suspects |
| two | named, among others | delivers it alone in the whole process, once a commit says so |
| three | alone | delivers it alone once more |
| four | alone | makes it a dead letter, without a delivery |

A note beside the committed offset says so for each record: 2 it is named, from 3 on that it was delivered alone, how
often, and to which subscription (`_ALONE`). What a member gives back in order is not held against anything.

Watching ends when enough was delivered, or nothing is left of what lay here: then whatever the dead owner may have been
running has come by. If it had not, the next loss begins with another watch, further on.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Final

from .agenda import Agenda
from .jobs import Job, JobState, Lane
from .lanes import PartitionLanes
from .prepared import Subscriptions

__all__ = ["Caution", "Place", "is_suspect"]

Place = tuple[str, int]
"""Topic and offset."""

_NAMED: Final = 2
_ALONE: Final = 3
"""… plus twice the subscription's tag, plus one the second time."""
_TAGS: Final = 4_096
_MOST_ALONE: Final = 2
_ENOUGH: Final = 10_000
"""Events that are watched at most: more than are delivered between two commits."""


def is_suspect(note: int) -> bool:
    """Whether a note beside a committed offset says that the event was delivered alone."""
    return note >= _ALONE


class Caution:
    """Of one partition number, from its assignment on. `on_news`: called when something waits for a commit."""

    def __init__(
        self,
        lanes: PartitionLanes,
        agenda: Agenda,
        subscriptions: Subscriptions,
        suspects: Mapping[Place, int],
        *,
        is_shaken: bool,
        width: int,
        on_news: Callable[[], None],
    ) -> None:
        self.lanes = lanes
        self.on_news = on_news
        self.is_opened = False
        """The log knows that the partition is in use; before that nothing starts."""
        self.is_shaken = is_shaken
        """An owner was lost: everything is watched."""
        self.alone: dict[Lane, None] = {}
        """Whose heads may start only alone."""
        self._agenda = agenda
        self._subscriptions = subscriptions
        self._suspects = dict(suspects)
        self._width = width
        self._waiting: dict[Lane, None] = {}
        self._cleared: set[Job] = set()
        self._named: set[Place] = set()
        self._passed = 0

    # ------------------------------------------------------------------------------------- starting

    def admits(self, lane: Lane) -> bool:
        """Whether the lane's head need not wait for a commit (any more)."""
        head = lane.head
        if head is None or not _can_start(lane, head) or self.lanes.is_closed:
            return True  # it does not start anyway
        if head in self._cleared:
            self._cleared.discard(head)
            return True
        if self.is_opened and not (self.is_shaken or self._is_suspect(head)):
            return True
        if lane not in self.alone:
            self._waiting[lane] = None
            self.on_news()
        return False

    def choose(self) -> list[Job]:
        """Jobs that may start once what is said of them now is committed; those that may only alone are set apart."""
        found: list[Job] = []
        for lane in list(self._waiting):
            if len(self._cleared) + len(found) >= self._width:
                break
            del self._waiting[lane]
            head = lane.head
            if head is None or not _can_start(lane, head):
                continue
            if self._is_suspect(head) and not self.convicts(head):
                self.alone[lane] = None
                continue
            if self.is_shaken:
                self._name(head)
            found.append(head)
        return found

    def clear(self, job: Job) -> None:
        """It may start now."""
        self._passed += 1
        self._cleared.add(job)
        self.lanes.reschedule(job.lane)

    def next_alone(self) -> Job | None:
        """The next that may start only alone; its lane is set apart no longer."""
        while self.alone:
            lane = next(iter(self.alone))
            del self.alone[lane]
            head = lane.head
            if head is not None and _can_start(lane, head) and self._is_suspect(head):
                return head
            self.lanes.reschedule(lane)
        return None

    def clear_alone(self, job: Job) -> None:
        """It may start now, and nothing else."""
        self._cleared.add(job)
        self._agenda.add_alone(job.lane)

    def is_waiting(self, job: Job) -> bool:
        """Whether a job that was cleared has not started yet."""
        return job in self._cleared and not self.lanes.is_closed

    # ------------------------------------------------------------------------------------- notes

    def convicts(self, job: Job) -> bool:
        """Whether it has ended its process often enough."""
        return job.subscription not in self._subscriptions.isolated and self._times(job) >= _MOST_ALONE

    def charge(self, job: Job) -> None:
        """It is about to be delivered alone: what its next owner must know if this process is lost."""
        note = _ALONE + 2 * self._tag(job) + self._times(job)
        for stake in job.stakes:
            stake.watermark.note_delivery(stake.offset, note)

    def discharge(self, job: Job) -> None:
        """Its delivery has ended, and the process lives."""
        if job in self._cleared:  # it was not its turn in time
            self._cleared.discard(job)
            self._waiting[job.lane] = None
        for stake in job.stakes:
            if stake.watermark.deliveries(stake.offset) > _NAMED:
                stake.watermark.note_delivery(
                    stake.offset, self._suspects.get((stake.topic, stake.offset), _NAMED)
                )

    def retract(self) -> None:
        """What was named here and is not done is given back in order: it is no suspect."""
        places = self.lanes.places
        for topic, offset in self._named:
            if places[topic].deliveries(offset) == _NAMED:
                places[topic].note_delivery(offset, 0)
        self._named.clear()

    def calm(self, now_ms: int) -> bool:
        """Look whether nothing needs to be watched any more: whether that is so."""
        places = self.lanes.places
        self._suspects = {
            (topic, offset): note
            for (topic, offset), note in self._suspects.items()
            if places[topic].deliveries(offset) > 1
        }
        if self.is_shaken and (self._passed >= _ENOUGH or self._is_caught_up(now_ms)):
            self.is_shaken = False
        return self.is_opened and not (self.is_shaken or self._suspects)

    def let_all_go(self) -> list[Lane]:
        """Those who waited and need not."""
        lanes, self._waiting = [*self._waiting, *self.alone], {}
        self.alone.clear()
        return lanes

    def _is_caught_up(self, now_ms: int) -> bool:
        lanes = self.lanes
        is_idle = not (
            lanes.held or lanes.loose or lanes.is_busy or self._waiting or self.alone or self._cleared
        )
        return is_idle and lanes.places.is_caught_up and not self._agenda.has_ready(lanes, now_ms)

    def _is_suspect(self, job: Job) -> bool:
        if not self._suspects or job.subscription in self._subscriptions.isolated:
            return False
        return any((each.topic, each.offset) in self._suspects for each in job.stakes)

    def _name(self, job: Job) -> None:
        if job.subscription in self._subscriptions.isolated:
            return
        for stake in job.stakes:
            if stake.watermark.deliveries(stake.offset) < _NAMED:
                stake.watermark.note_delivery(stake.offset, _NAMED)
                self._named.add((stake.topic, stake.offset))

    def _times(self, job: Job) -> int:
        """How often its process was lost while it was alone."""
        notes = [self._suspects.get((each.topic, each.offset), 0) - _ALONE for each in job.stakes]
        return max((note % 2 + 1 for note in notes if note >= 0 and note // 2 == self._tag(job)), default=0)

    def _tag(self, job: Job) -> int:
        return zlib.crc32(self._subscriptions[job.subscription].name.encode()) % _TAGS


def _can_start(lane: Lane, head: Job) -> bool:
    return lane.current is None and head.state is JobState.WAITING and not head.is_gated
