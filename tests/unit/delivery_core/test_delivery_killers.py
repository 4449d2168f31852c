"""A handler that ends its process: after a few processes its event is a dead letter, and nothing else suffers.

In memory: the handler kills the log of its member, which is a process there, and what runs in the process never ends.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from tasker_kafka.handlers.delivery.journey import FailureClass, Journey
from tasker_kafka.handlers.delivery.runtime import GroupMember
from tasker_kafka.handlers.delivery.settings import DeliverySettings
from tasker_kafka.handlers.delivery.solitude import Solitude
from tasker_kafka.handlers.subscribing.event import DomainEvent
from tasker_kafka.handlers.subscribing.subscription import SubscriberSpec
from tasker_kafka.handlers.watermark import decode_metadata
from tasker_kafka.schemas.words import Delivery
from tasker_kafka.topics.memory import MemoryLog, run_virtual
from tests.support.delivery_world import World, envelope, on, policy_of, spec_of

KEYS = 5
Specs = Callable[["Process"], Iterable[SubscriberSpec]]


class Process:
    """Members of groups on one log, until one of their handlers kills it."""

    def __init__(self, world: World) -> None:
        log = world.new_log()
        assert isinstance(log, MemoryLog)
        self.log = log
        self.world = world
        self.is_lost = asyncio.Event()
        self.on_kill: Callable[[], None] = lambda: None

    async def killed(self) -> None:
        """The process ends here: nothing of it goes on."""
        if not self.is_lost.is_set():
            self.log.kill()
            self.is_lost.set()
            self.on_kill()
        await asyncio.Event().wait()

    async def still_lives(self) -> None:
        """What runs in a process that is lost does not go on."""
        if self.is_lost.is_set():
            await asyncio.Event().wait()

    async def run(self, specs: Iterable[SubscriberSpec], until: asyncio.Event, **settings: Any) -> None:
        """Serve until lost, or until `until`."""
        await self.log.start()
        solitude = Solitude()
        chosen: dict[str, Any] = {"commit_seconds": 0.05, "shutdown_seconds": 2.0, **settings}
        members = [
            GroupMember(
                self.log, self.world.names, spec, settings=DeliverySettings(**chosen), solitude=solitude
            )
            for spec in specs
        ]
        running = [asyncio.create_task(each.run()) for each in members]
        waits = [asyncio.create_task(each.wait()) for each in (self.is_lost, until)]
        ends: list[asyncio.Task[Any]] = [*waits, *running]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for each in members:
            await each.stop()
        if self.is_lost.is_set():
            for task in running:
                task.cancel()
        found = await asyncio.gather(*running, return_exceptions=True)
        for wait in waits:
            wait.cancel()
        errors = [each for each in found if isinstance(each, Exception)]
        if errors and not self.is_lost.is_set():
            raise errors[0]


class Handled:
    """What handlers of all processes have done, outside the log."""

    def __init__(self, kills: Callable[[int, DomainEvent[Any]], bool], *, seconds: float = 0.01) -> None:
        self._kills = kills
        self._seconds = seconds
        self.ended: Counter[int] = Counter()
        self.losses: Counter[int] = Counter()
        self.order: dict[str, list[int]] = {}

    def of(self, process: Process) -> Callable[[DomainEvent[Any]], Any]:
        """The handler in this process."""

        async def handle(event: DomainEvent[Any]) -> None:
            number = event.payload["number"]
            await asyncio.sleep(self._seconds)
            await process.still_lives()
            if self._kills(number, event):
                self.losses[number] += not process.is_lost.is_set()
                await process.killed()
            self.ended[number] += 1
            if self.ended[number] == 1:
                self.order.setdefault(event.payload["key"], []).append(number)

        return handle


async def supervise(
    world: World, specs: Specs, done: asyncio.Event, *, most: int = 60, **settings: Any
) -> int:
    """Start a process again whenever one is lost: how many were lost."""
    for lost in range(most):
        process = Process(world)
        await process.run(specs(process), done, **settings)
        if not process.is_lost.is_set():
            return lost
    raise AssertionError(f"{most} processes were lost")


async def serve(
    world: World, specs: Specs, groups: Iterable[str] = ("audit",), *, beside: int = 0, **settings: Any
) -> int:
    """Run supervised processes until every group is done: how many were lost."""
    done = asyncio.Event()
    serving = [asyncio.create_task(supervise(world, specs, done, **settings)) for _ in range(1 + beside)]
    settled = asyncio.gather(*(settle(world, group) for group in groups))
    ends: list[asyncio.Future[Any]] = [settled, *serving]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    for each in serving:
        if each.done():
            each.result()
    await settled
    done.set()
    return sum(await asyncio.gather(*serving))


async def settle(world: World, group: str) -> None:
    """Until the group has committed everything there is."""
    async with asyncio.timeout(3_600):
        while await world.lag(group):  # noqa: ASYNC110 - asked anew
            await asyncio.sleep(0.5)


async def publish(world: World, count: int, **fields: Any) -> None:
    """Events 0 to before `count`, in as many keys as there are."""
    for number in range(count):
        await world.publish(envelope(number, key=f"k{number % KEYS}", **fields))


async def letters(world: World) -> dict[int, Journey]:
    """Dead letters by the numbers of their events."""
    return {
        int.from_bytes(bytes.fromhex(journey.event_id.replace("-", "")), "big"): journey
        for _, journey in await world.dead()
        if journey.event_id
    }


def in_order(handled: Handled) -> bool:
    """Whether each key's events ended in their order."""
    return all(numbers == sorted(numbers) for numbers in handled.order.values())


@pytest.mark.parametrize("killers", [{7}, {0}, {3, 4, 11}, {0, 1, 2, 3, 4}, {2, 7, 12}])
@pytest.mark.parametrize("partitions", [1, 3])
def test_killers_become_dead_letters_and_nothing_else_does(killers: set[int], partitions: int) -> None:
    async def scene() -> None:
        async with World.in_memory(partitions=partitions) as world:
            handled = Handled(lambda number, _: number in killers)
            await publish(world, 40)
            lost = await serve(world, lambda process: [spec_of(on(handled.of(process), policy=policy_of()))])
            assert set(await letters(world)) == killers
            assert set(handled.ended) == set(range(40)) - killers
            assert in_order(handled)
            assert max(handled.losses.values()) <= 4
            assert lost <= 4 * len(killers)

    run_virtual(scene())


def test_the_dead_letter_names_the_loss_and_the_way_out() -> None:
    async def scene() -> None:
        async with World.in_memory(partitions=1) as world:
            handled = Handled(lambda number, _: number == 1)
            await publish(world, 3)
            assert await serve(world, lambda process: [spec_of(on(handled.of(process)))]) == 4
            [journey] = (await letters(world)).values()
            assert (journey.failure_class, journey.error_type) == (FailureClass.HANDLER, "ProcessLost")
            assert 'isolation="process"' in (journey.message or "")

    run_virtual(scene())


@pytest.mark.parametrize("delay", [0.5, 30.0])
def test_one_that_kills_at_its_second_delivery_is_found_too(delay: float) -> None:
    """In memory, or from a retry topic."""

    async def scene() -> None:
        async with World.in_memory(partitions=2) as world:
            killers = {2, 9}

            def kills(number: int, event: DomainEvent[Any]) -> bool:
                if number in killers and event.delivery_attempt == 1:
                    raise RuntimeError("not now")
                return number in killers

            handled = Handled(kills)
            await publish(world, 30)
            await serve(
                world, lambda process: [spec_of(on(handled.of(process), policy=policy_of(delay, delay)))]
            )
            assert set(await letters(world)) == killers
            assert set(handled.ended) == set(range(30)) - killers
            assert in_order(handled)
            assert max(handled.losses.values()) <= 4

    run_virtual(scene())


@pytest.mark.parametrize("is_first", [True, False])
def test_of_two_subscriptions_only_the_one_that_kills_loses_the_event(is_first: bool) -> None:
    async def scene() -> None:
        async with World.in_memory(partitions=1) as world:
            bad, good = Handled(lambda number, _: number == 3), Handled(lambda *_: False)
            await publish(world, 10)

            def specs(process: Process) -> list[SubscriberSpec]:
                both = [on(bad.of(process), name="bad"), on(good.of(process), name="good")]
                return [spec_of(*(both if is_first else reversed(both)))]

            assert await serve(world, specs) == 4
            assert [journey.subscription for journey in (await letters(world)).values()] == ["bad"]
            assert set(good.ended) == set(range(10))
            assert set(bad.ended) == set(range(10)) - {3}

    run_virtual(scene())


def test_a_group_beside_a_killer_in_one_process_loses_no_event() -> None:
    async def scene() -> None:
        async with World.in_memory(partitions=2) as world:
            bad = Handled(lambda number, _: number in {1, 6}, seconds=0.3)
            slow = Handled(lambda *_: False, seconds=1.0)
            await publish(world, 20)

            def specs(process: Process) -> list[SubscriberSpec]:
                return [spec_of(on(bad.of(process))), spec_of(on(slow.of(process)), group="slow")]

            await serve(world, specs, ["audit", "slow"])
            assert {(journey.group, number) for number, journey in (await letters(world)).items()} == {
                ("audit", 1),
                ("audit", 6),
            }
            assert set(slow.ended) == set(range(20))
            assert max(bad.losses.values()) <= 4

    run_virtual(scene())


@pytest.mark.parametrize("seed", range(8))
def test_killers_among_processes_that_are_killed_paused_and_stopped(seed: int) -> None:
    async def scene() -> None:
        chance = random.Random(seed)
        async with World.in_memory(partitions=chance.choice([1, 3])) as world:
            killers = set(chance.sample(range(60), chance.randint(1, 4)))
            handled = Handled(lambda number, _: number in killers, seconds=chance.choice([0.0, 0.05, 0.4]))
            options: list[dict[str, Any]] = [{"concurrency": 3}, {"ordering": "none"}, {}]
            spec = chance.choice(options)
            killed_by_us = 0

            def specs(process: Process) -> list[SubscriberSpec]:
                nonlocal killed_by_us
                loop = asyncio.get_running_loop()
                if killed_by_us < 3:
                    killed_by_us += 1
                    at = chance.uniform(0.5, 3.0)
                    if chance.random() < 0.5:
                        loop.call_later(at, process.log.pause)
                        loop.call_later(at + 25, process.log.resume)
                    else:
                        loop.call_later(at, lambda: loop.create_task(process.killed()))
                return [spec_of(on(handled.of(process), policy=policy_of(0.2)), **spec)]

            await publish(world, 60)
            await serve(world, specs, beside=1)
            assert set(await letters(world)) == killers
            assert set(handled.ended) == set(range(60)) - killers
            assert in_order(handled) or spec.get("ordering") == "none"
            assert max(handled.losses.values()) <= 4

    run_virtual(scene())


def test_a_fire_and_forget_event_that_kills_is_not_read_again() -> None:
    async def scene() -> None:
        async with World.in_memory(partitions=1) as world:
            handled = Handled(lambda number, _: number == 2)
            await publish(world, 10, delivery=Delivery.FIRE_AND_FORGET)
            lost = await serve(world, lambda process: [spec_of(on(handled.of(process)))])
            assert 1 <= lost <= 2
            assert await letters(world) == {}

    run_virtual(scene())


def test_members_that_are_lost_without_fault_of_an_event_convict_none() -> None:
    """The first loss has no suspect; of those who ran at the second none ends a process when it is alone."""

    async def scene() -> None:
        async with World.in_memory(partitions=2) as world:
            handled = Handled(lambda *_: False, seconds=0.2)
            await publish(world, 60)
            started = 0

            def specs(process: Process) -> list[SubscriberSpec]:
                nonlocal started
                started += 1
                if started <= 3:
                    loop = asyncio.get_running_loop()
                    loop.call_later(4.0, lambda: loop.create_task(process.killed()))
                return [spec_of(on(handled.of(process)))]

            await serve(world, specs)
            assert await letters(world) == {}
            assert set(handled.ended) == set(range(60))
            assert in_order(handled)

    run_virtual(scene())


def test_where_there_is_no_dead_letter_queue_its_lane_stands_still_and_others_go_on() -> None:
    async def scene() -> None:
        async with World.in_memory(partitions=1) as world:
            handled = Handled(lambda number, _: number == 0)
            await publish(world, 20)
            done = asyncio.Event()

            def specs(process: Process) -> list[SubscriberSpec]:
                return [spec_of(on(handled.of(process), policy=policy_of(dlq_enabled=False)))]

            serving = asyncio.create_task(supervise(world, specs, done))
            async with asyncio.timeout(600):
                while len(handled.ended) < 16:  # noqa: ASYNC110 - asked anew
                    await asyncio.sleep(0.5)
            await asyncio.sleep(60)
            done.set()
            assert await serving == 4
            assert set(handled.ended) == {number for number in range(20) if number % KEYS}

    run_virtual(scene())


async def metadata(world: World) -> list[str]:
    """What the group's commits say of the source's partitions."""
    offsets = await world.log.admin().group_offsets(world.names.subscriber_group("audit"))
    return [each.metadata for place, each in sorted(offsets.items()) if place.topic == world.source]


def test_a_commit_says_open_while_its_member_lives_and_closed_when_it_has_left() -> None:
    async def scene() -> None:
        async with World.in_memory(partitions=1) as world:
            async with world.member(spec_of(on(Handled(lambda *_: False).of(Process(world))))):
                await asyncio.sleep(1)
                [text] = await metadata(world)
                restored = decode_metadata(0, text)
                assert restored is not None
                assert (restored.is_open, restored.is_shaken) == (True, False)
                await publish(world, 10)
                await world.settled()
            [text] = await metadata(world)
            restored = decode_metadata(10, text)
            assert restored is not None
            assert (restored.is_open, restored.is_shaken) == (False, False)

    run_virtual(scene())


def test_what_is_given_back_in_order_while_it_is_watched_is_no_suspect() -> None:
    async def scene() -> None:
        async with World.in_memory(partitions=1) as world:
            slow = Handled(lambda *_: False, seconds=60.0)
            await publish(world, 4)
            lost, last = Process(world), Process(world)
            asyncio.get_running_loop().call_later(3.0, lambda: asyncio.create_task(lost.killed()))
            await lost.run([spec_of(on(slow.of(lost)))], asyncio.Event())
            async with world.member(spec_of(on(slow.of(last)))):
                await asyncio.sleep(20)
                [text] = await metadata(world)
                restored = decode_metadata(0, text)
                assert restored is not None
                assert (restored.is_open, restored.is_shaken) == (True, True)
                assert restored.deliveries == ((0, 2), (1, 2), (2, 2), (3, 2))
            [text] = await metadata(world)
            restored = decode_metadata(0, text)
            assert restored is not None
            assert (restored.is_open, restored.is_shaken, restored.deliveries) == (False, True, ())

    run_virtual(scene())
