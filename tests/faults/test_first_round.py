"""Faults on a real broker with real processes: whatever is killed, every task ends and the log is whole."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.exits import ExitCode
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.words import TaskStatus
from tasker_kafka.topics.brokers import Broker
from tests.support.brokers import OwnBroker
from tests.support.patience import PATIENCE_SECONDS
from tests.support.system import SESSION_TIMEOUT_MS, System, chain, fan_out, folded, running

PLANS = [chain(5), fan_out(20)]
KILLS = 10

pytestmark = pytest.mark.timeout(600)


async def under_load(system: System, fault: Callable[[], Coroutine[Any, Any, None]]) -> dict[bytes, Plan]:
    """Submit tasks all the while `fault` runs: the plan of each task."""
    submitted: dict[bytes, Plan] = {}
    done = asyncio.create_task(fault())
    while not done.done():
        for plan, count in zip(PLANS, (20, 2), strict=True):
            submitted |= dict.fromkeys(await system.submit(plan, count), plan)
        await asyncio.wait([done], timeout=0.1)
    await done
    return submitted


async def assert_whole(system: System, submitted: dict[bytes, Plan]) -> None:
    """Every task has ended once, without gap, and the table says what the log says."""
    records = await system.wait_closed(submitted)
    for task_id, plan in submitted.items():
        own = [each for each in records[task_id] if each.seq]
        assert [each.seq for each in own] == list(range(1, len(own) + 1)), task_id.hex()
        ends = [
            each.to_state
            for record in own
            for each in record.transitions
            if each.step is None and each.data is None
        ]
        assert ends.count(TaskStatus.COMPLETE) == 1, task_id.hex()
        assert folded(own, plan) is not None
    expected = {
        task_id: codec.encode(state)
        for task_id, plan in submitted.items()
        if (state := folded(records[task_id], plan)) is not None
    }
    assert await table_after_checkpoint(system, expected) == expected


async def table_after_checkpoint(system: System, expected: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """The table, read again while it is not yet what is expected: the last checkpoint may be a moment away."""
    table = await system.table()
    for _ in range(50):
        if table == expected:
            break
        await asyncio.sleep(0.2)
        table = await system.table()
    return table


async def kill_in_turn(system: System, names: list[str]) -> None:
    """`KILLS` times kill −9 of one of these, at a random moment; each is started again at once."""
    chance = random.Random(7)
    for _ in range(KILLS):
        await asyncio.sleep(chance.uniform(0.8, 1.8))
        victim = chance.choice(names)
        assert system.roles[victim].poll() is None, system.errors_of(victim)
        system.kill(victim)
        system.restart(victim)


@pytest.mark.parametrize("role", ["orchestrator", "worker"])
async def test_kills(kafka: Broker, prefix: str, tmp_path: Path, role: str) -> None:
    async with running(
        kafka.bootstrap_servers, prefix, tmp_path, PLANS, orchestrators=2, workers=2
    ) as system:
        victims = [name for name in system.roles if name.startswith(role)]
        submitted = await under_load(system, lambda: kill_in_turn(system, victims))
        await assert_whole(system, submitted)


async def test_zombie_checkpoint_is_refused(kafka: Broker, prefix: str, tmp_path: Path) -> None:
    async with running(kafka.bootstrap_servers, prefix, tmp_path, PLANS, orchestrators=2) as system:

        async def make_zombie() -> None:
            await system.wait_closed(await system.submit(PLANS[0], 8))  # both own partitions by now
            zombie = system.roles["orchestrator-0"]
            system.pause("orchestrator-0")
            await asyncio.sleep(SESSION_TIMEOUT_MS / 1000 + 2)  # the group must have noticed
            await system.wait_closed(await system.submit(PLANS[0], 40))
            system.may_fail.add("orchestrator-0")
            system.resume("orchestrator-0")
            await asyncio.to_thread(zombie.wait, PATIENCE_SECONDS)
            assert zombie.returncode == ExitCode.PARTITION_LOST, system.errors_of("orchestrator-0")
            assert "a newer owner has taken over" in system.errors_of("orchestrator-0")

        submitted = await under_load(system, make_zombie)
        everything = await system.wait_closed(submitted)
        submitted |= dict.fromkeys(set(everything) - set(submitted), PLANS[0])
        await assert_whole(system, submitted)


@asynccontextmanager
async def kept_up(system: System) -> AsyncIterator[None]:
    """Start again what ends, as whoever runs the roles would: they may give up their broker at any time."""

    system.may_fail.update(system.roles)

    async def keep_up() -> None:
        while True:
            for name, process in list(system.roles.items()):
                if process.poll() is not None:
                    system.restart(name)
            await asyncio.sleep(0.5)

    keeping = asyncio.create_task(keep_up())
    try:
        yield
    finally:
        keeping.cancel()


async def test_broker_is_killed_and_restarted(own_broker: OwnBroker, prefix: str, tmp_path: Path) -> None:
    broker = own_broker()
    async with running(broker.bootstrap_servers, prefix, tmp_path, PLANS) as system:
        submitted = dict.fromkeys(await system.submit(PLANS[0], 200), PLANS[0])
        await asyncio.to_thread(broker.kill)
        await asyncio.to_thread(broker.restart)
        async with kept_up(system):
            submitted |= dict.fromkeys(await system.submit(PLANS[1], 20), PLANS[1])
            await assert_whole(system, submitted)
