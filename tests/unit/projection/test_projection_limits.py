"""No text that a request may hold is too long for a store, and a statement that can never work is no outage."""

from __future__ import annotations

import random

import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import DBAPIError

from tasker_kafka.streams.projection import Reads, Store, TaskQuery, tables
from tasker_kafka.streams.projection.retention import remove_old
from tests.support.projected import (
    NOW,
    PLACE,
    Topic,
    added,
    batch_of,
    projected,
    rows_of,
    task_key,
    writer_of,
)

_LONG = "".join(map(chr, random.Random(1).choices(range(0x4E00, 0x9FFF), k=9_000)))


async def test_the_longest_texts_of_a_request_are_projected_and_found(store: Store) -> None:
    topic = Topic()
    added(topic, 1, correlation_id=_LONG, tags=(_LONG, "short"), idempotency_key=_LONG, initiator=_LONG)
    added(topic, 2)
    reads: Reads = projected(store, topic)
    assert rows_of(store)["fault"] == []
    for query in (
        TaskQuery(correlation_id=_LONG),
        TaskQuery(tags=(_LONG, "short")),
        TaskQuery(text=_LONG[:99]),
    ):
        assert await reads.task_ids(query, limit=5) == (task_key(1),)
    row = await reads.task(task_key(1))
    assert row is not None
    assert row.tags == (_LONG, "short")


def test_what_postgresql_will_never_take_is_no_outage(postgres_database: str) -> None:
    store = Store.open(postgres_database, prefix="tasker", create=True)
    row = {
        "task_id": task_key(1),
        "life": 0,
        "reason": "",
        "status": _LONG,
        "at": 0,
        "message": "",
        "snapshot": b"",
    }
    try:
        with pytest.raises(DBAPIError, match="index row"), store.writing() as connection:
            connection.execute(insert(tables.ledger).values(row))
    finally:
        store.close()


def test_looking_for_what_is_loose_and_old_reads_no_whole_table(tmp_path: object) -> None:
    """Retention looks once a minute, with the lock of writers: its questions begin at an index of time."""
    store = Store.open(f"{tmp_path}/projection.sqlite", prefix="tasker", create=True)
    asked: list[str] = []
    try:
        with store.reading() as connection:
            for table, column in (
                ("history", "at"),
                ("event", "fired_at"),
                ("receipt", "at"),
                ("dead_letter", "died_at"),
            ):
                plan = connection.execute(
                    text(f"EXPLAIN QUERY PLAN SELECT * FROM {table} WHERE {column} < 5")
                )
                asked += [str(each.detail) for each in plan]
    finally:
        store.close()
    assert all(each.startswith("SEARCH") for each in asked), asked


def test_faults_go_by_their_time(store: Store) -> None:
    topic = Topic()
    topic.raw(task_key(1), b"damaged")
    writer_of(store, []).apply({PLACE: batch_of(topic.records)})
    assert len(rows_of(store)["fault"]) == 1
    while remove_old(store, NOW):
        pass
    assert len(rows_of(store)["fault"]) == 1
    while remove_old(store, NOW + 1):
        pass
    assert rows_of(store)["fault"] == []
