"""What a member knows of receipts: its own group's, of the time to live, also behind a watcher's open transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tasker_kafka.handlers.delivery.receipts import (
    Owed,
    OwedSet,
    ReceiptBook,
    outcome_of,
    owed_of,
    receipt_write,
    receipts_partition,
)
from tasker_kafka.schemas.records import Receipt
from tasker_kafka.schemas.words import ReceiptOutcome
from tasker_kafka.topics import provision
from tasker_kafka.topics.declarations import group_tables
from tasker_kafka.topics.log import Outbox, Record, TopicPartition, Write
from tasker_kafka.topics.memory import MemoryCluster, MemoryLog, run_virtual
from tasker_kafka.topics.names import TopicNames
from tests.support.log_sides import drain

NAMES = TopicNames("shop")
TTL = 3_600.0


class World:
    """A receipts topic."""

    def __init__(self, log: MemoryLog, outbox: Outbox) -> None:
        self.log = log
        self.outbox = outbox

    def book(self, group: str = "audit") -> ReceiptBook:
        return ReceiptBook(self.log, NAMES, group, ttl_seconds=TTL, writer=self.outbox)

    def receipt(
        self,
        event: str = "e1",
        partition: int = 0,
        outcome: ReceiptOutcome = ReceiptOutcome.HANDLED,
        group: str = "audit",
        namespace: str = "shop",
    ) -> Receipt:
        return Receipt(
            namespace=namespace, event_id=event, event_name="a.b", group=group, subscription="record",
            outcome=outcome, topic="t", partition=partition, offset=1, at=self.log.now_ms(),
            deliveries=1, written_by="m",
        )  # fmt: skip


def play(scenario: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        log = MemoryLog(MemoryCluster(latency=0.001))
        await provision.create(log.admin(), group_tables(NAMES))
        outbox = await log.outbox(client_id="test")
        await outbox.warm([NAMES.receipts])
        await scenario(World(log, outbox))
        await log.close()

    run_virtual(main())


def test_what_was_acknowledged_is_known_at_once_and_to_the_next_owner() -> None:
    async def scenario(world: World) -> None:
        book = world.book()
        await book.load(3)
        assert not book.is_acknowledged(3, "shop", "e1", "record")
        await book.write(world.receipt(partition=3))
        heir = world.book()
        await heir.load(3)
        for each in (book, heir):
            assert each.is_acknowledged(3, "shop", "e1", "record")
            assert not each.is_acknowledged(3, "shop", "e1", "other")
            assert not each.is_acknowledged(3, "shop", "e2", "record")
            assert not each.is_acknowledged(4, "shop", "e1", "record")

    play(scenario)


def test_only_what_was_done_with_counts() -> None:
    async def scenario(world: World) -> None:
        book = world.book()
        await book.load(0)
        for outcome in ReceiptOutcome:
            await book.write(world.receipt(outcome.value, outcome=outcome))
        heir = world.book()
        await heir.load(0)
        for each in (book, heir):
            done = {
                outcome
                for outcome in ReceiptOutcome
                if each.is_acknowledged(0, "shop", outcome.value, "record")
            }
            assert done == {ReceiptOutcome.HANDLED, ReceiptOutcome.FILTERED}

    play(scenario)


def test_another_groups_receipts_say_nothing() -> None:
    async def scenario(world: World) -> None:
        await world.book("other").write(world.receipt(group="other"))
        book = world.book()
        await book.load(0)
        assert not book.is_acknowledged(0, "shop", "e1", "record")

    play(scenario)


def test_the_same_id_from_another_source_is_another_event() -> None:
    async def scenario(world: World) -> None:
        book = world.book()
        await book.load(0)
        await book.write(world.receipt(namespace="/orders"))
        heir = world.book()
        await heir.load(0)
        for each in (book, heir):
            assert each.is_acknowledged(0, "/orders", "e1", "record")
            assert not each.is_acknowledged(0, "/refunds", "e1", "record")

    play(scenario)


def test_partitions_that_share_receipts_are_kept_until_the_last_is_dropped() -> None:
    async def scenario(world: World) -> None:
        book = world.book()
        await book.load(1)
        await book.write(world.receipt(partition=1))
        await book.load(9)
        book.drop(9)
        assert book.is_acknowledged(1, "shop", "e1", "record")
        book.drop(1)
        assert not book.is_acknowledged(1, "shop", "e1", "record")

    play(scenario)


def test_what_is_older_than_the_time_to_live_is_forgotten() -> None:
    async def scenario(world: World) -> None:
        book = world.book()
        await book.load(0)
        await book.write(world.receipt())
        await asyncio.sleep(TTL - 1)
        assert book.is_acknowledged(0, "shop", "e1", "record")
        await asyncio.sleep(TTL / 10)
        assert not book.is_acknowledged(0, "shop", "e1", "record")
        heir = world.book()
        await heir.load(0)
        assert not heir.is_acknowledged(0, "shop", "e1", "record")

    play(scenario)


def test_acknowledgements_behind_an_open_transaction_are_known() -> None:
    """A reader of committed records would stop before the transaction, and events would be handled again."""

    async def scenario(world: World) -> None:
        writer = world.log.transactional("watcher")
        await writer.start()
        world.log.cluster.faults.hold_commits("watcher")
        mark = receipt_write(NAMES, world.receipt("lost", outcome=ReceiptOutcome.MISSING), 8)
        commit = asyncio.create_task(writer.commit([mark]))
        await asyncio.sleep(0.1)
        await world.outbox.write(receipt_write(NAMES, world.receipt("kept"), 8))
        assert await world.log.end_offset(TopicPartition(NAMES.receipts, 0)) == 0
        book = world.book()
        await book.load(0)
        assert book.is_acknowledged(0, "shop", "kept", "record")
        assert not book.is_acknowledged(0, "shop", "lost", "record")
        world.log.cluster.faults.release_commits("watcher")
        await commit

    play(scenario)


def test_a_mark_of_missing_and_a_late_receipt_survive_compaction_in_either_order() -> None:
    async def scenario(world: World) -> None:
        for event, order in (("a", ("missing", "handled")), ("b", ("handled", "missing"))):
            for outcome in order:
                receipt = world.receipt(event, outcome=ReceiptOutcome(outcome))
                await world.outbox.write(receipt_write(NAMES, receipt, 8))
        world.log.cluster.compact(NAMES.receipts)
        found = await drain(world.log, TopicPartition(NAMES.receipts, 0))
        assert sorted(str(outcome_of(each)) for each in found) == ["handled"] * 2 + ["missing"] * 2

    play(scenario)


def test_what_is_no_receipt_is_none() -> None:
    def record(key: bytes | None, value: bytes | None = b"", *headers: tuple[str, bytes]) -> Record:
        return Record("t", 0, 0, 0, key, value, headers)

    assert owed_of(record(b'["n","e","g","s"]')) == Owed("n", "e", "g", "s")
    for key in (None, b"", b"{}", b"[1,2,3,4]", b'["n","e","g"]', b'["n","e","g","s","m","x"]', b"\xff"):
        assert owed_of(record(key)) is None
    handled = ("tasker-receipt", b"handled")
    assert outcome_of(record(b"k", b"v", handled)) is ReceiptOutcome.HANDLED
    assert outcome_of(record(b"k", None, handled)) is None
    assert outcome_of(record(b"k", b"v", ("tasker-receipt", b"newer"))) is None
    assert outcome_of(record(b"k", b"v", ("tasker-receipt", b"\xff"))) is None
    assert outcome_of(record(b"k", b"v")) is None


def test_slices_are_forgotten_whole_and_late() -> None:
    held = OwedSet(1_000)
    assert held.add(Owed("n", "a", "g", "s"), 500)
    assert not held.add(Owed("n", "b", "g", "s"), 999)
    assert held.add(Owed("n", "c", "g", "s"), 1_000)
    held.forget_before(999)
    assert len(held) == 3
    held.forget_before(1_000)
    assert [held.holds(Owed("n", each, "g", "s")) for each in "abc"] == [False, False, True]


def test_a_receipt_goes_where_its_events_owner_looks() -> None:
    assert [receipts_partition(each, 8) for each in (0, 7, 8, 15)] == [0, 7, 0, 7]
    receipt = Receipt(
        namespace="n", event_id="e", event_name="a.b", group="g", subscription="s",
        outcome=ReceiptOutcome.DEAD, topic="t", partition=11, offset=1, at=0, deliveries=3, written_by="m",
    )  # fmt: skip
    write: Write = receipt_write(NAMES, receipt, 8)
    assert (write.topic, write.key, write.partition) == (NAMES.receipts, b'["n","e","g","s"]', 3)
