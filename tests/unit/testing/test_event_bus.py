"""The test kit for users' subscribers: what it delivers, what it injects, what it says when a test is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from tasker_kafka.handlers import BaseSubscriber, DeliveryPolicy, DomainEvent, PermanentError, Subscriber
from tasker_kafka.handlers.delivery.journey import FailureClass
from tasker_kafka.handlers.testing import EventBus, WorkflowTest, always
from tasker_kafka.schemas.errors import ConfigurationError, NotFoundError, TopicsDrifted, WaitTimeout
from tasker_kafka.schemas.template import Event, Template

QUICK = DeliveryPolicy(delays=(0.01,))


class Audit(BaseSubscriber):
    """A class that needs no config."""

    subscribe_to = ("payment.charged",)
    retry = QUICK

    async def handle_payment_charged(self, event: DomainEvent[Any]) -> None:
        """Nothing to do: the bus tells that it was called."""


def billing() -> Subscriber:
    """A group with an async handler and a plain function."""
    subscriber = Subscriber("billing", retry=QUICK)

    @subscriber.on("payment.*")
    async def record(event: DomainEvent[Any]) -> None: ...

    @subscriber.on("payment.*")
    def print_it(event: DomainEvent[Any]) -> None: ...

    return subscriber


def test_an_event_reaches_functions_and_classes_alike() -> None:
    with EventBus(billing(), Audit) as bus:
        event_id = bus.publish("payment.charged", {"amount": 7}, key="ada")
        bus.settle()
        names = ["record", "print_it", "Audit.handle_payment_charged"]
        assert [bus.handled(name)[0].event_id for name in names] == [event_id] * 3
        assert [event.payload for event in bus.published("payment.charged")] == [{"amount": 7}]
        assert bus.published("payment.refunded") == []


async def test_it_works_inside_a_running_loop() -> None:
    with EventBus(Audit) as bus:
        bus.publish("payment.charged", {"amount": 7})
        bus.settle()
        assert len(bus.handled()) == 1


@pytest.mark.parametrize("error", [ValueError("no"), ValueError, SystemExit, PermanentError("never")])
@pytest.mark.parametrize("name", ["record", "print_it", "billing/record"])
def test_failures_are_injected(name: str, error: Any) -> None:
    with EventBus(billing()) as bus:
        bus.fail(name, times=None, error=error)
        bus.publish("payment.charged", {"amount": 7})
        bus.settle()
        (letter,) = bus.dead_letters("billing")
        assert letter.failure_class is FailureClass.HANDLER
        assert len(bus.delivered(name)) == (1 if isinstance(error, PermanentError) else 3)
        assert bus.handled(name) == []
        assert bus.dead_letters("audit") == []
        bus.fail(name, times=0)
        assert bus.redrive("billing") == 1
        bus.settle()
        assert len(bus.handled(name)) == 1


@pytest.mark.parametrize("name", ["record", "print_it"])
def test_a_hanging_handler_is_injected_and_time_is_skipped(name: str) -> None:
    with EventBus(billing()) as bus:
        bus.hang(name)
        began = bus.now_ms
        bus.publish("payment.charged", {"amount": 7})
        bus.settle() if name == "record" else bus.wait_delivered("record")
        if name == "record":
            assert bus.now_ms - began >= 30_000
            assert [call.is_handled for call in bus.delivered("record")] == [False, True]


def test_a_broken_topic_takes_nothing_and_is_mended_afterwards() -> None:
    with EventBus(billing()) as bus:
        topic = bus.names.domain_events("default")
        with bus.broken_topic(topic), pytest.raises(Exception, match="bytes"):
            bus.publish("payment.charged", {"amount": 7})
        bus.publish("payment.charged", {"amount": 7})
        with pytest.raises(NotFoundError, match="elsewhere"), bus.broken_topic("elsewhere"):
            pass


def test_what_does_not_come_about_is_told_with_what_is_left() -> None:
    with EventBus(billing()) as bus:
        bus.fail("record", times=None)
        bus.hang("print_it")
        bus.publish("payment.charged", {"amount": 7}, key="ada")
        with pytest.raises(WaitTimeout, match=r"billing.*offset"):
            bus.settle(timeout=0.5)
        with pytest.raises(WaitTimeout, match=r"billing/record payment.charged #1"):
            bus.wait_delivered("record", 9, timeout=0.5)


def test_an_event_needs_a_topic() -> None:
    with EventBus(billing(), namespaces=["payments", "orders"]) as bus:
        bus.publish("payment.charged", {"amount": 7})
        bus.publish("payment.charged", {"amount": 8}, namespace="orders")
        bus.settle()
        assert {event.namespace for event in bus.handled("record")} == {"payments", "orders"}
        with pytest.raises(TopicsDrifted):
            bus.publish("payment.charged", {"amount": 9}, namespace="elsewhere")


def test_groups_have_names_of_their_own() -> None:
    with EventBus(billing()) as bus, pytest.raises(ConfigurationError, match="billing"):
        bus.add(billing())


def test_outside_its_block_nothing_works() -> None:
    bus = EventBus(billing())
    with pytest.raises(ConfigurationError, match="not entered"):
        bus.publish("payment.charged", {})
    with bus, pytest.raises(ConfigurationError, match="entered already"):
        bus.__enter__()
    with pytest.raises(ConfigurationError, match="not entered"):
        bus.settle()


def test_what_is_no_subscriber_is_refused() -> None:
    wrong: Any = "billing"
    with pytest.raises(ConfigurationError, match="no subscriber"):
        EventBus(wrong)


def test_what_ends_a_member_ends_the_test() -> None:
    class Broken(Audit):
        async def open(self) -> None:
            raise OSError("no database")

    with pytest.raises(OSError, match="no database"), EventBus(Broken):
        pass


def test_a_workflow_s_events_are_captured_and_delivered() -> None:
    template = Template("pay").step(
        "charge", handler="charge", publishes_events=[Event("payment.charged", delivery="durable")]
    )
    with WorkflowTest([template], subscribers=[billing()], strict=False) as workflow:
        workflow.replace("charge", always({"amount": 7}))
        workflow.events.fail("record", times=1)
        result = workflow.run("pay").assert_complete()
        workflow.events.settle()
        (event,) = workflow.events.published("payment.charged")
        assert event.payload == {"amount": 7}
        assert [call.attempt for call in workflow.events.delivered("record")] == [1, 2]
        assert workflow.events.handled("record")[0].metadata.task_id == result.task_id
        assert workflow.events.dead_letters() == []
