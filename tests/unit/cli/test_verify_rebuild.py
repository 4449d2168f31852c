"""`verify-rebuild`: what is equal is called equal at any moment, and the command says it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from tasker_kafka.deploy.cli import session
from tasker_kafka.deploy.reading.rebuild_fold import FoldedPartition
from tasker_kafka.deploy.reading.rebuild_log import Accepted
from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.identity import new_request_id, parse_id
from tasker_kafka.schemas.records import (
    OperatorCommand,
    Transition,
    Transitions,
)
from tasker_kafka.schemas.state import Stub
from tasker_kafka.schemas.words import OperatorAction
from tasker_kafka.topics.history import AcceptedHistory
from tasker_kafka.topics.log import TopicPartition
from tasker_kafka.topics.memory import MemoryCluster, MemoryLog
from tasker_kafka.topics.names import TopicNames
from tests.support.lane_world import LaneWorld, Owner, virtual
from tests.support.rebuild_world import (
    DEMO,
    SHORT,
    fails,
    fails_first,
    saved,
    succeeds,
    varied,
    verified,
)
from tests.support.recording import Recording

HOUR = 3600.0


class TestEqual:
    @virtual
    async def test_tasks_in_every_condition(self) -> None:
        world = await LaneWorld(DEMO, SHORT).open()
        owner = await world.owner()
        tasks = await varied(owner, world)
        await saved(owner, world)
        (found,) = (await verified(world)).partitions
        assert found.is_equal
        assert found.first is None
        assert found.log_digest == found.table_digest
        assert (found.tasks, found.not_covered) == (len(tasks), 0)
        assert found.next_command == owner.lane.next_command
        counted = [each for each in accepted(world) if isinstance(each.record, Transitions)]
        assert found.records == len(counted)
        await world.close()

    @virtual
    async def test_digest_is_of_the_states(self) -> None:
        world = await LaneWorld(DEMO).open()
        owner = await world.owner()
        digests = set()
        for _ in range(3):
            await world.start(DEMO)
            await world.settle(owner)
            await saved(owner, world)
            digests.add((await verified(world)).partitions[0].log_digest)
        assert len(digests) == 3
        await world.close()

    @virtual
    async def test_before_the_first_checkpoint_nothing_is_claimed(self) -> None:
        world = await LaneWorld(DEMO).open()
        owner = await world.owner()
        await world.start(DEMO)
        await world.settle(owner)
        (found,) = (await verified(world)).partitions
        assert (found.is_equal, found.tasks, found.records) == (True, 0, 0)
        assert (found.next_command, found.checkpoint_offset) == (0, None)
        await world.close()

    @virtual
    async def test_what_is_decided_behind_the_checkpoint_is_left_out(self) -> None:
        world = await LaneWorld(DEMO).open()
        owner = await world.owner()
        first = await world.start(DEMO)
        await owner.pump()
        await saved(owner, world)
        await world.start(DEMO)
        await world.settle(owner)  # the first goes on, the second begins and ends, unsaved
        assert isinstance(owner.lane.table.get(first), Stub)
        (found,) = (await verified(world)).partitions
        assert (found.is_equal, found.tasks, found.records) == (True, 1, 1)
        await world.close()

    @virtual
    async def test_a_running_system_at_any_moment(self) -> None:
        world = await LaneWorld(DEMO, SHORT, partitions=2, latency=0.002, marker_delay=0.003).open()
        world.answer = fails_first
        owners = [await world.owner(number, checkpoint_interval_ms=25) for number in range(2)]
        for owner in owners:
            owner.run()
        digests = set()
        for moment in range(60):
            await world.start(DEMO if moment % 3 else SHORT)
            await world.work()
            if moment == 30:
                await owners[0].kill()
                owners[0] = await world.owner(0, checkpoint_interval_ms=25)
                owners[0].run()
            await asyncio.sleep(0.007)
            found = await verified(world)
            assert found.first is None, found.first
            digests.add(tuple(each.log_digest for each in found.partitions))
        assert len(digests) > 20
        assert all(owner.is_alive for owner in owners)
        await world.close()

    @virtual
    async def test_a_deposed_owners_records_do_not_count(self) -> None:
        world = await LaneWorld(DEMO).open()
        zombie = await world.owner()
        first = await world.start(DEMO)
        await zombie.pump()
        await saved(zombie, world)
        following = await world.owner()
        await world.start(DEMO)
        assert await zombie.pump() == 1
        await zombie.flush()
        await world.command(
            first,
            OperatorCommand(
                command_id=new_request_id(), action=OperatorAction.CANCEL_TASK, actor="ada", reason="a test"
            ),
        )
        await world.settle(following)
        await saved(following, world)
        (found,) = (await verified(world)).partitions
        assert (found.is_equal, found.tasks) == (True, 2)
        await world.close()

    @virtual
    async def test_forgotten_and_retired_tasks(self) -> None:
        world = await LaneWorld(DEMO, SHORT).open()
        owner = await world.owner()
        world.answer = fails
        failed = await world.start(SHORT)
        await world.settle(owner)
        world.answer = succeeds
        for _ in range(3):
            await world.start(SHORT)
        kept = await world.start(DEMO)
        await world.settle(owner)
        await saved(owner, world)
        present = {0: 5, 1: 2, 2: 2, 3: 1}
        horizons = set()
        for hours, tasks in present.items():
            found = (await verified(world)).partitions[0]
            assert (found.first, found.tasks) == (None, tasks), f"after {hours} hours"
            horizons.add(owner.lane.horizon)
            await owner.kill()
            await asyncio.sleep(HOUR + 61)
            owner = await (await world.owner()).learn_time()
            await owner.flush()
            await owner.pump()
            await saved(owner, world)
        assert len(horizons) > 1
        assert owner.lane.table.get(failed) is None
        assert isinstance(owner.lane.table.get(kept), Stub)
        await world.close()

    @virtual
    async def test_table_in_the_frames_of_before_a_registry(self) -> None:
        world = await LaneWorld(DEMO).open()
        owner = await world.owner()
        await varied_demo(owner, world)
        await saved(owner, world)
        codec.use_registry(Numbers())
        try:
            (found,) = (await verified(world)).partitions
        finally:
            codec.use_registry(None)
        assert (found.is_equal, found.tasks) == (True, 2)
        assert found.log_digest == found.table_digest
        await world.close()


async def varied_demo(owner: Owner, world: LaneWorld) -> None:
    """One task done, one under way."""
    await world.start(DEMO)
    await world.settle(owner)
    world.muted.add(await world.start(DEMO))
    await world.settle(owner)


class Numbers:
    """A registry that gives every schema a number."""

    def __init__(self) -> None:
        self.schemas: list[str] = []

    def id_for(self, name: str, schema: str) -> int:
        if schema not in self.schemas:
            self.schemas.append(schema)
        return self.schemas.index(schema)

    def schema_for(self, number: int) -> str | None:
        return self.schemas[number]


def later(transitions: tuple[Transition, ...]) -> tuple[Transition, ...]:
    """The same edges at another time."""
    return tuple(replace(each, at=each.at + 7) for each in transitions)


class TestRetention:
    """The front of the transitions is gone."""

    @staticmethod
    async def cut(world: LaneWorld, owner: Owner) -> tuple[bytes, bytes, bytes]:
        """A task from before the cut, one whose life is cut through, and one from after it."""
        tasks = [await world.start(DEMO)]
        await world.settle(owner)
        tasks.append(await world.start(DEMO))
        await owner.pump()
        await owner.flush()
        place = TopicPartition(world.names.transitions, 0)
        begin = await world.log.end_offset(place)
        tasks.append(await world.start(DEMO))
        await world.settle(owner)
        await saved(owner, world)
        world.cluster.store(place).truncate(begin)
        return tasks[0], tasks[1], tasks[2]

    @virtual
    async def test_tasks_that_began_before_are_not_covered(self) -> None:
        world = await LaneWorld(DEMO).open()
        await self.cut(world, await world.owner())
        (found,) = (await verified(world)).partitions
        assert (found.first, found.tasks, found.not_covered) == (None, 1, 2)
        await world.close()

    @virtual
    async def test_a_covered_task_that_differs_is_still_found(self) -> None:
        world = await LaneWorld(DEMO).open()
        before, through, after = await self.cut(world, await world.owner())
        for task_id in (before, through, after):
            await world.raw(world.names.task_state, task_id, None, partition=0)
        found = await verified(world)
        assert found.first is not None
        assert (found.differences, found.first.task_id, found.first.kind) == (1, after, "only_in_log")
        await world.close()

    @virtual
    async def test_all_of_the_log_is_gone(self) -> None:
        world = await LaneWorld(DEMO).open()
        await self.cut(world, await world.owner())
        place = TopicPartition(world.names.transitions, 0)
        world.cluster.store(place).truncate(await world.log.end_offset(place))
        (found,) = (await verified(world)).partitions
        assert (found.first, found.tasks, found.not_covered) == (None, 0, 3)
        await world.close()

    @virtual
    async def test_a_zombies_record_at_the_new_front_does_not_count(self) -> None:
        world = await LaneWorld(DEMO).open()
        zombie = await world.owner()
        following = await world.owner()
        place = TopicPartition(world.names.transitions, 0)
        begin = await world.log.end_offset(place)
        world.muted.add(await world.start(DEMO))  # a stub would not show who decided first
        await zombie.pump()
        await zombie.flush()
        await asyncio.sleep(5)
        await world.settle(following)
        await saved(following, world)
        world.cluster.store(place).truncate(begin)
        entry = next(each for each in world.cluster.store(place)._entries if each.offset == begin)
        assert entry.record is not None, "the zombie's record is the first that is retained"
        decided = codec.decode(entry.record.value, Transitions)
        other = replace(decided, at=decided.at + 7, transitions=later(decided.transitions))
        entry.record = replace(entry.record, value=codec.encode(other))  # by other rules
        (found,) = (await verified(world)).partitions
        assert (found.first, found.tasks, found.not_covered) == (None, 1, 0)
        await world.close()


# ------------------------------------------------------------------------------------------ the fold


def accepted(world: LaneWorld) -> Iterator[Accepted]:
    """The records of partition 0 that count."""
    history = AcceptedHistory()
    for record in world.records(world.names.transitions, 0):
        decoded = codec.decode_transition_record(record.value)
        if history.accept(record, decoded) and isinstance(decoded, Transitions):
            yield Accepted(record.offset, record.key or b"", decoded)


@pytest.mark.parametrize("decoded_steps", [1, 7, 100_000])
def test_few_decoded_states_fold_alike(decoded_steps: int) -> None:
    recording = Recording("kills")
    plans = recording.plans()
    for partition in recording.records["transitions"]:
        values, checkpoint = recording.table(partition)
        folded = FoldedPartition(plans.get, decoded_steps=decoded_steps)
        history = recording.history(partition)
        for offset in sorted(history):
            key, record = history[offset]
            if record.command_offset < checkpoint.next_command:
                folded.take(Accepted(offset, key, record))
        assert not folded.unfoldable
        assert {key: folded.value(key) for key in folded.task_ids()} == values


# -------------------------------------------------------------------------------------- the command


class TestCommand:
    @pytest.fixture
    def tasks(self, system: Any) -> list[str]:
        """Three finished tasks, saved."""
        options = ("--template", "shop/order", "--json", "--wait", "--timeout", "10", "-")
        return [
            system("submit", *options, stdin=f'{{"total": {total}}}').json["task_id"] for total in (5, 6, 500)
        ]

    def test_equal(self, tasks: list[str], system: Any) -> None:
        ran = system("verify-rebuild")
        assert (ran.code, "equal: 3 tasks are in the table as the log says" in ran.out) == (0, True)
        found = system("verify-rebuild", "--json").json
        assert (found["is_equal"], found["differences"], found["first"]) == (True, 0, None)
        for each in found["partitions"]:
            assert each["log_digest"] == each["table_digest"]
        assert sum(each["tasks"] for each in found["partitions"]) == 3

    def test_different(
        self, tasks: list[str], system: Any, cluster: MemoryCluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(session, "connect", lambda settings: MemoryLog(cluster))
        damaged = parse_id(tasks[0])
        for number in range(2):
            for entry in cluster.store(TopicPartition(TopicNames().task_state, number))._entries:
                if entry.record is not None and entry.record.key == damaged:
                    entry.record = replace(entry.record, value=b"\xff\x00damage")
        ran = system("verify-rebuild")
        assert ran.code == 1
        assert "DIFFERENT: 1 of 3 tasks" in ran.out
        assert "unreadable: task " in ran.out
        found = system("verify-rebuild", "--json")
        assert (found.code, found.json["differences"], found.json["first"]["kind"]) == (1, 1, "unreadable")
        one = system("verify-rebuild", "--task", found.json["first"]["task_id"])
        assert one.code == 1
        assert "transitions [" in one.out

    def test_one_task_or_partition(self, tasks: list[str], system: Any) -> None:
        assert system("verify-rebuild", "--task", tasks[0], "--json").json["partitions"][0]["tasks"] == 1
        assert len(system("verify-rebuild", "--partition", "1", "--json").json["partitions"]) == 1
        assert system("verify-rebuild", "--partition", "9").code == 4
        assert system("verify-rebuild", "--task", "01890000-0000-7000-8000-000000000000").code == 4
        assert system("verify-rebuild", "--task", tasks[0], "--partition", "0").code == 2
