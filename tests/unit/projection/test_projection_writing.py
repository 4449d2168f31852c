"""One batch, one transaction: what repeats, zombies, damage and a second projector leave in either database."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import select

from tasker_kafka.schemas.errors import LogError, SchemaUnknown
from tasker_kafka.schemas.records import Transitions
from tasker_kafka.streams.projection import Store, tables
from tasker_kafka.streams.projection.plan_shelf import PlanShelf
from tasker_kafka.streams.projection.rows import task_row
from tasker_kafka.streams.projection.writer import PositionsMoved, Writer
from tasker_kafka.topics.log import Batch
from tests.support.fixed_story import story_plan, tell
from tests.support.projected import NAMES, NOW, PLACE, Topic, batch_of, rows_of, task_key, writer_of
from tests.support.tasks import Rig

PLAN = story_plan()
TASK = task_key(1)


def story() -> list[Transitions]:
    """A long life with retries, operators and timers."""
    *_, last = tell()
    return last.records


def topic_of(records: list[Transitions], *, key: bytes = TASK) -> Topic:
    topic = Topic()
    for record in records:
        topic.add(key, record)
    return topic


@pytest.fixture
def whole(store: Store) -> Topic:
    """The story, projected in one batch."""
    topic = topic_of(story())
    writer_of(store, [PLAN]).apply({PLACE: batch_of(topic.records)})
    return topic


def row_of(store: Store, task_id: bytes = TASK) -> Any:
    with store.reading() as connection:
        return connection.execute(select(tables.task).where(tables.task.c.task_id == task_id)).one()


def faults(store: Store) -> list[tuple[int, str]]:
    with store.reading() as connection:
        at = tables.fault.c
        return [tuple(row) for row in connection.execute(select(at.offset, at.message).order_by(at.offset))]


def position(store: Store) -> int:
    with store.reading() as connection:
        return int(connection.execute(select(tables.position.c.next_offset)).scalar_one())


def test_record_by_record_gives_what_one_batch_gives(store: Store, whole: Topic) -> None:
    once = rows_of(store)
    with store.writing() as connection:
        for table in tables.METADATA.sorted_tables:
            if table is not tables.meta:
                connection.execute(table.delete())
    for record in whole.records:
        writer_of(store, [PLAN]).apply({PLACE: batch_of([record])})  # each by a process of its own
    assert rows_of(store) == once
    assert len(once["history"]) == len(whole.records) - 1
    assert once["fault"] == []


def test_read_again_from_the_beginning_nothing_changes(store: Store, whole: Topic) -> None:
    once = rows_of(store)
    with store.writing() as connection:
        connection.execute(tables.position.update().values(next_offset=0, owner=-1, command_offset=-1))
    writer = writer_of(store, [PLAN])
    for begin in range(0, len(whole.records), 3):
        writer.apply({PLACE: batch_of(whole.records[begin : begin + 3])})
        held = rows_of(store, without=["position"])
        assert held == {name: rows for name, rows in once.items() if name != "position"}
    assert rows_of(store) == once


def test_a_batch_given_twice_is_taken_once(store: Store, whole: Topic) -> None:
    once = rows_of(store)
    writer_of(store, [PLAN]).apply({PLACE: batch_of(whole.records)})
    assert rows_of(store) == once


def test_what_a_deposed_owner_writes_is_passed(store: Store) -> None:
    records = story()
    clean, disturbed = topic_of(records), Topic()
    for number, record in enumerate(records):
        if number == 3:
            old = disturbed.owner
            disturbed.new_owner()
            disturbed.add(TASK, replace(record, at=record.at + 1), owner=old)
            disturbed.raw(None, b"noise of nobody's")
        disturbed.add(TASK, record)
    writer_of(store, [PLAN]).apply({PLACE: batch_of(disturbed.records)})
    with store.reading() as connection:
        at = tables.history.c
        bodies = connection.execute(select(at.body).order_by(at.offset)).scalars().all()
    assert len(bodies) == len(clean.records) - 1
    assert row_of(store).seq == records[-1].seq
    assert [offset for offset, _ in faults(store)] == [6]


def test_of_two_projectors_one_is_rolled_back_whole(store: Store) -> None:
    topic = topic_of(story())
    first, second = writer_of(store, [PLAN]), writer_of(store, [PLAN])
    first.apply({PLACE: batch_of(topic.records[:5])})
    held = rows_of(store)
    with pytest.raises(PositionsMoved):
        second.apply({PLACE: batch_of(topic.records[:9])})
    assert rows_of(store) == held
    assert second.assign([PLACE]) == {PLACE: 5}
    second.apply({PLACE: batch_of(topic.records[5:9])})
    with pytest.raises(PositionsMoved):
        first.apply({PLACE: batch_of(topic.records[5:])})
    first.assign([PLACE])
    first.apply({PLACE: batch_of(topic.records[9:])})
    alternating = rows_of(store)
    with store.writing() as connection:
        for table in tables.METADATA.sorted_tables:
            if table is not tables.meta:
                connection.execute(table.delete())
    writer_of(store, [PLAN]).apply({PLACE: batch_of(topic.records)})
    assert rows_of(store) == alternating


def test_a_store_made_anew_is_noticed_even_at_the_same_position(store: Store, whole: Topic) -> None:
    writer = writer_of(store, [PLAN])
    with store.writing() as connection:
        connection.execute(
            tables.meta.update().where(tables.meta.c.key == "generation").values(value="another")
        )
    with pytest.raises(PositionsMoved):
        writer.apply({PLACE: Batch(len(whole.records), len(whole.records) + 1, ())})


def test_a_damaged_record_is_noted_and_what_builds_on_it_says_so(store: Store) -> None:
    records = story()
    topic = Topic()
    for number, record in enumerate(records):
        if number == 4:
            topic.raw(TASK, b"\xc3\x01 damaged")
        else:
            topic.add(TASK, record)
    for record in Rig(PLAN).records or records:
        topic.add(task_key(2), record)
    writer_of(store, [PLAN]).apply({PLACE: batch_of(topic.records)})
    row = row_of(store)
    assert row.seq == 4
    assert "record 6 of the task follows record 4" in row.fault
    assert row_of(store, task_key(2)).fault is None
    assert row_of(store, task_key(2)).seq == records[-1].seq
    assert [offset for offset, _ in faults(store)] == [5, 6]
    assert position(store) == len(topic.records)
    again = writer_of(store, [PLAN])  # and so says a process that folds it from the store
    again.apply({PLACE: batch_of([topic.add(TASK, replace(records[-1], seq=records[-1].seq + 1))])})
    assert row_of(store).seq == 4
    assert len(faults(store)) == 2


def test_a_task_without_its_beginning_is_noted_once(store: Store) -> None:
    topic = topic_of(story()[3:])
    writer_of(store, [PLAN]).apply({PLACE: batch_of(topic.records)})
    ((offset, message),) = faults(store)
    assert offset == 1
    assert "not its beginning" in message
    with store.reading() as connection:
        assert connection.execute(select(tables.task)).all() == []


def test_records_that_are_gone_before_they_were_read_are_told(store: Store) -> None:
    topic = topic_of(story())
    writer = writer_of(store, [PLAN])
    writer.apply({PLACE: batch_of(topic.records[:3])})
    writer.apply({PLACE: batch_of(topic.records[6:])})
    (first, *_) = faults(store)
    assert first[0] == 3
    assert "records 3 to 5 were gone" in first[1]
    assert "follows record" in row_of(store).fault


def test_a_record_no_row_can_be_made_of_holds_up_no_other(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    topic = Topic()
    for record in story():
        for number in (1, 2):
            topic.add(task_key(number), record)

    def fails(fold: Any, *arguments: Any) -> Any:
        if fold.task_id == task_key(2):
            raise ValueError("no row of this one")
        return task_row(fold, *arguments)

    monkeypatch.setattr("tasker_kafka.streams.projection.draft.task_row", fails)
    with caplog.at_level(logging.CRITICAL):
        done = writer_of(store, [PLAN]).apply({PLACE: batch_of(topic.records)})
    assert row_of(store).seq == story()[-1].seq
    assert position(store) == len(topic.records)
    assert done.faults == 2  # the record, and that what follows builds on it
    assert "no row of this one" in faults(store)[0][1]


def test_text_that_a_database_refuses_is_made_harmless(store: Store) -> None:
    rig = Rig(PLAN)
    rig.start(
        tags=("nul\0", "ü" * 200), context=b'{"a":"\\u0000","b":"\\ud800"}', reason="a\0b", initiator="x\0"
    )
    topic = topic_of(rig.records)
    writer_of(store, [PLAN]).apply({PLACE: batch_of(topic.records)})
    assert faults(store) == []
    assert row_of(store).reason == "a\ufffdb"


def test_an_unknown_plan_is_asked_for_and_its_absence_noted(store: Store) -> None:
    topic = topic_of(story())
    asked: list[bytes] = []

    def unknown(plan_hash: bytes) -> None:
        asked.append(plan_hash)

    writer = Writer(store, NAMES, PlanShelf(unknown), now_ms=lambda: NOW)
    writer.assign([PLACE])
    writer.apply({PLACE: batch_of(topic.records)})
    assert asked == [PLAN.hash]
    assert "is published" in faults(store)[0][1]


def test_a_plan_that_cannot_be_asked_for_leaves_the_batch_to_be_tried_again(store: Store) -> None:
    topic = topic_of(story())
    is_away = True

    def published(_: bytes) -> Any:
        if is_away:
            raise LogError("away")
        return PLAN

    writer = Writer(store, NAMES, PlanShelf(published), now_ms=lambda: NOW)
    writer.assign([PLACE])
    empty = rows_of(store)
    with pytest.raises(LogError):
        writer.apply({PLACE: batch_of(topic.records)})
    assert rows_of(store) == empty
    is_away = False
    writer.apply({PLACE: batch_of(topic.records)})
    assert row_of(store).seq == story()[-1].seq


def test_records_of_a_newer_release_stop_the_projection(store: Store) -> None:
    topic = topic_of(story())
    topic.raw(TASK, b"\xc3\x01" + bytes(8) + b"new")
    writer = writer_of(store, [PLAN], is_newer=lambda fingerprint: fingerprint == bytes(8))
    with pytest.raises(SchemaUnknown):
        writer.apply({PLACE: batch_of(topic.records)})
    with store.reading() as connection:
        assert connection.execute(select(tables.history)).all() == []


def test_a_plan_in_the_store_serves_without_the_topic(store: Store, whole: Topic) -> None:
    writer = Writer(store, NAMES, PlanShelf(lambda _: None), now_ms=lambda: NOW)
    writer.assign([PLACE])
    more = [whole.add(task_key(7), each) for each in story()]
    writer.apply({PLACE: batch_of(more)})
    assert row_of(store, task_key(7)).seq == story()[-1].seq
