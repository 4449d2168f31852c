"""Events of other business code: the declarations, checks and envelope of a step, from the published templates."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from pydantic import BaseModel

from tasker_kafka.handlers.publishing import EventError, EventPublisher
from tasker_kafka.handlers.publishing.publisher import newest_declarations
from tasker_kafka.schemas.errors import ConfigurationError, TopicsDrifted
from tasker_kafka.schemas.identity import parse_id
from tasker_kafka.schemas.plan import EventDeclaration
from tasker_kafka.schemas.template import Event, Template
from tasker_kafka.schemas.words import Delivery, EventCondition
from tasker_kafka.topics.declarations import declarations
from tasker_kafka.topics.memory import MemoryLog
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.plans import publish
from tasker_kafka.topics.provision import create
from tests.support.published import read_events

NAMES = TopicNames("shop")
PAID = {
    "type": "object",
    "properties": {"amount": {"type": "number"}, "card": {"type": "string", "x-redact": True}},
    "required": ["amount"],
}


class Paid(BaseModel):
    """A payload as a model."""

    order: str
    amount: float
    card: str = "4111"


def template(version: str, *events: Event, namespace: str = "pay") -> Template:
    return Template("pay", namespace=namespace, version=version).step(
        "charge", handler="pay.charge", publishes_events=events
    )


PUBLISHED = [
    template("1.10.0", Event("pay.done", schema=PAID, delivery="durable", key="$.order", version="1.1")),
    template(
        "1.9.0", Event("pay.done", schema={"type": "string"}, delivery="fire_and_forget", version="1.1")
    ),
    template("2.0.0", Event("pay.done", schema={"type": "array"}, version="1.0")),
    template("2.1.0", Event("pay.seen", delivery="fire_and_forget")),
    template("1.0.0", Event("other.done"), namespace="other"),
]


@asynccontextmanager
async def shop() -> AsyncIterator[MemoryLog]:
    """A log with the topics and the templates."""
    log = MemoryLog()
    await log.start()
    await create(log.admin(), declarations(NAMES, namespaces=["pay"]))
    await publish(log, NAMES, [each.compile() for each in PUBLISHED])
    try:
        yield log
    finally:
        await log.close()


async def test_a_durable_event_is_in_the_log_when_publish_returns() -> None:
    async with shop() as log, EventPublisher("pay", log=log, prefix="shop", source="billing") as events:
        id_ = await events.publish("pay.done", Paid(order="o-1", amount=2.5), correlation_id="story")
        (found,) = await read_events(log, NAMES, "pay")
    event = found.event
    assert found.payload == {"order": "o-1", "amount": 2.5, "card": "[FILTERED]"}
    assert (event.event_id, event.key, event.version) == (parse_id(id_), "o-1", "1.1")
    assert (event.fired_by, event.correlation_id, event.delivery) == ("billing", "story", Delivery.DURABLE)
    assert (event.task_id, event.step_name, event.template) == (None, None, None)
    headers = dict(found.record.headers)
    assert (headers["ce_type"], headers["ce_source"]) == (b"pay.done", b"/tasker/pay")
    assert "ce_subject" not in headers


async def test_fire_and_forget_is_not_waited_for() -> None:
    async with shop() as log:
        async with EventPublisher("pay", log=log, prefix="shop") as events:
            id_ = await events.publish("pay.seen")
            assert (events.figures.published, events.figures.accepted, events.figures.sent) == (1, 1, 0)
        (found,) = await read_events(log, NAMES, "pay")
        assert (found.event.event_id, found.event.key, found.payload) == (parse_id(id_), id_, {})


async def test_what_waits_is_sent_when_the_publisher_is_closed() -> None:
    async with shop() as log:
        async with EventPublisher("pay", log=log, prefix="shop") as events:
            for _ in range(5):
                await events.publish("pay.seen")
        assert len(await read_events(log, NAMES, "pay")) == 5
        assert events.figures.sent == 5


async def test_the_same_event_id_is_the_same_event() -> None:
    given = "0197f3c8-7a1e-7c3b-9d7e-2f1a5b6c7d8e"
    async with shop() as log, EventPublisher("pay", log=log, prefix="shop") as events:
        for _ in range(2):
            assert await events.publish("pay.done", Paid(order="o", amount=1), event_id=given) == given
        first, second = await read_events(log, NAMES, "pay")
        assert first.event.event_id == second.event.event_id
        with pytest.raises(EventError, match="event_id 'nonsense' is no UUID"):
            await events.publish("pay.done", Paid(order="o", amount=1), event_id="nonsense")


async def test_what_is_not_as_declared_is_refused() -> None:
    async with shop() as log, EventPublisher("pay", log=log, prefix="shop") as events:
        with pytest.raises(
            EventError, match=r"namespace pay declares no event 'pay.dune'; did you mean `pay.done`"
        ):
            await events.publish("pay.dune")
        with pytest.raises(EventError, match=r'event pay.done: payload: "amount" is a required property'):
            await events.publish("pay.done", {"order": "o"})
        with pytest.raises(EventError, match="no text or number at its key's path"):
            await events.publish("pay.done", {"amount": 1})
        assert await events.publish("pay.done", {"amount": 1}, key="mine")
        assert [each.event.key for each in await read_events(log, NAMES, "pay")] == ["mine"]


async def test_an_event_that_is_declared_later_is_found() -> None:
    async with shop() as log, EventPublisher("pay", log=log, prefix="shop") as events:
        await events.publish("pay.done", {"order": "o", "amount": 1})
        await publish(log, NAMES, [template("3.0.0", Event("pay.late", delivery="durable")).compile()])
        await events.publish("pay.late", {"x": 1})
        assert {each.event.name for each in await read_events(log, NAMES, "pay")} == {"pay.done", "pay.late"}


async def test_without_templates_the_code_declares() -> None:
    declared = EventDeclaration(
        name="a.b", delivery=Delivery.DURABLE, condition=EventCondition.ALWAYS, schema=PAID
    )
    log = MemoryLog()
    await log.start()
    found = [each for each in declarations(NAMES, namespaces=["pay"]) if "domain-events" in each.name]
    await create(log.admin(), found)
    async with EventPublisher(
        "pay", log=log, prefix="shop", declares=[declared], environment="test"
    ) as events:
        await events.publish("a.b", {"amount": 1})
        (one,) = await read_events(log, NAMES, "pay")
        assert (one.event.name, one.event.environment) == ("a.b", "test")
        assert msgspec.json.decode(one.event.payload) == {"amount": 1}
    await log.close()


@pytest.mark.parametrize("order", [1, -1])
def test_the_highest_version_of_an_event_counts_then_the_highest_of_its_template(order: int) -> None:
    schemas = {"1.9.0": {"const": "old"}, "1.10.0": {"const": "new"}}
    plans = [template(version, Event("a.b", schema)).compile() for version, schema in schemas.items()]
    plans.append(template("9.0.0", Event("a.b", {"const": "first"}, version="0.9")).compile())
    found = newest_declarations(plans[::order])
    assert found["a.b"].declaration.schema == {"const": "new"}


async def test_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TASKER_BROKER", raising=False)
    with pytest.raises(ConfigurationError, match="no broker is given"):
        await EventPublisher("pay").start()
    with pytest.raises(ConfigurationError, match="cannot be a part of a topic's name"):
        EventPublisher("no name")
    with pytest.raises(ConfigurationError, match="is not started"):
        await EventPublisher("pay").publish("pay.done")
    async with shop() as log:
        with pytest.raises(TopicsDrifted):
            await EventPublisher("elsewhere", log=log, prefix="shop").start()
