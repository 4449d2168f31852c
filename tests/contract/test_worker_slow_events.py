"""The topic of fire-and-forget events answers slowly: workers go on, or pause, as the installation chose."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from tasker_kafka.handlers import StepContext, step_handler
from tasker_kafka.handlers.publishing.buffer import Overflow
from tasker_kafka.handlers.publishing.desk import EventDeskSettings
from tasker_kafka.schemas.plan import EventDeclaration
from tasker_kafka.schemas.records import StepResult
from tasker_kafka.schemas.words import Delivery, EventCondition, Outcome
from tasker_kafka.topics.memory import MemoryCluster

from .worker_rig import FAST, Calls, Rig, step_of
from .worker_sides import memory_side, play

TASKS = 40
SLOW_SECONDS = 20.0
LOSSY = EventDeclaration(
    name="order.seen", delivery=Delivery.FIRE_AND_FORGET, condition=EventCondition.SUCCESS
)


@step_handler("one")
async def one(context: StepContext) -> None:
    """Publishes once."""
    await context.publish("order.seen", {"task": context.task_id})


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest", "block"])
def test_a_slow_topic(overflow: Overflow, prefix: str) -> None:
    cluster = MemoryCluster(latency=0.001)

    async def scenario(made: Rig) -> None:
        topic = made.names.domain_events("default")
        cluster.faults.delay_writes(SLOW_SECONDS, topic)
        settings = msgspec.structs.replace(
            FAST, concurrency=2, events=EventDeskSettings(buffer_size=3, overflow=overflow)
        )
        running = await made.work(one, settings=settings)
        began = asyncio.get_running_loop().time()
        for number in range(1, TASKS + 1):
            await made.dispatch(number)
        await made.wait_for(StepResult, count=TASKS)
        took = asyncio.get_running_loop().time() - began
        assert all(each.outcome is Outcome.SUCCESS for each in made.bodies(StepResult))
        await asyncio.sleep(2 * SLOW_SECONDS)
        await running.stop()
        figures, written = running.worker.events, len(await made.read(topic))
        assert figures.accepted == TASKS
        assert (figures.sent, figures.failed) == (written, 0)
        assert figures.dropped == TASKS - written
        if overflow == "block":
            assert written == TASKS
            assert took >= SLOW_SECONDS, "no handler starts while there is no room"
        else:
            assert 3 < written < TASKS
            assert took < SLOW_SECONDS / 2, "no step waits for an event"

    play(
        memory_side(prefix, cluster),
        scenario,
        steps=[step_of("one", publishes_events=(LOSSY,))],
    )


def test_an_answer_that_never_arrives_publishes_nothing(prefix: str) -> None:
    cluster = MemoryCluster(latency=0.001)
    calls = Calls()

    @step_handler("one")
    async def publishes(context: StepContext) -> None:
        await context.publish("order.seen", {"attempt": context.attempt})
        calls.add("one")

    async def scenario(made: Rig) -> None:
        topic = made.names.domain_events("default")
        first = await made.work(publishes)
        await first.worker.wait_ready()
        cluster.faults.lose_writes(made.names.commands, count=1000)
        await made.dispatch(1)
        await calls.wait(1)
        await asyncio.sleep(5)
        await first.crash()
        assert await made.read(topic) == []
        cluster.faults.clear()
        second = await made.work(publishes, worker_id="w2")
        await made.result(1)
        await second.stop()
        assert calls == ["one", "one"], "it was delivered again"
        assert len(await made.read(topic)) == 1

    play(
        memory_side(prefix, cluster),
        scenario,
        steps=[step_of("one", publishes_events=(LOSSY,))],
    )
