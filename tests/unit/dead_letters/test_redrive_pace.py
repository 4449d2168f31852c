"""How fast dead letters are redriven, on a virtual clock."""

from __future__ import annotations

import asyncio

import pytest

from tasker_kafka.handlers.delivery.letters import LetterFilter
from tasker_kafka.handlers.delivery.redrive import ActOrder, redrive
from tasker_kafka.topics.memory import run_virtual
from tests.support.dead_letter_world import LetterWorld, original
from tests.support.log_sides import MemorySide


@pytest.mark.parametrize(("per_second", "seconds"), [(1.0, 9.0), (0.5, 18.0), (5.0, 1.0), (None, 0.0)])
def test_a_rate_is_kept(per_second: float | None, seconds: float) -> None:
    """On average, and never more than a second's letters at once; the first leave at once."""
    times: list[float] = []

    async def run() -> None:
        side = MemorySide("pace")
        world = await LetterWorld.make(side)
        for number in range(10):
            await world.die(original(world.names, number))
        loop = asyncio.get_running_loop()
        order = ActOrder(actor="ann", reason="", per_second=per_second)
        await redrive(
            world.log, world.names, LetterFilter(), order, progress=lambda _: times.append(loop.time())
        )
        await side.close()

    run_virtual(run())

    assert times[-1] - times[0] == pytest.approx(seconds, abs=0.1)
