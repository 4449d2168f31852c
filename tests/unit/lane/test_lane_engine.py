"""The way of a task through one engine lane, step by step."""

from __future__ import annotations

import asyncio

import pytest

from tasker_kafka.schemas.errors import FencedError, PartitionLost
from tasker_kafka.schemas.state import Stub
from tasker_kafka.schemas.words import TaskStatus
from tasker_kafka.topics.log import Batch
from tests.support.lane_checks import judge
from tests.support.lane_world import LaneWorld, Owner, plan_of, virtual


@virtual
async def test_a_task_runs_to_its_end() -> None:
    plan = plan_of()
    world = await LaneWorld(plan).open()
    owner = await world.owner()
    task_id = await world.start(plan)
    await world.settle(owner)
    stub = owner.lane.table.get(task_id)
    assert isinstance(stub, Stub)
    assert stub.outcome is TaskStatus.COMPLETE
    assert [each.step for each in world.dispatched] == ["one", "two"]
    assert await owner.lane.checkpoint() == owner.lane.next_command
    assert await owner.lane.checkpoint() is None
    await world.close()


async def with_batch(world: LaneWorld, owner: Owner, size: int) -> Batch:
    """So many starts, fetched and not yet decided, by an owner that knows their plan."""
    await world.start(world.published[0])
    await owner.pump()
    for _ in range(size):
        await world.start(world.published[0])
    batch = await owner.fetch(timeout=0)
    assert batch is not None
    return batch


@virtual
async def test_others_get_their_turn_while_a_large_batch_is_decided() -> None:
    world = await LaneWorld(plan_of()).open()
    owner = await world.owner(decisions_at_once=5)
    batch = await with_batch(world, owner, 23)
    deciding = asyncio.create_task(owner.lane.process(batch))
    seen: set[int] = set()
    while not deciding.done():
        await asyncio.sleep(0)
        seen.add(owner.lane.metrics.decided - 1)
    assert sorted(seen) == [5, 10, 15, 20, 23]
    assert owner.lane.next_command == batch.next_position
    await world.close()


@virtual
async def test_a_partition_given_up_within_a_batch_is_gone_on_with_by_its_next_owner() -> None:
    world = await LaneWorld(plan_of()).open()
    owner = await world.owner(decisions_at_once=5)
    batch = await with_batch(world, owner, 23)
    deciding = asyncio.create_task(owner.lane.process(batch))
    await asyncio.sleep(0)
    offset = await owner.lane.release()
    await deciding
    assert (owner.lane.metrics.decided, offset) == (6, 6)
    following = await world.owner()
    await world.settle(following)
    assert following.lane.metrics.decided == 18 + 2 * 24, "what was left to start, and every step's result"
    judge(world)
    await world.close()


@virtual
async def test_a_batch_does_not_go_on_after_a_failed_checkpoint() -> None:
    world = await LaneWorld(plan_of()).open()
    owner = await world.owner(decisions_at_once=1)
    batch = await with_batch(world, owner, 45)
    await world.owner()
    deciding = asyncio.create_task(owner.lane.process(batch))
    await asyncio.sleep(0)
    with pytest.raises(FencedError):
        await owner.lane.checkpoint()
    with pytest.raises(PartitionLost, match="a newer owner has taken over"):
        await deciding
    assert owner.lane.metrics.decided < 45
    await world.close()
