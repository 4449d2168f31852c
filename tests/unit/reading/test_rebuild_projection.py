"""`verify-rebuild --projection`: a store that is what the log says is equal, and every seeded damage of it is found."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tasker_kafka.deploy.reading.rebuild_projection import ProjectionChecked, verify_projection
from tasker_kafka.schemas.errors import ConfigurationError, NotFoundError
from tasker_kafka.streams.projection import ProjectorSettings, Store, rebuild
from tasker_kafka.topics.log import TopicPartition
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.plans import PlanStore
from tests.support.postgres import postgres, postgres_database
from tests.support.recorded_log import PlayedLog, played
from tests.support.recording import Recording

__all__ = ["postgres", "postgres_database"]

NAMES = TopicNames()
HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store made of the recording."""
    place = tmp_path_factory.mktemp("projection") / "good.sqlite"

    async def fill() -> None:
        log = await played(Recording("kills"))
        try:
            await rebuild(log, NAMES, place, settings=ProjectorSettings(retention_ms=0))
        finally:
            await log.close()

    asyncio.run(fill())
    with closing(sqlite3.connect(place)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return place


@pytest.fixture
def store(filled: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    place = tmp_path / "store.sqlite"
    shutil.copy(filled, place)
    return place


@pytest.fixture
def log() -> PlayedLog:
    """The log of the recording."""
    return asyncio.run(played(Recording("kills")))


def verified(log: PlayedLog, place: Path | str, **options: Any) -> ProjectionChecked:
    async def verify() -> ProjectionChecked:
        plans = PlanStore(log, NAMES)
        await plans.start()
        try:
            return await verify_projection(log, NAMES, plans, str(place), **options)
        finally:
            await plans.stop()

    return asyncio.run(verify())


def changed(place: Path, statement: str, *values: object) -> int:
    """Damage the store; how many rows were."""
    with closing(sqlite3.connect(place)) as connection, connection:
        return connection.execute(statement, values).rowcount


def value_of(place: Path, statement: str) -> Any:
    with closing(sqlite3.connect(place)) as connection:
        return connection.execute(statement).fetchone()[0]


def test_what_the_log_says_is_equal(log: PlayedLog, store: Path) -> None:
    found = verified(log, store)
    assert (found.differences, found.first) == (0, None)
    assert sum(each.tasks for each in found.partitions) == value_of(store, "select count(*) from task") > 40
    assert not sum(each.not_covered + each.removed for each in found.partitions)
    for each in found.partitions:
        assert each.log_digest == each.projection_digest
        assert each.position == each.end
    assert len({each.log_digest for each in found.partitions}) == len(found.partitions)


ONE = "(select min(task_id) from task)"
DAMAGES = {
    "task state": ("task", "state", f"update task set state = 'pending' where task_id = {ONE}"),
    "task count": ("task", "completed_steps", f"update task set completed_steps = 99 where task_id = {ONE}"),
    "task closed_at": ("task", "closed_at", f"update task set closed_at = null where task_id = {ONE}"),
    "task life": ("task", "life", f"update task set life = -5 where task_id = {ONE}"),
    "task partition": ("task", "partition", f"update task set partition = 77 where task_id = {ONE}"),
    "task missing": ("task", None, f"delete from task where task_id = {ONE}"),
    "step state": (
        "step",
        "state",
        f"update step set state = 'error' where task_id = {ONE} and position = 0",
    ),
    "step missing": ("step", None, f"delete from step where task_id = {ONE} and position = 1"),
    "step too many": (
        "step",
        None,
        "insert into step (task_id, position, step, state, attempt, queue, handler) "
        f"values ({ONE}, 55, 'ghost', 'pending', 0, 'q', 'h')",
    ),
    "step of nobody": (
        "step",
        None,
        "insert into step (task_id, position, step, state, attempt, queue, handler) "
        "values (zeroblob(16), 0, 'ghost', 'pending', 0, 'q', 'h')",
    ),
    "attempt outcome": (
        "attempt",
        "outcome",
        f"update attempt set outcome = 'failure' where task_id = {ONE}",
    ),
    "attempt time": ("attempt", "finished_at", f"update attempt set finished_at = 1 where task_id = {ONE}"),
    "attempt missing": ("attempt", None, f"delete from attempt where task_id = {ONE}"),
    "history body": ("history", "body", f"update history set body = x'00' where task_id = {ONE} and seq = 1"),
    "history missing": ("history", None, f"delete from history where task_id = {ONE} and seq = 2"),
    "history task": (
        "history",
        None,
        f"update history set task_id = zeroblob(16) where task_id = {ONE} and seq = 2",
    ),
    "tag too many": ("task_tag", None, f"insert into task_tag values ({ONE}, 'secret-tag')"),
    "text": ("task_text", "search_text", f"update task_text set search_text = 'x' where task_id = {ONE}"),
    "plan": ("plan", "json", "update plan set json = '{}'"),
    "plan missing": ("plan", None, "delete from plan"),
    "position owner": ("position", "owner", "update position set owner = owner + 1 where partition = 0"),
    "position command": ("position", "command_offset", "update position set command_offset = 0"),
    "position ahead": ("position", "next_offset", "update position set next_offset = 1000000"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", DAMAGES)
def test_every_damage_is_found(log: PlayedLog, store: Path, name: str) -> None:
    table, column, statement = DAMAGES[name]
    assert changed(store, statement) > 0
    found = verified(log, store)
    assert found.differences
    assert found.first is not None
    everything = {each for partition in found.partitions for each in partition.tables}
    assert table in everything
    first = next(each.first for each in found.partitions if each.first is not None and table in each.tables)
    assert (first.table, first.column) == (table, column)
    assert "secret" not in repr(found)
    if first.task_id is not None and any(first.task_id):
        clean = verified(log, store, task_id=first.task_id)
        assert clean.differences == 1


def test_a_tag_that_is_gone(log: PlayedLog, store: Path) -> None:
    """The recording has no tags: a tag of the log's is one that is only there."""
    changed(store, f"insert into task_tag values ({ONE}, 'a')")
    found = verified(log, store)
    assert found.first is not None
    assert (found.first.kind, found.first.key.count("sha256")) == ("only_in_projection", 1)


def test_a_position_behind_its_rows(log: PlayedLog, store: Path) -> None:
    """Rows of records at and above the position should not be there."""
    changed(store, "update position set next_offset = next_offset / 2 where partition = 1")
    found = verified(log, store)
    assert found.partitions[1].differences > 1
    assert not found.partitions[0].differences


def test_behind_is_no_difference(log: PlayedLog, tmp_path: Path) -> None:
    """A store that has not come as far as the log is compared as far as it has."""
    short = Recording("kills")
    for records in short.records["transitions"].values():
        del records[len(records) // 2 :]
    place = tmp_path / "half.sqlite"

    async def fill() -> None:
        log = await played(short)
        await rebuild(log, NAMES, place, settings=ProjectorSettings(retention_ms=0))
        await log.close()

    asyncio.run(fill())
    found = verified(log, place)
    assert not found.differences
    assert all(each.position < each.end for each in found.partitions)
    assert sum(each.tasks for each in found.partitions) > 10


def test_what_retention_removed_is_counted(log: PlayedLog, store: Path) -> None:
    row = "(select task_id from task where state = 'complete' order by task_id limit 1)"
    with closing(sqlite3.connect(store)) as connection, connection:
        task_id = connection.execute(f"select {row}").fetchone()[0]
        for table in ("task", "step", "attempt", "history", "task_text", "task_tag"):
            connection.execute(f"delete from {table} where task_id = ?", (task_id,))
    assert verified(log, store).differences == 1
    log.now += 2 * HOUR_MS
    found = verified(log, store, retention_ms=HOUR_MS)
    assert (found.differences, sum(each.removed for each in found.partitions)) == (0, 1)
    assert verified(log, store, retention_ms=10 * HOUR_MS).differences == 1


def test_what_the_log_has_forgotten_is_not_judged(log: PlayedLog, store: Path) -> None:
    records = Recording("kills").records["transitions"][0]
    log.cluster.store(TopicPartition(NAMES.transitions, 0)).truncate(records[len(records) // 2].offset)
    found = verified(log, store)
    assert not found.differences, found.first
    assert found.partitions[0].not_covered
    assert found.partitions[0].tasks
    changed(store, "update step set state = 'error' where position = 0")
    assert verified(log, store).partitions[0].differences


@pytest.mark.slow
def test_in_postgresql(log: PlayedLog, postgres_database: str) -> None:
    """The other database orders texts by other rules, and has types of its own."""

    async def fill() -> None:
        await rebuild(log, NAMES, postgres_database, settings=ProjectorSettings(retention_ms=0))

    asyncio.run(fill())
    found = verified(log, postgres_database)
    assert (found.differences, sum(each.tasks for each in found.partitions) > 40) == (0, True), found.first
    assert "password" not in found.store
    store = Store.open(postgres_database, prefix="tasker")
    with store.writing() as connection:
        connection.exec_driver_sql("update attempt set worker_id = 'ghost' where attempt = 2")
    store.close()
    found = verified(log, postgres_database)
    assert found.first is not None
    assert (found.first.table, found.first.column, found.first.in_projection) == (
        "attempt",
        "worker_id",
        "ghost",
    )


def test_what_cannot_be_asked(log: PlayedLog, store: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no projection"):
        verified(log, tmp_path / "none.sqlite")
    with pytest.raises(NotFoundError, match="no partition 9"):
        verified(log, store, partitions=[9])
    assert len(verified(log, store, partitions=[2]).partitions) == 1
