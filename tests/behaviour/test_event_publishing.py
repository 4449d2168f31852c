"""Which events a task publishes, how often and with what in them; and that nobody who listens changes a task."""

from __future__ import annotations

from typing import Any

import pytest

from tasker_kafka.handlers import PermanentError, RetryableError, StepContext
from tasker_kafka.handlers.testing import always, fail_times
from tasker_kafka.schemas.template import Event, Lifecycle
from tasker_kafka.schemas.words import TaskStatus
from tests.support.behaviour import ONCE, QUICK, Gate, Play
from tests.support.published_flows import CHARGED, FAILURES, events, names, wait_names

# ------------------------------------------------------------------------------------------- from a handler


def test_what_a_handler_publishes_is_there_once_its_result_is_accepted(play: Play) -> None:
    async def charge(context: StepContext) -> str:
        await context.publish("payment.charged", {"amount": 7})
        return "paid"

    flow = play.flow().step("charge", charge, publishes_events=[CHARGED])
    result = flow.run().assert_complete()
    (event,) = events(flow)
    assert (event.name, event.payload, event.version) == ("payment.charged", {"amount": 7}, "1.0")
    assert (event.namespace, event.delivery, event.key) == ("default", "durable", result.task_id)
    metadata = event.metadata
    assert (metadata.task_id, metadata.step_name, metadata.attempt) == (result.task_id, "charge", 1)
    assert metadata.template_version == "1.0.0"
    assert metadata.correlation_id == result.correlation_id
    assert event.headers["ce_type"] == b"payment.charged"
    assert event.headers["ce_id"].decode() == event.event_id
    assert event.headers["ce_subject"].decode() == result.task_id


def test_a_plain_function_publishes_too(play: Play) -> None:
    def charge(context: StepContext) -> None:
        context.publish_and_wait("payment.charged", {"amount": 7})

    flow = play.flow().step("charge", charge, publishes_events=[CHARGED])
    flow.run().assert_complete()
    assert [event.payload for event in events(flow)] == [{"amount": 7}]


def test_an_event_may_be_published_several_times_each_with_its_own_id(play: Play) -> None:
    async def charge(context: StepContext) -> None:
        for amount in (1, 2, 3):
            await context.publish("payment.charged", {"amount": amount})

    flow = play.flow().step("charge", charge, publishes_events=[CHARGED])
    flow.run().assert_complete()
    found = events(flow)
    assert [event.payload["amount"] for event in found] == [1, 2, 3]
    assert len({event.event_id for event in found}) == 3


def test_an_attempt_that_fails_publishes_nothing_that_is_for_success(play: Play) -> None:
    async def charge(context: StepContext) -> None:
        await context.publish("payment.charged", {"amount": context.attempt})
        if context.attempt < 3:
            raise RetryableError("not yet")

    flow = play.flow().step("charge", charge, retry=QUICK, publishes_events=[CHARGED])
    flow.run().assert_complete()
    assert [(event.payload, event.metadata.attempt) for event in events(flow)] == [({"amount": 3}, 3)]


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ({"amount": "seven"}, "amount"),
        ({}, "amount"),
        ([1], "payment.charged"),
        ({"amount": 1e999}, "payment.charged"),
    ],
)
def test_a_payload_that_is_not_as_declared_fails_the_attempt_with_the_path(
    play: Play, payload: Any, said: str
) -> None:
    async def charge(context: StepContext) -> None:
        await context.publish("payment.charged", payload)

    flow = play.flow().step("charge", charge, retry=QUICK, publishes_events=[CHARGED])
    result = flow.run().assert_state(TaskStatus.ERROR)
    assert len(result.steps["charge"].attempts) == 1
    assert said in result.errors["charge"].message
    assert events(flow) == []


def test_an_undeclared_name_fails_the_attempt(play: Play) -> None:
    async def charge(context: StepContext) -> None:
        await context.publish("payment.charge", {"amount": 1})

    flow = play.flow().step("charge", charge, retry=QUICK, publishes_events=[CHARGED])
    result = flow.run().assert_state(TaskStatus.ERROR)
    assert "payment.charged" in result.errors["charge"].message, "the nearest name is told"
    assert events(flow) == []


def test_what_is_to_be_redacted_is_masked_in_the_payload(play: Play) -> None:
    async def charge(context: StepContext) -> None:
        await context.publish("payment.charged", {"amount": 7, "card": "4111111111111111"})

    flow = play.flow().step("charge", charge, publishes_events=[CHARGED])
    flow.run().assert_complete()
    (event,) = events(flow)
    assert event.payload["amount"] == 7
    assert "4111" not in event.payload["card"]


def test_the_key_is_taken_from_the_payload(play: Play) -> None:
    keyed = Event("payment.charged", delivery="durable", key="$.customer.id")
    flow = play.flow().step("charge", always({"customer": {"id": "c 7"}}), publishes_events=[keyed])
    flow.run().assert_complete()
    assert [event.key for event in events(flow)] == ["c 7"]


def test_fire_and_forget_leaves_once_the_result_is_in_the_log(play: Play) -> None:
    async def charge(context: StepContext) -> None:
        await context.publish("payment.seen", {"attempt": context.attempt})
        if context.attempt == 1:
            raise RetryableError("not yet")

    lossy = Event("payment.seen", delivery="fire_and_forget")
    flow = play.flow().step("charge", charge, retry=QUICK, publishes_events=[lossy])
    flow.run().assert_complete()
    assert wait_names(flow, 1) == ["payment.seen"]
    assert [event.payload for event in events(flow)] == [{"attempt": 2}]


# --------------------------------------------------------------------------------------------- declared


def test_a_declared_event_that_the_handler_did_not_publish_is_made_from_its_result(play: Play) -> None:
    flow = play.flow().step("charge", always({"amount": 9, "note": "x"}), publishes_events=[CHARGED])
    flow.run().assert_complete()
    assert [event.payload for event in events(flow)] == [{"amount": 9, "note": "x"}]


def test_a_result_that_does_not_fit_makes_no_event_and_harms_no_task(play: Play) -> None:
    flow = play.flow().step("charge", always({"amount": "nine"}), publishes_events=[CHARGED])
    flow.run().assert_complete()
    assert events(flow) == []


def test_each_failed_attempt_tells_what_follows(play: Play) -> None:
    flow = play.flow().step("charge", fail_times(9), retry=QUICK, publishes_events=FAILURES)
    flow.run().assert_state(TaskStatus.ERROR)
    found = [(event.metadata.attempt, event.name) for event in events(flow)]
    assert sorted(found) == [
        (1, "payment.delayed"),
        (1, "payment.failed"),
        (1, "payment.tried"),
        (2, "payment.delayed"),
        (2, "payment.failed"),
        (2, "payment.tried"),
        (3, "payment.failed"),
        (3, "payment.lost"),
        (3, "payment.tried"),
    ]
    first = next(event for event in events(flow) if event.name == "payment.failed")
    assert first.payload.keys() == {"error_type", "error_code", "error_message", "attempt"}
    assert first.payload["attempt"] == 1


def test_a_permanent_failure_is_told_once(play: Play) -> None:
    flow = play.flow().step("charge", always(PermanentError("no", code="stolen")), publishes_events=FAILURES)
    flow.run().assert_state(TaskStatus.ERROR)
    assert names(flow) == ["payment.failed", "payment.lost", "payment.tried"]
    assert {event.payload["error_code"] for event in events(flow)} == {"stolen"}


def test_success_tells_no_failure(play: Play) -> None:
    flow = play.flow().step("charge", always({}), publishes_events=[*FAILURES, CHARGED])
    flow.run().assert_complete()
    assert names(flow) == ["payment.tried"], "the result does not fit payment.charged"


def test_a_timeout_is_told_by_the_engine(play: Play) -> None:
    flow = play.flow().step(
        "charge", Gate().handler, timeout_seconds=0.3, retry=ONCE, publishes_events=FAILURES
    )
    flow.run().assert_state(TaskStatus.ERROR)
    assert wait_names(flow, 3) == ["payment.failed", "payment.lost", "payment.tried"]
    assert len({event.event_id for event in events(flow)}) == 3


def test_a_cancelled_step_is_told(play: Play) -> None:
    gate = Gate()
    flow = play.flow().step("charge", gate.handler, publishes_events=FAILURES)
    task = flow.submit()
    flow.wait_handled("charge")
    task.cancel(reason="changed my mind")
    task.wait().assert_state(TaskStatus.CANCELLED)
    gate.open()
    found = wait_names(flow, 1)
    assert found.count("payment.lost") == 1
    play.workflow.advance(0.5)
    assert names(flow).count("payment.lost") == 1, "a late result of the attempt tells nothing more"


def test_a_deadline_is_told_once_for_a_step_that_runs(play: Play) -> None:
    flow = play.flow(lifecycle=Lifecycle(max_duration_seconds=1))
    flow.step("charge", Gate().handler, retry=ONCE, publishes_events=FAILURES)
    flow.run().assert_state(TaskStatus.ERROR)
    assert wait_names(flow, 3).count("payment.lost") == 1
