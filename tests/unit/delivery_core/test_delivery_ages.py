"""What waits longer than its retry topic keeps records is written again in time, and nothing of it is lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest

from tasker_kafka.handlers.delivery.crash_points import DeliveryCrashPoint
from tasker_kafka.handlers.subscribing.event import DomainEvent
from tasker_kafka.handlers.subscribing.subscription import SubscriberSpec
from tasker_kafka.schemas.errors import LogError, TopicsDrifted
from tasker_kafka.topics.log import TopicDescription
from tasker_kafka.topics.memory import run_virtual
from tests.support.delivery_world import GROUP, Seen, World, envelope, on, policy_of, spec_of

pytestmark = pytest.mark.slow

KEPT: Final = 2_000.0
"""Seconds that every topic keeps its records here."""
POLICY: Final = policy_of(60.0, max_attempts=100)


@contextlib.asynccontextmanager
async def short_memory() -> AsyncIterator[World]:
    """A world whose topics keep their records for `KEPT`."""
    async with World.in_memory() as world:
        admin = world.log.admin()
        kept = {"retention.ms": str(int(KEPT) * 1_000)}
        await admin.update_config(world.source, kept)
        topics = [world.names.retry(GROUP, tier) for tier in ("1m", "redrive")]
        await admin.create([TopicDescription(each, 2, 1, kept) for each in topics])
        yield world


async def expire(world: World) -> None:
    """The broker does what retention says, in every topic."""
    log: Any = world.log
    for name in await world.log.admin().names():
        log.cluster.expire(name)


async def times_pass(world: World, times: float) -> None:
    """So many times as long as records are kept; the broker cleans up all the while."""
    for _ in range(round(16 * times)):
        await asyncio.sleep(KEPT / 16)
        await expire(world)


class Crash(BaseException):
    """The process ends here."""


class Refusing(Seen):
    """Fails for event 0 until it is told to stop."""

    def __init__(self) -> None:
        super().__init__(self._fail)
        self.is_down = True

    def _fail(self, event: DomainEvent[Any]) -> None:
        if self.is_down and event.payload["number"] == 0:
            raise ValueError("down")


def test_successors_outlive_the_retention_behind_a_head_that_fails_for_long() -> None:
    async def scene() -> None:
        async with short_memory() as world:
            seen = Refusing()
            async with world.member(spec_of(on(seen, policy=POLICY))) as member:
                await world.publish(*(envelope(each) for each in range(5)))
                await times_pass(world, 2.5)
                assert seen.numbers.count(0) > 50
                assert 0 < member.figures.renewed <= 5 * 6
                seen.is_down = False
                await world.settled()
            assert seen.numbers[-5:] == [0, 1, 2, 3, 4]
            assert not await world.dead()

    run_virtual(scene())


def test_old_ones_are_written_again_right_after_a_restart() -> None:
    async def scene() -> None:
        async with short_memory() as world:
            seen = Refusing()
            spec = spec_of(on(seen, policy=POLICY))
            async with world.member(spec):
                await world.publish(*(envelope(each) for each in range(3)))
                await asyncio.sleep(30)
            await asyncio.sleep(0.95 * KEPT)
            async with world.member(spec) as member:
                await asyncio.sleep(30)
                assert member.figures.renewed == 3
            await asyncio.sleep(0.2 * KEPT)
            await expire(world)
            seen.is_down = False
            async with world.member(spec):
                await world.settled()
            assert seen.numbers[-3:] == [0, 1, 2]

    run_virtual(scene())


@pytest.mark.parametrize("is_stored", [True, False])
def test_a_lane_that_stands_still_loses_nothing(is_stored: bool) -> None:
    """Its head has failed in the retry topic, or in the source itself."""

    async def scene() -> None:
        async with short_memory() as world:
            seen = Refusing()
            policy = policy_of(*([60.0] if is_stored else []), dlq_enabled=False)
            spec = spec_of(on(seen, policy=policy))
            async with world.member(spec) as member:
                await world.publish(*(envelope(each) for each in range(4)), envelope(9, key="other"))
                await times_pass(world, 3)
                assert member.figures.stopped == 1
                assert seen.numbers.count(0) == policy.max_attempts, "it stands still, also when it is moved"
                assert seen.numbers.count(9) == 1
            await expire(world)
            seen.is_down = False
            async with world.member(spec):
                await world.settled()
            assert [each for each in seen.numbers if each != 9][-4:] == [0, 1, 2, 3]
            assert seen.numbers.count(9) == 1

    run_virtual(scene())


def test_many_are_written_again_in_slices() -> None:
    async def scene() -> None:
        async with short_memory() as world:
            seen = Refusing()
            spec = spec_of(on(seen, policy=POLICY), queued=5_000)
            most = 0
            async with world.member(spec) as member:
                await world.publish(*(envelope(each) for each in range(1_000)))
                await asyncio.sleep(60)
                assert member.figures.parked >= 1_000
                await asyncio.sleep(KEPT / 2 - 90)
                assert member.figures.renewed == 0
                while member.figures.renewed < 999:
                    await asyncio.sleep(0.01)
                    most = max(most, member.figures.in_flight)
                assert 0 < most <= 201
                assert member.figures.renewed == 999
                seen.is_down = False
                await world.settled()
            assert seen.numbers[-1_000:] == list(range(1_000))

    run_virtual(scene())


@pytest.mark.parametrize(
    ("point", "nth"),
    [
        (DeliveryCrashPoint.RETRY_BEGUN, 2),
        (DeliveryCrashPoint.RETRY_WRITTEN, 2),
        (DeliveryCrashPoint.COMMIT_BEGUN, 1),
    ],
)
def test_a_crash_while_they_are_written_loses_nothing(point: DeliveryCrashPoint, nth: int) -> None:
    async def scene() -> None:
        async with short_memory() as world:
            seen = Refusing()
            spec = spec_of(on(seen, policy=POLICY))
            async with world.member(spec):
                await world.publish(*(envelope(each) for each in range(6)))
                await asyncio.sleep(30)
            await asyncio.sleep(0.8 * KEPT)
            await crash_at(world, spec, point, nth)
            await asyncio.sleep(0.1 * KEPT)
            await expire(world)
            seen.is_down = False
            async with world.member(spec):
                await world.settled()
            assert seen.numbers[-6:] == [0, 1, 2, 3, 4, 5]

    run_virtual(scene())


async def crash_at(world: World, spec: SubscriberSpec, point: DeliveryCrashPoint, nth: int) -> None:
    """A member that dies at its `nth` passage of a point, after it has found the old ones."""
    log: Any = world.new_log()
    passages = 0

    class Crashes:
        def reached(self, where: DeliveryCrashPoint, /) -> None:
            nonlocal passages
            passages += where is point
            if passages >= nth:
                log.kill()
                raise Crash

    with contextlib.suppress(Crash, LogError):
        async with world.member(spec, log=log, crash_points=Crashes()):
            await asyncio.sleep(60)
    assert passages >= nth


def test_a_retry_topic_that_is_compacted_is_refused() -> None:
    async def scene() -> None:
        async with World.in_memory() as world:
            topic = world.names.retry(GROUP, "redrive")
            await world.log.admin().create([TopicDescription(topic, 2, 1, {"cleanup.policy": "compact"})])
            with pytest.raises(TopicsDrifted, match="compacted"):
                async with world.member(spec_of(on(Seen()))):
                    pass

    run_virtual(scene())
