"""Members that die, stand still, come and go, topics that refuse: nothing is lost, and the order of every key holds."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from random import Random
from typing import Any

import pytest

from tasker_kafka.handlers import DomainEvent, PermanentError
from tasker_kafka.handlers.testing import EventBus
from tasker_kafka.handlers.testing.members import Member
from tasker_kafka.handlers.testing.stages import MemoryStage
from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.errors import SchemaUnknown
from tasker_kafka.topics.log import Write
from tasker_kafka.topics.memory.faults import Faults
from tests.support.events import Buses, envelope, noting, read_topic, retrying

KEYS = [f"key {number}" for number in range(7)]
GROUPS = ("audit", "billing")
EVENTS = 140
POLICY = retrying(0.05, 20.0, 40.0, attempts=4, in_place_seconds=1.0, timeout_seconds=5.0)


class Moody:
    """A handler of which one cannot say beforehand what it does, but by its seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    async def __call__(self, event: DomainEvent[Any]) -> None:
        """Succeed, mostly."""
        rng = Random(f"{self._seed} {event.key} {event.payload['n']} {event.delivery_attempt}")
        await asyncio.sleep(rng.choice((0, 0, 0.001, 0.02, 0.3)))
        lot = rng.random()
        if lot < 0.12:
            raise ValueError("not yet")
        if lot < 0.14:
            raise PermanentError("never")
        if lot < 0.15:
            await asyncio.Event().wait()


class Trouble:
    """What befalls the members of a bus, drawn by a seed."""

    def __init__(self, bus: EventBus, rng: Random) -> None:
        self._bus = bus
        self._rng = rng
        self._paused: list[Member] = []
        self._broken: AbstractContextManager[None] | None = None

    def strike(self) -> None:
        """One thing, or none."""
        self._rng.choice(
            (
                self._kill,
                self._stop,
                self._start,
                self._start,
                self._pause,
                self._resume,
                self._break,
                self._mend,
            )
        )()

    def end(self) -> None:
        """Everything stands again, and every group has a member."""
        self._mend()
        self._resume()
        for group in GROUPS:
            if not self._bus.members(group):
                self._bus.start_member(group)

    def _any(self) -> Iterator[Member]:
        """One that lives and does not stand still, if there is one."""
        found = [
            member for group in GROUPS for member in self._bus.members(group) if member not in self._paused
        ]
        if found:
            yield self._rng.choice(found)

    def _kill(self) -> None:
        for member in self._any():
            self._bus.kill_member(member)

    def _stop(self) -> None:
        for member in self._any():
            self._bus.stop_member(member)

    def _start(self) -> None:
        group = self._rng.choice(GROUPS)
        if len(self._bus.members(group)) < 3:
            self._bus.start_member(group)

    def _pause(self) -> None:
        for member in self._any():
            self._bus.pause_member(member)
            self._paused.append(member)

    def _resume(self) -> None:
        for member in self._paused:
            self._bus.resume_member(member)
        self._paused = []

    def _break(self) -> None:
        names = self._bus.names
        topics = [names.domain_events_dlq("default"), *(names.retry(group, "20s") for group in GROUPS)]
        if self._broken is None:
            self._broken = self._bus.broken_topic(self._rng.choice(topics))
            self._broken.__enter__()

    def _mend(self) -> None:
        if self._broken is not None:
            self._broken.__exit__(None, None, None)
            self._broken = None


def assert_in_order(bus: EventBus, group: str) -> None:
    """Each event is handled or a dead letter; those of a key were first handled in their order."""
    dead = {letter.original.offset * 100 + letter.original.partition for letter in bus.dead_letters(group)}
    first: dict[str, list[int]] = defaultdict(list)
    buried: dict[str, set[int]] = defaultdict(set)
    for event in bus.published():
        if event.offset * 100 + event.partition in dead:
            buried[event.key].add(event.payload["n"])
    for event in bus.handled(f"{group}/note"):
        if event.payload["n"] not in first[event.key]:
            first[event.key].append(event.payload["n"])
    for key in KEYS:
        assert {*first[key], *buried[key]} == set(range(EVENTS // len(KEYS))), f"{group}: {key} is not whole"
        assert first[key] == sorted(first[key]), f"{group}: {key} is out of order"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_whatever_befalls_the_members_nothing_is_lost_and_order_holds(memory_buses: Buses, seed: int) -> None:
    rng = Random(seed)
    groups = [noting(group, does=Moody(seed), retry=POLICY, queued=rng.choice((5, 1000))) for group in GROUPS]
    bus = memory_buses(*groups, partitions=3)
    trouble = Trouble(bus, rng)
    for number in range(EVENTS):
        bus.publish("thing.happened", {"n": number // len(KEYS)}, key=KEYS[number % len(KEYS)])
        if rng.random() < 0.25:
            trouble.strike()
        bus.advance(rng.choice((0, 0, 0.01, 0.5, 3.0, 30.0)))
    trouble.end()
    bus.settle(timeout=3_600)
    sources = {
        (record.partition, record.offset): record
        for record in read_topic(bus, bus.names.domain_events("default"))
    }
    for group in GROUPS:
        assert_in_order(bus, group)
    for letter in bus.dead_letters():
        assert letter.original == sources[letter.original.partition, letter.original.offset]


def test_a_record_of_a_newer_release_ends_the_member_instead_of_becoming_a_dead_letter(
    memory_buses: Buses,
) -> None:
    fingerprint = bytes(range(8))
    bus = memory_buses(noting())
    bus.send(Write(bus.names.schemas, fingerprint, b'{"type": "string"}'))
    known = codec.encode(envelope({"n": 1}, key="ada"))
    newer = b"\xc3\x01" + fingerprint + known[10:]
    bus.send(Write(bus.names.domain_events("default"), b"ada", newer))
    with pytest.raises(SchemaUnknown):
        bus.settle()


@pytest.mark.parametrize("crash", [True, False])
def test_a_member_that_starts_again_and_again_gets_on(memory_buses: Buses, crash: bool) -> None:
    bus = memory_buses(noting(does=Moody(1), retry=POLICY))
    for number in range(EVENTS):
        bus.publish("thing.happened", {"n": number // len(KEYS)}, key=KEYS[number % len(KEYS)])
    for _ in range(15):
        bus.advance(2)
        bus.restart("audit", crash=crash)
    bus.settle(timeout=3_600)
    assert_in_order(bus, "audit")


FAULTS: dict[str, Callable[[Faults, str], None]] = {
    "refused": lambda faults, topic: faults.fail_writes(topic, count=2),
    "acknowledgement lost": lambda faults, topic: faults.lose_acknowledgements(topic),
    "late": lambda faults, topic: faults.delay_writes(20.0, topic),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("which", ["retry", "dlq", "receipts"])
def test_a_write_that_goes_wrong_loses_nothing(memory_buses: Buses, fault: str, which: str) -> None:
    bus = memory_buses(noting(retry=retrying(20.0, attempts=2, in_place_seconds=0)))
    names = bus.names
    topics = {
        "retry": names.retry("audit", "20s"),
        "dlq": names.domain_events_dlq("default"),
        "receipts": names.receipts,
    }
    stage = bus._on()
    assert isinstance(stage, MemoryStage)
    FAULTS[fault](stage.cluster.faults, topics[which])
    bus.fail("note", times=3)
    for number in range(6):
        bus.publish("thing.happened", {"n": number}, key="ada", delivery="acknowledged")
    bus.settle(timeout=3_600)
    handled = [event.payload["n"] for event in bus.handled()]
    dead = {letter.original.offset for letter in bus.dead_letters()}
    assert {*handled, *dead} == set(range(6))
    assert list(dict.fromkeys(handled)) == sorted(set(handled))
