"""Forgetting and the reconciler: what an owner does about tasks that nobody asks for any more."""

from __future__ import annotations

import asyncio

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.plan import Lifecycle, Plan, RetryPolicy
from tasker_kafka.schemas.records import Command, Failure, Forget
from tasker_kafka.schemas.state import Stub, TaskState
from tasker_kafka.schemas.words import Outcome, TaskStatus
from tasker_kafka.streams.lane.emit import NO_TASK
from tasker_kafka.topics.memory import EPOCH_MS
from tests.support.lane_checks import judge, same_states
from tests.support.lane_world import LaneWorld, Owner, plan_of, virtual

HOUR = 3600.0


def short_plan() -> Plan:
    """Tasks are kept for an hour, failed ones for two."""
    return plan_of(
        steps={"a": ()},
        retry=RetryPolicy(max_attempts=1),
        lifecycle=Lifecycle(retention_hours=1, failed_retention_hours=2),
    )


@virtual
async def test_stubs_are_forgotten_and_old_requests_expire() -> None:
    world = await LaneWorld(short_plan()).open()
    plan = world.published[0]
    owner = await world.owner()
    tasks = [await world.start(plan) for _ in range(3)]
    await world.settle(owner)
    await owner.lane.checkpoint()
    await owner.kill()
    await asyncio.sleep(HOUR - 60)
    owner = await (await world.owner()).learn_time()
    await owner.lane.tick()
    assert await owner.pump() == 0
    await asyncio.sleep(120)
    await owner.lane.tick()
    await owner.flush()
    await owner.pump()
    assert [owner.lane.table.get(each) for each in tasks] == [None, None, None]
    assert owner.lane.metrics.forgotten == 3
    assert EPOCH_MS <= owner.lane.horizon < world.log.now_ms()
    before = len(world.records(world.names.rejections))
    for each in world.records(world.names.commands)[:1]:
        await world.raw(world.names.commands, each.key, each.value)  # the StartTask once more, much too late
    await owner.pump()
    await owner.flush()
    assert owner.lane.table.get(tasks[0]) is None
    assert len(world.records(world.names.rejections)) == before + 1
    await owner.lane.checkpoint()
    await world.quiet()
    same_states(world, judge(world))
    owner = await _following(world, owner)
    assert (owner.lane.table.live_count, owner.lane.table.stub_count) == (0, 0)
    await world.close()


async def _following(world: LaneWorld, owner: Owner) -> Owner:
    horizon = owner.lane.horizon
    await owner.kill()
    following = await world.owner()
    assert following.lane.horizon == horizon
    return following


@virtual
async def test_a_failed_task_becomes_a_stub_and_is_forgotten_later() -> None:
    world = await LaneWorld(short_plan()).open()
    owner = await world.owner()
    world.answer = lambda _: (Outcome.FAILURE, Failure(type="E", code="e"))
    task_id = await world.start(world.published[0])
    await world.settle(owner)
    failed = owner.lane.table.get(task_id)
    assert isinstance(failed, TaskState)
    assert failed.state is TaskStatus.ERROR
    await owner.lane.checkpoint()
    for expected in (Stub, type(None)):
        await owner.kill()
        await asyncio.sleep(2 * HOUR + 61)
        owner = await (await world.owner()).learn_time()
        await owner.lane.tick()
        await owner.flush()
        await owner.pump()
        assert isinstance(owner.lane.table.get(task_id), expected)
        await owner.lane.checkpoint()
    await world.quiet()
    same_states(world, judge(world))
    await world.close()


@virtual
async def test_forgetting_is_replayed_as_recorded() -> None:
    world = await LaneWorld(short_plan()).open()
    owner = await world.owner()
    for _ in range(3):
        await world.start(world.published[0])
    await world.settle(owner)
    await owner.lane.checkpoint()
    await owner.kill()
    await asyncio.sleep(HOUR + 61)
    owner = await (await world.owner()).learn_time()
    await owner.lane.tick()
    await owner.flush()
    await owner.pump()
    await owner.flush()
    following = await _following(world, owner)  # no checkpoint in between
    assert following.lane.metrics.replayed == 1
    assert following.lane.table.stub_count == 0
    await world.quiet()
    same_states(world, judge(world))
    await world.close()


@virtual
async def test_a_forget_with_nothing_due_is_ignored() -> None:
    world = await LaneWorld(short_plan()).open()
    owner = await world.owner()
    await world.start(world.published[0])
    await world.settle(owner)
    await world.raw(
        world.names.commands, b"tasker:forget", _command(Forget(world.log.now_ms() + 10**12)), partition=0
    )
    await owner.pump()
    assert owner.lane.metrics.ignored["nothing_due"] == 1
    assert owner.lane.table.stub_count == 1
    await world.quiet()
    same_states(world, judge(world))
    await world.close()


def _command(body: Forget) -> bytes:
    return codec.encode(Command(NO_TASK, body))


# ------------------------------------------------------------------------------------------ reconciler


@virtual
async def test_the_reconciler_sends_an_old_dispatch_again() -> None:
    plan = plan_of(steps={"a": ()})
    world = await LaneWorld(plan).open()
    owner = await world.owner()
    task_id = await world.start(plan)
    await owner.pump()
    await owner.lane.checkpoint()
    await owner.kill()
    await asyncio.sleep(6 * 24 * HOUR)
    owner = await (await world.owner(reconcile_interval_ms=1000)).learn_time()
    await asyncio.sleep(2)
    await owner.lane.tick()
    await owner.flush()
    await owner.pump()
    assert owner.lane.metrics.reconciled == {"redispatch": 1}
    await owner.flush()
    assert [each.attempt for each in await world.dispatches()] == [1, 1]
    for dispatch in world.dispatched:
        await world.finish(dispatch)
    await owner.pump()
    await owner.flush()
    await world.quiet()
    assert judge(world).ended == {task_id: TaskStatus.COMPLETE}
    await world.close()
