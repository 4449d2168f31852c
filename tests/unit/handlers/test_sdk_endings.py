"""How a call ends: results, failures, exceptions, limits; and what the context offers."""

from __future__ import annotations

import datetime
import logging
import math
import sys
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from pydantic import BaseModel

from tasker_kafka.handlers import (
    PermanentError,
    RetryableError,
    StepCancelled,
    StepContext,
    failure,
    step_handler,
    success,
)
from tasker_kafka.handlers.definition import definition_of
from tasker_kafka.handlers.errors import InputError
from tasker_kafka.handlers.execution import run_async, run_plain
from tasker_kafka.handlers.failures import MAX_TRACEBACK_BYTES
from tasker_kafka.handlers.publishing import EventError
from tasker_kafka.handlers.results import MAX_RESULT_BYTES, Completed, Failed
from tasker_kafka.schemas.identity import format_id, traceparent_for

from .sdk_doubles import TASK, RecordingServices, make_call


class Model(BaseModel):
    at: datetime.date


def run(function: Any, services: RecordingServices | None = None, **call: Any) -> Completed | Failed:
    definition = definition_of(step_handler("checkout.pay")(function))
    assert definition is not None
    return run_plain(definition, make_call(**call), services or RecordingServices())


def failed(function: Any) -> Failed:
    end = run(function)
    assert isinstance(end, Failed)
    return end


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (None, b"null"),
        (3, b"3"),
        ("NaN stands in a text", b'"NaN stands in a text"'),
        ({"a": [1.5, True]}, b'{"a":[1.5,true]}'),
        (Model(at=datetime.date(2024, 2, 29)), b'{"at":"2024-02-29"}'),
        (success(1, {"took": 2}), b"1"),
    ],
)
def test_results_are_json(value: object, data: bytes) -> None:
    end = run(lambda: value)
    assert isinstance(end, Completed)
    assert end.result == data
    assert end.metadata == (b'{"took":2}' if data == b"1" else None)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (object(), "invalid_result"),
        ({"x": math.nan}, "invalid_result"),
        ("x" * MAX_RESULT_BYTES, "result_too_large"),
        (success(1, {"x": "y" * 20_000}), "invalid_result"),
    ],
)
def test_what_cannot_be_kept_fails_permanently(value: object, code: str) -> None:
    end = failed(lambda: value)
    assert (end.failure.code, end.failure.retryable) == (code, False)


def test_a_returned_failure_says_everything() -> None:
    end = failed(
        lambda: failure(
            "no", error_type="T", error_code="C", retryable=False, retry_after_seconds=1.5, metadata={"a": 1}
        )
    )
    found = end.failure
    assert (found.message, found.type, found.code, found.retryable, found.retry_after_ms) == (
        "no",
        "T",
        "C",
        False,
        1500,
    )
    assert end.metadata == b'{"a":1}'


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (PermanentError("x"), ("PermanentError", "permanent_error", False, None)),
        (PermanentError("x", code="CARD"), ("PermanentError", "CARD", False, None)),
        (RetryableError("x", retry_after=2), ("RetryableError", "retryable_error", True, 2000)),
        (KeyError("x"), ("KeyError", "KeyError", True, None)),
        (SystemExit(3), ("SystemExit", "SystemExit", True, None)),
        (StepCancelled(), ("StepCancelled", "cancelled", True, None)),
    ],
)
def test_exceptions_become_failures(error: BaseException, expected: tuple[object, ...]) -> None:
    def fail() -> None:
        raise error

    found = failed(fail).failure
    assert (found.type, found.code, found.retryable, found.retry_after_ms) == expected
    assert "in fail" in found.traceback
    assert "execution.py" not in found.traceback


def test_a_traceback_is_bounded_and_keeps_its_end() -> None:
    def deep(n: int) -> None:
        if n:
            deep(n - 1)
        raise ValueError("é" * 10_000)

    found = failed(lambda: deep(200)).failure
    assert len(found.traceback.encode()) <= MAX_TRACEBACK_BYTES
    assert found.traceback.startswith("…")
    assert len(found.message.encode()) <= 2048


def test_an_exception_without_text_is_still_a_failure() -> None:
    class Rude(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def fail() -> None:
        raise Rude

    assert failed(fail).failure.code == "Rude"


def test_a_plain_function_that_returns_a_coroutine_is_told() -> None:
    async def later() -> None: ...

    def forget_to_await() -> object:
        return later()

    assert "async def" in failed(forget_to_await).failure.message


async def test_exit_in_an_async_handler_is_a_failure() -> None:
    async def leave() -> None:
        sys.exit(1)

    definition = definition_of(step_handler("a")(leave))
    assert definition is not None
    end = await run_async(definition, make_call(), RecordingServices())
    assert isinstance(end, Failed)
    assert end.failure.type == "SystemExit"


def test_the_context_names_its_attempt() -> None:
    context = StepContext(make_call(attempt=2, config={"a": []}), RecordingServices())
    text = format_id(TASK)
    assert context.idempotency_key == f"{text}/7/pay"
    assert context.attempt_id == f"{text}/7/pay/2"
    context.config["a"].append(1)
    assert (context.task_id, context.life, context.is_last_retry) == (text, 7, False)


def test_a_handler_may_not_change_the_plan() -> None:
    call = make_call(config={"a": []})
    StepContext(call, RecordingServices()).config["a"].append(1)
    assert call.config == {"a": []}


def test_results_of_parents_by_name() -> None:
    context = StepContext(make_call(inputs={"a": {"at": "2024-01-02"}, "b": None}), RecordingServices())
    assert context.dependency_result("a") == {"at": "2024-01-02"}
    assert context.dependency_result("a", Model).at.year == 2024
    assert context.dependency_result("b", Model) is None
    with pytest.raises(InputError, match=r"no direct parent 'c'; its parents: a, b"):
        context.dependency_result("c")
    with pytest.raises(InputError, match=r"result of a at \$: "):
        context.dependency_result("a", int)


async def test_a_submit_has_the_same_key_in_every_attempt() -> None:
    services = RecordingServices()
    ids = []
    for attempt in (1, 2):
        context = StepContext(make_call(attempt=attempt, traceparent=traceparent_for(TASK, 7)), services)
        ids.append([await context.submit("refund", {"a": 1}), context.submit_and_wait("refund", key="mine")])
    assert ids[0] == ids[1]
    first, second, *_ = services.requests
    assert first.idempotency_key == f"{format_id(TASK)}/7/pay/1"
    assert (first.context, first.correlation_id, first.initiator) == (b'{"a":1}', "story", "step:pay")
    assert second.idempotency_key == "mine"
    assert format_id(first.request_id or b"") == ids[0][0]


async def test_a_published_event_reaches_the_services_as_json() -> None:
    services = RecordingServices()
    context = StepContext(make_call(), services)
    await context.publish("payment.charged", {"amount": 3})
    context.publish_and_wait("payment.seen")
    assert services.events == [("payment.charged", b'{"amount":3}'), ("payment.seen", b"{}")]
    with pytest.raises(EventError, match=r"event payment.charged: the payload of type object cannot be JSON"):
        await context.publish("payment.charged", object())


def test_cancellation_and_progress() -> None:
    services = RecordingServices()
    context = StepContext(make_call(), services)
    context.raise_if_cancelled()
    context.heartbeat({"done": 3})
    context.heartbeat()
    assert services.progress == [b'{"done":3}', None]
    services.is_cancelled = True
    assert context.cancelled
    with pytest.raises(StepCancelled):
        context.raise_if_cancelled()


def test_the_logger_adds_ids_to_the_callers_extra(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "tasker.step"):
        StepContext(make_call(), RecordingServices()).logger.info("hello", extra={"mine": 1})
    record = caplog.records[0]
    found = vars(record)
    assert (found["step"], found["attempt"], found["mine"]) == ("pay", 1, 1)


def test_the_steps_span_is_current(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = TracerProvider()
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    parent = traceparent_for(TASK, 7, "pay", 1)

    def look() -> str:
        found = trace.get_current_span().get_span_context()
        return f"{found.trace_id:032x}-{found.span_id:016x}"

    end = run(look, traceparent=parent)
    assert isinstance(end, Completed)
    assert end.result.decode().strip('"') == "-".join(parent.split("-")[1:3])
    assert run(look, traceparent="nonsense") == Completed(b'"%s-%s"' % (b"0" * 32, b"0" * 16))
