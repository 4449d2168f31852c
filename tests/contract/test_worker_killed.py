"""A worker process that really dies, on a real broker: the step that kills it is given up, its neighbours live."""

from __future__ import annotations

import asyncio
import signal
import sys

import pytest

from .worker_rig import Outcome, Rig, StepResult, failure, outcomes, step_of
from .worker_sides import kafka_side, play


async def start(bootstrap: str, prefix: str, worker_id: str) -> asyncio.subprocess.Process:
    """A worker process."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.contract.worker_process", bootstrap, prefix, worker_id
    )


@pytest.mark.kafka
def test_a_step_that_kills_its_process_three_times_is_given_up(
    request: pytest.FixtureRequest, prefix: str
) -> None:
    bootstrap = request.getfixturevalue("kafka").bootstrap_servers

    async def scenario(made: Rig) -> None:
        for number in range(1, 31):
            await made.dispatch(number, "killer" if number == 5 else "one")
        for life in range(3):
            victim = await start(bootstrap, prefix, f"w{life}")
            assert await victim.wait() == -signal.SIGKILL
        last = await start(bootstrap, prefix, "last")
        try:
            results = await made.wait_for(StepResult, count=30)
        finally:
            last.terminate()
            await last.wait()
        lost = await made.result(5)
        assert (lost.outcome, lost.delivery_count, lost.worker_id) == (Outcome.WORKER_LOST, 3, "last")
        assert failure(lost).code == "worker_lost"
        others = [each for each in results if each.outcome is not Outcome.WORKER_LOST]
        assert set(outcomes(others)) == {Outcome.SUCCESS}
        assert len({number for number in range(1, 31) if made.bodies(StepResult, number)}) == 30

    play(kafka_side(prefix, bootstrap), scenario, partitions=2, steps=[step_of(), step_of("killer")])
