"""Whatever a handler does, its event ends where its policy says, and other keys go on."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Any

import pytest
from pydantic import BaseModel

from tasker_kafka.handlers.delivery.journey import FailureClass
from tasker_kafka.handlers.errors import PermanentError, RetryableError
from tasker_kafka.handlers.subscribing.event import DomainEvent
from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.topics.memory import run_virtual
from tests.support.delivery_world import Seen, World, envelope, on, policy_of, spec_of


class Numbered(BaseModel):
    """A model that some events fit."""

    number: int
    key: str


def crash_for_zero(event: DomainEvent[Any]) -> None:
    """Found by a child process: ends it for the first event."""
    if event.payload["number"] == 0:
        os._exit(3)


def greedy_for_zero(event: DomainEvent[Any]) -> None:
    """Found by a child process: takes 2 GiB for the first event, and writes to each of its pages."""
    if event.payload["number"] == 0:
        taken = bytearray(b"x") * (2 * 1024 * 1024 * 1024)
        del taken


def raise_for(number: int, error: BaseException) -> Seen:
    """A handler that raises for this event."""

    def end(event: DomainEvent[Any]) -> None:
        if event.payload["number"] == number:
            raise error

    return Seen(end)


@pytest.mark.parametrize(
    "error",
    [ValueError("no"), SystemExit(2), asyncio.CancelledError(), StopAsyncIteration(), MemoryError()],
    ids=lambda error: type(error).__name__,
)
def test_whatever_is_raised_is_a_failed_delivery(error: BaseException) -> None:
    async def scene() -> None:
        async with World.in_memory() as world:
            seen = raise_for(0, error)
            async with world.member(spec_of(on(seen, policy=policy_of(1.0)))) as member:
                await world.publish(envelope(0), envelope(1))
                await world.settled()
                assert member.figures.failed == 2
            assert seen.numbers == [0, 0, 1]
            [(_, journey)] = await world.dead()
            assert journey.failure_class is FailureClass.HANDLER
            assert journey.error_type == type(error).__qualname__ or "asyncio" in (journey.error_type or "")

    run_virtual(scene())


def test_a_permanent_error_is_a_dead_letter_at_once() -> None:
    async def scene() -> None:
        async with World.in_memory() as world:
            seen = raise_for(0, PermanentError("gone"))
            async with world.member(spec_of(on(seen, policy=policy_of(1.0, 1.0)))):
                await world.publish(envelope(0), envelope(1))
                await world.settled()
            assert seen.numbers == [0, 1]
            assert len(await world.dead()) == 1

    run_virtual(scene())


def test_retry_after_is_kept() -> None:
    async def scene() -> None:
        async with World.in_memory() as world:
            times: list[int] = []

            def end(event: DomainEvent[Any]) -> None:
                times.append(world.log.now_ms())
                if len(times) == 1:
                    raise RetryableError("busy", retry_after=7.0)

            async with world.member(spec_of(on(Seen(end), policy=policy_of(0.5)))) as member:
                await world.publish(envelope(0))
                await world.settled()
                assert member.figures.parked == 1
            assert 7_000 <= times[1] - times[0] < 7_500

    run_virtual(scene())


def test_a_payload_that_does_not_fit_its_model_is_a_dead_letter_without_a_delivery() -> None:
    async def scene() -> None:
        async with World.in_memory() as world:
            seen: list[Numbered] = []

            async def record(event: DomainEvent[Numbered]) -> None:
                seen.append(event.payload)

            async with world.member(spec_of(on(record, model=Numbered))):
                await world.publish(
                    envelope(0, payload=b'{"number": "many", "key": 1, "secret": "s3cret"}'), envelope(1)
                )
                await world.settled()
            assert [each.number for each in seen] == [1]
            [(_, journey)] = await world.dead()
            assert journey.failure_class is FailureClass.SCHEMA
            assert "number" in (journey.message or "")
            assert "s3cret" not in (journey.message or "")

    run_virtual(scene())


def test_a_handler_that_takes_too_long_is_cancelled_and_tried_again() -> None:
    async def scene() -> None:
        async with World.in_memory() as world:

            async def hang() -> None:
                await asyncio.Event().wait()

            seen = Seen(lambda event: hang() if event.delivery_attempt == 1 else None)
            policy = policy_of(0.5, timeout_seconds=3.0)
            async with world.member(spec_of(on(seen, policy=policy))) as member:
                await world.publish(envelope(0))
                await world.settled()
                assert (member.figures.failed, member.figures.delivered) == (1, 1)
            assert [event.delivery_attempt for event in seen] == [1, 2]

    run_virtual(scene())


def test_a_handler_that_ignores_its_cancellation_is_given_up_and_its_place_taken_anew() -> None:
    async def scene() -> None:
        async with World.in_memory() as world:
            stubborn = asyncio.Event()

            async def ignore() -> None:
                while not stubborn.is_set():
                    try:
                        await stubborn.wait()
                    except asyncio.CancelledError:
                        continue

            seen = Seen(lambda event: ignore() if event.payload["number"] == 0 else None)
            policy = policy_of(timeout_seconds=3.0)
            async with world.member(spec_of(on(seen, policy=policy), concurrency=1)) as member:
                await world.publish(envelope(0), envelope(1))
                await world.settled()
                assert member.figures.abandoned == 1
                stubborn.set()
            assert seen.numbers == [0, 1]
            [(_, journey)] = await world.dead()
            assert journey.failure_class is FailureClass.TIMEOUT

    run_virtual(scene())


def test_a_plain_function_runs_in_a_thread_and_may_fail_there() -> None:
    async def scene() -> None:
        async with World.in_memory() as world:
            threads: list[str] = []

            def record(event: DomainEvent[Any]) -> None:
                threads.append(threading.current_thread().name)
                if event.delivery_attempt == 1:
                    raise ValueError("no")

            async with world.member(spec_of(on(record, is_async=False, policy=policy_of(0.1)))):
                await world.publish(envelope(0))
                await world.settled()
            assert len(threads) == 2
            assert threading.current_thread().name not in threads

    run_virtual(scene())


def test_a_plain_function_that_hangs_is_abandoned() -> None:
    async def scene() -> None:
        async with World.in_memory() as world:
            release = threading.Event()

            def hang(event: DomainEvent[Any]) -> None:
                if event.payload["number"] == 0:
                    release.wait()

            policy = policy_of(timeout_seconds=0.2)
            async with world.member(
                spec_of(on(hang, is_async=False, policy=policy), concurrency=1)
            ) as member:
                await world.publish(envelope(0), envelope(1))
                await world.settled()
                release.set()
                assert (member.figures.abandoned, member.figures.delivered) == (1, 1)
            [(_, journey)] = await world.dead()
            assert journey.failure_class is FailureClass.TIMEOUT

    run_virtual(scene())


@pytest.mark.slow
def test_a_handler_in_a_child_process_may_end_it() -> None:
    async def scene() -> None:
        async with World.in_memory() as world:
            said = on(crash_for_zero, is_async=False, isolation="process", policy=policy_of())
            async with world.member(spec_of(said)) as member:
                await world.publish(envelope(0), envelope(1))
                await world.settled()
                assert (member.figures.delivered, member.figures.dead) == (1, 1)
            [(_, journey)] = await world.dead()
            assert "exit code 3" in (journey.message or "")

    run_virtual(scene())


@pytest.mark.slow
def test_a_handler_that_takes_more_memory_than_it_may_is_a_failed_delivery() -> None:
    async def scene() -> None:
        async with World.in_memory() as world:
            said = on(
                greedy_for_zero, is_async=False, isolation="process", memory_mb=1024, policy=policy_of(1.0)
            )
            async with world.member(spec_of(said)) as member:
                await world.publish(envelope(0), envelope(1))
                await world.settled()
                assert (member.figures.delivered, member.figures.failed, member.figures.dead) == (1, 2, 1)
            [(_, journey)] = await world.dead()
            assert (journey.error_type, journey.message) == (
                "MemoryError",
                "the handler used more than 1024 MiB",
            )

    run_virtual(scene())


def test_a_handler_that_a_child_cannot_find_is_refused_at_the_start() -> None:
    async def scene() -> None:
        async with World.in_memory() as world:
            said = on(lambda event: None, is_async=False, isolation="process")
            with pytest.raises(ConfigurationError, match="cannot be found by a child process"):
                async with world.member(spec_of(said)):
                    pass

    run_virtual(scene())


def test_context_variables_of_one_delivery_are_not_those_of_the_next() -> None:
    from contextvars import ContextVar

    async def scene() -> None:
        async with World.in_memory() as world:
            place: ContextVar[str] = ContextVar("place", default="clean")
            found: list[str] = []

            async def record(event: DomainEvent[Any]) -> None:
                found.append(place.get())
                place.set("dirty")
                if event.payload["number"] % 2:
                    await asyncio.sleep(0.1)
                    found.append(place.get())

            async with world.member(spec_of(on(record), concurrency=1)):
                await world.publish(*(envelope(number, key=str(number)) for number in range(4)))
                await world.settled()
            assert sorted(found) == ["clean"] * 4 + ["dirty"] * 2

    run_virtual(scene())


def test_the_current_task_is_one_over_a_delivery() -> None:
    """`asyncio.timeout` and its like ask for it before and after a wait."""

    async def scene() -> None:
        async with World.in_memory() as world:
            ends: list[str] = []

            async def record(event: DomainEvent[Any]) -> None:
                task = asyncio.current_task()
                try:
                    async with asyncio.timeout(1.0):
                        await asyncio.sleep(60)
                except TimeoutError:
                    ends.append("timeout")
                assert asyncio.current_task() is task
                await asyncio.gather(asyncio.sleep(0.1), asyncio.sleep(0.2))

            async with world.member(spec_of(on(record))) as member:
                await world.publish(envelope(0))
                await world.settled()
                assert member.figures.delivered == 1
            assert ends == ["timeout"]

    run_virtual(scene())
