"""A rebuild in place beside a projector: one fills the store, the other waits and goes on; neither needs a person."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from tasker_kafka.schemas.words import TaskStatus
from tasker_kafka.streams.projection import (
    ProjectorSettings,
    Reads,
    Store,
    StoreUnavailable,
    TaskQuery,
    measure,
    rebuild,
    tables,
)
from tasker_kafka.streams.projection.claim import Claim
from tasker_kafka.streams.projection.staging import emptied, target_of
from tasker_kafka.topics.log import TopicPartition
from tasker_kafka.topics.memory import MemoryLog
from tests.support.following_projection import Followed, followed
from tests.support.lane_world import LaneWorld, plan_of
from tests.support.projected import rows_of

pytestmark = pytest.mark.slow

KEPT_FOR_EVER = ProjectorSettings(retention_ms=0)
PLAN = plan_of()


async def world_of(tasks: int) -> LaneWorld:
    world = await LaneWorld(PLAN, partitions=1).open()
    await world.owner(0)
    await worked(world, tasks)
    return world


async def worked(world: LaneWorld, tasks: int) -> None:
    for _ in range(tasks):
        await world.start(PLAN)
    await world.settle(*world.owners)


async def until_whole(world: LaneWorld, running: Followed) -> None:
    async def is_whole() -> bool:
        positions = await running.reads.positions()
        running.note(running.projector.progress)
        return not any(each.records for each in await measure(world.log, world.names, positions))

    await running.until(is_whole)


class Halting(MemoryLog):
    """A log whose readers of transitions stop after their first fetch, until they may go on."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.may_go_on = asyncio.Event()
        self.has_halted = asyncio.Event()

    async def reader(self, *arguments: Any, **options: Any) -> Any:
        reader = await super().reader(*arguments, **options)
        if TopicPartition("tasker.transitions.v1", 0) in arguments[0]:
            fetch, fetched = reader.fetch, [0]

            async def halt(**how: Any) -> Any:
                fetched[0] += 1
                if fetched[0] > 1 and not self.may_go_on.is_set():
                    self.has_halted.set()
                    await self.may_go_on.wait()
                return await fetch(**how)

            reader.fetch = halt  # type: ignore[method-assign]  # the one place where this reader is told to halt
        return reader


async def test_the_projector_waits_for_a_rebuild_in_place_and_goes_on(
    place: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[rebuild.__module__], "_BATCH_RECORDS", 5)
    world = await world_of(4)
    log = Halting(world.cluster)
    async with followed(world.log, store) as running:
        await until_whole(world, running)
        making = asyncio.create_task(rebuild(log, world.names, place, settings=KEPT_FOR_EVER, in_place=True))
        await log.has_halted.wait()
        await worked(world, 3)

        async def is_waiting() -> bool:
            return "made anew in place" in str(running.projector.progress.failure)

        await running.until(is_waiting)
        with pytest.raises(StoreUnavailable, match="by another rebuild"):
            await rebuild(world.log, world.names, place)
        log.may_go_on.set()
        await making
        await worked(world, 2)
        await until_whole(world, running)
        assert await running.reads.counts(TaskQuery()) == {TaskStatus.COMPLETE: 9}
    kept = rows_of(store)
    assert kept["fault"] == []
    await rebuild(world.log, world.names, place, settings=KEPT_FOR_EVER)
    assert rows_of(store) == kept


async def test_the_projector_goes_on_where_a_rebuild_in_place_died(place: str, store: Store) -> None:
    world = await world_of(3)
    async with followed(world.log, store) as running:
        await until_whole(world, running)
        target = target_of(place, "tasker")
        claim = Claim.take(target)
        emptied(place, "tasker", claim.token).close()
        await worked(world, 1)

        async def is_waiting() -> bool:
            return running.projector.progress.failure is not None

        await running.until(is_waiting)
        assert await Reads(store).counts(TaskQuery()) == {}
        claim.close()  # as the system does with a process that is killed
        target.close()
        await until_whole(world, running)
        assert await running.reads.counts(TaskQuery()) == {TaskStatus.COMPLETE: 4}
    with store.reading() as connection:
        assert "filling" not in connection.execute(select(tables.meta.c.key)).scalars().all()


def test_a_claim_is_of_one_process_and_leaves_nothing(store: Store, tmp_path: Path) -> None:
    first = Claim.take(store)
    with pytest.raises(StoreUnavailable, match="by another rebuild") as told:
        Claim.take(store)
    assert "wait for its end" in str(told.value)
    first.close()
    Claim.take(store).close()
    assert not [each for each in rows_of(store)["meta"] if "filling" in each]
    assert not list(tmp_path.glob("*.claim"))
