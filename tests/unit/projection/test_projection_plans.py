"""A task whose template is published after its records were read heals by itself, whatever happened in between."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.words import TaskStatus
from tasker_kafka.streams.projection import Store, TaskQuery
from tasker_kafka.streams.projection.answers import LogAnswers
from tasker_kafka.streams.projection.plan_shelf import PlanShelf
from tasker_kafka.streams.projection.writer import Writer
from tests.support.following_projection import followed
from tests.support.lane_world import LaneWorld, plan_of
from tests.support.projected import NAMES, NOW, PLACE, TWO_STEPS, Topic, batch_of, rows_of, task_key
from tests.support.tasks import Rig


class Late:
    """Templates that are published later."""

    def __init__(self) -> None:
        self.plans: dict[bytes, Plan] = {}

    def writer(self, store: Store) -> Writer:
        """A writer that asks here."""
        made = Writer(store, NAMES, PlanShelf(self.plans.get), now_ms=lambda: NOW)
        made.assign([PLACE])
        return made

    def publish(self) -> None:
        """Now it is there."""
        self.plans[TWO_STEPS.hash] = TWO_STEPS


def story(topic: Topic, *lives: int) -> None:
    """A task of so many records in each of its lives, and one that ended before."""
    rig = Rig(TWO_STEPS)
    rig.start(tags=("x",))
    rig.succeed("a", "b")
    for number, count in enumerate(lives, start=1):
        for record in rig.records[:count]:
            topic.add(task_key(1), replace(record, life=number))


def expected(store: Store, topic: Topic) -> dict[str, object]:
    """The rows of who knew the template from the beginning."""
    late = Late()
    late.publish()
    late.writer(store).apply({PLACE: batch_of(topic.records)})
    return dict(rows_of(store))


@pytest.mark.parametrize("is_restarted", [False, True])
@pytest.mark.parametrize("is_left_alone", [False, True])
def test_it_heals_with_its_next_record_or_without_one(
    place: str, store: Store, tmp_path: object, is_restarted: bool, is_left_alone: bool
) -> None:
    topic = Topic()
    story(topic, 4)
    late = Late()
    writer = late.writer(store)
    before = len(topic.records) if is_left_alone else len(topic.records) - 2
    writer.apply({PLACE: batch_of(topic.records[:before])})
    assert rows_of(store)["task"] == []
    assert len(rows_of(store)["fault"]) == 1
    late.publish()
    if is_restarted:
        writer = late.writer(store)
    writer.apply(writer.unhealed() if is_left_alone else {PLACE: batch_of(topic.records[before:])})
    other = Store.open(f"{tmp_path}/other.sqlite", prefix="tasker", create=True)
    assert rows_of(store) == expected(other, topic)
    assert writer.unhealed() == {}
    other.close()


def test_a_new_life_whose_template_was_missing_takes_the_place_of_the_old_row(
    store: Store, tmp_path: object
) -> None:
    topic = Topic()
    story(topic, 3)
    late = Late()
    late.publish()
    late.writer(store).apply({PLACE: batch_of(topic.records)})
    begin = len(topic.records)
    story(topic, 0, 4)
    late.plans.clear()
    with store.writing() as connection:
        connection.exec_driver_sql("DELETE FROM plan")
    writer = late.writer(store)
    writer.apply({PLACE: batch_of(topic.records[begin:])})
    assert rows_of(store)["task"][0][2] == 1, "the row of the life before stays until then"
    late.publish()
    writer.apply(writer.unhealed())
    other = Store.open(f"{tmp_path}/other.sqlite", prefix="tasker", create=True)
    found, wanted = rows_of(store), expected(other, topic)
    for name in ("task", "step", "attempt", "fault", "plan", "history"):
        assert found[name] == wanted[name], name
    other.close()


async def test_a_projector_heals_it_without_being_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of()
    world = await LaneWorld(plan, partitions=2).open()
    owners = [await world.owner(number) for number in range(2)]
    for _ in range(3):
        await world.start(plan)
    await world.settle(*owners)
    published, is_there = LogAnswers.published, [False]
    monkeypatch.setattr(
        LogAnswers, "published", lambda self, plan_hash: published(self, plan_hash) if is_there[0] else None
    )
    async with followed(world.log, store) as running:
        await running.until_records(len(world.records(world.names.transitions)))
        assert len(await running.reads.faults()) == 3
        assert await running.reads.counts(TaskQuery()) == {}
        is_there[0] = True

        async def is_healed() -> bool:
            return await running.reads.counts(TaskQuery()) == {TaskStatus.COMPLETE: 3}

        await running.until(is_healed)
        assert await running.reads.faults() == ()
