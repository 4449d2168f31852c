"""A lane dies at every declared point; a new owner goes on, and nobody can tell from the history."""

from __future__ import annotations

import asyncio

import pytest

from tasker_kafka.schemas.plan import RetryPolicy
from tasker_kafka.schemas.records import Dispatch, Failure
from tasker_kafka.schemas.words import Outcome, TaskStatus
from tasker_kafka.streams.lane import CrashPoint
from tests.support.crash_at import Crash, CrashAt
from tests.support.lane_checks import judge, same_states
from tests.support.lane_world import LaneWorld, Owner, plan_of, virtual

ENGINE_POINTS = [each for each in CrashPoint if not each.startswith(("intake.", "host."))]
PLAN = plan_of(
    steps={"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")},
    retry=RetryPolicy(jitter=0.0, backoff_base_ms=1000, max_attempts=3),
)


def flaky(dispatch: Dispatch) -> tuple[Outcome, Failure | None]:
    """Step b fails once."""
    if dispatch.step == "b" and dispatch.attempt == 1:
        return Outcome.FAILURE, Failure(type="E", code="e")
    return Outcome.SUCCESS, None


class Script:
    """Rounds of a life that passes every point: work, a retry, poison, silence for six days, forgetting."""

    ROUNDS = 60
    KILLED = (4, 13, 14, 21, 40, 45)
    """Rounds before which the owner dies anyway: long pauses are outages, and there is always a takeover."""

    def __init__(self, world: LaneWorld, crash: CrashAt) -> None:
        self.world = world
        self.crash = crash
        self.tasks: list[bytes] = []
        self.owner: Owner | None = None
        self.crashes = 0

    async def run(self) -> None:
        """Play it to the end; the last owner is left alive and at rest."""
        for number in range(self.ROUNDS):
            if number in self.KILLED:
                await self.die()
            await self.client(number)
            try:
                await self.round(number)
            except Crash:
                self.crashes += 1
                await self.die()
        try:
            await self.release()
        except Crash:
            self.crashes += 1
            await self.die()
        self.owner = await self.world.owner()
        await self.world.settle(self.owner)
        await self.owner.lane.checkpoint()

    async def release(self) -> None:
        """A clean end."""
        if self.owner is not None:
            await self.owner.lane.release()
            await self.die()

    async def round(self, number: int) -> None:
        """One round of whoever owns the partition."""
        if self.owner is None:
            self.owner = await self.world.owner(
                crash=self.crash, reconcile_interval_ms=1000, forget_interval_ms=1000
            )
        owner = self.owner
        await owner.pump()
        await self.world.work()
        await owner.lane.tick()
        if number % 3 == 2:
            await owner.lane.checkpoint()

    async def die(self) -> None:
        """Kill the owner."""
        if self.owner is not None:
            await self.owner.kill()
        self.owner = None

    async def client(self, number: int) -> None:
        """What happens outside, and how much time passes."""
        world = self.world
        if number in {0, 1, 3, 9, 20, 22}:
            self.tasks.append(await world.start(PLAN))
        if number == 9:
            world.muted.add(self.tasks[-1])  # its dispatches are lost, and nobody answers for a week
        if number == 2:
            await world.raw(world.names.commands, b"key", b"poison", partition=0)
        if number == 13:
            world.muted.clear()
        pause = {13: 6.5 * 86_400, 45: 26 * 3600}.get(number, 0.3)
        await asyncio.sleep(pause)


@pytest.mark.slow
@pytest.mark.parametrize("nth", [1, 2, 5])
@pytest.mark.parametrize("point", ENGINE_POINTS)
@virtual
async def test_crash_at(point: CrashPoint, nth: int) -> None:
    world = await LaneWorld(PLAN, latency=0.005).open()
    world.answer = flaky
    crash = CrashAt(point, nth)
    script = Script(world, crash)
    await script.run()
    await world.quiet()
    judged = judge(world)
    same_states(world, judged)
    assert judged.ended == dict.fromkeys(script.tasks, TaskStatus.COMPLETE)
    assert crash.passed[point] >= 1
    await world.close()


def test_the_points_of_the_engine_are_those_tested() -> None:
    left = set(CrashPoint) - set(ENGINE_POINTS)
    assert left == {
        each for each in CrashPoint if each.name.startswith("INTAKE_") or "COMMITTED" in each.name
    } - {CrashPoint.CHECKPOINT_COMMITTED}
