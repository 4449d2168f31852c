"""What a watcher makes of odd records, full buffers, foreign topics, zombies and a log that fails; in memory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

import msgspec
import pytest

from tasker_kafka.handlers.delivery.journey import FailureClass, Journey, wrap
from tasker_kafka.handlers.delivery.watching import WatcherCrashPoint, WatcherSettings, watcher_settings
from tasker_kafka.schemas.errors import ConfigurationError, LogError, TopicsDrifted
from tasker_kafka.schemas.settings import Settings
from tasker_kafka.schemas.words import DeadLetterAction, Delivery
from tasker_kafka.topics import provision
from tasker_kafka.topics.declarations import TopicPlan, declarations
from tasker_kafka.topics.log import Record, TopicPartitionOffset, TransactionalWriter, Write
from tasker_kafka.topics.memory import MemoryLog, run_virtual
from tests.support.log_sides import MemorySide, until
from tests.support.watcher_rig import DEADLINE, FAST, Dying, WatchedWorld, spec_of, subscription_of, watched

SOURCE = ("shop.domain-events.shop.v1", 0)
Scenario = Callable[[WatchedWorld], Awaitable[None]]


def play(scenario: Scenario, *foreign: str) -> None:
    """The scenario in a system in memory, on a virtual clock."""

    async def main() -> None:
        side = MemorySide("shop")
        async with watched(side, foreign=foreign) as world:
            await scenario(world)
        await side.close()

    run_virtual(main())


async def wait_letters(world: WatchedWorld, count: int, topic: str | None = None) -> None:
    async with asyncio.timeout(600):
        while len(await world.letters(topic)) < count:  # noqa: ASYNC110 - the watcher brings it about
            await asyncio.sleep(0.05)


def test_never_before_the_deadline_and_soon_after() -> None:
    async def scenario(world: WatchedWorld) -> None:
        async with world.watcher():
            (record,) = await world.publish()
            await asyncio.sleep(DEADLINE - 0.1)
            assert await world.letters() == []
            await wait_letters(world, 1)
            assert 0 <= world.log.now_ms() - record.timestamp - DEADLINE * 1_000 < 200

    play(scenario)


def test_the_alert_names_group_and_events_and_no_more_than_a_few(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(world: WatchedWorld) -> None:
        await world.publish(8)
        await asyncio.sleep(DEADLINE)
        async with world.watcher():
            await wait_letters(world, 8)

    with caplog.at_level(logging.ERROR):
        play(scenario)
    text = caplog.text
    assert "audit/record has left no receipt within 2 s for 8 acknowledged event(s)" in text
    assert "000005 and 3 more" in text
    assert "tasker dlq list --group audit" in text


def test_a_full_buffer_waits_in_the_log() -> None:
    async def scenario(world: WatchedWorld) -> None:
        await world.publish(50)
        few = msgspec.structs.replace(FAST, buffered=3, batch=2)
        async with world.watcher(settings=few) as watcher:
            await until(lambda: watcher.figures.waiting > 0)
            await wait_letters(world, 50)
            await until(lambda: watcher.figures.settled == 50)
        found = [original.offset for original, _ in await world.letters()]
        assert found == list(range(50))

    play(scenario)


def test_a_clock_that_is_ahead_delays_nothing_for_long() -> None:
    async def scenario(world: WatchedWorld) -> None:
        (record,) = await world.publish()
        ahead = world.log.now_ms() + 86_400_000
        await world.outbox.write(Write(record.topic, b"k", record.value, record.headers, 0, ahead))
        (last,) = await world.publish()
        async with world.watcher():
            await wait_letters(world, 2)
        found = [original.offset for original, _ in await world.letters()]
        assert found == [record.offset, last.offset]  # the second one is the first event again

    play(scenario)


def test_records_that_are_no_events_are_counted_and_passed() -> None:
    async def scenario(world: WatchedWorld) -> None:
        topic = world.names.domain_events("shop")
        named = (("ce_type", b"payment.charged"),)
        for value, headers in ((b"\x00noise", ()), (None, ()), (b"\xc3\x01broken", named), (b"{}", named)):
            await world.outbox.write(Write(topic, b"k", value, headers, 0))
        await world.publish()
        async with world.watcher() as watcher:
            await wait_letters(world, 1)
            await until(lambda: watcher.figures.settled == 5)
            assert watcher.figures.unreadable == 4

    play(scenario)


def test_foreign_topics_that_a_group_acknowledges_are_watched() -> None:
    async def scenario(world: WatchedWorld) -> None:
        strict = subscription_of("record", "order.placed", delivery=Delivery.ACKNOWLEDGED)
        await world.announce(spec_of("audit", strict, topics=("orders",)))
        headers = tuple(
            (name, value.encode())
            for name, value in (
                ("ce_specversion", "1.0"),
                ("ce_id", "o-1"),
                ("ce_source", "/x"),
                ("ce_type", "order.placed"),
            )
        )
        await world.outbox.write(Write("orders", b"k", b'{"n": 1}', headers, 1))
        queue = world.names.group_dlq("audit")
        async with world.watcher():
            await wait_letters(world, 1, queue)
        ((original, journey),) = await world.letters(queue)
        assert (original.topic, original.partition, original.headers) == ("orders", 1, headers)
        assert (journey.event_id, journey.group) == ("o-1", "audit")

    play(scenario, "orders")


def test_nobody_owes_for_what_a_filter_keeps_out() -> None:
    async def scenario(world: WatchedWorld) -> None:
        takes = replace(subscription_of("takes"), headers={"ce_type": "payment.charged"}, fields={"n": 1})
        other_field = replace(subscription_of("other-field"), fields={"n": 2})
        other_header = replace(subscription_of("other-header"), headers={"ce_type": "payment.refunded"})
        await world.announce(spec_of("audit", takes, other_field, other_header))
        await world.publish()
        async with world.watcher() as watcher:
            await wait_letters(world, 1)
            await until(lambda: watcher.figures.settled == 1)
        assert [journey.subscription for _, journey in await world.letters()] == ["takes"]

    play(scenario)


def test_a_topic_that_comes_later_is_found() -> None:
    async def scenario(world: WatchedWorld) -> None:
        await world.publish()
        async with world.watcher() as watcher:
            await wait_letters(world, 1)
            names = world.names
            wanted = declarations(names, TopicPlan(partitions=1), namespaces=["later"])
            new = {names.domain_events("later"), names.domain_events_dlq("later")}
            await provision.create(world.log.admin(), [each for each in wanted if each.name in new])
            await world.outbox.warm([names.domain_events("later")])
            await world.publish(namespace="later")
            await wait_letters(world, 1, names.domain_events_dlq("later"))
            await until(lambda: watcher.figures.missing == 2)

    play(scenario)


def test_only_letters_about_the_receipt_are_closed_when_it_comes() -> None:
    async def scenario(world: WatchedWorld) -> None:
        (record,) = await world.publish()
        async with world.watcher():
            await wait_letters(world, 1)
            (_, journey) = (await world.letters())[0]
            # The same event died of its handler in another subscription, and in this one.
            for subscription in ("other", "record"):
                died = msgspec.structs.replace(
                    journey, subscription=subscription, failure_class=FailureClass.HANDLER
                )
                await world.outbox.write(_letter(world, record, died))
            await world.receipt(record)
            await asyncio.sleep(5)
        (act,) = await world.acts()
        assert (act.offset, act.action) == (0, DeadLetterAction.ACKNOWLEDGED)

    play(scenario)


def _letter(world: WatchedWorld, record: Record, journey: Journey) -> Write:
    topic = world.names.domain_events_dlq("shop")
    return Write(topic, record.key, record.value, wrap(record, journey), 0)


def test_a_receipt_that_comes_after_the_watcher_was_away_closes_its_letter() -> None:
    async def scenario(world: WatchedWorld) -> None:
        (record,) = await world.publish()
        async with world.watcher():
            await wait_letters(world, 1)
        await asyncio.sleep(1_200)
        await world.receipt(record)
        async with world.watcher() as watcher:
            await until(lambda: watcher.figures.late == 1)
        (act,) = await world.acts()
        assert act.offset == 0

    play(scenario)


def test_a_zombie_reports_nothing_that_was_reported() -> None:
    """It stands still past its session, another one reports, and it goes on with what it held."""

    async def scenario(world: WatchedWorld) -> None:
        zombie = await world.side.log()
        assert isinstance(zombie, MemoryLog)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(world.watcher(log=zombie))
            await world.publish(5)
            await asyncio.sleep(DEADLINE - 0.5)
            zombie.pause()
            await stack.enter_async_context(world.watcher())
            await wait_letters(world, 5)
            zombie.resume()
            await asyncio.sleep(10)
            await world.publish()
            await wait_letters(world, 6)
        found = [original.offset for original, _ in await world.letters()]
        assert sorted(found) == list(range(6))

    play(scenario)


def test_a_transaction_that_hangs_is_lost_as_a_whole_and_written_again() -> None:
    async def scenario(world: WatchedWorld) -> None:
        assert isinstance(world.side, MemorySide)
        faults = world.side.cluster.faults
        source = world.names.domain_events("shop")
        writer = world.names.watcher_writer(source, 0)
        faults.hold_commits(writer)
        await world.publish(3)
        async with world.watcher() as watcher:
            await asyncio.sleep(30)  # past the transaction's timeout
            assert await world.letters() == []
            faults.release_commits(writer)
            await wait_letters(world, 3)
            await until(lambda: watcher.figures.missing == 3)
        assert len(await world.letters()) == len(await world.marks()) == 3

    play(scenario)


class LosesAnswers:
    """A transactional writer whose first commit succeeds, and says that it did not."""

    def __init__(self, writer: TransactionalWriter) -> None:
        self.start, self.close = writer.start, writer.close
        self._commit = writer.commit

    async def commit(self, writes: Sequence[Write]) -> list[TopicPartitionOffset]:
        await self._commit(writes)
        raise LogError("no answer")


def test_a_report_whose_answer_is_lost_is_not_written_again_but_told(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(world: WatchedWorld) -> None:
        log = await world.side.log()
        make = log.transactional
        lost: list[str] = []

        def transactional(id_: str, *, timeout_ms: int = 10_000) -> TransactionalWriter:
            made = make(id_, timeout_ms=timeout_ms)
            if lost:
                return made
            lost.append(id_)
            return LosesAnswers(made)

        monkeypatch.setattr(log, "transactional", transactional)
        await world.publish(3)
        await asyncio.sleep(DEADLINE)
        async with world.watcher(log=log) as watcher:
            await wait_letters(world, 3)
            await until(lambda: watcher.figures.settled == 3)
            assert (watcher.figures.missing, lost) == (3, [world.names.watcher_writer(*SOURCE)])
        assert len(await world.letters()) == len(await world.marks()) == 3

    play(scenario)
    assert "trying again: no answer" in caplog.text
    assert "audit/record has left no receipt within 2 s for 3 acknowledged event(s)" in caplog.text


def test_every_crash_point_is_passed() -> None:
    async def scenario(world: WatchedWorld) -> None:
        dying = Dying()
        (record,) = await world.publish()
        async with world.watcher(dying=dying) as watcher:
            await wait_letters(world, 1)
            await world.receipt(record)
            await until(lambda: watcher.figures.late == 1)
        assert set(dying.passed) == set(WatcherCrashPoint)

    play(scenario)


def test_without_topics_it_waits_or_says_what_is_missing() -> None:
    async def no_events() -> None:
        side = MemorySide("shop")
        async with watched(side) as world:
            names = world.names
            await world.log.admin().delete([names.domain_events("shop"), names.domain_events_dlq("shop")])
            async with world.watcher() as watcher:
                await watcher.wait_ready()
                await asyncio.sleep(5)
        await side.close()

    async def no_registry() -> None:
        side = MemorySide("shop")
        async with watched(side) as world:
            await world.log.admin().delete([world.names.groups])
            with pytest.raises(TopicsDrifted):
                async with world.watcher():
                    pass
        await side.close()

    run_virtual(no_events())
    run_virtual(no_registry())


def test_settings_are_taken_and_checked() -> None:
    found = watcher_settings(Settings().events)
    assert (found.deadline_seconds, found.late_seconds) == (300.0, 86_400.0)
    for name in WatcherSettings.__struct_fields__:
        with pytest.raises(ConfigurationError, match=name):
            msgspec.structs.replace(found, **{name: 0})
    with pytest.raises(ConfigurationError, match="deadline_seconds"):
        WatcherSettings(deadline_seconds=float("nan"))
