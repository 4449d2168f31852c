"""A PostgreSQL server that crashes and comes back under projector and readers: nobody has to do anything."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from tasker_kafka.schemas.words import TaskStatus
from tasker_kafka.streams.projection import (
    Reads,
    Store,
    StoreUnavailable,
    TaskQuery,
    rebuild,
)
from tests.support.following_projection import QUICK, followed
from tests.support.lane_world import LaneWorld, plan_of
from tests.support.patience import PATIENCE_SECONDS
from tests.support.postgres import PostgresServer
from tests.support.projected import rows_of

PLAN = plan_of()
SMALL = 7
"""Records of a batch: the server goes in the middle of many."""


async def worked(world: LaneWorld, tasks: int) -> None:
    for _ in range(tasks):
        await world.start(PLAN)
    await world.settle(*world.owners)


async def asked(reads: Reads, over: asyncio.Event) -> tuple[int, int]:
    """Ask until it is over: how often there was an answer, and how often it was to come again."""
    answers = refusals = 0
    while not over.is_set():
        try:
            await reads.counts(TaskQuery())
            answers += 1
        except StoreUnavailable:
            refusals += 1
            await asyncio.sleep(0.01)
    return answers, refusals


@pytest.mark.slow
async def test_a_server_that_crashes_and_comes_back_leaves_no_trace(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    world = await LaneWorld(PLAN, partitions=2).open()
    for number in range(2):
        await world.owner(number)
    store = Store.open(postgres_server.url, prefix="tasker", create=True)
    own = Store.open(postgres_server.url, prefix="tasker")
    over = asyncio.Event()
    asking = asyncio.create_task(asked(Reads(own), over))
    settings = replace(QUICK, batch_records=SMALL, retention_ms=0)
    async with followed(world.log, store, settings=settings) as running:

        async def has_failed() -> bool:
            return running.projector.progress.failure is not None

        async def gets_on() -> bool:
            return running.projector.progress.failure is None

        async def is_whole() -> bool:
            return await running.reads.counts(TaskQuery()) == {TaskStatus.COMPLETE: 24}

        for _ in range(3):
            await worked(world, 4)
            postgres_server.crash()
            await worked(world, 4)
            await running.until(has_failed)
            postgres_server.start()
            postgres_server.wait_ready()
            await running.until(gets_on)
        await running.until(is_whole)
    over.set()
    answers, refusals = await asyncio.wait_for(asking, PATIENCE_SECONDS)
    assert (answers > 0, refusals > 0) == (True, True)
    anew = tmp_path / "anew.sqlite"
    await rebuild(world.log, world.names, anew, settings=settings)
    other = Store.open(anew, prefix="tasker")
    assert rows_of(store, without=["meta", "position"]) == rows_of(other, without=["meta", "position"])
    for each in (store, own, other):
        each.close()
