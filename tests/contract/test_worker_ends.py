"""What a step worker promises when it stops or shares its queue, and what it does beside running handlers."""

from __future__ import annotations

import asyncio

import msgspec

from tasker_kafka.handlers import (
    StepContext,
    step_handler,
)
from tasker_kafka.schemas.codec import decode
from tasker_kafka.schemas.records import TaskRequest, WorkerAnnouncement

from .worker_rig import (
    FAST,
    Calls,
    Outcome,
    Rig,
    StepResult,
    StepStarted,
    outcomes,
    step_of,
)
from .worker_sides import Side, play


def test_stopping_finishes_what_it_can_and_gives_back_the_rest(side: Side) -> None:
    go = asyncio.Event()
    calls: list[str] = []

    @step_handler("short")
    async def short() -> str:
        await go.wait()
        return "finished"

    @step_handler("long")
    async def long(context: StepContext) -> None:
        calls.append(context.task_id)
        await asyncio.sleep(3600)

    settings = msgspec.structs.replace(FAST, start_report_seconds=0.1, shutdown_seconds=1.0)

    async def scenario(made: Rig) -> None:
        worker = await made.work(short, long, settings=settings)
        await made.dispatch(1, "short")
        await made.dispatch(2, "long")
        await made.wait_for(StepStarted, count=2)
        stopping = asyncio.create_task(worker.stop())
        await asyncio.sleep(0.05)
        go.set()
        await stopping
        assert (await made.result(1)).outcome is Outcome.SUCCESS
        assert (await made.result(2)).outcome is Outcome.GIVEN_BACK
        assert (await made.committed())[0].offset == 2
        (tombstone,) = (await made.read(made.names.workers))[-1:]
        assert (tombstone.key, tombstone.value) == (b"w1", None)

    play(side, scenario, steps=[step_of("short"), step_of("long")])


def test_what_the_engine_does_not_watch_yet_is_delivered_to_the_next_worker(side: Side) -> None:
    calls = Calls()

    @step_handler("one")
    async def one(context: StepContext) -> str:
        calls.add(context.worker_id)
        if context.worker_id == "w1":
            await asyncio.sleep(3600)
        return context.worker_id

    settings = msgspec.structs.replace(FAST, start_report_seconds=60.0, shutdown_seconds=0.2)

    async def scenario(made: Rig) -> None:
        first = await made.work(one, settings=settings)
        await made.dispatch(1)
        await calls.wait(1)
        await first.stop()
        await made.work(one, worker_id="w2")
        result = await made.result()
        assert (result.attempt, result.result, result.delivery_count) == (1, b'"w2"', 1)
        assert calls == ["w1", "w2"]

    play(side, scenario)


def test_two_workers_share_a_queue_and_a_rebalance_runs_nothing_twice(side: Side) -> None:
    calls: list[str] = []

    @step_handler("one")
    async def one(context: StepContext) -> str:
        calls.append(context.task_id)
        await asyncio.sleep(0.02)
        return context.worker_id

    async def scenario(made: Rig) -> None:
        first = await made.work(one)
        await made.dispatch_many(100)
        await made.wait_for(StepResult, count=20)
        await made.work(one, worker_id="w2")
        for number in range(101, 201):
            await made.dispatch(number)
        await made.wait_for(StepResult, count=200)
        await first.stop()
        for number in range(201, 221):
            await made.dispatch(number)
        results = await made.wait_for(StepResult, count=220)
        assert set(outcomes(results)) == {Outcome.SUCCESS}
        assert {each.worker_id for each in results} == {"w1", "w2"}
        assert len(calls) == len(set(calls)) == 220

    play(side, scenario, partitions=4)


def test_a_worker_announces_itself(side: Side) -> None:
    async def scenario(made: Rig) -> None:
        await made.work(step_handler("one")(lambda: None))
        await made.dispatch(1)
        await made.result()
        (record,) = (await made.read(made.names.workers))[:1]
        word = decode(record.value or b"", WorkerAnnouncement)
        assert (word.worker_id, word.queues, word.handlers) == ("w1", ("q",), ("one",))
        assert word.started_at <= word.seen_at

    play(side, scenario)


def test_handlers_submit_further_tasks(side: Side) -> None:
    @step_handler("one")
    async def one(context: StepContext) -> str:
        return await context.submit("refund", {"a": 1})

    @step_handler("two")
    def two(context: StepContext) -> str:
        return context.submit_and_wait("refund", {"a": 1})

    async def scenario(made: Rig) -> None:
        await made.work(one, two)
        await made.dispatch(1)
        await made.dispatch(2, "two")
        assert set(outcomes([await made.result(1), await made.result(2)])) == {Outcome.SUCCESS}
        records = await made.read(made.names.task_requests)
        requests = [decode(record.value or b"", TaskRequest) for record in records]
        assert {(each.name, each.context, each.correlation_id) for each in requests} == {
            ("refund", b'{"a":1}', "story")
        }
        assert len({each.idempotency_key for each in requests}) == 2

    play(side, scenario, steps=[step_of(), step_of("two")])


def test_concurrency_is_bounded_and_fetching_pauses(side: Side) -> None:
    running: set[str] = set()
    most: list[int] = []

    @step_handler("one")
    async def one(context: StepContext) -> None:
        running.add(context.task_id)
        most.append(len(running))
        await asyncio.sleep(0.001)
        running.discard(context.task_id)

    settings = msgspec.structs.replace(FAST, concurrency=7, queued=20)

    async def scenario(made: Rig) -> None:
        await made.work(one, settings=settings)
        await made.dispatch_many(300)
        await made.wait_for(StepResult, count=300)
        assert max(most) == 7

    play(side, scenario, partitions=2)
