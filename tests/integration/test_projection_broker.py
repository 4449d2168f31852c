"""Projectors and rebuilds as processes on a real broker: killed at every crash point, two at once; their commands."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tasker_kafka.schemas.words import TaskStatus
from tasker_kafka.streams.projection import ProjectorSettings, Reads, Store, TaskQuery, measure, rebuild
from tasker_kafka.streams.projection.crash_points import ProjectionCrashPoint
from tests.support.patience import PATIENCE_SECONDS
from tests.support.postgres import postgres, postgres_database
from tests.support.projected import rows_of
from tests.support.system import System, chain

__all__ = ["postgres", "postgres_database"]

PLAN = chain(3)
KEPT_FOR_EVER = ProjectorSettings(retention_ms=0)


@pytest.fixture
def bootstrap(request: pytest.FixtureRequest) -> str:
    """The broker; its fixture starts it without a loop."""
    return str(request.getfixturevalue("kafka").bootstrap_servers)


@asynccontextmanager
async def running(bootstrap: str, prefix: str, folder: Path, place: str) -> AsyncIterator[System]:
    """An orchestrator and a worker at work."""
    system = System(bootstrap, prefix, folder)
    system.variables["TASKER_PROJECTION__URL"] = place
    try:
        await system.set_up([PLAN])
        system.start_orchestrator(0)
        system.start_worker(0)
        yield system
    finally:
        await system.tear_down()


DEATHS = (
    "project:projection.rows_written:1",
    "project:projection.rows_written:3",
    "project:projection.store_committed:2",
    "project:projection.group_committed:1",
    "rebuild:projection.rebuild_begun:1",
    "rebuild:projection.rows_written:1",
    "rebuild:projection.rebuild_filled:1",
    "rebuild:projection.rebuild_done:1",
    "in_place:projection.rebuild_begun:1",
    "project:projection.store_committed:1",
    "in_place:projection.rebuild_filled:1",
    "project:projection.group_committed:1",
    "in_place:projection.store_committed:1",
    "in_place:projection.rows_written:1",
)
"""Every point, each in its roles, and a projector after a rebuild in place that died; what is left is not whole."""


async def die(system: System, place: str) -> None:
    """Projectors and rebuilds that die as in `DEATHS`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.projection_process", system.bootstrap, system.prefix, place, *DEATHS,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, printed = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
    assert process.returncode == 0, printed.decode()


def status(system: System, *options: str) -> tuple[int, dict[str, Any]]:
    """`tasker projection status --json`: its exit code and document."""
    done = subprocess.run(
        [sys.executable, "-m", "tasker_kafka.deploy.cli", "projection", "status", "--json", *options],
        env={**os.environ, "TASKER_BROKER": system.bootstrap, "TASKER_PREFIX": system.prefix, **system.variables},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout) if done.stdout else {"error": done.stderr}


async def until_whole(system: System, store: Store) -> None:
    """Until nothing of the log is missing in the store."""
    reads = Reads(store)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            delays = await measure(system.log, system.names, await reads.positions())
            if not any(each.records for each in delays):
                return
            await asyncio.sleep(0.1)


async def unbroken(system: System, folder: Path, left_out: Iterable[str]) -> dict[str, list[tuple[Any, ...]]]:
    """What one reading of the log gives. Workers say their word again meanwhile."""
    path = folder / "unbroken.sqlite"
    await rebuild(system.log, system.names, path, settings=KEPT_FOR_EVER)
    store = Store.open(path, prefix=system.prefix)
    try:
        return rows_of(store, without=left_out)
    finally:
        store.close()


def test_every_crash_point_is_died_at() -> None:
    assert {each.split(":")[1] for each in DEATHS} == set(ProjectionCrashPoint)


@pytest.mark.slow
def test_killed_in_mid_batch_and_resumed_it_is_as_never_broken(
    bootstrap: str, prefix: str, tmp_path: Path, postgres_database: str
) -> None:
    async def resumed(system: System, place: str, name: str) -> None:
        system.variables["TASKER_PROJECTION__URL"] = place
        code, told = status(system, "--max-seconds", "0")
        assert code == 1
        assert told["records_behind"] > 0
        assert told["seconds_behind"] > 0
        system.start_role(name, ["projection", "run"])
        store = Store.open(place, prefix=prefix)
        await until_whole(system, store)
        assert await Reads(store).counts(TaskQuery()) == {TaskStatus.COMPLETE: 60}
        left_out = ["meta", "position", "worker"]
        assert rows_of(store, without=left_out) == await unbroken(system, tmp_path, left_out)
        code, told = status(system, "--max-seconds", "0")
        assert (code, told["records_behind"], told["faults"]) == (0, 0, [])
        system.roles[name].terminate()
        assert await asyncio.to_thread(system.roles[name].wait, 30) == 0
        store.close()

    async def run() -> None:
        places = (str(tmp_path / "projection.sqlite"), postgres_database)
        async with running(bootstrap, prefix, tmp_path, places[0]) as system:
            await system.wait_closed(await system.submit(PLAN, 60))
            await asyncio.gather(*(die(system, place) for place in places))
            for number, place in enumerate(places):
                await resumed(system, place, f"projection-{number}")

    asyncio.run(run())


@pytest.mark.slow
def test_two_at_once_that_are_killed_in_turn_never_corrupt_the_store(
    bootstrap: str, prefix: str, tmp_path: Path, postgres_database: str
) -> None:
    async def run() -> None:
        async with running(bootstrap, prefix, tmp_path, postgres_database) as system:
            names = ["projection-0", "projection-1"]
            Store.open(postgres_database, prefix=prefix, create=True).close()
            for name in names:
                system.start_role(name, ["projection", "run"])
            ids = []
            for victim in (*names, names[0]):
                ids += await system.submit(PLAN, 30)
                await system.wait_closed(ids[-10:])
                system.kill(victim)
                system.restart(victim)
            await system.wait_closed(ids)
            store = Store.open(postgres_database, prefix=prefix)
            await until_whole(system, store)
            assert await Reads(store).counts(TaskQuery()) == {TaskStatus.COMPLETE: 90}
            left_out = ["meta", "position", "worker"]
            assert rows_of(store, without=left_out) == await unbroken(system, tmp_path, left_out)
            store.close()

    asyncio.run(run())
