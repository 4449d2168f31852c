"""What a step worker promises about time: limits, reports, heartbeats, and cancellations that reach handlers."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import msgspec
import pytest

from tasker_kafka.handlers import (
    StepContext,
    step_handler,
)

from . import process_handlers
from .worker_rig import (
    FAST,
    Heartbeat,
    Outcome,
    Rig,
    StepResult,
    StepStarted,
    failure,
    step_of,
)
from .worker_sides import Side, play


@pytest.mark.parametrize("style", ["async", "thread", "process"])
def test_a_handler_is_stopped_when_its_time_is_up(side: Side, style: str) -> None:
    released = threading.Event()
    cancelled: list[bool] = []

    @step_handler("async")
    async def stays(context: StepContext) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            cancelled.append(context.cancelled)

    @step_handler("thread")
    def blocks() -> str:
        released.wait(60)
        return "late"

    async def scenario(made: Rig) -> None:
        await made.work(stays, blocks, process_handlers.spins)
        await made.dispatch(1, "slow")
        found = failure(await made.result())
        assert (found.type, found.code, found.retryable) == ("Timeout", "timeout", True)
        assert ("thread could not be stopped and was abandoned" in found.message) is (style == "thread")
        assert cancelled == ([True] if style == "async" else [])
        released.set()
        if style == "thread":
            late = await made.result(count=2)
            assert (late.outcome, late.result) == (Outcome.SUCCESS, b'"late"')

    try:
        handler = "spins" if style == "process" else style
        play(side, scenario, steps=[step_of("slow", handler=handler, timeout_ms=500)])
    finally:
        released.set()


def test_a_handler_that_ignores_its_cancellation_is_given_up(side: Side) -> None:
    @step_handler("one")
    async def one() -> None:
        for _ in range(2):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(100)

    settings = msgspec.structs.replace(FAST, cancel_grace_seconds=0.5, shutdown_seconds=0.5)

    async def scenario(made: Rig) -> None:
        await made.work(one, settings=settings)
        await made.dispatch(1)
        assert "its task could not be stopped and was abandoned" in failure(await made.result()).message

    play(side, scenario, steps=[step_of(timeout_ms=200)])


def test_a_long_handler_is_reported_then_beats_and_is_committed(side: Side) -> None:
    go = asyncio.Event()

    @step_handler("one")
    async def one(context: StepContext) -> str:
        for part in range(50):
            context.heartbeat({"part": part})
            await asyncio.sleep(0.01)
        await go.wait()
        return "done"

    settings = msgspec.structs.replace(FAST, start_report_seconds=0.1, progress_seconds=0.05)

    async def scenario(made: Rig) -> None:
        await made.work(one, settings=settings)
        await made.dispatch(1)
        (started,) = await made.wait_for(StepStarted)
        assert (started.step, started.attempt, started.worker_id) == ("one", 1, "w1")
        await made.wait_committed(1)
        assert not made.bodies(StepResult)
        beats = await made.wait_for(Heartbeat, count=5)
        parts = [msgspec.json.decode(each.progress or b"{}")["part"] for each in beats]
        assert parts == sorted(parts)
        assert len(parts) < 50
        go.set()
        result = await made.result()
        assert (result.outcome, result.started_at) == (Outcome.SUCCESS, started.started_at)

    play(side, scenario, steps=[step_of(heartbeat_timeout_ms=300)])


def test_a_long_step_does_not_hold_back_what_its_successors_finished(side: Side) -> None:
    go = asyncio.Event()

    @step_handler("one")
    async def one() -> None:
        await go.wait()

    @step_handler("two")
    async def two() -> None: ...

    settings = msgspec.structs.replace(FAST, start_report_seconds=60.0)

    async def scenario(made: Rig) -> None:
        await made.work(one, two, settings=settings)
        await made.dispatch(1)
        for number in range(2, 12):
            await made.dispatch(number, "two")
        await made.wait_for(StepResult, count=10)
        await made.wait_finished_above(offset=0, count=10)
        assert (await made.committed())[0].offset == 0
        go.set()
        await made.result(1)
        await made.wait_committed(11)

    play(side, scenario, steps=[step_of(), step_of("two")])


def test_a_cancellation_reaches_running_handlers_and_later_dispatches(side: Side) -> None:
    seen: list[bool] = []

    @step_handler("one")
    async def one(context: StepContext) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            seen.append(context.cancelled)

    @step_handler("two")
    def two(context: StepContext) -> None:
        while not context.cancelled:
            threading.Event().wait(0.01)
        context.raise_if_cancelled()

    async def scenario(made: Rig) -> None:
        await made.work(one, two, settings=msgspec.structs.replace(FAST, start_report_seconds=0.05))
        await made.dispatch(1)
        await made.dispatch(2, "two")
        await made.wait_for(StepStarted, count=2)
        stale = made.make_dispatch(1, attempt=1)
        await made.cancel(1)
        await made.cancel(2, "two")
        results = [await made.result(1), await made.result(2)]
        assert [failure(each).code for each in results] == ["cancelled", "cancelled"]
        assert seen == [True]
        again = msgspec.structs.replace(stale, step="other", handler="one")
        await made.send(again)
        assert failure(await made.result(1, count=2)).message == "the task or step was cancelled: because"

    play(side, scenario, steps=[step_of(), step_of("two"), step_of("other", handler="one")])


def test_what_was_cancelled_before_the_worker_came_is_not_run(side: Side) -> None:
    calls: list[int] = []

    @step_handler("one")
    async def one() -> None:
        calls.append(1)

    async def scenario(made: Rig) -> None:
        await made.dispatch(1)
        await made.cancel(1)
        at = made.log.now_ms()
        await made.dispatch(2, dispatched_at=at + 1000)
        await made.cancel(2)
        await made.work(one)
        assert failure(await made.result(1)).code == "cancelled"
        assert (await made.result(2)).outcome is Outcome.SUCCESS
        assert calls == [1]

    play(side, scenario)
