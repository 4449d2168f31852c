"""The lanes of one partition number: which job may run when, and what is finished. Pure: times are given, nothing is
read or written.

A lane is all jobs of one subscription, source topic and key. Its order is that of the ORIGINAL offsets, wherever the
records lie by now: a retry topic is only durable storage, and the head of a lane alone decides when it goes on.

```
              start                success, dead letter acknowledged
   WAITING ──────────▶ RUNNING ───────────────────────────────────────▶ DONE: every record of it is finished
    ▲ ▲ ▲                │ │ │
    │ │ └─── delay ──────┘ │ └──── stop (no dead letter queue) ──▶ STOPPED: the lane stands still
    │ │  (due in memory)   │
    │ └──── move ◀─────────┘ (due through a retry topic)
    │        │
    │     MOVING ◀── move ── WAITING (a successor of a parked head)
    └─ moved ┘ acknowledged: the records before it are finished, the job's record is now the one in the retry topic
```

What a crash between two effects leaves. Effects: (1) the handler has run, (2) the record in the retry topic, dead
letter or receipt is acknowledged, (3) the record before it counts as finished, (4) that is committed.

1. before (1): nothing. The next owner reads the record again.
2. between (1) and (2): the record is unfinished, so it is delivered again. The failed attempt is not remembered.
3. between (2) and (4): two copies of one job, the record before and the one written. They have one identity
   (subscription, original place, redrives), and retry topics are read to their end before the sources: the job
   waits as the newer copy says, and the older one is recognised and finished with it. After a dead letter there
   is no copy to recognise it by: it is delivered again, and may be a dead letter twice.
4. after (4): nothing.

Two rules keep the order over a crash. A job of a retry topic does not run before its source has been read up to
it (`is_gated`): a predecessor that was never moved still lies there. And no record of a source is admitted before
the retry topics are loaded: a predecessor that was moved lies there.

A topic keeps its records for a time only. A job whose record has lain in a retry topic for half of that time is moved
once more, to the same one (`aged`); so is what stands still in a lane that has stopped, wherever it lies.

Every record taken in is finished once its last job is done, moved (acknowledged), or has none. Memory is bounded by
who calls: `held` and `parked` say how much there is, `stuck_successors` what can be moved out of the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from heapq import heappop, heappush
from types import MappingProxyType
from typing import Any

from tasker_kafka.handlers.subscribing.event import DomainEvent
from tasker_kafka.handlers.subscribing.subscription import Ordering
from tasker_kafka.topics.log import Record, TopicPartitionOffset

from .agenda import Agenda
from .ages import Ages
from .jobs import Gate, Identity, Job, JobState, Lane, LaneKey, Stake, copied
from .journey import Journey
from .places import Places

__all__ = ["PartitionLanes"]

_EVER: Mapping[str, int] = MappingProxyType({})


class PartitionLanes:
    """All lanes of one partition number of a group, from assignment to revocation."""

    def __init__(
        self, number: int, agenda: Agenda, *, ordering: Ordering = "key", kept_ms: Mapping[str, int] = _EVER
    ) -> None:
        self.number = number
        self.places = Places()
        self.is_closed = False
        """Nothing more is started."""
        self.is_lost = False
        """The partition is somebody else's."""
        self.held = 0
        """Jobs whose records lie in a source (fire and forget left out)."""
        self.held_bytes = 0
        self.parked = 0
        """Jobs whose records lie in a retry topic."""
        self.parked_bytes = 0
        self.loose = 0
        """Jobs that nothing in the log waits for."""
        self.running = 0
        """Jobs whose handlers run, or whose end is being written."""
        self.moving = 0
        """Jobs that are being written to a retry topic."""
        self.unread = 0
        """Records that are no event and are on their way to the dead letters."""
        self.caution: Gate | None = None
        self.surplus: list[tuple[Job, str]] = []
        """Successors of parked heads, to be moved to that topic; whoever moves them takes them out."""
        self._ages = Ages(kept_ms)
        self._agenda = agenda
        self._ordering = ordering
        self._lanes: dict[LaneKey, Lane] = {}
        self._stored: dict[Identity, Job] = {}
        self._settled: set[tuple[str, int]] = set()

    @property
    def is_busy(self) -> bool:
        """Something runs or is being written."""
        return bool(self.running or self.moving or self.unread)

    # ------------------------------------------------------------------------------------- intake

    def taken_in(self, topic: str) -> None:
        """All that was taken in of this topic is admitted or skipped."""
        if self.places.loaded_by(topic):
            for lane in list(self._lanes.values()):
                self._schedule(lane)
        for job in self.places.opened_gates(topic):
            self._schedule(job.lane)

    def skip(self, topic: str, offset: int) -> None:
        """This record has no job."""
        self.places[topic].finish(offset)

    def admit(
        self, record: Record, event: DomainEvent[Any] | None, subscriptions: Sequence[tuple[int, bool]]
    ) -> list[Job]:
        """A source's record becomes a job for each of `subscriptions` (place, fire and forget): the new ones."""
        firm = sum(1 for _, is_loose in subscriptions if not is_loose)
        stake = Stake(record.topic, self.places[record.topic], record.offset, firm)
        if not firm:
            stake.watermark.finish(record.offset)
        found: list[Job] = []
        for subscription, is_loose in subscriptions:
            if not is_loose:
                known = self._stored.get((subscription, record.topic, record.offset, 0))
                if known is not None:
                    known.stakes.append(stake)
                    continue
            own = event if not found or event is None else copied(event)
            job = Job(subscription, record, own, [] if is_loose else [stake], is_loose=is_loose)
            self._add(job)
            found.append(job)
        return found

    def admit_stored(self, stored: Record, original: Record, journeys: Mapping[int, Journey]) -> None:
        """A retry topic's record becomes a job of each subscription, or is one more copy of a job that is known."""
        stake = Stake(stored.topic, self.places[stored.topic], stored.offset, len(journeys))
        if (stored.topic, stored.offset) in self._settled:
            self._settled.discard((stored.topic, stored.offset))
            stake.watermark.finish(stored.offset)
            return
        for subscription, journey in journeys.items():
            known = self._find(subscription, original, journey)
            if known is None:
                known = Job(subscription, original, None, [stake], journey=journey)
                self._add_stored(known)
            else:
                self._add_copy(known, stake, journey)
            self._ages.found(known, stored.topic, stored.timestamp)

    def _add_copy(self, known: Job, stake: Stake, journey: Journey) -> None:
        if any(each.offset == stake.offset and each.topic == stake.topic for each in known.stakes):
            return
        known.stakes.append(stake)
        if known.state is JobState.WAITING and _is_newer(journey, known.journey):
            self._store(known)
            known.journey = journey
            self._schedule(known.lane)

    def _find(self, subscription: int, original: Record, journey: Journey) -> Job | None:
        identity = (subscription, original.topic, original.offset, journey.redrive_count)
        known = self._stored.get(identity)
        if known is not None:
            return known
        lane = self._lanes.get(self._lane_key(subscription, original, is_loose=False))
        if lane is None:
            return None
        jobs = (*filter(None, [lane.current]), *(entry[2] for entry in lane.waiting))
        return next((job for job in jobs if job.identity == identity), None)

    def _add_stored(self, job: Job) -> None:
        self.places.gate(job)
        self._stored[job.identity] = job
        self._add(job)

    def _lane_key(self, subscription: int, record: Record, *, is_loose: bool) -> LaneKey:
        if self._ordering == "partition":
            return (subscription, record.topic, None, is_loose)
        if self._ordering == "none" or record.key is None:
            return (subscription, record.topic, record.offset, is_loose)
        return (subscription, record.topic, record.key, is_loose)

    def _add(self, job: Job) -> None:
        key = self._lane_key(job.subscription, job.record, is_loose=job.is_loose)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(key, self)
        job.lane = lane
        heappush(lane.waiting, (job.record.offset, job.count, job))
        self._count(job, 1)
        if lane.is_stopped:
            self._ages.stands_still(job)
        if lane.parked_in is not None and not job.is_stored:
            self.surplus.append((job, lane.parked_in))
        elif lane.current is None and not lane.is_ready:
            self._schedule(lane)

    def _count(self, job: Job, by: int) -> None:
        if job.is_loose:
            self.loose += by
        elif job.is_stored:
            self.parked += by
            self.parked_bytes += by * job.size
        else:
            self.held += by
            self.held_bytes += by * job.size

    # ------------------------------------------------------------------------------------- running

    def _schedule(self, lane: Lane) -> None:
        """Put a lane on the agenda, if its head can go on by itself."""
        if lane.current is not None or lane.is_ready or not self.places.is_loaded:
            return
        head = lane.head
        if head is None:
            self._lanes.pop(lane.key, None)
        elif head.state is JobState.WAITING and not head.is_gated:
            if head.due_at:
                self._park(lane, head)
                self._agenda.add_at(head.due_at, lane)
            else:
                self._agenda.add(lane)

    def woken(self, lane: Lane, now_ms: int) -> None:
        """A time that the lane waited for has come; it may wait for another by now."""
        head = lane.head
        if head is None or lane.current is not None or lane.is_ready:
            return
        if head.state is JobState.WAITING and not head.is_gated and head.due_at <= now_ms:
            self._agenda.add(lane)
        else:
            self._schedule(lane)

    def start(self, lane: Lane, now_ms: int) -> Job | None:
        """Start the lane's head, if it is still one that can be started."""
        head = lane.head
        if head is None or lane.current is not None or self.is_closed:
            return None
        if head.state is not JobState.WAITING or head.is_gated or head.due_at > now_ms:
            self._schedule(lane)
            return None
        heappop(lane.waiting)
        lane.parked_in = None
        lane.current = head
        head.state = JobState.RUNNING
        head.started_at = now_ms
        self.running += 1
        return head

    def put_back(self, job: Job) -> None:
        """It was started and has not run: it waits again, off the agenda until `reschedule`."""
        self._leave(job)
        heappush(job.lane.waiting, (job.record.offset, job.count, job))

    def reschedule(self, lane: Lane) -> None:
        """A lane whose job was put back can go on."""
        self._schedule(lane)

    def _leave(self, job: Job) -> None:
        """It is not what the lane is busy with any more."""
        if job.state is JobState.RUNNING:
            self.running -= 1
        job.state = JobState.WAITING
        if job.lane.current is job:
            job.lane.current = None

    def stay(self, job: Job, now_ms: int) -> None:
        """It cannot be moved, and waits in memory."""
        if not job.is_stored:
            self._stored.pop(job.identity, None)
        self.moving -= 1
        self._ages.refused(job, now_ms)
        if job.is_stopped:
            job.state = JobState.STOPPED
            return
        is_head = job.lane.current is job
        self._leave(job)
        job.is_brief = True
        if is_head:
            heappush(job.lane.waiting, (job.record.offset, job.count, job))
        self._schedule(job.lane)

    # ------------------------------------------------------------------------------------- ends

    def finish(self, job: Job) -> None:
        """It is done, or a dead letter that is acknowledged: its records are finished, its lane goes on."""
        self._leave(job)
        job.state = JobState.DONE
        self._count(job, -1)
        self._ages.forget(job)
        if job.is_stored:
            self._stored.pop(job.identity, None)
        self._release(job.stakes)
        lane = job.lane
        if lane.waiting:
            self._schedule(lane)
        elif lane.current is None:
            self._lanes.pop(lane.key, None)

    def _release(self, stakes: Iterable[Stake]) -> None:
        """These records are needed no more by a job. Of one that was written and not read yet, remember it."""
        for each in stakes:
            if each.release():
                self._settled.add((each.topic, each.offset))

    def delay(self, job: Job, journey: Journey) -> None:
        """It has failed, and waits in memory."""
        self._leave(job)
        job.journey = journey
        job.event = None  # its handler may have changed the payload
        job.is_brief = True
        heappush(job.lane.waiting, (job.record.offset, job.count, job))
        self._schedule(job.lane)

    def stop(self, job: Job) -> None:
        """It has failed for the last time, and there is nowhere to put it: its lane stands still."""
        self.running -= 1
        job.state = JobState.STOPPED
        job.is_stopped = job.lane.is_stopped = True
        for each in (job, *(entry[2] for entry in job.lane.waiting)):
            self._ages.stands_still(each)

    def move(self, job: Job, journey: Journey) -> None:
        """It is about to be written to a retry topic with this journey: a head that has failed, or a successor."""
        if job.state is JobState.RUNNING:
            self.running -= 1
        self.moving += 1
        job.state = JobState.MOVING
        job.journey = journey
        self._stored[job.identity] = job

    def moved(self, job: Job, place: TopicPartitionOffset, now_ms: int) -> None:
        """It lies there now: the records before it are finished."""
        self.moving -= 1
        copies = job.stakes
        here = [each for each in copies if each.topic == place.topic and each.offset == place.offset]
        job.stakes = here or [Stake(place.topic, self.places[place.topic], place.offset, 1)]
        self._release([each for each in copies if each not in here])
        self._store(job)
        self._ages.moved(job, place.topic, now_ms)
        lane = job.lane
        job.state = JobState.STOPPED if job.is_stopped else JobState.WAITING
        if lane.current is job and not job.is_stopped:
            lane.current = None
            heappush(lane.waiting, (job.record.offset, job.count, job))
        self._schedule(lane)

    def _store(self, job: Job) -> None:
        """Its record lies in a retry topic; the decoded event is not kept."""
        self._count(job, -1)
        job.is_stored = True
        job.is_brief = False
        job.event = None
        self._stored[job.identity] = job
        self._count(job, 1)

    def _park(self, lane: Lane, head: Job) -> None:
        """The head waits for its time: if it does so in a retry topic, its successors go there, too."""
        if head.is_stored and not head.is_brief and lane.parked_in is None:
            lane.parked_in = next(each.topic for each in head.stakes if each.topic != head.record.topic)
            self.surplus += [(job, lane.parked_in) for _, _, job in lane.waiting if job.is_movable]

    def can_move(self, job: Job) -> bool:
        """Whether a job of `surplus` still waits where it was."""
        return job.is_movable and job.lane.owner is self

    def stuck_successors(self, since_ms: int) -> list[Job]:
        """Those who wait in memory behind a head that waits, stands still, or has run since then."""
        found: list[Job] = []
        for lane in self._lanes.values():
            current = lane.current
            if current is None:
                is_stuck = not lane.is_ready and bool(lane.waiting) and lane.waiting[0][2].due_at > 0
            else:
                is_stuck = current.state is not JobState.RUNNING or current.started_at <= since_ms
            if is_stuck:
                keep = lane.head if current is None else None
                found += [job for _, _, job in lane.waiting if job.is_movable and job is not keep]
        return found

    def aged(self, now_ms: int, most: int) -> list[Job]:
        """Up to `most` jobs whose records are to be written again; none before the retry topics are loaded."""
        return self._ages.due(now_ms, most) if self.places.is_loaded else []

    def close(self) -> None:
        """Start nothing more: the partition is about to go."""
        self.is_closed = True


def _is_newer(journey: Journey, known: Journey | None) -> bool:
    """Whether this copy of a job was written after the known one."""
    return known is None or (journey.attempts, journey.due_at) > (known.attempts, known.due_at)
