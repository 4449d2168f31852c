"""When finished events are committed: after a while, or when there are many."""

from __future__ import annotations

import asyncio

import pytest

from tasker_kafka.topics.memory import run_virtual
from tests.support.delivery_world import Seen, World, envelope, on, spec_of


@pytest.mark.parametrize(("events", "is_soon"), [(1_000, True), (20, False)])
def test_many_are_committed_before_their_time(events: int, *, is_soon: bool) -> None:
    async def play() -> None:
        seen = Seen()
        async with World.in_memory() as world, world.member(spec_of(on(seen)), commit_seconds=30.0):
            await world.publish(*(envelope(number, key=f"k{number % 50}") for number in range(events)))
            await asyncio.sleep(5.0)
            assert len(seen) == events
            left = await world.lag()
            assert (left < 100) if is_soon else (left == events)
            await asyncio.sleep(60.0)
            assert await world.lag() == 0

    run_virtual(play())
