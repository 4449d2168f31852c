"""A missing receipt is an alert and a dead letter, once, whatever happens to the watcher; in memory and on Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tasker_kafka.handlers.delivery.journey import FailureClass
from tasker_kafka.handlers.delivery.watching import WatcherCrashPoint
from tasker_kafka.schemas.words import DeadLetterAction, Delivery, ReceiptOutcome
from tests.support.log_sides import Side, contract, until
from tests.support.patience import PATIENCE_SECONDS
from tests.support.watcher_rig import WatchedWorld, spec_of, subscription_of, watched


async def wait_for(look: Callable[[], Awaitable[int]], count: int) -> None:
    """Until `look` counts so many."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await look() < count:  # noqa: ASYNC110 - other processes bring it about
            await asyncio.sleep(0.1)


async def wait_letters(world: WatchedWorld, count: int) -> None:
    """Until so many dead letters are there."""

    async def look() -> int:
        return len(await world.letters())

    await wait_for(look, count)


@contract
async def test_a_missing_receipt_is_a_dead_letter_after_its_deadline(side: Side) -> None:
    async with watched(side) as world:
        lost, kept = await world.publish(2)
        await world.receipt(kept)
        async with world.watcher() as watcher:
            await wait_letters(world, 1)
            ((original, journey),) = await world.letters()
            assert original == lost
            assert (journey.group, journey.subscription) == ("audit", "record")
            assert journey.failure_class is FailureClass.UNACKNOWLEDGED
            assert (journey.attempts, journey.due_at, journey.redrive_count) == (0, 0, 0)
            assert journey.last_failed_at is not None
            assert journey.last_failed_at >= lost.timestamp + 2_000
            await until(lambda: watcher.figures.missing == 1)
        (mark,) = await world.marks()
        assert (mark.topic, mark.partition, mark.offset) == (lost.topic, lost.partition, lost.offset)


@contract
async def test_who_owes_a_receipt(side: Side) -> None:
    """By the registry: not a group that does not take the event, nor one that takes it as durable only."""
    async with watched(side) as world:
        (before,) = await world.publish()
        await asyncio.sleep(0.02)
        await world.announce(
            spec_of("loose", subscription_of(delivery=Delivery.DURABLE)),
            spec_of("other", subscription_of("record", "order.**")),
            spec_of("strict", subscription_of(delivery=Delivery.ACKNOWLEDGED)),
        )
        (promised,) = await world.publish(partition=1)
        (plain,) = await world.publish(delivery=Delivery.DURABLE, partition=1)
        async with world.watcher():
            await wait_letters(world, 4)
        found = {
            (journey.group, original.offset, original.partition)
            for original, journey in await world.letters()
        }
        assert found == {
            ("audit", before.offset, 0),
            ("audit", promised.offset, 1),
            ("strict", promised.offset, 1),
            ("strict", plain.offset, 1),
        }


@contract
async def test_every_outcome_settles_what_is_owed(side: Side) -> None:
    """Handled, filtered, and dead: that one is in the dead letter queue already."""
    async with watched(side) as world:
        records = await world.publish(4)
        outcomes = (ReceiptOutcome.HANDLED, ReceiptOutcome.FILTERED, ReceiptOutcome.DEAD)
        for record, outcome in zip(records, outcomes, strict=False):
            await world.receipt(record, outcome=outcome)
        async with world.watcher() as watcher:
            await wait_letters(world, 1)
            ((original, _),) = await world.letters()
            assert original == records[3]
            assert watcher.figures.owed == 4


@contract
async def test_a_receipt_that_comes_late_closes_its_letter(side: Side) -> None:
    async with watched(side) as world:
        late, never = await world.publish(2)
        async with world.watcher() as watcher:
            await wait_letters(world, 2)
            await world.receipt(late)

            async def look() -> int:
                return len(await world.acts())

            await wait_for(look, 1)
            await until(lambda: watcher.figures.late == 1)
        async with world.watcher() as again:  # its look at the past finds the letter closed
            (more,) = await world.publish()
            await wait_letters(world, 3)
            await world.receipt(more)
            await wait_for(look, 2)
            await until(lambda: again.figures.late == 1)
        queue = {each.offset: each for each in await world.records(world.names.domain_events_dlq("shop"))}
        acts = await world.acts()
        assert {each.action for each in acts} == {DeadLetterAction.ACKNOWLEDGED}
        assert [queue[each.offset].value for each in acts] == [late.value, more.value]
        assert never.value in {each.value for each in queue.values()}


@contract
async def test_the_largest_events_have_letters_too(side: Side) -> None:
    """Several of them are too much for one transaction's request."""
    async with watched(side) as world:
        records = await world.publish(6, payload=b'"' + b"x" * 1_047_000 + b'"')
        async with world.watcher():
            await wait_letters(world, 6)
        assert [original for original, _ in await world.letters()] == records


@contract
async def test_an_event_that_its_queue_does_not_take_has_a_letter_without_its_bytes(side: Side) -> None:
    """It does not end the watcher, and the letters of others are whole."""
    async with watched(side) as world:
        queue = world.names.domain_events_dlq("shop")
        await world.log.admin().update_config(queue, {"max.message.bytes": "4000"})
        records = []
        for size in (10, 5_000, 20, 6_000, 30):
            records += await world.publish(1, payload=b'"' + b"x" * size + b'"')
        async with world.watcher() as watcher:
            await wait_letters(world, 5)
            assert watcher.figures.missing == 5
        letters = await world.letters()
        assert [journey.left_out is not None for _, journey in letters] == [False, True, False, True, False]
        assert [letters[each][0] for each in (0, 2, 4)] == [records[each] for each in (0, 2, 4)]
        assert [letters[each][0].value for each in (1, 3)] == [None, None]
        assert len(await world.marks()) == 5


@contract
async def test_two_watchers_report_each_event_once(side: Side) -> None:
    async with watched(side) as world, world.watcher() as first, world.watcher() as second:
        for partition in range(2):
            await world.publish(20, partition=partition)
        await wait_letters(world, 40)
        found = [journey.event_id for _, journey in await world.letters()]
        assert len(found) == len(set(found)) == 40
        await until(lambda: first.figures.missing + second.figures.missing >= 40)


POINTS = [
    WatcherCrashPoint.DUE,
    WatcherCrashPoint.FENCED,
    WatcherCrashPoint.REPORTED,
    WatcherCrashPoint.COMMITTED,
]


@contract
async def test_a_watcher_that_dies_anywhere_leaves_each_report_written_once(side: Side) -> None:
    async with watched(side) as world:
        for round_, point in enumerate(POINTS, 1):
            await world.publish()
            dying = await world.dies_at(point)
            assert dying.passed[-1] is point
            async with world.watcher() as heir:
                await wait_letters(world, round_)
                # What it finds reported and not committed it tells once more: its forebear may not have.
                await until(lambda own=heir, at=point: own.figures.missing == (at is not POINTS[-1]))  # type: ignore[misc]  # defaults bind
        async with world.watcher() as last:
            await world.publish()
            await wait_letters(world, len(POINTS) + 1)
            await until(lambda: last.figures.missing == 1)
        found = [(journey.event_id, journey.group) for _, journey in await world.letters()]
        assert len(found) == len(set(found)) == len(POINTS) + 1
        assert len(await world.marks()) == len(found)
