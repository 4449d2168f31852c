"""`diff`: every task that changed between two moments, and only those, with what its steps did."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tasker_kafka.deploy.reading.as_of_moments import BadMoment, parse_moment, vector_text
from tasker_kafka.deploy.reading.diff import Differences, Wanted, diff
from tasker_kafka.deploy.reading.diff_changes import ChangeKind
from tasker_kafka.schemas.errors import NotFoundError
from tasker_kafka.schemas.state import TaskState
from tasker_kafka.schemas.words import OperatorAction, TaskStatus
from tasker_kafka.topics.log import Log, TopicPartition
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.plans import PlanStore
from tests.support.lane_world import LaneWorld, virtual
from tests.support.rebuild_world import DEMO, SHORT, fails, order, saved, succeeds, varied
from tests.support.recorded_log import played, states_below
from tests.support.recording import Recording

NAMES = TopicNames()


async def between(log: Log, first: str, second: str, limit: int = 1000, **options: Any) -> Differences:
    plans = PlanStore(log, NAMES)
    await plans.start()
    try:
        moments = (parse_moment(first), parse_moment(second))
        wanted = options.pop("wanted", None)
        return await diff(log, NAMES, plans, *moments, wanted=wanted, limit=limit, **options)
    finally:
        await plans.stop()


async def position(world: LaneWorld) -> str:
    return f"@{await world.log.end_offset(TopicPartition(NAMES.transitions, 0))}"


@virtual
async def test_every_change_of_a_recorded_log_and_no_other() -> None:
    """Against both folds, made apart from the code under test."""
    recording = Recording("kills")
    log = await played(recording)
    records = recording.records["transitions"]
    changed = 0
    for share in range(1, 9):
        first = {each: held[-1].offset * (share - 1) // 10 for each, held in records.items()}
        second = {each: held[-1].offset * (share + 2) // 10 for each, held in records.items()}
        found = await between(log, vector_text(first), vector_text(second))
        before: dict[bytes, TaskState] = {}
        after: dict[bytes, TaskState] = {}
        for partition, held in records.items():
            before |= states_below(held, recording.plans(), first[partition])
            after |= states_below(held, recording.plans(), second[partition])
        differing = {key for key, state in after.items() if before.get(key) != state}
        assert {each.task_id for each in found.tasks} == differing
        for each in found.tasks:
            old, new = before.get(each.task_id), after[each.task_id]
            assert (each.before, each.after) == (None if old is None else old.state, new.state)
            known = {} if old is None else {step.name: step.state for step in old.steps}
            moved = {step.name for step in new.steps if known.get(step.name) != step.state}
            assert {step.step for step in each.steps} >= moved
            granted = sum(step.attempt for step in new.steps) - sum(
                step.attempt for step in ([] if old is None else old.steps)
            )
            assert sum(step.attempts for step in each.steps) == granted
        assert found.total == sum(found.kinds.values()) == len(differing)
        changed += found.total
    assert changed > 50


@virtual
async def test_kinds() -> None:
    world = await LaneWorld(DEMO, SHORT).open()
    owner = await world.owner()
    tasks = await varied(owner, world)
    await saved(owner, world)
    first = await position(world)
    assert (await between(world.log, first, first)).total == 0
    world.answer = fails
    created = await world.start(SHORT)
    await order(world, tasks["failed"], OperatorAction.RETRY_TASK)
    await owner.pump()
    await order(world, tasks["waiting"], OperatorAction.SET_TAGS)
    await order(world, tasks["waiting"], OperatorAction.CANCEL_TASK)
    await owner.pump()
    await owner.flush()
    found = await between(world.log, first, await position(world))
    kinds = {each.task_id: each.kind for each in found.tasks}
    assert kinds == {
        created: ChangeKind.CREATED,
        tasks["failed"]: ChangeKind.REOPENED,
        tasks["waiting"]: ChangeKind.CLOSED,
    }
    assert found.states == {"– → in_progress": 1, "error → in_progress": 1, "in_progress → cancelled": 1}
    again = await between(world.log, first, "now", task_id=tasks["failed"])
    (change,) = again.tasks
    (step,) = change.steps
    assert (step.step, step.before, step.after, step.attempts) == ("a", "error", "enqueued", 1)
    assert {each.field for each in change.fields} == {"deadline_from", "error_code", "closed_at"}
    for wanted, count in (
        (Wanted(template="short"), 2),
        (Wanted(kinds=(ChangeKind.CLOSED,)), 1),
        (Wanted(states=("error",)), 1),
        (Wanted(namespace="nobody"), 0),
    ):
        assert (await between(world.log, first, "now", wanted=wanted)).total == count
    few = await between(world.log, first, "now", limit=1)
    assert (few.total, len(few.tasks)) == (3, 1)
    await world.close()


@virtual
async def test_forgotten_tasks() -> None:
    world = await LaneWorld(DEMO, SHORT).open()
    owner = await world.owner()
    gone = await world.start(SHORT)
    await world.settle(owner)
    await saved(owner, world)
    first = await position(world)
    await asyncio.sleep(3 * 3600)
    await owner.lane.tick()
    await owner.flush()
    await owner.pump()
    await saved(owner, world)
    (change,) = (await between(world.log, first, "now")).tasks
    assert (change.task_id, change.kind, change.before, change.after) == (
        gone,
        ChangeKind.FORGOTTEN,
        TaskStatus.COMPLETE,
        None,
    )
    assert (change.template, change.records) == ("short", 0)
    await world.close()


@virtual
async def test_a_task_that_comes_and_goes_in_between() -> None:
    world = await LaneWorld(DEMO).open()
    owner = await world.owner()
    world.answer = succeeds
    task_id = await world.start(DEMO)
    await world.settle(owner)
    (change,) = (await between(world.log, "@0", "now")).tasks
    assert (change.kind, change.after, change.records) == (ChangeKind.CREATED, TaskStatus.COMPLETE, 3)
    own = [each.offset for each in world.records(NAMES.transitions, 0) if each.key == task_id]
    assert change.offsets == (own[0], own[-1])
    assert [(step.before, str(step.after), step.attempts) for step in change.steps] == [
        (None, "complete", 1),
        (None, "complete", 1),
    ]
    await world.close()


@virtual
async def test_what_retention_took_is_not_guessed() -> None:
    world = await LaneWorld(DEMO).open()
    owner = await world.owner()
    await world.start(DEMO)
    await owner.pump()
    await owner.flush()
    begin = await position(world)
    whole = await world.start(DEMO)
    await world.settle(owner)
    await saved(owner, world)
    world.cluster.store(TopicPartition(NAMES.transitions, 0)).truncate(int(begin[1:]))
    found = await between(world.log, "@0", "now")
    assert ([each.task_id for each in found.tasks], found.not_covered) == ([whole], 1)
    assert found.first.partitions[0].is_lost
    await world.close()


@virtual
async def test_what_cannot_be_asked() -> None:
    world = await LaneWorld(DEMO).open()
    owner = await world.owner()
    task_id = await world.start(DEMO)
    await world.settle(owner)
    with pytest.raises(BadMoment, match="is before"):
        await between(world.log, "now", "@0")
    with pytest.raises(NotFoundError):
        await between(world.log, "@0", "now", task_id=bytes(16))
    assert (await between(world.log, "now", "now", task_id=task_id)).total == 0
    await world.close()
