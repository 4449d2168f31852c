"""Minutes without workers, without orchestrators, without a broker: nothing is burned, expired or forgotten.

Every template allows one attempt: whatever an outage counted as a failure would end its task in error.
"""

from __future__ import annotations

import asyncio

import pytest

from tasker_kafka.handlers import StepContext, step_handler
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.template import Retry, Template
from tests.support.lane_world import virtual
from tests.support.outage_world import OutageWorld

pytestmark = pytest.mark.slow

ONCE = Retry(max_attempts=1)
HEARTBEAT_SECONDS = 5.0
RETRY_SECONDS = 300.0
MINUTES = 60.0

starts: list[tuple[str, str]] = []


@step_handler("short")
async def short(context: StepContext) -> None:
    starts.append((context.task_id, context.worker_id))


@step_handler("long")
async def long(context: StepContext) -> None:
    starts.append((context.task_id, context.worker_id))
    await asyncio.sleep(context.config["seconds"])


@step_handler("second_time")
async def second_time(context: StepContext) -> None:
    if context.attempt == 1:
        raise RuntimeError("the first attempt fails")


def chain() -> Plan:
    """Two short steps."""
    template = Template("chain").step("one", handler="short", retry=ONCE)
    return template.step("two", handler="short", depends_on=["one"], retry=ONCE).compile()


def long_step(minutes: float) -> Plan:
    """A step that the engine watches."""
    return (
        Template("long")
        .step(
            "one",
            handler="long",
            config={"seconds": minutes * MINUTES},
            retry=ONCE,
            timeout_seconds=3600,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
        )
        .compile()
    )


async def opened(*plans: Plan) -> OutageWorld:
    """A world with one worker."""
    starts.clear()
    world = await OutageWorld(*plans, handlers=[short, long, second_time]).open()
    await world.start_worker("first")
    return world


def workers_of(task_id: bytes) -> list[str]:
    """Where the handlers of a task were started."""
    return [worker for started, worker in starts if started.replace("-", "") == task_id.hex()]


@virtual
async def test_ten_minutes_without_workers() -> None:
    plans = chain(), long_step(1)
    world = await opened(*plans)
    watched = await world.submit(plans[1], 3)
    await asyncio.sleep(10)
    before = await world.submit(plans[0], 20)
    await world.kill_worker("first")
    await asyncio.sleep(5 * MINUTES)
    during = await world.submit(plans[0], 20)
    await asyncio.sleep(5 * MINUTES)
    await world.start_worker("second")
    await world.wait_complete(before | during, seconds=10)
    await world.wait_complete(watched, seconds=2 * MINUTES)
    assert {tuple(world.attempts(each)["two"]) for each in before | during} == {(1,)}
    # The engine watched these: the attempts were lost with their worker, and given again, uncounted.
    assert {tuple(world.attempts(each)["one"]) for each in watched} == {(1, 2)}
    assert not world.engine_ends
    await world.close()


@virtual
async def test_ten_minutes_without_orchestrators() -> None:
    retried = Template("retried").step(
        "one",
        handler="second_time",
        retry=Retry(max_attempts=2, backoff_base_ms=int(RETRY_SECONDS * 1000 / 2), jitter=0.0),
    )
    plans = chain(), long_step(15), retried.compile()
    world = await opened(*plans)
    watched = await world.submit(plans[1], 3)
    failed = await world.submit(plans[2], 3)
    await asyncio.sleep(30)
    assert {tuple(world.attempts(each)["one"]) for each in failed} == {(1,)}
    await world.kill_engine()
    during = await world.submit(plans[0], 20)
    later = await world.submit(plans[0], 5, not_before=world.now_ms + 60_000)
    await asyncio.sleep(10 * MINUTES)
    assert not world.ends()
    world.start_engine()
    await world.wait_complete(during | later | failed, seconds=20)
    await asyncio.sleep(10 * HEARTBEAT_SECONDS)
    await world.wait_complete(watched, seconds=6 * MINUTES)
    assert {tuple(world.attempts(each)["one"]) for each in watched} == {(1,)}
    assert [workers_of(each) for each in watched] == [["first"]] * 3
    await world.close()


@virtual
async def test_a_worker_that_is_lost_while_nobody_watches_is_missed_afterwards() -> None:
    plan = long_step(1)
    world = await opened(plan)
    watched = await world.submit(plan, 3)
    await asyncio.sleep(10)
    await world.kill_engine()
    await world.kill_worker("first")
    await asyncio.sleep(10 * MINUTES)
    await world.start_worker("second")
    world.start_engine()
    await world.wait_complete(watched, seconds=2 * MINUTES)
    assert [workers_of(each) for each in watched] == [["first", "second"]] * 3
    await world.close()


@virtual
async def test_two_minutes_without_a_broker() -> None:
    plans = chain(), long_step(5)
    world = await opened(*plans)
    watched = await world.submit(plans[1], 3)
    await asyncio.sleep(10)
    before = await world.submit(plans[0], 20)
    world.stop_broker()
    await asyncio.sleep(2 * MINUTES)
    world.start_broker()
    await world.wait_complete(before, seconds=60)
    await asyncio.sleep(10 * HEARTBEAT_SECONDS)
    await world.wait_complete(watched, seconds=5 * MINUTES)
    assert {tuple(world.attempts(each)["one"]) for each in watched} == {(1,)}
    assert [workers_of(each) for each in watched] == [["first"]] * 3
    assert {tuple(world.attempts(each)["two"]) for each in before} == {(1,)}
    assert world.engine_ends, "a checkpoint that is not acknowledged in time ends the process"
    await world.close()
