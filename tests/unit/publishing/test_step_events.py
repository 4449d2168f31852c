"""Events of steps through the whole system in memory: published by handlers, made by declaration, or not at all."""

from __future__ import annotations

from typing import Any

import pytest

from tasker_kafka.handlers import StepContext, step_handler
from tasker_kafka.handlers.publishing import EventError
from tasker_kafka.handlers.testing import WorkflowTest
from tasker_kafka.schemas.identity import event_id, format_id, parse_id, step_id
from tasker_kafka.schemas.template import Event, Template
from tests.support.published import published

SCHEMA = {
    "type": "object",
    "properties": {"amount": {"type": "number"}, "card": {"type": "string", "x-redact": True}},
    "required": ["amount"],
}
CHARGED = Event("payment.charged", delivery="durable", schema=SCHEMA)


def template(*events: Event, **options: Any) -> Template:
    """One step that declares these events."""
    return Template("pay").step("charge", handler="pay.charge", publishes_events=events, **options)


def test_an_event_travels_with_the_result() -> None:
    lives: list[int] = []

    @step_handler("pay.charge")
    async def charge(context: StepContext) -> dict[str, int]:
        lives.append(context.life)
        await context.publish("payment.charged", {"amount": 3, "card": "4111"})
        return {"ok": 1}

    with WorkflowTest([template(CHARGED)], [charge]) as workflow:
        done = workflow.run("pay")
        (sent,) = published(workflow)
    task = parse_id(done.task_id)
    event = sent.event
    assert sent.payload == {"amount": 3, "card": "[FILTERED]"}
    assert event.event_id == event_id(task, lives[0], "charge", 1, "payment.charged", 0)
    assert (event.name, event.version, event.namespace, event.delivery) == (
        "payment.charged",
        "1.0",
        "default",
        "durable",
    )
    assert (event.key, event.step_id, event.fired_by) == (done.task_id, step_id(task, "charge"), "pay.charge")
    headers = dict(sent.record.headers)
    assert sent.record.key == done.task_id.encode()
    assert headers["ce_type"] == b"payment.charged"
    assert headers["tasker-delivery"] == b"durable"
    assert headers["ce_id"] == format_id(event.event_id).encode()


def test_a_plain_function_publishes_and_waits() -> None:
    @step_handler("pay.charge")
    def charge(context: StepContext) -> None:
        context.publish_and_wait("payment.charged", {"amount": 1})
        context.publish_and_wait("payment.charged", {"amount": 2})

    with WorkflowTest([template(CHARGED)], [charge]) as workflow:
        workflow.run("pay")
        assert [each.payload for each in published(workflow)] == [{"amount": 1}, {"amount": 2}]


@pytest.mark.parametrize(
    ("name", "payload", "words"),
    [
        (
            "payment.chargd",
            {},
            "step charge declares no event 'payment.chargd'; did you mean `payment.charged`",
        ),
        ("payment.charged", {}, 'payload: "amount" is a required property'),
        ("payment.charged", {"amount": "secret-text"}, "payload.amount: the value is not of type"),
    ],
)
def test_what_is_not_declared_fails_there_and_then(name: str, payload: Any, words: str) -> None:
    caught: list[EventError] = []

    @step_handler("pay.charge")
    async def charge(context: StepContext) -> None:
        with pytest.raises(EventError) as error:
            await context.publish(name, payload)
        caught.append(error.value)
        raise error.value

    with WorkflowTest([template(CHARGED)], [charge]) as workflow:
        done = workflow.run("pay")
        assert published(workflow) == []
    assert words in str(caught[0])
    assert "secret-text" not in str(caught[0])
    assert done.state == "error"
    assert len(workflow.handled("charge")) == 1
