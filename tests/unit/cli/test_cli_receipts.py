"""`tasker receipts list` and `show` on a log in memory: who has acknowledged what, who owes, what is missing, late."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from tasker_kafka.handlers.delivery.receipt_query import EventReceipts, ReceiptRow
from tasker_kafka.handlers.delivery.receipts import OUTCOME, receipt_write
from tasker_kafka.schemas.codec import decode
from tasker_kafka.schemas.identity import format_id
from tasker_kafka.schemas.records import DomainEvent, Receipt
from tasker_kafka.schemas.words import Delivery, ReceiptOutcome
from tasker_kafka.topics.log import Record, TopicPartition, Write
from tasker_kafka.topics.memory import MemoryCluster
from tests.support.log_sides import MemorySide
from tests.support.source_tree import ROOT
from tests.support.watcher_rig import WatchedWorld, spec_of, watched

Tasker = Callable[..., Any]
Scene = Callable[[Callable[[WatchedWorld], Awaitable[Any]]], Any]


@pytest.fixture
def scene(tasker: Tasker, cluster: MemoryCluster) -> Scene:
    """Does something in the system that the commands talk to; one group, `audit`, takes `payment.*`."""

    def do(work: Callable[[WatchedWorld], Awaitable[Any]]) -> Any:
        side = MemorySide("tasker")
        side.cluster = cluster

        async def run() -> Any:
            async with watched(side) as world:
                return await work(world)

        return asyncio.run(run())

    return do


def id_of(record: Record) -> str:
    return format_id(decode(record.value, DomainEvent).event_id)


def test_what_became_of_an_event(tasker: Tasker, scene: Scene) -> None:
    async def work(world: WatchedWorld) -> Record:
        await world.announce(spec_of("ledger"), spec_of("search"))
        (record,) = await world.publish()
        await world.receipt(record)
        await world.receipt(record, "ledger", outcome=ReceiptOutcome.DEAD)
        return record

    record = scene(work)
    found = tasker("receipts", "show", id_of(record), "--json").json
    assert found["source"] == f"{record.topic}/0:{record.offset}"
    assert (found["event_name"], found["is_acknowledged"]) == ("payment.charged", False)
    rows = {
        each["group"]: (each["outcome"], each["deliveries"], each["was_missing"])
        for each in found["receipts"]
    }
    assert rows == {
        "audit": ("handled", 1, False),
        "ledger": ("dead", 1, False),
        "search": ("owed", 0, False),
    }
    shown = tasker("receipts", "show", id_of(record)).out
    assert "payment.charged" in shown
    assert "owed" in shown


def test_an_event_without_any_receipt_is_found_in_its_topic(tasker: Tasker, scene: Scene) -> None:
    record = scene(lambda world: world.publish(3))[1]
    found = tasker("receipts", "show", id_of(record), "--json").json
    assert [each["outcome"] for each in found["receipts"]] == ["owed"]
    assert found["source"].endswith(f":{record.offset}")


def test_nobody_owes_for_a_durable_event(tasker: Tasker, scene: Scene) -> None:
    (record,) = scene(lambda world: world.publish(delivery=Delivery.DURABLE))
    found = tasker("receipts", "show", id_of(record), "--json").json
    assert (found["receipts"], found["is_acknowledged"]) == ([], True)
    assert "nobody owes a receipt" in tasker("receipts", "show", id_of(record)).out


def test_an_event_that_is_gone_is_told_by_its_receipts(
    tasker: Tasker, scene: Scene, cluster: MemoryCluster
) -> None:
    async def work(world: WatchedWorld) -> Record:
        records = await world.publish(2)
        await world.receipt(records[0])
        return records[0]

    record = scene(work)
    cluster.store(TopicPartition(record.topic, 0)).truncate(1)
    found = tasker("receipts", "show", id_of(record), "--json").json
    assert (found["published_at"], found["is_acknowledged"]) == (None, False)
    assert [each["outcome"] for each in found["receipts"]] == ["handled"]
    assert "no longer kept" in tasker("receipts", "show", id_of(record)).out


def test_an_unknown_event_is_not_found(tasker: Tasker, scene: Scene) -> None:
    scene(lambda world: world.publish())
    ran = tasker("receipts", "show", "no-such-event")
    assert ran.code == 4
    assert "neither a receipt nor an event" in ran.err


def test_missing_ones_are_listed_until_they_come(tasker: Tasker, scene: Scene) -> None:
    async def miss(world: WatchedWorld) -> list[Record]:
        records = await world.publish(2)
        for record in records:
            await world.receipt(record, outcome=ReceiptOutcome.MISSING)
        return records

    late, never = scene(miss)

    def missing() -> list[str]:
        rows = tasker("receipts", "list", "--outcome", "missing", "--json").json["receipts"]
        return [each["event_id"] for each in rows]

    assert set(missing()) == {id_of(late), id_of(never)}
    scene(lambda world: world.receipt(late))
    assert missing() == [id_of(never)]
    (row,) = tasker("receipts", "show", id_of(late), "--json").json["receipts"]
    assert (row["outcome"], row["was_missing"]) == ("handled", True)
    (row,) = tasker("receipts", "show", id_of(never), "--json").json["receipts"]
    assert (row["outcome"], row["was_missing"]) == ("missing", False)
    assert "late" in tasker("receipts", "show", id_of(late)).out


def test_lists_are_newest_first_and_filtered(tasker: Tasker, scene: Scene) -> None:
    async def work(world: WatchedWorld) -> list[str]:
        ids = []
        for partition in (0, 1, 0):
            (record,) = await world.publish(partition=partition)
            await asyncio.sleep(0.005)
            await world.receipt(record)
            await world.receipt(record, "ledger")
            ids.append(id_of(record))
        # What is no receipt is left out.
        await world.outbox.write(Write(world.names.receipts, b"?", b"?", partition=0))
        handled = ((OUTCOME, b"handled"),)
        await world.outbox.write(Write(world.names.receipts, b'["n","e","audit","s"]', b"?", handled, 0))
        return ids

    ids = scene(work)
    rows = tasker("receipts", "list", "--group", "audit", "--json").json["receipts"]
    assert [each["event_id"] for each in rows] == ids[::-1]
    assert len(tasker("receipts", "list", "--limit", "2", "--json").json["receipts"]) == 2
    assert tasker("receipts", "list", "--outcome", "dead", "--json").json["receipts"] == []
    assert "no receipts" in tasker("receipts", "list", "--group", "nobody").out
    assert "payment.charged" in tasker("receipts", "list").out


def test_times_are_refused_without_a_zone(tasker: Tasker, scene: Scene) -> None:
    (record,) = scene(lambda world: world.publish())
    assert tasker("receipts", "show", id_of(record), "--since", "2026-01-01T00:00").code == 2
    assert tasker("receipts", "show", id_of(record), "--since", "7d").code == 0


@pytest.mark.parametrize("shape", [ReceiptRow, EventReceipts])
def test_every_key_is_in_the_reference(shape: type[msgspec.Struct]) -> None:
    page = (ROOT / "docs/reference/cli.md").read_text()
    line = "".join(line for line in page.splitlines() if line.startswith("| `receipts "))
    assert [
        key for key in shape.__struct_fields__ if f"`{key}`" not in line and f"`{key}[]`" not in line
    ] == []


def test_an_id_that_two_sources_have_given_is_asked_for_with_its_source(tasker: Tasker, scene: Scene) -> None:
    async def work(world: WatchedWorld) -> None:
        for source in ("/orders", "/refunds"):
            receipt = Receipt(
                namespace=source, event_id="1", event_name="order.placed", group="audit", subscription="record",
                outcome=ReceiptOutcome.HANDLED, topic="orders", partition=0, offset=0, at=world.log.now_ms(),
                deliveries=1, written_by="m",
            )  # fmt: skip
            await world.outbox.write(receipt_write(world.names, receipt, 8))

    scene(work)
    ran = tasker("receipts", "show", "1")
    assert ran.code != 0
    assert "name the source: /orders, /refunds" in ran.err
    found = tasker("receipts", "show", "1", "--namespace", "/refunds", "--json").json
    assert (found["namespace"], len(found["receipts"])) == ("/refunds", 1)
    assert tasker("receipts", "show", "1", "--namespace", "/other").code == 4
