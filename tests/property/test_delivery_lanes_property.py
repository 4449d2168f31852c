"""Key lanes under any history: fetches, ends of any kind, acknowledgements, commits, crashes, redrives, in any order.

The world is a log (one source, two retry topics) and one owner at a time, who knows nothing but the log and what was
committed. The promises are checked against what the world has seen, not against the lanes' own state:

- order: no event starts before every earlier one of its key has been handled or buried at least once;
- never early: no event starts before the due time that its newest copy in the log states;
- at least once: when the world comes to rest, every event was handled or buried, and everything is committed; also
  where retry topics keep their records for a time only and owners die, as long as no time without one is too long;
- nothing is kept: at rest the lanes hold no job, no lane, no place.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tasker_kafka.handlers.delivery.agenda import Agenda
from tasker_kafka.handlers.delivery.jobs import Job, JobState
from tasker_kafka.handlers.delivery.journey import Journey
from tasker_kafka.handlers.delivery.lanes import PartitionLanes
from tasker_kafka.handlers.watermark import Watermark, decode_metadata
from tasker_kafka.topics.log import Record, TopicPartitionOffset
from tests.support.examples import examples

SOURCE: Final = "source"
TIER: Final = "tier"
REDRIVE: Final = "redrive"
RETRIES: Final = (TIER, REDRIVE)
KEYS: Final = 3

KEPT: Final = 4_000
"""How long retry topics keep a record, ms."""

Stored = tuple[Record, Journey]
Op = tuple[str, int]


@dataclass
class World:
    """The log, and what has happened to its events."""

    source: list[Record] = field(default_factory=list)
    stored: dict[str, list[Stored]] = field(default_factory=lambda: {TIER: [], REDRIVE: []})
    committed: dict[str, tuple[int, str]] = field(default_factory=dict)
    completed: set[int] = field(default_factory=set)
    """Offsets of events that were handled or buried."""
    buried: list[Journey] = field(default_factory=list)
    ended: set[tuple[int, int]] = field(default_factory=set)
    """Offset and redrives of jobs that have ended."""
    repeated: int = 0
    """Jobs that ended again."""
    ghosts: list[tuple[str, Stored]] = field(default_factory=list)
    """What owners before had sent to retry topics, and what may arrive at any time."""
    ghostly: set[tuple[str, int]] = field(default_factory=set)
    """Copies that came from them since the owner began: nobody can know them before they are read."""
    written: dict[tuple[str, int], int] = field(default_factory=dict)
    """When what lies there was written."""
    begin: dict[str, int] = field(default_factory=lambda: {SOURCE: 0, TIER: 0, REDRIVE: 0})
    now: int = 1_000

    def store(self, topic: str, stored: Stored) -> None:
        """Something is written to a retry topic."""
        self.written[topic, len(self.stored[topic])] = self.now
        self.stored[topic].append(stored)

    def expire(self) -> None:
        """What is too old is gone."""
        for topic in RETRIES:
            while (
                self.begin[topic] < self.end(topic)
                and self.written[topic, self.begin[topic]] < self.now - KEPT
            ):
                self.begin[topic] += 1

    def append(self, key: int) -> None:
        """A publisher writes."""
        offset = len(self.source)
        self.source.append(Record(SOURCE, 0, offset, 0, b"%d" % key, b"%d" % offset))

    def end(self, topic: str) -> int:
        """Where a topic ends."""
        return len(self.source) if topic == SOURCE else len(self.stored[topic])

    def wait(self, ms: int) -> None:
        """Time passes."""
        self.now += ms

    def redrive(self, number: int) -> None:
        """An operator sends a dead letter back."""
        if self.buried:
            journey = self.buried.pop(number % len(self.buried))
            count = journey.redrive_count + 1
            again = msgspec.structs.replace(journey, attempts=0, due_at=0, redrive_count=count)
            self.store(REDRIVE, (self.source[journey.offset], again))

    def end_job(self, job: Job) -> None:
        """It was handled or buried."""
        self.completed.add(job.record.offset)
        self.repeated += (job.record.offset, job.count) in self.ended
        self.ended.add((job.record.offset, job.count))

    def haunt(self, number: int) -> None:
        """A write of an owner before arrives."""
        if self.ghosts:
            topic, stored = self.ghosts.pop(number % len(self.ghosts))
            self.ghostly.add((topic, len(self.stored[topic])))
            self.store(topic, stored)

    def check_start(self, job: Job) -> None:
        """May this job run?"""
        assert job.due_at <= self.now, "early"
        for topic, records in self.stored.items():
            for place, (original, journey) in enumerate(records):
                is_copy = (original.offset, journey.redrive_count) == (job.record.offset, job.count)
                if is_copy and (topic, place) not in self.ghostly:
                    assert journey.due_at <= self.now, "earlier than its copy in the log says"
        if job.count == 0:
            earlier = [
                each.offset
                for each in self.source[: job.record.offset]
                if each.key == job.record.key and each.offset not in self.completed
            ]
            assert not earlier, f"{job.record.offset} overtakes {earlier}"


class Owner:
    """One process that owns the partition, from its start to its crash."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.agenda = Agenda()
        self.lanes = PartitionLanes(0, self.agenda, kept_ms=dict.fromkeys(RETRIES, KEPT))
        self.has_stopped = False
        self.running: list[Job] = []
        self.writes: list[tuple[Job, str | None, Journey]] = []
        self.marks = {}
        places = self.lanes.places
        for topic in (SOURCE, *RETRIES):
            offset, text = world.committed.get(topic, (0, ""))
            restored = decode_metadata(offset, text)
            assert restored is not None
            mark = self.marks[topic] = Watermark(max(offset, world.begin[topic]), restored)
            opened = places.open_source if topic == SOURCE else places.open_retry
            opened(topic, mark, world.end(topic))

    def fetch(self, topic: str, count: int) -> None:
        """Read up to `count` records."""
        if topic == SOURCE and not self.lanes.places.is_loaded:
            return
        first = self.marks[topic].position
        until = min(first + count, self.world.end(topic))
        if until <= first:
            return
        if topic == SOURCE:
            for record in self.lanes.places.take_in(topic, self.world.source[first:until], until):
                self.lanes.admit(record, None, [(0, False)])
        else:
            written = self.world.written
            places = [
                Record(topic, 0, offset, written[topic, offset], None, None)
                for offset in range(max(first, self.world.begin[topic]), until)
            ]
            for stored in self.lanes.places.take_in(topic, places, until):
                original, journey = self.world.stored[topic][stored.offset]
                self.lanes.admit_stored(stored, original, {0: journey})
        self.lanes.taken_in(topic)
        self.move_surplus()

    def start(self) -> None:
        """Start what may be started."""
        job = self.agenda.start_next(self.world.now)
        if job is not None:
            self.world.check_start(job)
            self.running.append(job)

    def journey(self, job: Job, **changes: int) -> Journey:
        """The job's journey, changed."""
        known = job.journey or Journey(
            group="g", subscription="s", topic=SOURCE, partition=0, offset=job.record.offset, timestamp=0
        )
        return msgspec.structs.replace(known, **changes)

    def finish(self, number: int, how: str) -> None:
        """A handler ends."""
        if not self.running:
            return
        job = self.running.pop(number % len(self.running))
        failed = self.journey(job, attempts=(job.journey.attempts if job.journey else 0) + 1)
        if how == "succeed":
            self.world.end_job(job)
            self.lanes.finish(job)
        elif how == "delay":
            self.lanes.delay(job, msgspec.structs.replace(failed, due_at=self.world.now + 5))
        elif how == "stop":
            self.lanes.stop(job)
            self.has_stopped = True
        elif how == "park":
            self.move(job, msgspec.structs.replace(failed, due_at=self.world.now + 50), TIER)
        else:
            self.writes.append((job, None, failed))
        self.move_surplus()

    def move(self, job: Job, journey: Journey, topic: str) -> None:
        """Begin to write to a retry topic."""
        self.lanes.move(job, journey)
        self.writes.append((job, topic, journey))

    def move_surplus(self) -> None:
        """Successors of parked heads follow."""
        surplus, self.lanes.surplus = self.lanes.surplus, []
        for job, topic in surplus:
            if self.lanes.can_move(job):
                self.move(job, self.journey(job), topic)

    def relieve(self) -> None:
        """Memory is short."""
        for job in self.lanes.stuck_successors(self.world.now):
            if job.state is JobState.WAITING:
                self.move(job, self.journey(job), REDRIVE)

    def land(self, number: int, *, is_heard: bool) -> None:
        """A write arrives; its acknowledgement perhaps not, and then it is written again."""
        if not self.writes:
            return
        place = number % len(self.writes)
        job, topic, journey = self.writes[place]
        if topic is None:
            self.world.buried.append(journey)
            self.world.end_job(job)
        else:
            self.world.store(topic, (job.record, journey))
        if not is_heard:
            return
        del self.writes[place]
        if topic is None:
            self.lanes.finish(job)
        else:
            lies_at = TopicPartitionOffset(topic, 0, len(self.world.stored[topic]) - 1)
            self.lanes.moved(job, lies_at, self.world.now)
        self.move_surplus()

    def refuse(self, number: int) -> None:
        """A retry topic does not take a record."""
        movable = [each for each in self.writes if each[1] is not None]
        if movable:
            chosen = movable[number % len(movable)]
            self.writes.remove(chosen)
            self.lanes.stay(chosen[0], self.world.now)
            self.move_surplus()

    def renew(self, most: int) -> None:
        """Write again what is old."""
        for job in self.lanes.aged(self.world.now, most):
            self.move(job, self.journey(job), job.stored_in or REDRIVE)

    def grow_old(self) -> None:
        """A quarter of the time that records are kept passes: the owner works on meanwhile, as it should."""
        for topic in RETRIES:
            self.fetch(topic, 1_000)
        while self.running:
            self.finish(0, "delay")
        for _ in range(100):
            self.renew(3)
            if not self.writes:
                break
            self.land(0, is_heard=True)
        self.world.wait(KEPT // 4)
        self.world.expire()

    def commit(self) -> None:
        """All topics at once."""
        for topic, mark in self.marks.items():
            text = mark.metadata(is_open=False, reach=0)
            assert text is not None
            self.world.committed[topic] = (mark.offset, text)


def apply(world: World, owner: Owner, op: Op) -> Owner:
    """One thing happens: the owner after it."""
    name, number = op
    if name == "crash":
        for each in range(len(owner.writes)):
            if number >> each & 1:
                owner.land(each, is_heard=False)
        world.ghosts += [(topic, (job.record, journey)) for job, topic, journey in owner.writes if topic]
        world.ghostly.clear()
        return Owner(world)
    happens: dict[str, Callable[[], None]] = {
        "append": lambda: world.append(number % KEYS),
        "source": lambda: owner.fetch(SOURCE, 1 + number),
        "stored": lambda: owner.fetch(RETRIES[number % 2], 1 + number // 2),
        "start": owner.start,
        "land": lambda: owner.land(number, is_heard=True),
        "unheard": lambda: owner.land(number, is_heard=False),
        "refuse": lambda: owner.refuse(number),
        "relieve": owner.relieve,
        "wait": lambda: world.wait(1 + 10 * number),
        "commit": owner.commit,
        "renew": lambda: owner.renew(1 + number),
        "old": owner.grow_old,
        "redrive": lambda: world.redrive(number),
        "haunt": lambda: world.haunt(number),
    }
    happens.get(name, lambda: owner.finish(number, name))()
    return owner


def rest(world: World, owner: Owner) -> Owner:
    """Everything goes well from now on, until nothing is left."""
    if owner.has_stopped:
        owner = Owner(world)
    for _ in range(2_000):
        world.now += 10
        for topic in (*RETRIES, SOURCE):
            owner.fetch(topic, 100)
        owner.start()
        owner.finish(0, "succeed")
        owner.land(0, is_heard=True)
        is_read = all(owner.marks[topic].offset == world.end(topic) for topic in owner.marks)
        if is_read and not (owner.running or owner.writes or owner.agenda.ready or owner.agenda.timers):
            break
    owner.commit()
    return owner


WEIGHTS: Final = {
    "append": 8, "source": 12, "stored": 16, "start": 30, "succeed": 12, "delay": 4, "park": 8, "bury": 3,
    "land": 20, "unheard": 2, "refuse": 1, "relieve": 2, "wait": 8, "commit": 8, "redrive": 2, "crash": 3, "haunt": 2,
    "renew": 3, "stop": 0, "old": 0,
}  # fmt: skip
CALM: Final = WEIGHTS | {"unheard": 0, "crash": 0, "haunt": 0}
"""Nothing is lost, so nothing may be repeated."""
LONG: Final = WEIGHTS | {"stop": 1, "old": 6, "refuse": 0}
"""Much time passes, and some lanes stand still."""


def random_history(seed: int, steps: int, weights: Mapping[str, int]) -> list[Op]:
    """A busy history: what keeps the world going is likelier than what disturbs it."""
    chance = random.Random(seed)
    names = chance.choices(list(weights), list(weights.values()), k=steps)
    return [(name, chance.randrange(8)) for name in names]


def played(seed: int, steps: int, weights: Mapping[str, int]) -> World:
    """The world at rest after a history; checks all that holds for any of them."""
    world = World()
    for number in range(seed % 12):
        world.append(number % KEYS)
    owner = Owner(world)
    for op in random_history(seed, steps, weights):
        owner = apply(world, owner, op)
    owner = rest(world, owner)
    assert world.completed == set(range(len(world.source)))
    assert {topic: offset for topic, (offset, _) in world.committed.items()} == {
        topic: world.end(topic) for topic in (SOURCE, *RETRIES)
    }
    lanes = owner.lanes
    assert not any(
        (lanes.held, lanes.parked, lanes.running, lanes.moving, lanes.held_bytes, lanes.parked_bytes)
    )
    assert not any((lanes._lanes, lanes._stored, lanes._settled, lanes.places.has_gated))
    assert lanes._ages.is_empty
    return world


@settings(max_examples=examples(300))
@given(st.integers(0, 2**32), st.integers(1, 300))
def test_any_history_keeps_the_promises(seed: int, steps: int) -> None:
    played(seed, steps, WEIGHTS)


@settings(max_examples=examples(300))
@given(st.integers(0, 2**32), st.integers(1, 300))
def test_what_waits_longer_than_its_topic_keeps_it_is_not_lost(seed: int, steps: int) -> None:
    played(seed, steps, LONG)


@settings(max_examples=examples(100))
@given(st.integers(0, 2**32), st.integers(1, 300))
def test_without_losses_nothing_is_delivered_after_its_end(seed: int, steps: int) -> None:
    assert played(seed, steps, CALM).repeated == 0
