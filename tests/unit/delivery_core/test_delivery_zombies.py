"""A member that stood still for longer than its session begins nothing of what it holds: others have it by now."""

from __future__ import annotations

import asyncio
from typing import Any

from tasker_kafka.handlers.subscribing.event import DomainEvent
from tasker_kafka.topics.memory import MemoryLog, run_virtual
from tests.support.delivery_world import Seen, World, envelope, on, spec_of

SESSION_SECONDS = 3.0
EVENTS = 20


async def slowly(event: DomainEvent[Any]) -> None:
    await asyncio.sleep(1.0)


def test_what_a_zombie_holds_is_left_to_its_heirs() -> None:
    async def play() -> None:
        times: dict[str, Any] = {"session_timeout_ms": round(SESSION_SECONDS * 1_000), "heartbeat_ms": 300}
        zombie, heir = Seen(slowly), Seen(slowly)
        async with World.in_memory(partitions=1) as world:
            log = world.new_log()
            assert isinstance(log, MemoryLog)
            async with world.member(spec_of(on(zombie)), log=log, **times):
                await world.publish(*(envelope(number) for number in range(EVENTS)))
                await asyncio.sleep(1.5)
                log.pause()  # its log answers no more; the code itself runs on
                async with world.member(spec_of(on(heir)), **times):
                    await world.settled()
                    begun = zombie.numbers
                    log.resume()
                    await asyncio.sleep(2.0)
                    assert zombie.numbers == begun
        assert len(begun) <= 2 + SESSION_SECONDS
        assert {*begun, *heir.numbers} == set(range(EVENTS))

    run_virtual(play())


def test_one_that_was_not_missed_goes_on() -> None:
    async def play() -> None:
        seen = Seen(slowly)
        times: dict[str, Any] = {"session_timeout_ms": 3_000, "heartbeat_ms": 300}
        async with World.in_memory(partitions=1) as world:
            log = world.new_log()
            assert isinstance(log, MemoryLog)
            async with world.member(spec_of(on(seen)), log=log, **times):
                await world.publish(*(envelope(number) for number in range(EVENTS)))
                await asyncio.sleep(1.5)
                log.pause()
                await asyncio.sleep(2.0)
                log.resume()
                await world.settled()
        assert seen.numbers == list(range(EVENTS))

    run_virtual(play())
