"""Projectors and rebuilds that die at every declared point: what comes after them is as if nothing had happened."""

from __future__ import annotations

import asyncio
import contextlib
from enum import StrEnum
from pathlib import Path

import pytest
from msgspec.structs import replace

from tasker_kafka.streams.projection import Projector, Store, rebuild
from tasker_kafka.streams.projection.crash_points import ProjectionCrashPoint
from tasker_kafka.topics.memory import MemoryLog
from tests.support.following_projection import QUICK, followed
from tests.support.lane_world import LaneWorld, plan_of
from tests.support.projected import rows_of
from tests.unit.faults.test_crash_points_declared import reached

pytestmark = pytest.mark.slow

PLAN = plan_of()
KEPT = replace(QUICK, retention_ms=0, batch_records=5)
OF_A_REBUILD = [each for each in ProjectionCrashPoint if each is not ProjectionCrashPoint.GROUP_COMMITTED]
OF_A_PROJECTOR = list(ProjectionCrashPoint)[:3]


class Crash(BaseException):
    """The process ends here."""


class CrashAt:
    """Ends the process at the n-th passing of a point; what it does afterwards all the same has no effect."""

    def __init__(self, point: ProjectionCrashPoint, nth: int) -> None:
        self._point = point
        self._left = nth

    def reached(self, point: StrEnum, /) -> None:
        if point == self._point:
            self._left -= 1
            if self._left <= 0:
                raise Crash


async def world_of(tasks: int) -> LaneWorld:
    world = await LaneWorld(PLAN, partitions=1).open()
    await world.owner(0)
    for _ in range(tasks):
        await world.start(PLAN)
    await world.settle(*world.owners)
    return world


async def until_as_never_broken(world: LaneWorld, store: Store, folder: Path) -> None:
    """A projector that lives; its rows are those of one reading of the log."""
    alone = folder / "alone.sqlite"
    await rebuild(world.log, world.names, alone, settings=KEPT)
    other = Store.open(alone, prefix="tasker")
    expected = rows_of(other, without=["meta", "position"])
    other.close()
    async with followed(world.log, store, settings=KEPT) as running:

        async def is_whole() -> bool:
            running.note(running.projector.progress)
            return rows_of(store, without=["meta", "position"]) == expected

        await running.until(is_whole)


def test_every_declared_point_is_reached_in_the_code() -> None:
    assert reached("ProjectionCrashPoint") == {each.name for each in ProjectionCrashPoint}


@pytest.mark.parametrize("point", OF_A_PROJECTOR)
async def test_a_projector_that_dies_there_is_followed_by_one_that_goes_on(
    store: Store, tmp_path: Path, point: ProjectionCrashPoint
) -> None:
    world = await world_of(4)
    log = MemoryLog(world.cluster)
    settings = replace(KEPT, crash_points=CrashAt(point, 2), commit_seconds=0.0)
    with pytest.raises(Crash):
        await Projector(log, world.names, store, settings=settings).run()
    log.kill()
    await until_as_never_broken(world, store, tmp_path)


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("point", OF_A_REBUILD)
async def test_a_rebuild_that_dies_there_leaves_a_store_that_serves_and_goes_on(
    place: str, store: Store, tmp_path: Path, point: ProjectionCrashPoint, in_place: bool
) -> None:
    world = await world_of(4)
    await until_as_never_broken(world, store, tmp_path)
    before = rows_of(store)
    log = MemoryLog(world.cluster)
    settings = replace(KEPT, crash_points=CrashAt(point, 1))
    dying = asyncio.create_task(rebuild(log, world.names, place, settings=settings, in_place=in_place))
    with contextlib.suppress(Crash):
        await dying
    assert isinstance(dying.exception(), Crash)
    log.kill()
    if not in_place:
        assert rows_of(store) == before
    await until_as_never_broken(world, store, tmp_path)
