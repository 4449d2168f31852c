"""A member that is told to stop ends, whatever it is doing: joining, taking partitions over, or neither yet."""

from __future__ import annotations

import asyncio

import pytest

from tasker_kafka.handlers.delivery import runtime
from tasker_kafka.handlers.delivery.runtime import GroupMember
from tasker_kafka.handlers.delivery.settings import DeliverySettings
from tasker_kafka.topics.memory import MemoryLog, run_virtual
from tests.support.delivery_world import Seen, World, on, spec_of

SHUTDOWN_SECONDS = 5.0
LAST_STEPS_SECONDS = 5.0
"""Beyond `shutdown_seconds`: handlers that are given up, and an outbox that cannot be closed."""


def member_of(world: World) -> GroupMember:
    """A member that has not been run."""
    settings = DeliverySettings(shutdown_seconds=SHUTDOWN_SECONDS)
    return GroupMember(world.log, world.names, spec_of(on(Seen())), settings=settings, member_id="m")


async def ends(running: asyncio.Task[None], seconds: float = SHUTDOWN_SECONDS + LAST_STEPS_SECONDS) -> bool:
    """Whether it ends so soon."""
    done, _ = await asyncio.wait([running], timeout=seconds)
    if not done:
        running.cancel()
        await asyncio.wait([running])
    return bool(done)


@pytest.mark.parametrize("after_ms", range(30))
def test_it_may_be_stopped_at_any_moment_of_its_start(after_ms: int) -> None:
    async def play() -> None:
        async with World.in_memory() as world:
            member = member_of(world)
            running = asyncio.create_task(member.run())
            await asyncio.sleep(after_ms / 1_000 + 0.0005)
            await member.stop()
            assert await ends(running)
            await running

    run_virtual(play())


@pytest.mark.parametrize("after_ms", range(0, 40, 2))
def test_it_may_be_stopped_when_the_log_answers_no_more(after_ms: int) -> None:
    async def play() -> None:
        async with World.in_memory() as world:
            assert isinstance(world.log, MemoryLog)
            member = member_of(world)
            running = asyncio.create_task(member.run())
            await asyncio.sleep(after_ms / 1_000 + 0.0005)
            world.log.pause()
            await asyncio.sleep(1.0)
            await member.stop()
            has_ended = await ends(running)
            world.log.resume()
            assert has_ended

    run_virtual(play())


def test_it_may_be_stopped_before_it_runs() -> None:
    async def play() -> None:
        async with World.in_memory() as world:
            member = member_of(world)
            await member.stop()
            await asyncio.wait_for(member.run(), 1.0)

    run_virtual(play())


def test_a_fault_in_looking_for_topics_ends_it_with_that_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        async with World.in_memory() as world:
            member = member_of(world)
            running = asyncio.create_task(member.run())
            await member.wait_ready()

            async def find(*_arguments: object) -> None:
                raise LookupError("a fault of ours")

            monkeypatch.setattr(runtime, "find_topics", find)
            with pytest.raises(LookupError, match="a fault of ours"):
                await asyncio.wait_for(running, 2 * DeliverySettings().discover_seconds)

    run_virtual(play())
