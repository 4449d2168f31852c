"""Watchers as processes on a real broker: killed between the report and its commit, and as `tasker receipts watch`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tasker_kafka.handlers.delivery.watching import WatcherCrashPoint
from tests.support.log_sides import KafkaSide
from tests.support.patience import PATIENCE_SECONDS
from tests.support.watcher_rig import DEADLINE, WatchedWorld, watched


@pytest.fixture
def bootstrap(request: pytest.FixtureRequest) -> str:
    """The broker; its fixture starts it without a loop."""
    return str(request.getfixturevalue("kafka").bootstrap_servers)


async def start(*arguments: str, **environ: str) -> asyncio.subprocess.Process:
    """A process of this interpreter."""
    return await asyncio.create_subprocess_exec(
        sys.executable, *arguments, env={**os.environ, **environ}, stderr=asyncio.subprocess.PIPE
    )


@asynccontextmanager
async def role(bootstrap: str, prefix: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`tasker receipts watch` with a short deadline, ended by SIGTERM."""
    process = await start(
        "-m",
        "tasker_kafka.deploy.cli",
        "receipts",
        "watch",
        TASKER_BROKER=bootstrap,
        TASKER_PREFIX=prefix,
        TASKER_EVENTS__ACKNOWLEDGED__RECEIPT_DEADLINE_SECONDS=str(DEADLINE),
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def wait_letters(world: WatchedWorld, count: int) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(await world.letters()) < count:  # noqa: ASYNC110 - other processes bring it about
            await asyncio.sleep(0.1)


def test_a_watcher_killed_before_its_commit_leaves_each_letter_once(bootstrap: str, prefix: str) -> None:
    async def run() -> None:
        side = KafkaSide(prefix, bootstrap)
        async with watched(side) as world:
            await world.publish(20)
            (kept,) = await world.publish(partition=1)
            await world.receipt(kept)
            victim = await start(
                "-m", "tests.support.watcher_process", bootstrap, prefix, WatcherCrashPoint.REPORTED.value
            )
            await victim.communicate()
            assert victim.returncode == -signal.SIGKILL
            reported = len(await world.letters())
            assert 0 < reported <= 20
            async with role(bootstrap, prefix) as heir:
                (later,) = await world.publish()
                await wait_letters(world, 21)
                heir.terminate()
                _, told = await heir.communicate()
                assert heir.returncode == 0
            letters = await world.letters()
            assert [original.offset for original, _ in letters] == [*range(20), later.offset]
            assert len(await world.marks()) == 21
            # What the victim had written and may not have told, its heir told.
            assert f"audit/record has left no receipt within 2 s for {reported} acknowledged".encode() in told
        await side.close()

    asyncio.run(run())


def test_the_role_refuses_a_system_without_its_topics(bootstrap: str, prefix: str) -> None:
    async def run() -> None:
        async with role(bootstrap, prefix) as process:
            _, told = await process.communicate()
            assert process.returncode not in (0, None)
            assert f"{prefix}.receipts.v1: exists should be yes, is no".encode() in told

    asyncio.run(run())
