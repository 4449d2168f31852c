"""Events reach their handlers, in order, once each, and are committed."""

from __future__ import annotations

from tasker_kafka.topics.memory import run_virtual
from tests.support.delivery_world import Seen, World, envelope, on, policy_of, spec_of


def test_events_are_delivered_in_order_and_committed() -> None:
    async def scene() -> None:
        async with World.in_memory() as world:
            seen = Seen()
            async with world.member(spec_of(on(seen))) as member:
                await world.publish(*(envelope(number, key=f"k{number % 3}") for number in range(30)))
                await world.settled()
                assert sorted(seen.numbers) == list(range(30))
                for key in range(3):
                    assert [each for each in seen.numbers if each % 3 == key] == list(range(key, 30, 3))
                assert member.figures.delivered == 30
                assert member.figures.in_flight == member.figures.waiting == 0

    run_virtual(scene())


def test_a_failed_event_is_tried_again_in_place_and_its_key_waits() -> None:
    async def scene() -> None:
        async with World.in_memory() as world:
            failures = iter([True, True, False])

            def end(event: object) -> None:
                if seen[-1].payload["number"] == 0 and next(failures):
                    raise RuntimeError("not now")

            seen = Seen(end)
            async with world.member(spec_of(on(seen, policy=policy_of(1.0, 1.0)))):
                await world.publish(envelope(0), envelope(1), envelope(2, key="other"))
                await world.settled()
            numbers = seen.numbers
            assert [each for each in numbers if each != 2] == [0, 0, 0, 1]
            assert numbers.index(2) < 3
            assert [event.delivery_attempt for event in seen if event.payload["number"] == 0] == [1, 2, 3]

    run_virtual(scene())


def test_an_event_that_fails_for_good_is_a_dead_letter() -> None:
    async def scene() -> None:
        async with World.in_memory() as world:

            def end(event: object) -> None:
                if seen[-1].payload["number"] == 0:
                    raise RuntimeError("never")

            seen = Seen(end)
            async with world.member(spec_of(on(seen, policy=policy_of(1.0)))) as member:
                await world.publish(envelope(0), envelope(1))
                await world.settled()
                assert seen.numbers == [0, 0, 1]
                assert member.figures.dead == 1
            [(original, journey)] = await world.dead()
            [published] = [
                each for each in await world.records(world.source) if each.offset == original.offset
            ]
            assert original == published
            assert journey.attempts == 2
            assert journey.error_type == "RuntimeError"

    run_virtual(scene())


def test_a_parked_event_waits_in_its_topic_and_its_successors_with_it() -> None:
    async def scene() -> None:
        async with World.in_memory() as world:
            times = []

            def end(event: object) -> None:
                times.append(world.log.now_ms())
                if seen[-1].payload["number"] == 0 and len(seen) == 1:
                    raise RuntimeError("not now")

            seen = Seen(end)
            async with world.member(spec_of(on(seen, policy=policy_of(30.0)))) as member:
                await world.publish(*(envelope(number) for number in range(3)))
                await world.settled()
                assert seen.numbers == [0, 0, 1, 2]
                assert times[1] - times[0] >= 30_000
                assert member.figures.parked == 3

    run_virtual(scene())
