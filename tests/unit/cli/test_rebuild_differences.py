"""Every kind of difference between log and table is found, named and counted by `verify-rebuild`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from msgspec.structs import replace

from tasker_kafka.deploy.reading import RebuildDifference
from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.errors import NotFoundError
from tasker_kafka.schemas.identity import new_request_id
from tasker_kafka.schemas.records import (
    CHECKPOINT_KEY,
    Checkpoint,
    TaskCreated,
    Transitions,
)
from tasker_kafka.schemas.state import TaskState
from tasker_kafka.schemas.words import OperatorAction, TaskStatus
from tasker_kafka.topics.log import Record, TopicPartition
from tasker_kafka.topics.memory import run_virtual
from tests.support.lane_world import LaneWorld, virtual
from tests.support.rebuild_world import (
    DEMO,
    SHORT,
    fails,
    order,
    saved,
    succeeds,
    varied,
    verified,
)

Seed = Callable[[LaneWorld, dict[str, bytes]], Coroutine[Any, Any, bytes | None]]


def newest(world: LaneWorld, key: bytes) -> Record:
    """The changelog's newest record of a key."""
    return [each for each in world.records(world.names.task_state, 0) if each.key == key][-1]


async def overwrite(world: LaneWorld, task_id: bytes, **changes: Any) -> bytes:
    """Change fields of a saved state."""
    state = codec.decode_state(newest(world, task_id).value)
    await world.raw(world.names.task_state, task_id, codec.encode(replace(state, **changes)), partition=0)
    return task_id


async def differs(world: LaneWorld, tasks: dict[str, bytes]) -> bytes:
    return await overwrite(world, tasks["waiting"], reason="another one")


async def stub_differs(world: LaneWorld, tasks: dict[str, bytes]) -> bytes:
    return await overwrite(world, tasks["done"], outcome=TaskStatus.CANCELLED)


async def step_differs(world: LaneWorld, tasks: dict[str, bytes]) -> bytes:
    state = codec.decode(newest(world, tasks["waiting"]).value, TaskState)
    steps = (replace(state.steps[0], attempt=7), *state.steps[1:])
    return await overwrite(world, tasks["waiting"], steps=steps)


async def ahead(world: LaneWorld, tasks: dict[str, bytes]) -> bytes:
    return await overwrite(world, tasks["waiting"], seq=9)


async def only_in_log(world: LaneWorld, tasks: dict[str, bytes]) -> bytes:
    await world.raw(world.names.task_state, tasks["done"], None, partition=0)
    return tasks["done"]


async def only_in_table(world: LaneWorld, tasks: dict[str, bytes]) -> bytes:
    await world.raw(world.names.task_state, b"\0" * 16, newest(world, tasks["done"]).value, partition=0)
    return b"\0" * 16


async def behind(world: LaneWorld, tasks: dict[str, bytes]) -> bytes:
    found = [each for each in world.records(world.names.task_state, 0) if each.key == tasks["reopened"]]
    assert len(found) > 1, "it was saved before it was reopened, too"
    await world.raw(world.names.task_state, tasks["reopened"], found[0].value, partition=0)
    return tasks["reopened"]


async def unreadable(world: LaneWorld, tasks: dict[str, bytes]) -> bytes:
    await world.raw(world.names.task_state, tasks["done"], b"\xff\x00damage", partition=0)
    return tasks["done"]


async def horizon(world: LaneWorld, tasks: dict[str, bytes]) -> None:
    checkpoint = codec.decode(newest(world, CHECKPOINT_KEY).value, Checkpoint)
    value = codec.encode(replace(checkpoint, horizon=17))
    await world.raw(world.names.task_state, CHECKPOINT_KEY, value, partition=0)


def damage(world: LaneWorld, task_id: bytes, seq: int, change: Callable[[Record], Record | None]) -> None:
    """Change, or lose, one record of the transitions in its place."""
    store = world.cluster.store(TopicPartition(world.names.transitions, 0))
    for entry in store._entries:
        if entry.record is not None and entry.record.key == task_id:
            decoded = codec.decode_transition_record(entry.record.value)
            if isinstance(decoded, Transitions) and decoded.seq == seq:
                entry.record = change(entry.record)
                return
    raise AssertionError("there is no such record")


async def lost_record(world: LaneWorld, tasks: dict[str, bytes]) -> bytes:
    damage(world, tasks["done"], 2, lambda record: None)
    return tasks["done"]


async def lost_last_record(world: LaneWorld, tasks: dict[str, bytes]) -> bytes:
    damage(world, tasks["failed"], 2, lambda record: None)
    return tasks["failed"]


async def damaged_record(world: LaneWorld, tasks: dict[str, bytes]) -> bytes:
    damage(world, tasks["waiting"], 1, lambda record: replace(record, value=(record.value or b"")[:-9]))
    return tasks["waiting"]


async def altered_record(world: LaneWorld, tasks: dict[str, bytes]) -> bytes:
    def alter(record: Record) -> Record:
        decoded = codec.decode(record.value, Transitions)
        first = decoded.transitions[0]
        assert isinstance(first.data, TaskCreated)
        changed = replace(first, data=replace(first.data, initiator="mallory"))
        return replace(
            record, value=codec.encode(replace(decoded, transitions=(changed, *decoded.transitions[1:])))
        )

    damage(world, tasks["waiting"], 1, alter)
    return tasks["waiting"]


SEEDS: list[tuple[Seed, str, str]] = [
    (differs, "differs", "reason"),
    (stub_differs, "differs", "outcome"),
    (step_differs, "differs", "steps[one].attempt"),
    (ahead, "ahead", "seq"),
    (only_in_log, "only_in_log", ""),
    (only_in_table, "only_in_table", ""),
    (behind, "behind", "seq"),
    (unreadable, "unreadable", ""),
    (horizon, "horizon", "horizon"),
    (lost_record, "unfoldable", ""),
    (lost_last_record, "ahead", "seq"),
    (damaged_record, "unfoldable", ""),
    (altered_record, "differs", "initiator"),
]


class TestDifferent:
    @pytest.mark.parametrize(("seed", "kind", "field"), SEEDS, ids=lambda each: getattr(each, "__name__", ""))
    def test_a_seeded_difference_is_found(self, seed: Seed, kind: str, field: str) -> None:
        first, task_id, transitions = run_virtual(self.seeded(seed))
        assert (first.kind, first.task_id) == (kind, task_id)
        assert not field or field in [each.field for each in first.fields]
        if task_id is None or kind == "only_in_table":
            assert first.transitions == ()
        else:
            assert first.transitions
            assert set(first.transitions) <= transitions

    async def seeded(self, seed: Seed) -> tuple[RebuildDifference, bytes | None, set[int]]:
        world = await LaneWorld(DEMO, SHORT).open()
        owner = await world.owner()
        world.answer = fails
        early = await world.start(SHORT)
        await world.settle(owner)
        await saved(owner, world)
        world.answer = succeeds
        await order(world, early, OperatorAction.RETRY_TASK)
        tasks = await varied(owner, world)
        tasks["reopened"] = early
        await saved(owner, world)
        assert (await verified(world)).first is None
        task_id = await seed(world, tasks)
        found = await verified(world)
        assert found.differences == 1
        assert found.first is not None
        (partition,) = found.partitions
        assert task_id is None or partition.log_digest != partition.table_digest
        own = {each.offset for each in world.records(world.names.transitions, 0) if each.key == task_id}
        await world.close()
        return found.first, task_id, own

    @virtual
    async def test_what_the_table_misses_is_named(self) -> None:
        world = await LaneWorld(DEMO).open()
        owner = await world.owner()
        task_id = await world.start(DEMO)
        await owner.pump()
        await saved(owner, world)
        old = newest(world, task_id).value
        await world.settle(owner)
        await saved(owner, world)
        await world.raw(world.names.task_state, task_id, old, partition=0)
        first = (await verified(world)).first
        assert first is not None
        begun, *missing = [
            each.offset for each in world.records(world.names.transitions, 0) if each.key == task_id
        ]
        assert f"after the record at offset {begun}" in first.message
        assert f"offsets {missing[0]} to {missing[-1]} are missing from it" in first.message
        assert first.changelog_offset == newest(world, task_id).offset
        await world.close()

    @virtual
    async def test_all_are_counted_and_the_lowest_id_is_named(self) -> None:
        world = await LaneWorld(DEMO, partitions=3).open()
        owners = [await world.owner(number) for number in range(3)]
        tasks = [await world.start(DEMO) for _ in range(30)]
        await world.settle(*owners)
        for owner in owners:
            await saved(owner, world)
        for task_id in tasks[:20]:
            await world.raw(world.names.task_state, task_id, None)
        found = await verified(world)
        assert (found.differences, sum(each.tasks for each in found.partitions)) == (20, 30)
        for each in found.partitions:
            wrong = sorted(task for task in tasks[:20] if world.partition_of(task) == each.partition)
            assert each.first is not None
            assert (each.differences, each.first.task_id) == (len(wrong), wrong[0])
        (only,) = (await verified(world, partitions=[1])).partitions
        assert only.partition == 1
        (one,) = (await verified(world, task_id=tasks[25])).partitions
        assert (one.is_equal, one.tasks, one.partition) == (True, 1, world.partition_of(tasks[25]))
        assert (await verified(world, task_id=tasks[3])).differences == 1
        await world.close()

    @virtual
    async def test_a_template_that_is_gone_is_said(self) -> None:
        world = await LaneWorld(DEMO).open()
        owner = await world.owner()
        await world.start(DEMO)
        await world.settle(owner)
        await saved(owner, world)
        partition = TopicPartition(world.names.templates, 0)
        world.cluster.store(partition).truncate(await world.log.end_offset(partition))
        first = (await verified(world)).first
        assert first is not None
        assert first.kind == "unfoldable"
        assert "not in the templates topic" in first.message
        await world.close()

    @virtual
    async def test_values_of_people_are_not_shown(self) -> None:
        world = await LaneWorld(DEMO).open()
        owner = await world.owner()
        task_id = await world.start(DEMO)
        world.muted.add(task_id)
        await world.settle(owner)
        await saved(owner, world)
        await overwrite(world, task_id, context=b'{"password": "canary"}')
        first = (await verified(world)).first
        assert first is not None
        assert [each.field for each in first.fields] == ["context"]
        assert "canary" not in repr(first)
        await world.close()

    @virtual
    async def test_unknown_task_and_partition(self) -> None:
        world = await LaneWorld(DEMO).open()
        owner = await world.owner()
        await saved(owner, world)
        with pytest.raises(NotFoundError, match="No task"):
            await verified(world, task_id=new_request_id())
        with pytest.raises(NotFoundError, match="no partition 5"):
            await verified(world, partitions=[5])
        await world.close()
