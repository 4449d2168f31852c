"""What a step worker promises, whichever log it works on: one answer for each dispatch, whatever it holds.

Each scenario is written once. Crashes are in `test_worker_crashes`.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec

from tasker_kafka.handlers import (
    PermanentError,
    RetryableError,
    StepContext,
    result_of,
    step_handler,
    success,
)
from tasker_kafka.schemas.records import PayloadRef
from tasker_kafka.topics.payloads import Payloads

from .worker_rig import (
    Outcome,
    Rig,
    StepResult,
    StepStarted,
    failure,
    outcomes,
    step_of,
    task,
)
from .worker_sides import Side, play


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
