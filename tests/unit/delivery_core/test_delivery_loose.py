"""Fire-and-forget events are finished before their handlers run; a burst waits in the log, and is dropped only then."""

from __future__ import annotations

import asyncio

from tasker_kafka.schemas.words import Delivery
from tasker_kafka.topics.memory import run_virtual
from tests.support.delivery_world import Seen, World, envelope, on, spec_of


def slow(seconds: float) -> Seen:
    """A handler that takes its time."""
    return Seen(lambda _: asyncio.sleep(seconds))


def test_fire_and_forget_is_committed_before_its_handler_ends_and_is_not_tried_again() -> None:
    async def scene() -> None:
        async with World.in_memory(partitions=1) as world:
            seen = Seen(lambda _: fail_late())

            async def fail_late() -> None:
                await asyncio.sleep(20)
                raise RuntimeError("too late")

            async with world.member(spec_of(on(seen, delivery=Delivery.FIRE_AND_FORGET))) as member:
                await world.publish(envelope(0))
                await asyncio.sleep(2)
                assert (seen.numbers, await world.lag(), member.figures.in_flight) == ([0], 0, 1)
                await asyncio.sleep(30)
                assert (member.figures.failed, member.figures.retried, member.figures.dead) == (1, 0, 0)
            assert seen.numbers == [0]

    run_virtual(scene())


def test_fire_and_forget_without_room_is_dropped_and_counted() -> None:
    async def scene() -> None:
        async with World.in_memory(partitions=1) as world:
            seen = slow(3_600)
            durable = Seen()
            spec = spec_of(
                on(seen, "loose", delivery=Delivery.FIRE_AND_FORGET),
                on(durable, "durable"),
                queued=50,
                concurrency=20,
            )
            async with world.member(spec, shutdown_seconds=1, revoke_seconds=0.5) as member:
                await world.publish(*(envelope(each) for each in range(50)))
                await asyncio.sleep(0.5)
                await world.publish(*(envelope(each) for each in range(50, 200)))
                await asyncio.sleep(0.5)
                assert (member.figures.dropped, len(durable)) == (0, 50)
                await world.settled()
                assert member.figures.dropped == 150
                assert durable.numbers == list(range(200))

    run_virtual(scene())


def test_a_burst_that_the_handlers_can_work_off_loses_nothing() -> None:
    async def scene() -> None:
        async with World.in_memory(partitions=3) as world:
            await world.publish(*(envelope(each, key=f"k{each}") for each in range(3_000)))
            seen = slow(0.01)
            spec = spec_of(on(seen, delivery=Delivery.FIRE_AND_FORGET), queued=50, concurrency=10)
            async with world.member(spec) as member:
                await world.settled()
                assert member.figures.waiting + member.figures.in_flight <= 550
                await asyncio.sleep(10)
                assert (sorted(seen.numbers), member.figures.dropped) == ([*range(3_000)], 0)

    run_virtual(scene())


def test_what_is_not_done_when_the_member_goes_is_dropped_and_counted() -> None:
    async def scene() -> None:
        async with World.in_memory(partitions=2) as world:
            seen = slow(3_600)
            spec = spec_of(on(seen, delivery=Delivery.FIRE_AND_FORGET), concurrency=2)
            async with world.member(spec, shutdown_seconds=10, revoke_seconds=0.5) as member:
                await world.publish(*(envelope(each, key=f"k{each}") for each in range(30)))
                await world.settled()
                assert member.figures.dropped == 0
            assert (len(seen), member.figures.dropped) == (2, 30)

    run_virtual(scene())
