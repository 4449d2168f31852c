"""What a step worker leaves when it is lost, what the next one makes of it, and what a bad log does to both.

On the log in memory, whose processes can be killed and paused, and whose writes can be made to fail.
"""

from __future__ import annotations

import asyncio

import msgspec

from tasker_kafka.handlers import StepContext, step_handler
from tasker_kafka.topics.memory import MemoryCluster, MemoryLog
from tasker_kafka.topics.names import TopicNames

from .worker_rig import (
    FAST,
    Calls,
    Outcome,
    Rig,
    RunningWorker,
    StepResult,
    StepStarted,
    failure,
    outcomes,
    step_of,
)
from .worker_sides import memory_side, play

STEPS = [step_of(), step_of("killer")]


class Killer:
    """A handler that ends the worker it runs in, and how often it was called."""

    def __init__(self) -> None:
        self.calls = 0
        self.victim: RunningWorker | None = None
        self.killed = asyncio.Event()

    def handler(self) -> object:
        """The handler."""

        @step_handler("killer")
        async def killer() -> None:
            self.calls += 1
            assert self.victim is not None
            self.victim.kill()
            self.killed.set()
            await asyncio.sleep(3600)

        return killer


def test_a_lost_workers_step_is_run_again_as_the_same_attempt() -> None:
    started = asyncio.Event()

    @step_handler("one")
    async def one(context: StepContext) -> str:
        started.set()
        if context.worker_id == "w1":
            await asyncio.sleep(3600)
        return context.worker_id

    async def scenario(made: Rig) -> None:
        first = await made.work(one)
        await made.dispatch(1)
        await started.wait()
        await first.crash()
        await made.work(one, worker_id="w2")
        result = await made.result()
        assert (result.attempt, result.result, result.delivery_count) == (1, b'"w2"', 2)

    play(memory_side("t"), scenario)


def test_a_step_that_ends_its_worker_three_times_is_given_up_and_its_neighbours_live() -> None:
    runs: dict[str, int] = {}
    killer = Killer()

    @step_handler("one")
    async def one(context: StepContext) -> None:
        runs[context.task_id] = runs.get(context.task_id, 0) + 1
        await asyncio.sleep(0.05)

    async def scenario(made: Rig) -> None:
        for number in range(1, 41):
            await made.dispatch(number, "killer" if number == 7 else "one")
        for life in range(3):
            killer.killed.clear()
            killer.victim = await made.work(one, killer.handler(), worker_id=f"w{life}")
            await killer.killed.wait()
            await killer.victim.crash()
        await made.work(one, killer.handler(), worker_id="last")
        results = await made.wait_for(StepResult, count=40)
        lost = await made.result(7)
        assert (lost.outcome, lost.delivery_count, lost.worker_id) == (Outcome.WORKER_LOST, 3, "last")
        assert (failure(lost).code, failure(lost).retryable) == ("worker_lost", False)
        assert killer.calls == 3
        others = [each for each in results if each is not lost]
        assert set(outcomes(others)) == {Outcome.SUCCESS}
        assert max(runs.values()) <= 3

    play(memory_side("t"), scenario, partitions=2, steps=STEPS)


def test_suspects_run_together_at_their_second_delivery_and_alone_at_their_third() -> None:
    running: set[str] = set()
    together: dict[str, list[int]] = {"w2": [], "w3": []}
    calls = Calls()

    @step_handler("one")
    async def one(context: StepContext) -> None:
        calls.add(context.worker_id)
        if context.worker_id == "w1":
            await asyncio.sleep(3600)
        running.add(context.task_id)
        together[context.worker_id].append(len(running))
        await asyncio.sleep(3600 if context.worker_id == "w2" else 1)
        running.discard(context.task_id)

    async def scenario(made: Rig) -> None:
        await made.dispatch_many(5)
        for life in ("w1", "w2"):
            worker = await made.work(one, worker_id=life)
            await calls.wait(5)
            calls.clear()
            await worker.crash()
        running.clear()
        await made.dispatch_many(5, first=6)
        await made.work(one, worker_id="w3")
        results = await made.wait_for(StepResult, count=10)
        assert together["w2"] == [1, 2, 3, 4, 5]
        assert together["w3"] == [1, 1, 1, 1, 1, 1, 2, 3, 4, 5]
        assert sorted(each.delivery_count for each in results) == [2] * 5 + [3] * 5

    play(memory_side("t"), scenario)


def test_a_suspect_that_its_worker_gives_back_was_not_lost_again() -> None:
    calls = Calls()
    settings = msgspec.structs.replace(FAST, start_report_seconds=600.0, shutdown_seconds=1.0)

    @step_handler("one")
    async def one(context: StepContext) -> None:
        calls.add(context.worker_id)
        await asyncio.sleep(0 if context.worker_id == "last" else 3600)

    async def scenario(made: Rig) -> None:
        await made.dispatch(1)
        for life in range(4):
            worker = await made.work(one, worker_id=f"w{life}", settings=settings)
            await calls.wait(life + 1)
            if life:
                await worker.worker.stop()
                await asyncio.wait([worker.task])
            else:
                await worker.crash()
        await made.work(one, worker_id="last")
        result = await made.result(1)
        assert (result.outcome, result.delivery_count) == (Outcome.SUCCESS, 2)

    play(memory_side("t"), scenario)


def test_what_comes_after_a_crash_is_no_suspect() -> None:
    running: set[str] = set()
    together: list[int] = []

    @step_handler("one")
    async def one(context: StepContext) -> None:
        running.add(context.task_id)
        together.append(len(running))
        await asyncio.sleep(1)
        running.discard(context.task_id)

    async def scenario(made: Rig) -> None:
        first = await made.work(one)
        await made.dispatch(1)
        await made.result()
        await made.wait_committed(1)
        await first.crash()
        second = await made.work(one, worker_id="w2")
        await second.worker.wait_ready()
        await made.dispatch_many(10)
        results = await made.wait_for(StepResult, count=11)
        assert max(together) == 10
        assert {each.delivery_count for each in results} == {1}

    play(memory_side("t"), scenario)


def test_what_was_finished_above_a_long_step_is_not_run_again_after_a_crash() -> None:
    runs: dict[str, int] = {}

    @step_handler("one")
    async def one(context: StepContext) -> None:
        runs[context.task_id] = runs.get(context.task_id, 0) + 1

    @step_handler("killer")
    async def long(context: StepContext) -> None:
        if context.worker_id == "w1":
            await asyncio.sleep(3600)

    settings = msgspec.structs.replace(FAST, start_report_seconds=600.0)

    async def scenario(made: Rig) -> None:
        await made.dispatch(1, "killer")
        for number in range(2, 102):
            await made.dispatch(number)
        first = await made.work(one, long, settings=settings)
        await made.wait_finished_above(offset=0, count=100)
        await first.crash()
        await made.work(one, long, worker_id="w2")
        assert (await made.result(1)).worker_id == "w2"
        await made.wait_committed(101)
        assert set(runs.values()) == {1}
        assert len(runs) == 100

    play(memory_side("t"), scenario, steps=STEPS)


def test_a_reported_step_is_not_delivered_again() -> None:
    calls: list[str] = []

    @step_handler("one")
    async def one(context: StepContext) -> None:
        calls.append(context.worker_id)
        await asyncio.sleep(30)

    async def scenario(made: Rig) -> None:
        first = await made.work(one)
        await made.dispatch(1)
        await made.wait_for(StepStarted)
        await made.wait_committed(1)
        await first.crash()
        await made.work(one, worker_id="w2")
        await made.dispatch(2)
        await made.result(2)
        assert calls == ["w1", "w2"]

    play(memory_side("t"), scenario)


def test_a_rebalance_reports_what_runs_so_that_nobody_runs_it_again() -> None:
    calls = Calls()

    @step_handler("one")
    async def one(context: StepContext) -> str:
        calls.add(context.worker_id)
        await asyncio.sleep(8)
        return context.worker_id

    settings = msgspec.structs.replace(FAST, start_report_seconds=600.0)

    async def scenario(made: Rig) -> None:
        await made.work(one, settings=settings)
        for number in range(1, 9):
            await made.dispatch(number)
        await calls.wait(8)
        await made.work(one, worker_id="w2")
        results = await made.wait_for(StepResult, count=8)
        assert calls == ["w1"] * 8
        assert {each.result for each in results} == {b'"w1"'}
        assert len(made.bodies(StepStarted)) == 8

    play(memory_side("t"), scenario, partitions=4)


def test_a_paused_worker_that_comes_back_does_no_harm() -> None:
    calls = Calls()

    @step_handler("one")
    async def one(context: StepContext) -> str:
        calls.add(context.worker_id)
        await asyncio.sleep(1)
        return context.worker_id

    async def scenario(made: Rig) -> None:
        first = await made.work(one)
        await made.dispatch(1)
        await calls.wait(1)
        log = first.log
        assert isinstance(log, MemoryLog)
        log.pause()
        await made.work(one, worker_id="w2")
        assert (await made.result(1)).result == b'"w2"'
        log.resume()
        results = await made.wait_for(StepResult, count=2)
        assert {(each.attempt, each.result) for each in results} == {(1, b'"w1"'), (1, b'"w2"')}
        await made.dispatch(2)
        assert (await made.result(2)).outcome is Outcome.SUCCESS

    play(memory_side("t"), scenario)


def test_answers_that_the_log_refuses_are_sent_until_they_arrive() -> None:
    calls: list[str] = []

    @step_handler("one")
    async def one(context: StepContext) -> None:
        calls.append(context.task_id)

    cluster = MemoryCluster()

    async def scenario(made: Rig) -> None:
        await made.work(one)
        cluster.faults.fail_writes(TopicNames("t").commands, count=4)
        await made.dispatch_many(20)
        results = await made.wait_for(StepResult, count=20)
        cluster.faults.lose_writes(TopicNames("t").commands, count=2)
        for number in range(21, 41):
            await made.dispatch(number)
        results = await made.wait_for(StepResult, count=40)
        assert set(outcomes(results)) == {Outcome.SUCCESS}
        assert len(calls) == 40
        await made.wait_committed(40)

    play(memory_side("t", cluster), scenario)


def test_a_start_report_that_fails_is_repeated_and_comes_before_the_answer() -> None:
    @step_handler("one")
    async def one() -> None:
        await asyncio.sleep(10)

    cluster = MemoryCluster()

    async def scenario(made: Rig) -> None:
        await made.work(one)
        cluster.faults.fail_writes(TopicNames("t").commands, count=2)
        await made.dispatch(1)
        await made.result()
        kinds = [type(body).__name__ for _, body in made.commands]
        assert kinds[0] == "StepStarted"
        assert kinds[-1] == "StepResult"

    play(memory_side("t", cluster), scenario)


def test_foreign_metadata_beside_the_offset_are_left_out() -> None:
    async def scenario(made: Rig) -> None:
        await made.dispatch_many(3)
        await made.set_committed(1, "from some tool")
        await made.work(step_handler("one")(lambda: None))
        results = await made.wait_for(StepResult, count=2)
        assert set(outcomes(results)) == {Outcome.SUCCESS}
        await made.wait_committed(3)
        assert len(made.bodies(StepResult)) == 2

    play(memory_side("t"), scenario)


def test_stopping_ends_in_time_though_the_log_is_gone() -> None:
    @step_handler("one")
    async def one() -> None:
        await asyncio.sleep(3600)

    async def scenario(made: Rig) -> None:
        worker = await made.work(one)
        await made.dispatch(1)
        await made.wait_for(StepStarted)
        assert isinstance(worker.log, MemoryLog)
        worker.log.pause()
        began = asyncio.get_running_loop().time()
        await worker.worker.stop()
        await asyncio.wait([worker.task])
        assert asyncio.get_running_loop().time() - began <= FAST.shutdown_seconds + 4
        worker.log.resume()

    play(memory_side("t"), scenario)
