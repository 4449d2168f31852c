"""The workers' last words are kept: who was there, for which queues and handlers, and whether it signed off."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.records import WorkerAnnouncement
from tasker_kafka.streams.projection import Reads, Store
from tasker_kafka.streams.projection.retention import remove_old
from tasker_kafka.topics.log import Batch, Record, TopicPartition
from tests.support.projected import NAMES, NOW, rows_of, writer_of

WORKERS = TopicPartition(NAMES.workers, 0)
SAID = WorkerAnnouncement(
    worker_id="w1", queues=("default", "slow"), handlers=("pay", "sh\0ip"), version="1.0", host="h", pid=7,
    started_at=NOW, seen_at=NOW,
)  # fmt: skip


def records(*words: WorkerAnnouncement | str) -> list[Record]:
    """Announcements; a text: the worker of this id signs off."""
    return [
        Record(*WORKERS, offset, NOW + offset, _id(each).encode(), _value(each), ())
        for offset, each in enumerate(words)
    ]


def _id(word: WorkerAnnouncement | str) -> str:
    return word if isinstance(word, str) else word.worker_id


def _value(word: WorkerAnnouncement | str) -> bytes | None:
    return None if isinstance(word, str) else codec.encode(word)


async def read(store: Store, *words: WorkerAnnouncement | str, together: bool = True) -> Reads:
    writer = writer_of(store, [], WORKERS)
    found = records(*words)
    for part in [found] if together else [[each] for each in found]:
        writer.apply({WORKERS: Batch(part[0].offset, part[-1].offset + 1, tuple(part))})
    return Reads(store)


async def told(reads: Reads) -> list[tuple[Any, ...]]:
    return [(each.worker_id, each.seen_at - NOW, each.left_at) for each in await reads.workers()]


async def test_the_newest_word_counts_with_all_that_it_says(store: Store) -> None:
    reads = await read(store, SAID, replace(SAID, worker_id="w2"), replace(SAID, seen_at=NOW + 9))
    found = await reads.workers()
    assert [each.worker_id for each in found] == ["w1", "w2"]
    assert found[0].seen_at == NOW + 9
    assert found[0].queues == ("default", "slow")
    assert found[0].handlers == ("pay", "sh\ufffdip")
    assert (found[0].host, found[0].pid, found[0].version, found[0].left_at) == ("h", 7, "1.0", None)


async def test_who_signs_off_stays_with_its_time_and_may_come_back(store: Store) -> None:
    words = (SAID, "w1", replace(SAID, worker_id="w2"), "w2", replace(SAID, worker_id="w2"), "never seen")
    together = await told(await read(store, *words))
    assert together == [("w1", 0, NOW + 1), ("w2", 0, None)]


async def test_batches_make_no_difference(store: Store, tmp_path: object) -> None:
    words = (SAID, "w1", replace(SAID, worker_id="w2"), "w2", replace(SAID, worker_id="w2"), "never seen")
    other = Store.open(f"{tmp_path}/other.sqlite", prefix="tasker", create=True)
    await read(store, *words)
    await read(other, *words, together=False)
    assert rows_of(store, without=["meta"]) == rows_of(other, without=["meta"])
    other.close()


async def test_damage_is_noted_and_passed(store: Store) -> None:
    damaged = Record(*WORKERS, 0, NOW, b"w1", b"damaged", ())
    writer_of(store, [], WORKERS).apply({WORKERS: Batch(0, 1, (damaged,))})
    assert [each.topic for each in await Reads(store).faults()] == [NAMES.workers]


async def test_who_was_not_seen_for_long_is_forgotten(store: Store) -> None:
    reads = await read(store, SAID, replace(SAID, worker_id="w2", seen_at=NOW + 9))
    while remove_old(store, NOW + 5):
        pass
    assert [each.worker_id for each in await reads.workers()] == ["w2"]
