"""What must hold before a partition is taken, and what ends a lane."""

from __future__ import annotations

import asyncio
import dataclasses
import logging

import pytest

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.errors import (
    ConfigurationError,
    LogError,
    PartitionLost,
    SchemaUnknown,
    TopicsDrifted,
)
from tasker_kafka.schemas.records import CHECKPOINT_KEY, Checkpoint, Rejection, Transitions
from tasker_kafka.schemas.state import Stub, TaskState
from tasker_kafka.schemas.words import RejectionCode, TaskStatus
from tasker_kafka.streams.lane import decider
from tasker_kafka.streams.lane.takeable import Extent, assert_takeable
from tasker_kafka.topics.log import TopicPartition
from tasker_kafka.topics.plans import publish
from tests.support.lane_checks import judge, same_states
from tests.support.lane_world import LaneWorld, Owner, plan_of, virtual

PLAN = plan_of()
SAVED = Checkpoint(next_command=50, next_transition=80, owner=3, horizon=-1, partition_count=8, at=0)
WHOLE = Extent(commands_begin=10, commands_end=60, transitions_begin=0, transitions_end=90, partition_count=8)


def extent(**changes: int) -> Extent:
    """WHOLE with changes."""
    return dataclasses.replace(WHOLE, **changes)


# ------------------------------------------------------------------------------------------ assertions


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"commands_end": 49}, "commands end at 49"),
        ({"commands_begin": 51}, "commands 50 to 50 are gone"),
        ({"transitions_end": 79}, "they end at 79"),
        ({"transitions_begin": 81}, "transitions 80 to 80 are gone"),
        ({"partition_count": 12}, "had 8 partitions and have 12"),
    ],
)
def test_a_partition_that_is_not_whole_is_not_taken(changes: dict[str, int], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason) as caught:
        assert_takeable(3, SAVED, extent(**changes), accept_loss=False)
    assert "--accept-loss" in str(caught.value)
    assert_takeable(3, SAVED, extent(**changes), accept_loss=True)


@pytest.mark.parametrize(
    "changes",
    [{}, {"commands_end": 50, "commands_begin": 50}, {"transitions_end": 80, "transitions_begin": 80}],
)
def test_the_limits_themselves_are_whole(changes: dict[str, int]) -> None:
    assert_takeable(3, SAVED, extent(**changes), accept_loss=False)


def test_a_fresh_partition_is_taken_from_the_first_record() -> None:
    assert_takeable(0, None, extent(commands_begin=0), accept_loss=False)
    with pytest.raises(ConfigurationError, match="commands 0 to 9"):
        assert_takeable(0, None, WHOLE, accept_loss=False)
    with pytest.raises(ConfigurationError, match="changelog was recreated"):
        assert_takeable(0, None, extent(commands_begin=0, transitions_begin=5), accept_loss=False)


async def after_retention(world: LaneWorld) -> None:
    """Commands are gone before anybody decided them."""
    await asyncio.sleep(8 * 86_400)
    world.cluster.expire(world.names.commands)


@virtual
async def test_commands_that_retention_took_are_given_up_by_name_only() -> None:
    world = await LaneWorld(PLAN).open()
    owner = await world.owner()
    await world.start(PLAN)
    await owner.pump()
    await owner.lane.checkpoint()
    await owner.kill()
    await world.start(PLAN)
    await after_retention(world)
    with pytest.raises(ConfigurationError, match="retention was shorter"):
        await world.owner()
    owner = await world.owner(accept_loss=True)
    following = await world.start(PLAN)
    await owner.pump()
    assert isinstance(owner.lane.table.get(following), TaskState)
    assert owner.lane.table.live_count == 2
    await world.close()


@virtual
async def test_recorded_decisions_whose_commands_are_gone_are_folded_only_by_name() -> None:
    world = await LaneWorld(PLAN).open()
    owner = await world.owner()
    task_id = await world.start(PLAN)
    await owner.pump()
    await owner.flush()
    await owner.kill()
    await after_retention(world)
    with pytest.raises(ConfigurationError):
        await world.owner()
    owner = await world.owner(accept_loss=True)
    assert isinstance(owner.lane.table.get(task_id), TaskState)
    await world.close()


# ------------------------------------------------------------------------------------------ loading


@virtual
async def test_a_compacted_changelog_is_the_same_state() -> None:
    world = await LaneWorld(PLAN).open()
    owner = await world.owner()
    tasks = [await world.start(PLAN) for _ in range(5)]
    for _ in range(4):
        await owner.pump()
        await owner.flush()
        await owner.lane.checkpoint()
        await world.work()
    await world.quiet()
    world.cluster.compact(world.names.task_state)
    await owner.kill()
    owner = await world.owner()
    assert all(isinstance(owner.lane.table.get(each), Stub) for each in tasks)
    same_states(world, judge(world))
    await world.close()


@virtual
async def test_a_loaded_state_is_decoded_when_it_is_touched() -> None:
    world = await LaneWorld(PLAN).open()
    owner = await world.owner()
    tasks = [await world.start(PLAN) for _ in range(5)]
    await owner.pump()
    await owner.lane.checkpoint()
    await owner.kill()
    owner = await world.owner()
    assert (owner.lane.table.live_count, owner.lane.table.decoded_count) == (5, 0)
    assert owner.lane.table.gauges.tasks == {TaskStatus.IN_PROGRESS: 5}
    assert owner.lane.table.gauges.enqueued == 5
    owner.lane.table.get(tasks[0])
    assert owner.lane.table.decoded_count == 1
    await world.close()


@virtual
async def test_states_beyond_the_bound_go_back_to_bytes() -> None:
    world = await LaneWorld(PLAN).open()
    owner = await world.owner(decoded_limit=2)
    tasks = [await world.start(PLAN) for _ in range(6)]
    await owner.pump()
    assert owner.lane.table.decoded_count == 6
    await owner.lane.checkpoint()
    assert owner.lane.table.decoded_count == 2
    await world.settle(owner)
    await owner.lane.checkpoint()
    await world.quiet()
    judged = judge(world)
    assert judged.ended == dict.fromkeys(tasks, TaskStatus.COMPLETE)
    same_states(world, judged)
    await world.close()


@virtual
async def test_a_changelog_of_a_newer_release_is_not_loaded() -> None:
    world = await LaneWorld(PLAN).open()
    await world.raw(world.names.task_state, bytes(16), b"\xc3\x01" + bytes(8) + b"newer", partition=0)
    with pytest.raises(SchemaUnknown):
        await world.owner()
    await world.close()


# ---------------------------------------------------------------------------------------------- plans


@virtual
async def test_a_plan_published_a_moment_ago_is_found() -> None:
    world = await LaneWorld(PLAN).open()
    owner = await world.owner()
    later = plan_of("later")
    await publish(world.log, world.names, [later])
    world.published = (*world.published, later)
    task_id = await world.start(later)
    await owner.pump()
    assert isinstance(owner.lane.table.get(task_id), TaskState)
    await world.close()


@virtual
async def test_a_plan_that_nobody_published_is_a_rejection() -> None:
    world = await LaneWorld(PLAN).open()
    owner = await world.owner()
    for _ in range(3):
        await world.start(plan_of("never"))
    task_id = await world.start(PLAN)
    await world.settle(owner)
    rejections = [codec.decode(each.value, Rejection) for each in world.records(world.names.rejections)]
    assert [each.code for each in rejections] == [RejectionCode.UNKNOWN_TEMPLATE] * 3
    await world.quiet()
    assert judge(world).ended == {task_id: TaskStatus.COMPLETE}
    await world.close()


@virtual
async def test_a_queue_that_has_gone_ends_the_process_loudly() -> None:
    world = await LaneWorld(PLAN).open()
    owner = await world.owner()
    world.cluster.delete(world.names.steps("default"))
    await world.start(PLAN)
    with pytest.raises(TopicsDrifted):
        await owner.pump()
    assert not owner.lane.is_live
    await world.close()


# ----------------------------------------------------------------------------------------------- ends


@virtual
async def test_a_checkpoint_that_does_not_end_is_the_loss_of_the_partition() -> None:
    world = await LaneWorld(PLAN).open()
    owner = await world.owner(checkpoint_timeout_ms=2000)
    await world.start(PLAN)
    world.cluster.faults.lose_acknowledgements(world.names.transitions)
    await owner.pump()
    with pytest.raises(PartitionLost, match="checkpoint"):
        await owner.lane.checkpoint()
    assert not owner.lane.is_live
    await world.close()


@virtual
async def test_an_output_that_cannot_be_written_fails_the_checkpoint() -> None:
    world = await LaneWorld(PLAN).open()
    owner = await world.owner()
    await world.start(PLAN)
    world.cluster.faults.fail_writes(world.names.steps("default"))
    await owner.pump()
    with pytest.raises(PartitionLost, match="refused"):
        await owner.lane.checkpoint()
    await world.quiet()
    assert owner.failures
    assert isinstance(owner.failures[0], LogError)
    assert not [each for each in world.records(world.names.task_state) if each.key == CHECKPOINT_KEY]
    await world.close()


@virtual
async def test_release_saves_once_more_and_ends_the_lane() -> None:
    world = await LaneWorld(PLAN).open()
    owner = await world.owner()
    await world.start(PLAN)
    await owner.pump()
    assert owner.lane.checkpoint_age >= 0
    offset = owner.lane.next_command
    assert await owner.lane.release() == offset
    assert await owner.lane.release() is None
    with pytest.raises(PartitionLost):
        await owner.lane.checkpoint()
    with pytest.raises(PartitionLost):
        await owner.lane.acquire()
    following = await world.owner()
    assert following.lane.next_command == offset
    assert following.lane.checkpoint_age == 0
    await world.close()


@virtual
async def test_age_counts_from_when_there_was_nothing_to_save(caplog: pytest.LogCaptureFixture) -> None:
    world = await LaneWorld(PLAN).open()
    owner = await world.owner()
    await world.start(PLAN)
    await owner.pump()
    await owner.lane.checkpoint()
    await asyncio.sleep(60)
    assert await owner.lane.checkpoint() is None
    await world.start(PLAN)
    await owner.pump()
    assert owner.lane.checkpoint_age < 1
    with caplog.at_level(logging.DEBUG, "tasker.lane.checkpoint"):
        await owner.lane.checkpoint()
    assert f"saved up to command {owner.lane.next_command}" in caplog.text
    await world.close()


@virtual
async def test_a_lane_that_was_never_taken_has_nothing_to_release() -> None:
    world = await LaneWorld(PLAN).open()
    owner: Owner = await world.prepared()
    assert not owner.lane.is_live
    await owner.lane.tick()
    assert await owner.lane.release() is None
    await world.close()


# ----------------------------------------------------------------------------- faults inside the rules


@virtual
async def test_a_fault_in_the_outputs_sets_the_task_aside(caplog: pytest.LogCaptureFixture) -> None:
    world = await LaneWorld(PLAN).open()
    owner = await world.owner()
    task_id = await world.start(PLAN)
    await owner.pump()
    await owner.flush()
    [dispatch] = await world.dispatches()
    await world.finish(dispatch)

    def broken(*_: object) -> object:
        raise RuntimeError("boom")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decider, "outputs", broken)
        await owner.pump()
        state = owner.lane.table.get(task_id)
        assert isinstance(state, TaskState)
        assert state.error_code == "quarantined"
        fresh = await world.start(PLAN)
        await owner.pump()
        assert owner.lane.table.get(fresh) is None
    assert owner.lane.metrics.quarantined == 2
    assert "boom" in caplog.text
    await owner.flush()
    codes = [codec.decode(each.value, Rejection).code for each in world.records(world.names.rejections)]
    assert codes == [RejectionCode.INTERNAL]
    other = await world.start(PLAN)
    await world.settle(owner)
    await owner.lane.checkpoint()
    await world.quiet()
    judged = judge(world)
    assert judged.ended == {other: TaskStatus.COMPLETE}
    same_states(world, judged)
    await owner.kill()
    following = await world.owner()
    assert following.lane.metrics.unrepeated == 0
    same_states(world, judged)
    await world.close()


@virtual
async def test_every_record_of_an_owner_carries_its_number() -> None:
    world = await LaneWorld(PLAN).open()
    first = await world.owner()
    await first.kill()
    owner = await world.owner()
    await world.start(PLAN)
    await world.settle(owner)
    await world.quiet()
    numbers = {
        dict(each.headers).get("tasker-owner")
        for topic in (world.names.transitions, world.names.steps("default"))
        for each in world.records(topic)
        if codec.kind_of(each.value) is Transitions or topic != world.names.transitions
    }
    assert numbers == {str(owner.lane.owner).encode()}
    assert owner.lane.owner > 0
    place = TopicPartition(world.names.transitions, 0)
    assert world.cluster.store(place).at(owner.lane.owner) is not None
    await world.close()
