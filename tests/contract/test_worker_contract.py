"""What a step worker promises, whichever log it works on: answers, repeats, limits, the end.

Each scenario is written once. On the log in memory the clock is virtual; crashes are in `test_worker_crashes`.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Annotated, Any

import msgspec
import pytest

from tasker_kafka.handlers import (
    PermanentError,
    RetryableError,
    StepContext,
    result_of,
    step_handler,
    success,
)
from tasker_kafka.schemas.codec import decode
from tasker_kafka.schemas.records import PayloadRef, TaskRequest, WorkerAnnouncement
from tasker_kafka.topics.payloads import Payloads

from . import process_handlers
from .worker_rig import (
    FAST,
    Calls,
    Heartbeat,
    Outcome,
    Rig,
    StepResult,
    StepStarted,
    failure,
    outcomes,
    step_of,
    task,
)
from .worker_sides import Side, kafka_side, memory_side, play


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.kafka)])
def side(request: pytest.FixtureRequest, prefix: str) -> Side:
    """Each side of the log in turn."""
    if request.param == "memory":
        return memory_side(prefix)
    return kafka_side(prefix, request.getfixturevalue("kafka").bootstrap_servers)


# ------------------------------------------------------------------------------------------ answers


def test_a_handler_runs_and_its_result_is_answered(side: Side) -> None:
    @step_handler("one")
    async def one(context: StepContext, cart: Annotated[dict[str, int], result_of("before")]) -> Any:
        return success({"sum": cart["a"] + context.task_context["b"]}, {"took": 1})

    async def scenario(made: Rig) -> None:
        await made.work(one)
        await made.dispatch(1, inputs={"before": {"a": 1}}, context={"b": 2})
        result = await made.result()
        assert (result.outcome, result.result, result.metadata) == (
            Outcome.SUCCESS,
            b'{"sum":3}',
            b'{"took":1}',
        )
        assert (result.step, result.attempt, result.worker_id, result.delivery_count) == ("one", 1, "w1", 1)
        assert 0 < result.started_at <= result.finished_at
        assert not made.bodies(StepStarted)
        assert (await made.wait_committed(1)).offset == 1

    play(side, scenario)


def test_failures_say_what_was_raised(side: Side) -> None:
    @step_handler("one")
    def one(context: StepContext) -> None:
        errors = {
            1: PermanentError("no", code="CARD"),
            2: RetryableError("later", retry_after=3),
            3: KeyError("k"),
        }
        raise errors[context.attempt]

    async def scenario(made: Rig) -> None:
        await made.work(one)
        for attempt in (1, 2, 3):
            await made.dispatch(1, attempt=attempt)
        found = {each.attempt: failure(each) for each in await made.wait_for(StepResult, count=3)}
        assert (found[1].code, found[1].retryable) == ("CARD", False)
        assert (found[2].code, found[2].retry_after_ms) == ("retryable_error", 3000)
        assert (found[3].type, found[3].code, found[3].retryable) == ("KeyError", "KeyError", True)
        assert "in one" in found[3].traceback

    play(side, scenario)


def test_an_attempt_delivered_again_is_answered_from_memory(side: Side) -> None:
    calls: list[int] = []

    @step_handler("one")
    async def one() -> int:
        calls.append(1)
        return len(calls)

    async def scenario(made: Rig) -> None:
        await made.work(one)
        await made.dispatch(1)
        first = await made.result()
        await made.dispatch(1)
        assert await made.result(count=2) == first
        assert calls == [1]

    play(side, scenario)


def test_an_attempt_delivered_again_while_it_runs_is_run_once(side: Side) -> None:
    calls: list[int] = []
    go = asyncio.Event()

    @step_handler("one")
    async def one() -> None:
        calls.append(1)
        await go.wait()

    @step_handler("two")
    async def two() -> None:
        go.set()

    async def scenario(made: Rig) -> None:
        await made.work(one, two)
        await made.dispatch(1)
        await made.dispatch(1)
        await made.dispatch(2, "two")
        await made.result(1)
        await made.wait_committed(3)
        assert calls == [1]
        assert len(made.bodies(StepResult, 1)) == 1

    play(side, scenario, steps=[step_of(), step_of("two")])


def test_an_unknown_handler_is_returned(side: Side) -> None:
    async def scenario(made: Rig) -> None:
        await made.work(step_handler("other")(lambda: None))
        await made.dispatch(1)
        await made.dispatch(2, plan_hash=b"x" * 32, handler="other")
        results = await made.wait_for(StepResult, count=2)
        assert outcomes(results) == [Outcome.RETURNED, Outcome.RETURNED]
        reasons = sorted(failure(each).message for each in results)
        assert reasons[0] == "this worker has no handler 'one'"
        assert reasons[1].startswith("this worker has not read the plan")

    play(side, scenario)


def test_a_result_that_violates_its_schema_fails_for_good(side: Side) -> None:
    schema = {"type": "object", "properties": {"price": {"type": "number"}}, "required": ["price"]}

    @step_handler("one")
    def one(context: StepContext) -> dict[str, object]:
        return {"price": 1 if context.attempt == 2 else "secret"}

    async def scenario(made: Rig) -> None:
        await made.work(one)
        await made.dispatch(1)
        found = failure(await made.result())
        assert (found.code, found.retryable) == ("invalid_result", False)
        assert "result.price" in found.message
        assert "secret" not in found.message
        await made.dispatch(2, attempt=2)
        assert (await made.result(2)).outcome is Outcome.SUCCESS

    play(side, scenario, steps=[step_of(result_schema=schema)])


def test_large_values_travel_by_reference(side: Side) -> None:
    @step_handler("one")
    async def one(text: Annotated[str, result_of("before")]) -> str:
        return text * 2

    async def scenario(made: Rig) -> None:
        outbox = await made.log.outbox(client_id="t")
        await outbox.warm([made.names.payloads])
        payloads = Payloads(made.log, made.names, outbox)
        stored = await payloads.store(task(1), msgspec.json.encode("x" * 3000))
        dispatch = made.make_dispatch(1, inputs={"before": None})
        inputs = (msgspec.structs.replace(dispatch.inputs[0], value=stored),)
        await made.work(one)
        await made.send(msgspec.structs.replace(dispatch, inputs=inputs))
        result = await made.result()
        assert isinstance(result.result, PayloadRef)
        assert await payloads.fetch(result.result) == msgspec.json.encode("x" * 6000)

    play(side, scenario)


def test_a_payload_that_is_gone_fails_for_good(side: Side) -> None:
    async def scenario(made: Rig) -> None:
        await made.work(step_handler("one")(lambda: None))
        await made.dispatch(1, context=PayloadRef(0, 99, 5, b"x" * 32))
        found = failure(await made.result())
        assert (found.code, found.retryable) == ("payload_missing", False)

    play(side, scenario)


def test_an_expired_dispatch_is_not_run(side: Side) -> None:
    calls: list[int] = []

    @step_handler("one")
    async def one() -> None:
        calls.append(1)

    async def scenario(made: Rig) -> None:
        now = made.log.now_ms()
        await made.dispatch(1, dispatched_at=now - 5000, queue_deadline=now - 1000)
        await made.dispatch(2, queue_deadline=now + 3_600_000)
        await made.work(one)
        found = failure(await made.result(1))
        assert (found.code, found.retryable) == ("queue_timeout", True)
        assert (await made.result(2)).outcome is Outcome.SUCCESS
        assert calls == [1]

    play(side, scenario)


def test_what_is_no_dispatch_does_not_hold_up_the_queue(side: Side) -> None:
    async def scenario(made: Rig) -> None:
        await made.work(step_handler("one")(lambda: None))
        await made.send_raw(b"k", b"nonsense")
        await made.send_raw(b"k", None)
        await made.dispatch(1)
        assert (await made.result()).outcome is Outcome.SUCCESS
        await made.wait_committed(3)

    play(side, scenario)


# ------------------------------------------------------------------------------------------ time


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


# ------------------------------------------------------------------------------------------ cancellation


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


# ------------------------------------------------------------------------------------------ the end


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


# ------------------------------------------------------------------------------------------ around


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


@pytest.mark.parametrize(
    ("handler", "kind", "code"),
    [
        ("segfault", "ProcessDied", "process_died"),
        ("leaves", "ProcessDied", "process_died"),
        ("exits", "SystemExit", "SystemExit"),
        ("greedy", "MemoryError", "memory_limit"),
    ],
)
def test_a_child_process_may_die_and_its_worker_goes_on(
    side: Side, handler: str, kind: str, code: str
) -> None:
    async def scenario(made: Rig) -> None:
        await made.work(getattr(process_handlers, handler), process_handlers.prints)
        await made.dispatch(1)
        found = failure(await made.result())
        assert (found.type, found.code, found.retryable) == (kind, code, True)
        await made.dispatch(2, "two")
        assert (await made.result(2)).result == b'"done"'

    play(side, scenario, steps=[step_of("one", handler=handler), step_of("two", handler="prints")])


def test_a_child_process_has_the_whole_context(side: Side) -> None:
    async def scenario(made: Rig) -> None:
        await made.work(process_handlers.polite, process_handlers.polite_async)
        await made.dispatch(1)
        await made.dispatch(2)
        first, second = [msgspec.json.decode((await made.result(number)).result) for number in (1, 2)]  # type: ignore[arg-type]  # inline
        assert first["task"] != second["task"]
        await made.dispatch(3, "two")
        assert (await made.result(3)).outcome is Outcome.SUCCESS
        assert len(await made.read(made.names.task_requests)) == 3

    play(side, scenario, steps=[step_of("one", handler="polite"), step_of("two", handler="polite_async")])
