"""The three promises, filters, orderings, repeats, breaker and backpressure."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from tasker_kafka.handlers.subscribing.event import DomainEvent
from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.errors import TopicsDrifted
from tasker_kafka.schemas.words import Delivery
from tasker_kafka.topics.declarations import group_tables
from tasker_kafka.topics.log import TopicDescription, Write
from tasker_kafka.topics.memory import MemoryLog, run_virtual
from tasker_kafka.topics.provision import create
from tests.support.delivery_world import GROUP, Seen, World, envelope, on, policy_of, spec_of


def slow(seconds: float) -> Seen:
    """A handler that takes its time."""
    return Seen(lambda _: asyncio.sleep(seconds))


# ------------------------------------------------------------------------------------------------ acknowledged


def test_an_acknowledged_event_leaves_a_receipt_and_is_not_handled_again_by_the_next_owner() -> None:
    async def scene() -> None:
        async with World.in_memory(partitions=1) as world:
            await create(world.log.admin(), group_tables(world.names))
            seen = Seen()
            spec = spec_of(on(seen))
            async with world.member(spec) as member:
                await world.publish(envelope(0, delivery=Delivery.ACKNOWLEDGED), envelope(1))
                await world.settled()
                assert member.figures.receipts == 1
            async with world.member(spec) as member:  # its publisher repeats both
                await world.publish(envelope(0, delivery=Delivery.ACKNOWLEDGED), envelope(1))
                await world.settled()
                assert member.figures.duplicates == 1
            assert seen.numbers == [0, 1, 1]

    run_virtual(scene())


def test_a_receipt_that_cannot_be_written_blocks_the_commit() -> None:
    async def scene() -> None:
        async with World.in_memory(partitions=1) as world:
            await create(world.log.admin(), group_tables(world.names))
            assert isinstance(world.log, MemoryLog)
            world.log.cluster.faults.fail_writes(world.names.receipts, count=10)
            seen = Seen()
            spec = spec_of(on(seen, delivery=Delivery.ACKNOWLEDGED))
            async with world.member(spec, retry_max_seconds=1.0) as member:
                await world.publish(envelope(0))
                await asyncio.sleep(4)
                assert (await world.lag(), member.figures.receipts) == (1, 0)
                await world.settled()
                assert member.figures.receipts == 1
            assert seen.numbers == [0]

    run_virtual(scene())


def test_a_repeat_of_a_durable_event_is_recognised_while_it_is_remembered() -> None:
    async def scene() -> None:
        async with World.in_memory(partitions=1) as world:
            seen = Seen()
            async with world.member(spec_of(on(seen)), dedup_seconds=60) as member:
                await world.publish(envelope(0), envelope(1), envelope(0))
                await world.settled()
                assert member.figures.duplicates == 1
                await asyncio.sleep(61)
                await world.publish(envelope(0))
                await world.settled()
            assert seen.numbers == [0, 1, 0]

    run_virtual(scene())


# ------------------------------------------------------------------------------------------------ filters and order


def test_filters_choose_before_and_after_decoding() -> None:
    async def scene() -> None:
        async with World.in_memory(partitions=1) as world:
            by_header, by_field, by_name, by_choice = Seen(), Seen(), Seen(), Seen()
            spec = spec_of(
                on(by_header, "header", headers={"ce_source": "/tasker/shop"}),
                on(by_field, "field", fields={"key": "b", "number": 2}),
                on(by_name, "name", patterns=("order.*",)),
                on(by_choice, "choice", should_process=lambda event: event.payload["number"] > 1),
            )
            async with world.member(spec) as member:
                await world.publish(envelope(1, "a"), envelope(2, "b"), envelope(3, "b", name="order.sent"))
                await world.settled()
                assert member.figures.filtered == 3
            assert (by_header.numbers, by_field.numbers, by_name.numbers) == ([1, 2, 3], [2], [3])
            assert by_choice.numbers == [2, 3]

    run_virtual(scene())


def test_a_filter_that_fails_is_a_failed_delivery() -> None:
    async def scene() -> None:
        async with World.in_memory(partitions=1) as world:
            said = on(Seen(), should_process=lambda event: event.payload["none"], policy=policy_of(0.1))
            async with world.member(spec_of(said)) as member:
                await world.publish(envelope(0))
                await world.settled()
                assert member.figures.dead == 1

    run_virtual(scene())


@pytest.mark.parametrize(("ordering", "seconds"), [("partition", 10.0), ("key", 5.0), ("none", 1.0)])
def test_orderings_say_what_waits_for_what(ordering: Any, seconds: float) -> None:
    """Ten events of two keys, each taking a second."""

    async def scene() -> None:
        spec = spec_of(on(slow(1.0)), ordering=ordering)
        async with World.in_memory(partitions=1) as world, world.member(spec) as member:
            await world.publish(*(envelope(each, key=str(each % 2)) for each in range(10)))
            began = asyncio.get_running_loop().time()
            while member.figures.delivered < 10:  # noqa: ASYNC110 - nobody is told
                await asyncio.sleep(0.01)
            assert seconds - 0.1 <= asyncio.get_running_loop().time() - began <= seconds + 0.2

    run_virtual(scene())


# ------------------------------------------------------------------------------------------------ breaker, backpressure


def test_an_open_breaker_spares_the_attempts_of_what_waits() -> None:
    async def scene() -> None:
        async with World.in_memory(partitions=1) as world:
            is_down = True
            times: list[int] = []

            def end(_: object) -> None:
                times.append(world.log.now_ms())
                if is_down:
                    raise RuntimeError("down")

            policy = policy_of(*[1.0] * 9, breaker_failures=3, breaker_seconds=20.0)
            async with world.member(spec_of(on(Seen(end), policy=policy), concurrency=1)) as member:
                await world.publish(*(envelope(each, key=str(each)) for each in range(50)))
                await asyncio.sleep(50)
                assert len(times) == 5  # three, then one at a time
                assert min(after - before for before, after in itertools.pairwise(times[2:])) >= 20_000
                is_down = False
                await world.settled()
                assert (member.figures.delivered, member.figures.dead) == (50, 0)

    run_virtual(scene())


def test_a_key_that_fails_does_not_slow_the_others() -> None:
    """Its successors leave the memory for a retry topic, so that there is always room for other keys."""

    async def scene() -> None:
        async with World.in_memory(partitions=1) as world:
            late: list[float] = []
            loop = asyncio.get_running_loop()
            sent: dict[int, float] = {}

            async def handle(event: DomainEvent[Any]) -> None:
                number = event.payload["number"]
                if event.key == "bad" and loop.time() < 40:
                    raise RuntimeError("down")
                if event.key != "bad":
                    late.append(loop.time() - sent[number])

            policy = policy_of(*[1.5] * 60)
            async with world.member(spec_of(on(handle, policy=policy), queued=40)) as member:
                for number in range(600):
                    sent[number] = loop.time()
                    await world.publish(envelope(number, key="bad" if number % 2 else f"k{number % 7}"))
                    await asyncio.sleep(0.05)
                await world.settled()
                assert member.figures.delivered == 600
            assert max(late) < 0.2

    run_virtual(scene())


def test_a_slow_handler_pauses_reading_and_memory_stays_bounded() -> None:
    async def scene() -> None:
        async with World.in_memory(partitions=2) as world:
            most = 0
            async with world.member(spec_of(on(slow(0.1)), queued=30, concurrency=5)) as member:
                for begin in range(0, 1_000, 100):
                    await world.publish(
                        *(envelope(each, key=str(each)) for each in range(begin, begin + 100))
                    )
                while member.figures.delivered < 1_000:
                    most = max(most, member.figures.waiting)
                    await asyncio.sleep(0.05)
            assert most <= 30 + 500  # one fetch more

    run_virtual(scene())


def test_retries_of_many_keys_are_neither_early_nor_late() -> None:
    async def scene() -> None:
        async with World.in_memory(partitions=2) as world:
            firsts: dict[int, int] = {}
            waits: list[int] = []

            def end(event: DomainEvent[Any]) -> None:
                number = event.payload["number"]
                if number not in firsts:
                    firsts[number] = world.log.now_ms()
                    raise RuntimeError("once")
                waits.append(world.log.now_ms() - firsts[number])

            async with world.member(spec_of(on(Seen(end), policy=policy_of(5.0)))) as member:
                await world.publish(*(envelope(each, key=str(each)) for each in range(500)))
                await world.settled()
                assert member.figures.lateness_ms < 250
            assert 5_000 <= min(waits) <= max(waits) < 5_250

    run_virtual(scene())


# ------------------------------------------------------------------------------------------------ the end


def test_a_stop_waits_for_handlers_and_a_rebalance_for_less() -> None:
    async def scene() -> None:
        async with World.in_memory(partitions=1) as world:
            spec = spec_of(on(slow(9.0)))
            async with world.member(spec, shutdown_seconds=20.0, revoke_seconds=1.0) as member:
                await world.publish(envelope(0), envelope(1))
                await asyncio.sleep(1.0)
            assert (member.figures.delivered, await world.lag()) == (1, 1)
            async with world.member(spec, revoke_seconds=1.0) as first:
                await asyncio.sleep(1.0)
                async with world.member(spec):
                    await world.settled()
                    assert first.figures.delivered in {0, 1}

    run_virtual(scene())


def test_a_retry_in_place_holds_up_no_rebalance() -> None:
    async def scene() -> None:
        async with World.in_memory(partitions=1) as world:

            async def fail(_: object) -> None:
                await asyncio.sleep(1.0)
                raise RuntimeError("no")

            loop = asyncio.get_running_loop()
            async with world.member(spec_of(on(fail, policy=policy_of(2.0, 2.0))), shutdown_seconds=100.0):
                await world.publish(envelope(0))
                await asyncio.sleep(0.5)
                began = loop.time()
            assert loop.time() - began < 3.0

    run_virtual(scene())


# ------------------------------------------------------------------------------------------------ topics


def test_topics_of_others_need_nothing_of_tasker() -> None:
    async def scene() -> None:
        async with World.in_memory() as world:
            await world.log.admin().create([TopicDescription("orders", 3, 1, {})])
            seen = Seen(lambda event: fail() if event.payload["number"] == 1 else None)

            async def fail() -> None:
                raise RuntimeError("no")

            spec = spec_of(on(seen, patterns=("**",), policy=policy_of()), namespaces=(), topics=("orders",))
            await world.outbox.warm(["orders"])
            async with world.member(spec) as member:
                for number in range(3):
                    headers = (
                        ("ce_specversion", b"1.0"),
                        ("ce_id", b"%d" % number),
                        ("ce_source", b"/shop"),
                        ("ce_type", b"com.example.Ordered"),
                    )
                    await world.outbox.write(Write("orders", b"k", b'{"number": %d}' % number, headers))
                while member.figures.delivered < 2 or not member.figures.dead:  # noqa: ASYNC110 - nobody is told
                    await asyncio.sleep(0.1)
            assert seen.numbers == [0, 1, 2]
            [(original, _)] = await world.dead(world.names.group_dlq(GROUP))
            assert original.topic == "orders"

    run_virtual(scene())


def test_a_source_that_comes_later_is_found() -> None:
    async def scene() -> None:
        async with World.in_memory() as world:
            seen = Seen()
            async with world.member(spec_of(on(seen), namespaces=()), discover_seconds=5.0):
                topic = world.names.domain_events("later")
                await world.log.admin().create([TopicDescription(topic, 2, 1, {})])
                await world.publish(envelope(1))
                event = envelope(2, namespace="later")
                await world.outbox.write(Write(topic, b"k", codec.encode(event)))
                await asyncio.sleep(30)
            assert seen.numbers == [1, 2]

    run_virtual(scene())


def test_a_missing_source_and_topics_that_may_not_be_created_are_said() -> None:
    async def scene() -> None:
        async with World.in_memory() as world:
            with pytest.raises(TopicsDrifted, match=r"do not exist: tasker\.domain-events\.none\.v1"):
                async with world.member(spec_of(on(Seen()), namespaces=("none",))):
                    pass
            with pytest.raises(TopicsDrifted, match=r"tasker\.retry\.audit\.30s\.v1"):
                async with world.member(spec_of(on(Seen(), policy=policy_of(30.0))), create_topics=False):
                    pass

    run_virtual(scene())


def test_retry_topics_with_too_few_partitions_are_refused() -> None:
    async def scene() -> None:
        async with World.in_memory(partitions=3) as world:
            await world.log.admin().create([TopicDescription(world.names.retry(GROUP, "redrive"), 2, 1, {})])
            with pytest.raises(TopicsDrifted, match=r"redrive\.v1 has 2"):
                async with world.member(spec_of(on(Seen()))):
                    pass

    run_virtual(scene())


def test_retry_topics_of_an_older_release_are_still_read() -> None:
    async def scene() -> None:
        async with World.in_memory(partitions=1) as world:
            seen = Seen(lambda event: fail() if event.delivery_attempt == 1 else None)

            async def fail() -> None:
                raise RuntimeError("not now")

            async with world.member(spec_of(on(seen, policy=policy_of(30.0)))):
                await world.publish(envelope(0))
                await asyncio.sleep(2)
            async with world.member(spec_of(on(seen, policy=policy_of(300.0)))):
                await world.settled()
            assert seen.numbers == [0, 0]

    run_virtual(scene())
