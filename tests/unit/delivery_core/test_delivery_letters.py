"""Dead letters hold the original byte for byte, block the commit until they are written, and can be redriven."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from tasker_kafka.handlers.delivery.journey import JOURNEY, WRAPPED, Journey, unwrap, wrap
from tasker_kafka.handlers.subscribing.event import DomainEvent
from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.errors import DecodeError
from tasker_kafka.topics.headers import for_event
from tasker_kafka.topics.log import Record, Write
from tasker_kafka.topics.memory import MemoryLog, run_virtual
from tests.support.delivery_world import GROUP, NAMESPACE, Seen, World, envelope, on, policy_of, spec_of

NEVER = "never"


def failing(*numbers: int) -> Seen:
    """Fails for these for ever."""

    def end(event: DomainEvent[Any]) -> None:
        if event.payload["number"] in numbers and not event.is_redriven:
            raise RuntimeError(NEVER)

    return Seen(end)


def journey_of(record: Record) -> Journey:
    """A journey of this record."""
    return Journey(
        group="g",
        subscription="s",
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp=record.timestamp,
    )


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("a", b""), ("a", b"\x00\xff"), ("", b"x")),
        ((JOURNEY, b"{}"), (WRAPPED, b"1")),
        ((WRAPPED, b"6"), (WRAPPED, b"99")),
    ],
)
def test_an_original_is_restored_whatever_headers_it_had(headers: Any) -> None:
    original = Record("topic", 3, 17, 1_700_000_000_123, b"\x00key", b"\xffvalue", headers)
    journey = journey_of(original)
    for _ in range(3):  # a dead letter of a dead letter
        travelling = Record("dlq", 1, 2, 3, original.key, original.value, wrap(original, journey))
        assert unwrap(travelling) == (original, journey)
        original, journey = travelling, journey_of(travelling)


@pytest.mark.parametrize(
    "headers",
    [(), ((WRAPPED, b"x"),), ((WRAPPED, b"1"),), ((WRAPPED, b"9"),), ((JOURNEY, b"{"), (WRAPPED, b"2"))],
)
def test_what_is_no_letter_is_said(headers: Any) -> None:
    with pytest.raises(DecodeError, match="no retry and no dead letter"):
        unwrap(Record("dlq", 0, 0, 0, None, None, headers))


def test_a_dead_letter_topic_that_takes_nothing_blocks_the_commit_and_nothing_else() -> None:
    async def scene() -> None:
        async with World.in_memory(partitions=1) as world:
            assert isinstance(world.log, MemoryLog)
            dlq = world.names.domain_events_dlq(NAMESPACE)
            world.log.cluster.faults.fail_writes(dlq, count=20)
            seen = failing(0)
            async with world.member(spec_of(on(seen, policy=policy_of())), retry_max_seconds=1.0) as member:
                await world.publish(
                    envelope(0, key="bad"), *(envelope(each, key="good") for each in range(1, 20))
                )
                await asyncio.sleep(10)
                assert member.figures.delivered == 19
                assert await world.lag() == 20
                assert await world.dead() == []
                await world.settled()
            assert len(await world.dead()) == 1

    run_virtual(scene())


def test_a_stack_that_makes_a_letter_too_large_is_left_out() -> None:
    async def scene() -> None:
        async with World.in_memory(partitions=1) as world:
            dlq = world.names.domain_events_dlq(NAMESPACE)
            await world.log.admin().update_config(dlq, {"max.message.bytes": "1400"})

            async def fail(_: object) -> None:
                raise RuntimeError("x" * 1_500)

            async with world.member(spec_of(on(fail, policy=policy_of()))):
                await world.publish(envelope(0))
                await world.settled()
            [(_, journey)] = await world.dead()
            assert journey.stack is None
            assert journey.error_type == "RuntimeError"

    run_virtual(scene())


def test_without_a_dead_letter_queue_the_lane_stands_still_and_others_go_on() -> None:
    async def scene() -> None:
        async with World.in_memory(partitions=1) as world:
            seen = failing(0)
            policy = policy_of(0.1, dlq_enabled=False)
            async with world.member(spec_of(on(seen, policy=policy))) as member:
                await world.publish(envelope(0, key="a"), envelope(1, key="a"), envelope(2, key="b"))
                await asyncio.sleep(60)
                assert seen.numbers in ([0, 2, 0], [2, 0, 0])
                assert member.figures.stopped == 1
                assert await world.lag() == 3
            assert await world.dead() == []

    run_virtual(scene())


async def redrive(world: World, *letters: tuple[Record, Journey], **changes: Any) -> None:
    """As the operator's command does."""
    for original, journey in letters:
        again = msgspec.structs.replace(
            journey, redrive_count=journey.redrive_count + 1, attempts=0, due_at=0, **changes
        )
        topic = world.names.retry(GROUP, "redrive")
        await world.outbox.write(
            Write(topic, original.key, original.value, wrap(original, again), original.partition)
        )


def test_a_redriven_event_is_delivered_once_more_at_its_own_place() -> None:
    async def scene() -> None:
        async with World.in_memory(partitions=1) as world:
            seen, other = failing(1, 2), failing()
            async with (
                world.member(spec_of(on(seen, policy=policy_of()))),
                world.member(spec_of(on(other), group="other")),
            ):
                await world.publish(*(envelope(each) for each in range(4)))
                await world.settled()
                assert seen.numbers == [0, 1, 2, 3]
                await redrive(world, *await world.dead())
                await world.settled()
                assert seen.numbers == [0, 1, 2, 3, 1, 2]
                assert [(event.is_redriven, event.delivery_attempt, event.offset) for event in seen[4:]] == [
                    (True, 1, 1),
                    (True, 1, 2),
                ]
            assert other.numbers == [0, 1, 2, 3]

    run_virtual(scene())


def test_poison_that_was_mended_goes_to_every_subscription_that_takes_it() -> None:
    async def scene() -> None:
        async with World.in_memory(partitions=1) as world:
            one, other = Seen(), Seen()
            async with world.member(spec_of(on(one, "one"), on(other, "other"))):
                await world.write(b"poison")
                await world.settled()
                [(original, journey)] = await world.dead()
                event = envelope(5)
                mended = msgspec.structs.replace(
                    original, value=codec.encode(event), headers=for_event(event)
                )
                await redrive(world, (mended, journey))
                await world.settled()
            assert one.numbers == other.numbers == [5]

    run_virtual(scene())


def test_a_retry_of_a_subscription_that_is_gone_is_a_dead_letter() -> None:
    async def scene() -> None:
        async with World.in_memory(partitions=1) as world:
            async with world.member(spec_of(on(failing(0), "old", policy=policy_of(30.0)))):
                await world.publish(envelope(0))
                await asyncio.sleep(2)
            async with world.member(spec_of(on(Seen(), "new"))):
                await world.settled()
            [(_, journey)] = await world.dead()
            assert "no subscription old" in (journey.message or "")

    run_virtual(scene())


def test_what_nobody_should_write_to_a_retry_topic_goes_to_the_groups_dead_letters() -> None:
    async def scene() -> None:
        async with World.in_memory(partitions=1) as world:
            async with world.member(spec_of(on(Seen()))):
                await world.outbox.write(
                    Write(world.names.retry(GROUP, "redrive"), b"k", b"what?", partition=0)
                )
                await world.settled()
            [(original, _)] = await world.dead(world.names.group_dlq(GROUP))
            assert original.value == b"what?"

    run_virtual(scene())
