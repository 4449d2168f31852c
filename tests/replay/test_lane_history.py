"""Recorded history wins: over lost outputs, over zombies, over rules that have changed since."""

from __future__ import annotations

import asyncio

import pytest

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.errors import FencedError, PartitionLost
from tasker_kafka.schemas.plan import RetryPolicy
from tasker_kafka.schemas.records import Checkpoint, Command, Rejection
from tasker_kafka.schemas.state import Stub, TaskState
from tasker_kafka.schemas.words import TaskStatus
from tasker_kafka.streams.domain import Decision, Ignored, IgnoredReason, Moment, decide
from tasker_kafka.streams.lane import decider
from tasker_kafka.topics.log import Batch
from tests.support.lane_checks import judge, same_states
from tests.support.lane_world import LaneWorld, Owner, plan_of, virtual

PLAN = plan_of()
State = TaskState | Stub | None


async def handed_over(world: LaneWorld, owner: Owner) -> Owner:
    """The owner is killed; another one takes over."""
    await owner.kill()
    return await world.owner()


@virtual
async def test_a_lost_dispatch_is_sent_again() -> None:
    world = await LaneWorld(PLAN).open()
    owner = await world.owner()
    task_id = await world.start(PLAN)
    world.cluster.faults.lose_writes(world.names.steps("default"))
    await owner.pump()
    await asyncio.sleep(0.1)
    assert not await world.dispatches()
    owner = await handed_over(world, owner)
    assert owner.lane.metrics.replayed == 1
    await world.settle(owner)
    assert judge(world).ended == {task_id: TaskStatus.COMPLETE}
    await world.close()


@virtual
async def test_a_lost_rejection_is_sent_again_and_byte_identical() -> None:
    world = await LaneWorld(PLAN).open()
    owner = await world.owner()
    await world.raw(world.names.commands, b"k", b"poison", partition=0)
    await owner.pump()
    await owner.flush()
    await world.raw(world.names.commands, b"k", None, partition=0)
    world.cluster.faults.lose_writes(world.names.rejections)
    await owner.pump()
    await asyncio.sleep(0.1)
    await handed_over(world, owner)
    await asyncio.sleep(0.1)
    found = world.records(world.names.rejections)
    assert [codec.decode(each.value, Rejection).offset for each in found] == [0, 0, 1]
    assert found[0].value == found[1].value
    await world.close()


@virtual
async def test_repeated_outputs_are_byte_identical() -> None:
    world = await LaneWorld(PLAN).open()
    owner = await world.owner()
    await world.start(PLAN)
    await world.settle(owner)
    for _ in range(3):
        owner = await handed_over(world, owner)
        await owner.flush()
    await world.quiet()
    judged = judge(world)
    assert judged.repeated_dispatches == 3 * 2
    same_states(world, judged)
    await world.close()


@virtual
async def test_nothing_is_repeated_after_a_checkpoint() -> None:
    world = await LaneWorld(PLAN).open()
    owner = await world.owner()
    await world.start(PLAN)
    await world.settle(owner)
    await owner.lane.checkpoint()
    owner = await handed_over(world, owner)
    assert owner.lane.metrics.replayed == 0
    assert judge(world).repeated_dispatches == 0
    await world.quiet()
    same_states(world, judge(world))
    await world.close()


# ------------------------------------------------------------------------------------------ zombies


@virtual
async def test_a_zombies_checkpoint_is_refused() -> None:
    world = await LaneWorld(PLAN).open()
    zombie = await world.owner()
    await world.start(PLAN)
    await zombie.pump()
    owner = await world.owner()
    await world.settle(owner)
    await owner.lane.checkpoint()
    with pytest.raises(FencedError, match="newer owner"):
        await zombie.lane.checkpoint()
    assert not zombie.lane.is_live
    with pytest.raises(PartitionLost):
        await zombie.lane.process(Batch(0, 0, ()))
    await world.quiet()
    same_states(world, judge(world))
    await world.close()


@virtual
async def test_a_zombies_late_records_do_not_count() -> None:
    world = await LaneWorld(PLAN).open()
    zombie = await world.owner()
    await zombie.pump()
    zombie.log.pause()
    task_id = await world.start(PLAN)
    owner = await world.owner()
    await world.settle(owner)
    zombie.log.resume()
    await zombie.pump()  # decides everything again, under its old number
    await zombie.flush()
    await world.quiet()
    judged = judge(world)
    assert judged.skipped == 3
    assert judged.ended == {task_id: TaskStatus.COMPLETE}
    same_states(world, judged)
    owner = await handed_over(world, owner)
    await world.quiet()
    same_states(world, judge(world))
    await world.close()


@virtual
async def test_a_checkpoint_left_half_done_is_aborted() -> None:
    world = await LaneWorld(PLAN).open()
    owner = await world.owner()
    await world.start(PLAN)
    await owner.pump()
    world.cluster.faults.hold_commits(world.names.engine_writer(0))
    saving = asyncio.create_task(owner.lane.checkpoint())
    await asyncio.sleep(0.1)
    assert not saving.done()
    taking = asyncio.create_task(world.owner())
    await asyncio.sleep(0.1)  # it has fenced the first, and its own commit is held, too
    world.cluster.faults.release_commits(world.names.engine_writer(0))
    following = await taking
    with pytest.raises(FencedError):
        await saving
    assert following.lane.metrics.replayed == 1
    assert world.records(world.names.task_state) == []
    await world.settle(following)
    await world.quiet()
    same_states(world, judge(world))
    await world.close()


@virtual
async def test_what_is_decided_during_a_checkpoint_is_not_in_it() -> None:
    world = await LaneWorld(PLAN, latency=0.01).open()
    owner = await world.owner()
    first = await world.start(PLAN)
    await owner.pump()
    saving = asyncio.create_task(owner.lane.checkpoint())
    await asyncio.sleep(0.025)  # the cut is taken, the barrier or the transaction is under way
    second = await world.start(PLAN)
    await owner.pump()
    world.cluster.faults.lose_writes(world.names.steps("default"), count=9)
    saved = await saving
    assert saved is not None
    assert saved <= owner.lane.next_command
    world.cluster.faults.clear()
    owner = await handed_over(world, owner)
    await world.settle(owner)
    await world.quiet()
    judged = judge(world)
    assert set(judged.ended) == {first, second}
    same_states(world, judged)
    await world.close()


# --------------------------------------------------------------------------------- rules that changed


def fails_every_start(state: State, command: Command, moment: Moment) -> Decision | Ignored:
    """Other rules: nothing is ever accepted."""
    return Ignored(IgnoredReason.NOTHING_TO_DO)


@virtual
async def test_a_recorded_decision_is_kept_when_the_rules_have_changed() -> None:
    world = await LaneWorld(PLAN).open()
    owner = await world.owner()
    task_id = await world.start(PLAN)
    await owner.pump()
    await owner.flush()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decider, "decide", fails_every_start)
        owner = await handed_over(world, owner)
        assert owner.lane.metrics.replayed == 1
        assert isinstance(owner.lane.table.get(task_id), TaskState)
        assert await owner.pump() == 0
    same_states(world, judge(world, rules_changed=True))
    await world.close()


@virtual
async def test_what_was_ignored_stays_ignored_when_the_rules_have_changed() -> None:
    """Old rules ignored the first StartTask; a later command is recorded; new rules would accept the first."""
    world = await LaneWorld(PLAN).open()
    first = bytes([1]) * 16

    def old_rules(state: State, command: Command, moment: Moment) -> Decision | Ignored:
        if command.task_id == first:
            return Ignored(IgnoredReason.NOTHING_TO_DO)
        return decide(state, command, moment)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decider, "decide", old_rules)
        owner = await world.owner()
        await world.start(PLAN, task_id=first)
        second = await world.start(PLAN)
        await owner.pump()
        await owner.flush()
    owner = await handed_over(world, owner)
    await world.settle(owner)
    await world.quiet()
    judged = judge(world)
    assert first not in judged.states[0]
    assert judged.ended == {second: TaskStatus.COMPLETE}
    same_states(world, judged)
    await world.close()


@virtual
async def test_a_decision_that_was_never_recorded_is_decided_by_todays_rules() -> None:
    """The honest limit: its dispatch went out, and history says otherwise."""
    world = await LaneWorld(PLAN).open()
    owner = await world.owner()
    await world.start(PLAN)
    world.cluster.faults.lose_writes(world.names.transitions)
    await owner.pump()
    await asyncio.sleep(0.1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decider, "decide", fails_every_start)
        owner = await handed_over(world, owner)
        await owner.pump()
    judged = judge(world, rules_changed=True)
    assert judged.unrecorded_dispatches == 1
    assert judged.states[0] == {}
    await world.close()


@virtual
async def test_a_zombies_record_behind_the_marker_cannot_make_a_second_history() -> None:
    """It arrives before the new owner, whose rules have changed, has written anything."""
    world = await LaneWorld(PLAN).open()
    zombie = await world.owner()
    await world.start(PLAN)
    world.cluster.faults.delay_writes(5, world.names.transitions)
    await zombie.pump()
    owner = await world.owner()
    await asyncio.sleep(6)
    await zombie.kill()
    assert len(world.records(world.names.transitions)) == 3  # two markers, then the late record
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decider, "decide", fails_every_start)
        await owner.pump()
    judged = judge(world, rules_changed=True)
    assert judged.skipped == 1
    same_states(world, judged)
    await owner.lane.checkpoint()
    await owner.kill()
    following = await world.owner()
    same_states(world, judged)
    assert following.lane.table.live_count == 0
    await world.close()


# ------------------------------------------------------------------------------------- repeats and gaps


@virtual
async def test_commands_read_again_from_the_beginning_are_skipped() -> None:
    world = await LaneWorld(PLAN).open()
    owner = await world.owner()
    await world.start(PLAN)
    await world.settle(owner)
    records = tuple(world.records(world.names.commands))
    before = world.records(world.names.transitions)
    await owner.lane.process(Batch(0, 2, records[:2]))
    await owner.lane.process(Batch(2, len(records), records[2:]))
    await owner.flush()
    assert owner.lane.metrics.skipped == len(records)
    assert world.records(world.names.transitions) == before
    await world.close()


@virtual
async def test_a_gap_ends_the_lane() -> None:
    world = await LaneWorld(PLAN).open()
    owner = await world.owner()
    with pytest.raises(PartitionLost, match="commands 0 to 4 were not handed"):
        await owner.lane.process(Batch(5, 6, ()))
    assert not owner.lane.is_live
    await world.close()


@virtual
async def test_every_command_twice_is_every_command_once() -> None:
    plan = plan_of(steps={"a": (), "b": ("a",)}, retry=RetryPolicy(max_attempts=1))
    world = await LaneWorld(plan).open()
    owner = await world.owner()
    task_id = await world.start(plan)
    done = 0
    while done < len(commands := world.records(world.names.commands)):
        for each in commands[done:]:
            await world.raw(world.names.commands, each.key, each.value)
        done = len(world.records(world.names.commands))
        await owner.pump()
        await owner.flush()
        await world.work()
    await world.quiet()
    judged = judge(world)
    assert judged.ended == {task_id: TaskStatus.COMPLETE}
    assert sum(owner.lane.metrics.ignored.values()) == 3
    same_states(world, judged)
    await world.close()


@virtual
async def test_results_that_nobody_granted_change_nothing() -> None:
    world = await LaneWorld(PLAN).open()
    owner = await world.owner()
    task_id = await world.start(PLAN)
    await owner.pump()
    await owner.flush()
    [dispatch] = await world.dispatches()
    await world.finish(dispatch, attempt=7)
    await world.finish(dispatch, life=99)
    await world.finish(dispatch, step="none")
    before = owner.lane.table.get(task_id)
    await owner.pump()
    assert owner.lane.table.get(task_id) is before
    assert owner.lane.metrics.ignored == {"never_granted": 1, "other_life": 1, "unknown_step": 1}
    await owner.lane.checkpoint()
    await world.quiet()
    [saved] = [
        codec.decode(each.value, Checkpoint)
        for each in world.records(world.names.task_state)
        if codec.kind_of(each.value) is Checkpoint
    ]
    assert [(each.first, each.last) for each in saved.ignored] == [(1, 3)]
    judge(world)
    await world.close()
