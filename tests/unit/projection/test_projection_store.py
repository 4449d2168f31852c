"""Stores that are refused, made anew and swapped, and what grows old in them, in either database."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import create_engine, select, text
from sqlalchemy.engine import make_url

from tasker_kafka.schemas.errors import ConfigurationError, LogError
from tasker_kafka.schemas.words import TaskStatus
from tasker_kafka.streams.projection import (
    ProjectorSettings,
    Reads,
    Store,
    StoreUnavailable,
    TaskQuery,
    rebuild,
    tables,
)
from tasker_kafka.streams.projection.retention import remove_old
from tasker_kafka.streams.projection.staging import stage, swap_in
from tasker_kafka.streams.projection.store import schema_name
from tasker_kafka.topics.memory import MemoryLog
from tests.support.following_projection import followed
from tests.support.lane_world import LaneWorld, plan_of
from tests.support.projected import (
    NOW,
    PLACE,
    TWO_STEPS,
    Topic,
    added,
    batch_of,
    rows_of,
    task_key,
    writer_of,
)

KEPT_FOR_EVER = ProjectorSettings(retention_ms=0)


def is_sqlite(place: str) -> bool:
    return "://" not in place


# ------------------------------------------------------------------------------------------------ refused


def test_what_is_not_there_is_not_made_by_who_only_reads(place: str) -> None:
    with pytest.raises(ConfigurationError, match="there is no projection") as refused:
        Store.open(place, prefix="tasker")
    assert "tasker projection run" in str(refused.value)
    if is_sqlite(place):
        assert not Path(place).exists()


def test_another_version_is_refused_with_the_way_out(place: str, store: Store) -> None:
    with store.writing() as connection:
        connection.execute(
            tables.meta.update().where(tables.meta.c.key == "schema_version").values(value="0")
        )
    for create in (True, False):
        with pytest.raises(ConfigurationError, match="version 0") as refused:
            Store.open(place, prefix="tasker", create=create)
        assert "tasker projection rebuild" in str(refused.value)


def test_a_file_of_another_system_or_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    Store.open(path, prefix="tasker", create=True).close()
    with pytest.raises(ConfigurationError, match="of the system 'tasker', not of 'other'"):
        Store.open(path, prefix="other", create=True)
    with pytest.raises(ConfigurationError, match="would be lost"):
        stage(path, "other")
    other = tmp_path / "notes.sqlite"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE notes (text)")
    with pytest.raises(ConfigurationError, match="something else: it has the tables notes"):
        Store.open(other, prefix="tasker", create=True)
    with pytest.raises(ConfigurationError, match="would be lost"):
        stage(other, "tasker")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("mysql://host/db", "'mysql' is not supported"),
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
        ("://", "cannot be read"),
    ],
)
def test_an_address_that_can_hold_no_store_is_refused(url: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as refused:
        Store.open(url, prefix="tasker", create=True)
    assert "postgresql://" in str(refused.value)


def test_a_database_that_does_not_answer_is_told_without_its_password() -> None:
    with pytest.raises(StoreUnavailable) as told:
        Store.open("postgresql://u:hunter2@127.0.0.1:1/db", prefix="tasker")
    assert "hunter2" not in str(told.value)
    assert told.value.retryable


def test_more_readers_than_connections_are_told_to_come_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store.engine.pool, "_timeout", 0.01)

    def take_all() -> None:
        with ExitStack() as opened:
            for _ in range(100):
                opened.enter_context(store.reading())

    with pytest.raises(StoreUnavailable) as told:
        take_all()
    assert told.value.retryable


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    path.write_bytes(b"this is no database, but text that is long enough to be looked at" * 20)
    with pytest.raises(ConfigurationError, match="is damaged, or no SQLite database"):
        Store.open(path, prefix="tasker", create=True)


async def test_only_its_owner_may_read_a_file_that_holds_what_the_log_holds(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "s.sqlite"
    with pytest.raises(ConfigurationError, match="there is no projection"):
        Store.open(path, prefix="tasker")
    assert not path.parent.exists()
    store = Store.open(path, prefix="tasker", create=True)
    topic = Topic()
    added(topic, 1)
    writer_of(store, [TWO_STEPS]).apply({PLACE: batch_of(topic.records)})
    anew = tmp_path / "deep" / "anew.sqlite"
    world = await world_of(1)
    await rebuild(world.log, world.names, anew)
    assert {each.stat().st_mode & 0o077 for each in path.parent.iterdir()} == {0}
    store.close()


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be written") as refused:
        Store.open(tmp_path / "file" / "s.sqlite", prefix="tasker", create=True)
    assert "projection.url" in str(refused.value)


def test_long_prefixes_have_schemas_of_their_own() -> None:
    names = {schema_name("a" * 60 + end) for end in ("aaaa", "bbbb", "")}
    assert len(names) == 3
    assert all(len(name) <= 63 for name in names)


def test_two_systems_share_a_database(postgres_database: str) -> None:
    ids = set()
    for prefix in ("one", "two-b"):
        store = Store.open(postgres_database, prefix=prefix, create=True)
        ids.add(store.store_id)
        store.close()
        Store.open(postgres_database, prefix=prefix).close()
    assert len(ids) == 2


def test_two_that_make_it_at_once_make_one(place: str) -> None:
    made: list[Any] = []

    def make() -> None:
        try:
            store = Store.open(place, prefix="tasker", create=True)
            made.append(store.store_id)
            store.close()
        except Exception as error:
            made.append(error)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 4
    assert len(set(map(str, made))) == 1, made


def test_a_server_that_went_away_and_came_back_is_used_again(postgres_database: str) -> None:
    store = Store.open(postgres_database, prefix="tasker", create=True)
    with store.reading() as connection:
        connection.execute(text("SELECT 1"))
    admin = create_engine(make_url(postgres_database).set(drivername="postgresql+psycopg"))
    with admin.connect() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )
        )
    with store.reading() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1
    admin.dispose()
    store.close()


# ------------------------------------------------------------------------------------------------ made anew


async def world_of(tasks: int) -> LaneWorld:
    world = await LaneWorld(plan_of(), partitions=2).open()
    owners = [await world.owner(number) for number in range(2)]
    for _ in range(tasks):
        await world.start(world.published[0])
    await world.settle(*owners)
    return world


@pytest.mark.parametrize("in_place", [False, True])
async def test_a_rebuild_gives_what_following_gave(place: str, store: Store, in_place: bool) -> None:
    world = await world_of(6)
    async with followed(world.log, store) as running:
        await running.until_records(len(world.records(world.names.transitions)))
    before, name = rows_of(store), store.store_id
    with store.writing() as connection:  # whatever is wrong with it
        connection.execute(tables.task.delete())
        connection.execute(
            tables.meta.update().where(tables.meta.c.key == "schema_version").values(value="0")
        )
    steps: list[tuple[int, int]] = []
    done = await rebuild(
        world.log, world.names, place, settings=KEPT_FOR_EVER, in_place=in_place,
        progress=lambda part, whole: steps.append((part, whole)),
    )  # fmt: skip
    assert done.records >= len(before["history"])
    assert steps[-1][0] == steps[-1][1]
    again = Store.open(place, prefix="tasker")
    assert again.store_id == name
    after = rows_of(again)
    assert {each: rows for each, rows in after.items() if each != "position"} == {
        each: rows for each, rows in before.items() if each != "position"
    }
    again.close()
    if is_sqlite(place):
        assert not list(Path(place).parent.glob("*.rebuild*"))


async def test_who_has_the_store_open_goes_on_with_the_new_one(place: str, store: Store) -> None:
    world = await world_of(3)
    reads = Reads(store)
    async with followed(world.log, store) as running:
        await running.until_records(len(world.records(world.names.transitions)))
        with store.writing() as connection:
            connection.execute(tables.task.update().values(state="pending"))
        await rebuild(world.log, world.names, place, settings=KEPT_FOR_EVER)
        assert await reads.counts(TaskQuery()) == {TaskStatus.COMPLETE: 3}
        await world.start(world.published[0])
        await world.settle(*world.owners)

        async def is_there() -> bool:
            return await reads.counts(TaskQuery()) == {TaskStatus.COMPLETE: 4}

        await running.until(is_there)


async def test_a_rebuild_that_fails_leaves_the_store_as_it_was(place: str, store: Store) -> None:
    world = await world_of(3)
    async with followed(world.log, store) as running:
        await running.until_records(len(world.records(world.names.transitions)))
    before = rows_of(store)

    class Failing(MemoryLog):
        async def reader(self, *arguments: Any, **options: Any) -> Any:
            if world.names.transitions in {each.topic for each in arguments[0]}:
                raise LogError("away")
            return await super().reader(*arguments, **options)

    with pytest.raises(LogError):
        await rebuild(Failing(world.cluster), world.names, place)
    assert rows_of(store) == before
    await rebuild(
        world.log, world.names, place, settings=KEPT_FOR_EVER
    )  # what is left of the first is no hindrance


def test_a_reader_sees_one_moment_while_the_store_is_swapped(place: str, store: Store) -> None:
    topic = Topic()
    added(topic, 1)
    writer_of(store, [TWO_STEPS]).apply({PLACE: batch_of(topic.records)})
    staged = stage(place, "tasker")
    if not store.is_sqlite:  # there the exchange waits for who reads
        swap_in(staged, place)
        with store.reading() as connection:
            assert connection.execute(select(tables.task.c.seq)).all() == []
        return
    with store.reading() as connection:
        assert len(connection.execute(select(tables.task.c.seq)).all()) == 1
        swap_in(staged, place)
        assert len(connection.execute(select(tables.task.c.seq)).all()) == 1
    with store.reading() as connection:
        assert connection.execute(select(tables.task.c.seq)).all() == []


# ------------------------------------------------------------------------------------------------ retention


def test_what_closed_long_ago_goes_whole_and_nothing_else(store: Store) -> None:
    plan = replace(TWO_STEPS, lifecycle=replace(TWO_STEPS.lifecycle, failed_retention_hours=2))
    topic = Topic()
    added(topic, 1, lambda rig: rig.succeed("a", "b"), plan=plan, tags=("x",))
    added(topic, 2, lambda rig: rig.fail("a", retryable=False), plan=plan)
    added(topic, 3, plan=plan)
    writer = writer_of(store, [plan])
    writer.apply({PLACE: batch_of(topic.records)})
    with store.reading() as connection:
        at = tables.task.c
        ended = {row.task_id: row.closed_at for row in connection.execute(select(at.task_id, at.closed_at))}
    closed = ended[task_key(2)]
    assert remove_old(store, closed) == 1 if ended[task_key(1)] < closed else True
    while remove_old(store, closed + 3_600_000):
        pass
    assert _tasks_in(store) == {task_key(2), task_key(3)}
    while remove_old(store, closed + 3 * 3_600_000):
        pass
    assert _tasks_in(store) == {task_key(3)}
    rows = rows_of(store, without=["meta", "position", "plan"])
    held = {name: {task_key(3) in row for row in found} for name, found in rows.items() if found}
    assert all(own == {True} for own in held.values()), held
    assert remove_old(store, NOW * 2) == 0
    added(topic, 4, plan=plan)
    writer.apply({PLACE: batch_of(topic.records[-1:])})
    assert _tasks_in(store) == {task_key(3), task_key(4)}


def _tasks_in(store: Store) -> set[bytes]:
    with store.reading() as connection:
        return set(connection.execute(select(tables.task.c.task_id)).scalars())
