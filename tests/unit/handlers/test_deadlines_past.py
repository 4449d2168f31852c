"""A deadline that is past when it is added, on the loop that workers run on."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

from tasker_kafka.handlers.worker.deadlines import Deadlines


class Sleeper:
    """Waits to be woken, once."""

    is_over = False

    def __init__(self) -> None:
        self.woken = asyncio.Event()

    def wake(self, now: float) -> float | None:
        """It is time."""
        self.woken.set()
        return None


@pytest.mark.parametrize("new_loop", [uvloop.new_event_loop, asyncio.new_event_loop])
def test_a_deadline_beside_one_that_is_past(new_loop: type[asyncio.AbstractEventLoop]) -> None:
    async def scene() -> None:
        deadlines, now = Deadlines(), asyncio.get_running_loop().time()
        late, later = Sleeper(), Sleeper()
        deadlines.add(now - 1.0, late)
        deadlines.add(now - 2.0, later)  # uvloop's handle of a past time does not know its time
        async with asyncio.timeout(5):
            await asyncio.gather(late.woken.wait(), later.woken.wait())

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(scene())
