"""An event that nobody acknowledged in time, from its letter to its redrive: handled once, however the two overlap."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from tasker_kafka.handlers.delivery.letters import LetterFilter
from tasker_kafka.handlers.delivery.redrive import ActOrder, redrive
from tasker_kafka.handlers.delivery.runtime import GroupMember
from tasker_kafka.handlers.subscribing.event import DomainEvent
from tasker_kafka.topics import provision
from tasker_kafka.topics.declarations import retry_declaration
from tasker_kafka.topics.memory import run_virtual
from tests.support.log_sides import MemorySide, until
from tests.support.watcher_rig import PARTITIONS, WatchedWorld, spec_of, subscription_of, watched


class Office:
    """A group's member, and what it has handled."""

    def __init__(self, world: WatchedWorld) -> None:
        self.world = world
        self.handled: list[str] = []

    async def handle(self, event: DomainEvent[Any]) -> None:
        """The effect."""
        self.handled.append(event.event_id)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[GroupMember]:
        """The group is served while the block runs."""
        said = replace(subscription_of(), handler=self.handle, is_async=True)
        log = await self.world.side.log()
        member = GroupMember(log, self.world.names, replace(spec_of("audit", said), namespaces=("shop",)))
        running = asyncio.create_task(member.run())
        await member.wait_ready()
        yield member
        await member.stop()
        await running


async def wait_letter(world: WatchedWorld) -> None:
    async with asyncio.timeout(600):
        while not await world.letters():  # noqa: ASYNC110 - the watcher brings it about
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("was_late", [True, False], ids=["handled-late", "never-handled"])
def test_a_missed_event_is_handled_once(was_late: bool) -> None:
    """Late: the member was down, handled it when it was back, and an operator redrove the letter all the same."""

    async def main() -> None:
        side = MemorySide("shop")
        async with watched(side) as world:
            wanted = retry_declaration(world.names, "audit", "redrive", partitions=PARTITIONS)
            await provision.create(world.log.admin(), [wanted])
            office = Office(world)
            await world.publish()
            async with world.watcher():
                await wait_letter(world)
            if was_late:
                async with office.open():
                    await until(lambda: len(office.handled) == 1)
            order = ActOrder(actor="ann", reason="look again")
            assert (await redrive(world.log, world.names, LetterFilter(), order)).letters == 1
            async with office.open() as member:
                await until(lambda: member.figures.duplicates == 1)
                assert len(office.handled) == 1
        await side.close()

    run_virtual(main())
