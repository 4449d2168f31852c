"""`as-of`: what is shown is the fold of what lies below the moment's positions, at every offset, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from tasker_kafka.deploy.reading import TaskFilter, TaskReport, walking
from tasker_kafka.deploy.reading.as_of import TasksAsOf, report_as_of, tasks_as_of
from tasker_kafka.deploy.reading.as_of_moments import BadMoment, parse_moment, resolve, vector_text
from tasker_kafka.schemas.errors import NotFoundError
from tasker_kafka.schemas.state import TaskState
from tasker_kafka.schemas.words import FINAL_TASK_STATES, OperatorAction, TaskStatus
from tasker_kafka.topics.log import Log, TopicPartition
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.plans import PlanStore
from tests.support.lane_world import LaneWorld, Owner, virtual
from tests.support.rebuild_world import DEMO, SHORT, fails, order, saved, varied
from tests.support.recorded_log import played, states_below
from tests.support.recording import Recording

NAMES = TopicNames()


@asynccontextmanager
async def plans_of(log: Log) -> AsyncIterator[PlanStore]:
    store = PlanStore(log, NAMES)
    await store.start()
    try:
        yield store
    finally:
        await store.stop()


async def one(log: Log, task_id: bytes, text: str, **options: Any) -> TaskReport:
    async with plans_of(log) as plans:
        return (await report_as_of(log, NAMES, plans, task_id, parse_moment(text), **options)).report


async def every(log: Log, text: str, **wanted: Any) -> TasksAsOf:
    async with plans_of(log) as plans:
        return await tasks_as_of(log, NAMES, plans, parse_moment(text), TaskFilter(**wanted), limit=1000)


def shown(report: TaskReport) -> list[tuple[str, str, int, int | None]]:
    return [(each.name, str(each.state), each.attempts, each.next_retry_at) for each in report.steps]


def folded(state: TaskState) -> list[tuple[str, str, int, int | None]]:
    return [(each.name, str(each.state), each.attempt, each.next_retry_at) for each in state.steps]


class TestEveryOffset:
    @virtual
    async def test_of_a_recorded_task_is_the_fold_to_that_offset(self) -> None:
        recording = Recording("kills")
        log = await played(recording)
        plans = recording.plans()
        looked = 0
        for partition, records in recording.records["transitions"].items():
            end = records[-1].offset + 1
            known = states_below(records, plans, end)
            for offset in range(end + 1):
                below = states_below(records, plans, offset)
                for task_id in list(known)[offset % 5 :: 5]:
                    if task_id not in below:
                        with pytest.raises(NotFoundError, match="did not exist"):
                            await one(log, task_id, f"@{offset}")
                        continue
                    report = await one(log, task_id, f"@{offset}")
                    assert (report.state, shown(report)) == (below[task_id].state, folded(below[task_id]))
                    assert report.partition == partition
                    looked += 1
        assert looked > 200

    @virtual
    async def test_of_the_list_is_the_fold_to_that_offset(self) -> None:
        recording = Recording("kills")
        log = await played(recording)
        records = recording.records["transitions"]
        ends = {partition: held[-1].offset + 1 for partition, held in records.items()}
        for share in range(11):
            offsets = {partition: end * share // 10 for partition, end in ends.items()}
            found = await every(log, vector_text(offsets))
            below: dict[bytes, TaskState] = {}
            for partition, held in records.items():
                below |= states_below(held, recording.plans(), offsets[partition])
            assert {row.task_id: row.state for row in found.rows} == {
                key: state.state for key, state in below.items()
            }
            assert found.total == sum(found.counts.values()) == len(below)
            assert found.cut.offsets == offsets

    @virtual
    async def test_of_a_task_with_every_condition(self) -> None:
        world = await LaneWorld(DEMO, SHORT).open()
        owner = await world.owner()
        tasks = await varied(owner, world)
        await saved(owner, world)
        plans = {DEMO.hash: DEMO, SHORT.hash: SHORT}
        records = world.records(NAMES.transitions, 0)
        for offset in range(records[-1].offset + 2):
            below = states_below(records, plans, offset)
            for task_id in tasks.values():
                if task_id in below:
                    report = await one(world.log, task_id, f"@{offset}")
                    assert (report.state, shown(report)) == (below[task_id].state, folded(below[task_id]))
        await world.close()


async def failed_then_reopened(world: LaneWorld, owner: Owner) -> tuple[bytes, int]:
    """A task that failed, and the time before an operator reopened it."""
    world.answer = fails
    task_id = await world.start(SHORT)
    await world.settle(owner)
    await asyncio.sleep(10)
    at = world.log.now_ms()
    await asyncio.sleep(10)
    await order(world, task_id, OperatorAction.RETRY_TASK)
    await owner.pump()
    await owner.flush()
    return task_id, at


class TestTimes:
    @virtual
    async def test_a_time_is_the_first_record_at_or_after_it(self) -> None:
        world = await LaneWorld(DEMO, SHORT).open()
        owner = await world.owner()
        task_id, at = await failed_then_reopened(world, owner)
        text = parse_text(at)
        assert (await one(world.log, task_id, text)).state is TaskStatus.ERROR
        assert (await one(world.log, task_id, "now")).state is TaskStatus.IN_PROGRESS
        assert (await one(world.log, task_id, "-10s")).state is TaskStatus.ERROR
        cut = await resolve(world.log, NAMES, parse_moment(text))
        again = await one(world.log, task_id, vector_text(cut.offsets))
        assert again.seq == (await one(world.log, task_id, text)).seq
        first = next(each for each in world.records(NAMES.transitions, 0) if each.offset >= cut.offsets[0])
        assert first.timestamp >= at
        await world.close()

    @virtual
    async def test_a_span_counts_from_now(self) -> None:
        world = await LaneWorld(DEMO).open()
        await asyncio.sleep(7200)
        cut = await resolve(world.log, NAMES, parse_moment("-1h30m"))
        assert cut.at == world.log.now_ms() - 5_400_000
        await world.close()

    @virtual
    async def test_workers_of_then_are_not_made_up(self) -> None:
        world = await LaneWorld(DEMO).open()
        owner = await world.owner()
        task_id = await world.start(DEMO)
        await owner.pump()
        await owner.flush()
        waits = (await one(world.log, task_id, "now")).waiting
        assert "who served it then is not in the log" in waits[0].message
        await world.close()


def parse_text(at: int) -> str:
    from tasker_kafka.deploy.reading import time_text

    return time_text(at)


class TestGivenBack:
    @virtual
    async def test_the_positions_used_mean_the_same_again(self, tmp_path: Path) -> None:
        world = await LaneWorld(DEMO, SHORT, partitions=3).open()
        owners = [await world.owner(number) for number in range(3)]
        for _ in range(12):
            await world.start(DEMO)
        await world.settle(*owners)
        found = await every(world.log, "now")
        for _ in range(5):
            await world.start(DEMO)
        await world.settle(*owners)
        file = tmp_path / "offsets.json"
        file.write_text(
            f'{{"offsets": {{"0": {found.cut.offsets[0]}, "1": {found.cut.offsets[1]}, '
            f'"2": {found.cut.offsets[2]}}}}}'
        )
        for text in (vector_text(found.cut.offsets), str(file)):
            again = await every(world.log, text)
            assert (again.rows, again.counts) == (found.rows, found.counts)
        assert (await every(world.log, "now")).total == 17
        await world.close()

    @virtual
    async def test_filters_and_limit(self) -> None:
        world = await LaneWorld(DEMO, SHORT).open()
        owner = await world.owner()
        await varied(owner, world)
        found = await every(world.log, "now", template="short")
        assert (found.total, {row.template for row in found.rows}) == (2, {"short"})
        assert (await every(world.log, "now", states=("error",))).total == 1
        everything = await every(world.log, "now")
        both = await every(world.log, "now", states=("error", "complete"))
        assert both.total == everything.counts["error"] + everything.counts["complete"]
        assert everything.not_searched == 0, "nothing was looked for"
        tagged = await every(world.log, "now", states=("complete",), tags=("x",))
        assert (tagged.total, tagged.not_searched) == (0, 0), "finished tasks are searched, too"
        anything = await every(world.log, "now", states=("complete",), tags=())
        assert anything.total == everything.counts["complete"]
        async with plans_of(world.log) as plans:
            few = await tasks_as_of(world.log, NAMES, plans, parse_moment("now"), TaskFilter(), limit=2)
        assert len(few.rows) == 2 < few.total
        assert few.rows[0].created_at >= few.rows[1].created_at
        await world.close()

    @virtual
    async def test_it_says_how_far_it_is(self) -> None:
        world = await LaneWorld(DEMO, SHORT).open()
        await varied(await world.owner(), world)
        told: list[tuple[int, int, int]] = []
        everything = TaskFilter()
        with patch.object(walking, "PROGRESS_EVERY", 1):
            async with plans_of(world.log) as plans:
                await tasks_as_of(
                    world.log,
                    NAMES,
                    plans,
                    parse_moment("now"),
                    everything,
                    limit=2,
                    progress=lambda *each: told.append(each),
                )
        end = await world.log.end_offset(TopicPartition(NAMES.transitions, 0))
        assert told == sorted(told)
        assert {(partition, whole) for partition, _, whole in told} == {(0, end)}
        assert told[-1][1] == end - 1, "the last record is told of"
        await world.close()


class TestRetention:
    @virtual
    async def test_what_is_removed_is_said_and_not_guessed(self) -> None:
        world = await LaneWorld(DEMO).open()
        owner = await world.owner()
        gone = await world.start(DEMO)
        await world.settle(owner)
        halved = await world.start(DEMO)
        await owner.pump()
        await owner.flush()
        place = TopicPartition(NAMES.transitions, 0)
        begin = await world.log.end_offset(place)
        whole = await world.start(DEMO)
        await world.settle(owner)
        await saved(owner, world)
        world.cluster.store(place).truncate(begin)
        found = await every(world.log, "now")
        assert [row.task_id for row in found.rows] == [whole]
        assert (found.partitions[0].not_covered, found.cut.partitions[0].begin) == (1, begin)
        assert found.cut.partitions[0].begin_at is not None
        for task_id in (gone, halved):
            with pytest.raises(NotFoundError, match="retained log begins at offset"):
                await one(world.log, task_id, "now")
        assert (await one(world.log, whole, "now")).state is TaskStatus.COMPLETE
        lost = await every(world.log, f"@{begin - 1}")
        assert (lost.total, lost.cut.partitions[0].is_lost) == (0, True)
        await world.close()

    @virtual
    async def test_a_forgotten_task_is_still_shown_at_its_time(self) -> None:
        world = await LaneWorld(DEMO, SHORT).open()
        owner = await world.owner()
        task_id = await world.start(SHORT)
        await world.settle(owner)
        await saved(owner, world)
        before = await every(world.log, "now")
        await asyncio.sleep(3 * 3600)
        await owner.lane.tick()
        await owner.flush()
        await owner.pump()
        await saved(owner, world)
        assert owner.lane.table.get(task_id) is None
        assert before.total == 1
        assert (await every(world.log, "now")).total == 0
        assert (await one(world.log, task_id, vector_text(before.cut.offsets))).state in FINAL_TASK_STATES
        await world.close()


class TestTexts:
    @pytest.mark.parametrize(
        "text",
        ["yesterday", "2026-01-31T09:30:00", "@", "@1:", "@1:2,1:3", "@-1", "-2", "-2y", "", "@1:2,", "2h-"],
    )
    def test_a_text_that_means_no_moment(self, text: str) -> None:
        with pytest.raises(BadMoment) as caught:
            parse_moment(text)
        assert "RFC 3339" in str(caught.value)

    @pytest.mark.parametrize("content", ["{", "[]", '{"a": 1}', '{"offsets": 3}'])
    def test_a_file_without_offsets(self, content: str, tmp_path: Path) -> None:
        file = tmp_path / "moment.json"
        file.write_text(content)
        with pytest.raises(BadMoment, match=r"holds no"):
            parse_moment(str(file))

    def test_texts_that_do(self) -> None:
        assert parse_moment("2026-01-31T09:30:00+01:00").at == 1_769_848_200_000
        assert parse_moment("-1d12h").ago_ms == parse_moment("36h").ago_ms == 36 * 3_600_000
        assert parse_moment("@7").offset == 7
        assert parse_moment("@0:7,2:9").offsets == {0: 7, 2: 9}

    @virtual
    async def test_positions_that_there_are_not(self) -> None:
        world = await LaneWorld(DEMO, partitions=2).open()
        for text, fault in (
            ("@5", "one partition"),
            ("@0:0", "partition 1"),
            ("@0:0,1:99", "ends at offset"),
        ):
            with pytest.raises(BadMoment, match=fault):
                await resolve(world.log, NAMES, parse_moment(text))
        with pytest.raises(BadMoment, match="still to come"):
            await resolve(world.log, NAMES, parse_moment("2999-01-01T00:00:00Z"))
        await world.close()
