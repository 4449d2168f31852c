"""A member may die anywhere: order per key is kept, nothing is lost, parked events are found again.

On the log in memory, whose processes can be killed at every declared point, at random, or made zombies.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from typing import Any

import pytest

from tasker_kafka.handlers.delivery.crash_points import DeliveryCrashPoint
from tasker_kafka.handlers.delivery.decoding import decode_event
from tasker_kafka.handlers.subscribing.event import DomainEvent
from tasker_kafka.handlers.subscribing.subscription import SubscriberSpec
from tasker_kafka.schemas.errors import LogError
from tasker_kafka.schemas.words import Delivery
from tasker_kafka.topics.memory import MemoryLog, run_virtual
from tests.support.delivery_world import Seen, World, envelope, on, policy_of, spec_of

KEYS = 3
POLICY = policy_of(0.5, 30.0)
"""A retry in place, a retry through a topic, then the dead letters."""


class Crash(BaseException):
    """The process ends here."""


class CrashAt:
    """Kills the process at the `nth` passing of a point."""

    def __init__(self, log: MemoryLog, point: DeliveryCrashPoint, nth: int) -> None:
        self._log = log
        self._point = point
        self._left = nth
        self.has_bitten = False

    def reached(self, point: DeliveryCrashPoint, /) -> None:
        """Here?"""
        if point is self._point and not self.has_bitten:
            self._left -= 1
            if not self._left:
                self.has_bitten = True
                self._log.kill()
        if self.has_bitten:
            raise Crash(self._point)


class Ledger:
    """What handlers have seen, outside the log: who began and ended what, in which order."""

    def __init__(self, *, fails: dict[int, int]) -> None:
        self._fails = fails
        """How often each number fails; -1: always."""
        self.ended: Counter[int] = Counter()
        self.begun: Counter[int] = Counter()
        self.overtaken: list[str] = []

    async def handle(self, event: DomainEvent[Any]) -> None:
        """A handler."""
        number = event.payload["number"]
        self.begun[number] += 1
        for earlier in range(number % KEYS, number, KEYS):
            if not self.ended[earlier] and self._fails.get(earlier) != -1:
                self.overtaken.append(f"{number} overtakes {earlier}")
        await asyncio.sleep(0.01)
        failures = self._fails.get(number, 0)
        if failures < 0 or self.begun[number] <= failures:
            raise RuntimeError("not now")
        self.ended[number] += 1


async def publish(world: World, first: int, end: int, **fields: Any) -> None:
    """Events from `first` to before `end`, in as many keys as there are."""
    for number in range(first, end):
        await world.publish(envelope(number, key=f"k{number % KEYS}", **fields))


async def crash(world: World, spec: SubscriberSpec, at: CrashAt, log: MemoryLog) -> None:
    """Run a member until it dies; at the latest when it is asked to stop."""
    with contextlib.suppress(Crash, LogError):
        async with world.member(spec, log=log, crash_points=at):
            for _ in range(800):
                if at.has_bitten:
                    break
                await asyncio.sleep(0.1)
    assert at.has_bitten


ONCE = {DeliveryCrashPoint.ASSIGNED, DeliveryCrashPoint.LOADED, DeliveryCrashPoint.REVOKED}
"""Passed once by each owner."""
PLACES = [(point, nth) for point in DeliveryCrashPoint for nth in (1, 2) if nth == 1 or point not in ONCE]


@pytest.mark.slow
@pytest.mark.parametrize(("point", "nth"), PLACES)
def test_a_crash_at_any_point_loses_and_reorders_nothing(point: DeliveryCrashPoint, nth: int) -> None:
    async def scene() -> None:
        async with World.in_memory(partitions=1) as world:
            ledger = Ledger(fails={0: 1, 1: 2, 4: -1, 5: 2, 8: -1, 11: 2})
            spec = spec_of(on(ledger.handle, policy=POLICY, delivery=Delivery.ACKNOWLEDGED))
            await publish(world, 0, 6)
            if point is DeliveryCrashPoint.LOADED:  # something must lie in a retry topic
                async with world.member(spec):
                    await asyncio.sleep(3.0)
            await publish(world, 6, 12)
            log = world.new_log()
            assert isinstance(log, MemoryLog)
            await crash(world, spec, CrashAt(log, point, nth), log)
            async with world.member(spec):
                await world.settled()
            assert ledger.overtaken == []
            assert {number for number in range(12) if ledger.ended[number]} == set(range(12)) - {4, 8}
            dead = {decode_event(original).payload["number"] for original, _ in await world.dead()}
            assert dead == {4, 8}

    run_virtual(scene())


def test_parked_events_survive_a_kill_and_keep_their_time_and_their_order() -> None:
    async def scene() -> None:
        async with World.in_memory(partitions=1) as world:
            times: dict[int, list[int]] = {}

            def end(event: DomainEvent[Any]) -> None:
                number = event.payload["number"]
                times.setdefault(number, []).append(world.log.now_ms())
                if number == 0 and len(times[0]) == 1:
                    raise RuntimeError("not now")

            spec = spec_of(on(Seen(end), policy=policy_of(30.0)))
            log = world.new_log()
            assert isinstance(log, MemoryLog)
            async with world.member(spec, log=log):
                await world.publish(*(envelope(each, key="a") for each in range(3)), envelope(3, key="b"))
                await asyncio.sleep(2)
                log.kill()
            async with world.member(spec):
                await world.publish(envelope(4, key="a"))
                await world.settled()
            assert times[0][1] - times[0][0] >= 30_000
            assert len(times[0]) == 2
            assert times[0][1] <= times[1][0] <= times[2][0] <= times[4][0]
            assert {number: len(seen) for number, seen in times.items() if number} == {1: 1, 2: 1, 3: 1, 4: 1}

    run_virtual(scene())


def test_what_was_finished_behind_a_slow_event_is_not_delivered_again_after_a_kill() -> None:
    async def scene() -> None:
        async with World.in_memory(partitions=1) as world:
            seen = Seen(
                lambda event: (
                    asyncio.sleep(3_600) if event.payload["number"] == 0 and len(seen) == 1 else None
                )
            )
            spec = spec_of(on(seen, policy=policy_of(timeout_seconds=7_200.0)))
            log = world.new_log()
            assert isinstance(log, MemoryLog)
            async with world.member(spec, log=log):
                await world.publish(*(envelope(each, key=str(each)) for each in range(50)))
                await asyncio.sleep(2)
                log.kill()
            async with world.member(spec):
                await world.settled()
            assert sorted(seen.numbers) == [0, *range(50)]

    run_virtual(scene())


@pytest.mark.parametrize("seed", range(6))
def test_random_kills_zombies_and_joins_lose_and_reorder_nothing(seed: int) -> None:
    async def scene() -> None:
        chance = random.Random(seed)
        async with World.in_memory(partitions=2) as world:
            count = 120
            fails = {number: chance.choice([1, 2, -1]) for number in range(count) if chance.random() < 0.1}
            ledger = Ledger(fails=fails)
            spec = spec_of(on(ledger.handle, policy=policy_of(0.3, 5.0)))
            sending = asyncio.create_task(slowly(world, count))
            async with world.member(spec):
                for _ in range(5):
                    log = world.new_log()
                    assert isinstance(log, MemoryLog)
                    try:
                        async with world.member(spec, log=log):
                            await asyncio.sleep(chance.uniform(0.5, 4.0))
                            if chance.random() < 0.6:
                                log.kill()
                    except Exception:
                        continue
                await sending
                await world.settled()
            lost = [each for each in range(count) if not ledger.ended[each] and fails.get(each) != -1]
            assert lost == []
            assert len({journey.offset for _, journey in await world.dead()}) > 0
            # A handler whose member was killed under it may still run beside the next owner's.
            assert len(ledger.overtaken) == 0

    async def slowly(world: World, count: int) -> None:
        for number in range(count):
            await world.publish(envelope(number, key=f"k{number % KEYS}"))
            await asyncio.sleep(0.05)

    run_virtual(scene())


def test_a_zombie_commits_nothing_and_its_retries_are_recognised() -> None:
    async def scene() -> None:
        async with World.in_memory(partitions=1) as world:
            ledger = Ledger(fails={0: 1})
            spec = spec_of(on(ledger.handle, policy=policy_of(20.0)))
            log = world.new_log()
            assert isinstance(log, MemoryLog)
            async with world.member(spec, log=log):
                await publish(world, 0, 3)
                await asyncio.sleep(0.02)
                log.pause()
                async with world.member(spec):
                    await asyncio.sleep(30)
                    log.resume()
                    await world.settled()
            assert ledger.overtaken == []
            assert all(ledger.ended[number] for number in range(3))

    run_virtual(scene())
