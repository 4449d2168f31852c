"""Who exchanges, empties or makes a store anew beside those who use it: no victim, and no waiting for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, select, text
from sqlalchemy.engine import make_url

from tasker_kafka.streams.projection import Store, StoreUnavailable, staging, tables
from tasker_kafka.streams.projection.staging import stage, swap_in
from tests.support.patience import PATIENCE_SECONDS
from tests.support.projected import PLACE, TWO_STEPS, Topic, added, batch_of, rows_of, writer_of


class Beside(threading.Thread):
    """Does something beside the test, and keeps what went wrong."""

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            self.failure = error

    def end(self) -> None:
        """Wait for it. What went wrong there is raised here."""
        self.join(PATIENCE_SECONDS)
        assert not self.is_alive()
        if self.failure is not None:
            raise self.failure


@contextmanager
def watching(database: str) -> Iterator[Callable[[], None]]:
    """Ask the server whether somebody waits for a lock."""
    engine = create_engine(
        make_url(database).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT"
    )

    def wait_until_somebody_waits() -> None:
        until = time.monotonic() + PATIENCE_SECONDS
        with engine.connect() as connection:
            while not connection.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar():
                assert time.monotonic() < until
                time.sleep(0.005)

    try:
        yield wait_until_somebody_waits
    finally:
        engine.dispose()


@pytest.mark.parametrize("writes", [True, False])
def test_who_is_in_the_store_is_no_victim_of_its_exchange(postgres_database: str, writes: bool) -> None:
    store = Store.open(postgres_database, prefix="tasker", create=True)
    staged = stage(postgres_database, "tasker")
    others = [each for each in tables.METADATA.sorted_tables if each is not tables.meta]
    with watching(postgres_database) as wait_until_somebody_waits:
        swapping = Beside(lambda: swap_in(staged, postgres_database))
        with store.writing() if writes else store.reading() as connection:
            connection.execute(select(tables.meta.c.value)).all()
            swapping.start()
            wait_until_somebody_waits()
            for table in others:
                connection.execute(table.delete() if writes else select(table))
        swapping.end()
    assert Store.open(postgres_database, prefix="tasker").store_id == store.store_id
    store.close()


def test_an_exchange_gives_up_when_somebody_stays_in_the_store(
    postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "_WAIT_SECONDS", 0.2)
    monkeypatch.setattr(staging, "_DOOR_MS", 50)
    store = Store.open(postgres_database, prefix="tasker", create=True)
    with store.reading(), pytest.raises(StoreUnavailable, match=r"which somebody held for 0\.2 s") as told:
        swap_in(stage(postgres_database, "tasker"), postgres_database)
    assert "the old store is as it was" in str(told.value)
    assert store.meta()["prefix"] == "tasker"
    store.close()


def test_a_file_that_is_locked_for_long_is_no_wait_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "_WAIT_SECONDS", 0.3)
    place = tmp_path / "projection.sqlite"
    store = Store.open(place, prefix="tasker", create=True)
    added(topic := Topic(), 1)
    writer_of(store, [TWO_STEPS]).apply({PLACE: batch_of(topic.records)})
    staged = stage(place, "tasker")
    swapping = Beside(lambda: swap_in(staged, place))
    with store.writing():
        swapping.start()
        with pytest.raises(StoreUnavailable, match=r"which somebody held for 0\.3 s") as told:
            swapping.end()
    assert "the old store is as it was" in str(told.value)
    assert [len(rows) for name, rows in rows_of(store).items() if name == "task"] == [1]
    swap_in(stage(place, "tasker"), place)
    assert rows_of(store)["task"] == []
    store.close()
