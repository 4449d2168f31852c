"""Limits of what one attempt may publish: at the limit, one below and one above."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from tasker_kafka.handlers.publishing import EventError
from tasker_kafka.handlers.publishing.attempt import AttemptEvents
from tasker_kafka.handlers.publishing.declared import StepEvents
from tasker_kafka.handlers.publishing.figures import PublishingFigures
from tasker_kafka.handlers.publishing.payloads import encoded_payload
from tasker_kafka.handlers.publishing.running import PublisherRunner
from tasker_kafka.handlers.results import Completed, Failed
from tasker_kafka.schemas.codec import encode
from tasker_kafka.schemas.identity import format_id
from tasker_kafka.schemas.limits import (
    EVENT_KEY_BYTES,
    EVENTS_PER_ATTEMPT,
    JSON_DEPTH,
    RECORD_BYTES,
    RESULT_BYTES,
    RESULT_WITH_EVENTS_BYTES,
)
from tasker_kafka.schemas.plan import EventDeclaration
from tasker_kafka.schemas.records import Command, Dispatch, Failure, StepResult
from tasker_kafka.schemas.words import Delivery, EventCondition, Outcome
from tests.support.tasks import ONE, TASK_ID, plan_of

KEY = len(format_id(TASK_ID))
LARGEST = RESULT_WITH_EVENTS_BYTES.maximum


def declared(name: str, condition: str = "success", key: str | None = None) -> EventDeclaration:
    return EventDeclaration(
        name=name, delivery=Delivery.DURABLE, condition=EventCondition(condition), key=key
    )


def attempt(*events: EventDeclaration) -> AttemptEvents:
    """Attempt 1 of a step that declares these."""
    plan = plan_of(ONE, steps={"a": {"publishes_events": events}})
    dispatch = Dispatch(
        task_id=TASK_ID,
        life=1,
        step="a",
        attempt=1,
        last_attempt=False,
        plan_hash=plan.hash,
        handler="tests.a",
        context=b"{}",
        inputs=(),
        dispatched_at=0,
        queue_deadline=None,
        correlation_id="story",
        traceparent=None,
    )
    figures = PublishingFigures()
    runner = PublisherRunner(ThreadPoolExecutor(1), figures, seconds=1.0)
    return AttemptEvents(StepEvents.of(plan, plan.steps[0], {}), dispatch, runner, figures)


def text(size: int) -> bytes:
    """A JSON text of so many bytes."""
    return b'"' + b"x" * (size - 2) + b'"'


@pytest.mark.parametrize(("more", "is_taken"), [(-1, True), (0, True), (1, False)])
async def test_a_payload_of_the_largest_size(more: int, is_taken: bool) -> None:
    events = attempt(declared("a.b"))
    size = LARGEST - KEY + more
    if is_taken:
        await events.publish("a.b", text(size))
        return
    with pytest.raises(EventError, match=r"614,401 bytes, at most 614,400 are accepted") as caught:
        await events.publish("a.b", text(size))
    assert caught.value.code == "result_with_events_too_large"


@pytest.mark.parametrize(("more", "is_taken"), [(-1, True), (0, True), (1, False)])
async def test_several_events_and_the_result_share_the_size(more: int, is_taken: bool) -> None:
    events = attempt(declared("a.b"))
    for _ in range(3):
        await events.publish("a.b", text(100_000))
    left = LARGEST - 3 * (100_000 + KEY) - (50_000 + KEY)
    result = text(min(left, RESULT_BYTES.maximum))
    await events.publish("a.b", text(50_000 + left - len(result) + more))
    found = await events.answer(Completed(result))
    if is_taken:
        assert isinstance(found.end, Completed)
        assert len(found.durable) == 4
    else:
        assert isinstance(found.end, Failed)
        failure = found.end.failure
        assert (failure.code, failure.retryable) == ("result_with_events_too_large", False)
        assert found.durable == ()


async def test_declared_events_are_made_of_the_largest_result() -> None:
    """Twice 256 KiB and the result are too much: said, as a failure that no retry can help."""
    one = await attempt(declared("a.b")).answer(Completed(text(RESULT_BYTES.maximum)))
    assert isinstance(one.end, Completed)
    two = await attempt(declared("a.b"), declared("a.c")).answer(Completed(text(RESULT_BYTES.maximum)))
    assert isinstance(two.end, Failed)
    assert two.end.failure.code == "result_with_events_too_large"


async def test_so_many_events_and_no_more() -> None:
    events = attempt(declared("a.b"), declared("a.c"))
    for _ in range(EVENTS_PER_ATTEMPT.maximum):
        await events.publish("a.b", b"{}")
    with pytest.raises(EventError, match="too_many_events") as caught:
        await events.publish("a.b", b"{}")
    assert caught.value.code == "too_many_events"
    found = await events.answer(Completed(b"{}"))
    assert isinstance(found.end, Failed), "the one that is made would be one too many"
    assert found.end.failure.code == "too_many_events"


@pytest.mark.parametrize(("more", "is_taken"), [(-1, True), (0, True), (1, False)])
async def test_a_key_of_the_largest_size(more: int, is_taken: bool) -> None:
    events = attempt(declared("a.b", key="$.id"))
    data = msgspec.json.encode({"id": "ä" * (EVENT_KEY_BYTES.maximum // 2 - 1) + "k" * (2 + more)})
    if is_taken:
        await events.publish("a.b", data)
        return
    with pytest.raises(EventError, match=r"the key: 4,097 bytes") as caught:
        await events.publish("a.b", data)
    assert caught.value.code == "event_key_too_long"


@pytest.mark.parametrize("payload", [b"{}", b'{"id":null}', b'{"id":[1]}', b'{"id":{}}'])
async def test_a_payload_without_its_key(payload: bytes) -> None:
    events = attempt(declared("a.b", key="$.id"))
    with pytest.raises(EventError, match=r"no text or number at its key's path \$\.id"):
        await events.publish("a.b", payload)
    found = await events.answer(Completed(payload))
    assert [each.key for each in found.durable] == [format_id(TASK_ID)], "made: in the order of its task"


@pytest.mark.parametrize(("value", "key"), [("x", "x"), (12, "12"), (1.5, "1.5"), (True, "true"), ("", "")])
async def test_keys_of_every_kind(value: object, key: str) -> None:
    events = attempt(declared("a.b", key="$.id"))
    await events.publish("a.b", msgspec.json.encode({"id": value}))
    assert [each.key for each in (await events.answer(Completed(b"{}"))).durable] == [key]


@pytest.mark.parametrize(("depth", "is_taken"), [(JSON_DEPTH.maximum, True), (JSON_DEPTH.maximum + 1, False)])
async def test_a_payload_may_be_so_deep(depth: int, is_taken: bool) -> None:
    events, data = attempt(declared("a.b")), b"[" * depth + b"]" * depth
    if is_taken:
        await events.publish("a.b", data)
    else:
        with pytest.raises(EventError, match="json_too_deep"):
            await events.publish("a.b", data)


async def test_a_result_that_is_too_deep_makes_no_event() -> None:
    for depth, count in ((JSON_DEPTH.maximum, 1), (JSON_DEPTH.maximum + 1, 0)):
        found = await attempt(declared("a.b")).answer(Completed(b"[" * depth + b"]" * depth))
        assert isinstance(found.end, Completed)
        assert len(found.durable) == count


@pytest.mark.parametrize("data", [b"NaN", b'{"a":Infinity}', b"", b"{", b'"\xff"', b"[" * 100_000])
async def test_what_is_no_json_is_refused(data: bytes) -> None:
    with pytest.raises(EventError, match=r"event a\.b: the payload is no JSON"):
        await attempt(declared("a.b")).publish("a.b", data)


@pytest.mark.parametrize("value", [float("nan"), object(), {"a": "\ud800"}])
async def test_what_json_cannot_carry_is_refused(value: object) -> None:
    async def publish() -> None:
        await attempt(declared("a.b")).publish("a.b", encoded_payload("a.b", value))

    with pytest.raises(EventError, match=r"event a\.b: the payload"):
        await publish()


async def test_the_largest_answer_is_a_record_that_the_topic_takes() -> None:
    """Every event that fits, a failure at its limits, and as many declared failures as go in."""
    failures = [declared(f"a.f{number:03}", "failure") for number in range(300)]
    events = attempt(declared("a.b", "always"), *failures)
    for _ in range(EVENTS_PER_ATTEMPT.maximum):
        await events.publish("a.b", text(LARGEST // EVENTS_PER_ATTEMPT.maximum - KEY))
    failure = Failure(type="T" * 128, code="c" * 128, message="m" * 2048, traceback="t" * 8192)
    found = await events.answer(Failed(failure))
    assert len(found.durable) > EVENTS_PER_ATTEMPT.maximum, "some failures are made"
    assert len(found.durable) < EVENTS_PER_ATTEMPT.maximum + 300, "not all"
    result = StepResult(
        life=1,
        step="a",
        attempt=1,
        outcome=Outcome.FAILURE,
        worker_id="w" * 128,
        started_at=0,
        finished_at=0,
        failure=failure,
        metadata=b"m" * 16 * 1024,
        events=found.durable,
    )
    assert RECORD_BYTES.maximum < len(encode(Command(TASK_ID, result))) < 1024 * 1024
