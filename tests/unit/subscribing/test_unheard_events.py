"""Subscriptions that wait for what nobody declares are told, with the name that was meant."""

from __future__ import annotations

from typing import Any

import pytest

from tasker_kafka.handlers import Subscriber
from tasker_kafka.handlers.subscribing.unheard import unheard
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.template import Event, Template


def plan(namespace: str, *events: str) -> Plan:
    """A template that declares these, the first of them on the template itself."""
    template = Template("order", namespace=namespace)
    for name in events[:1]:
        template.event(Event(name))
    return template.step(
        "pay", handler="shop.pay", publishes_events=[Event(each) for each in events[1:]]
    ).compile()


PLANS = [plan("shop", "order.completed", "payment.charged", "payment.failed"), plan("crm", "customer.moved")]


def said(*patterns: str, **options: Any) -> list[str]:
    """What is told of one subscription."""
    subscriber = Subscriber("audit", **options)
    subscriber.on(*patterns, name="record")(print)
    return unheard([subscriber.spec], PLANS)


@pytest.mark.parametrize(
    "patterns", [("payment.charged", "order.*"), ("**",), ("customer.moved", "*.completed")]
)
def test_nothing_is_told_of_events_that_somebody_declares(patterns: tuple[str, ...]) -> None:
    assert said(*patterns) == []


def test_a_misspelt_name_is_told_with_the_nearest() -> None:
    assert said("payment.charged", "payment.chargd") == [
        "group audit, record: no published template declares an event payment.chargd; "
        "did you mean `payment.charged`?"
    ]
    assert said("parcel.*") == ["group audit, record: no published template declares an event parcel.*"]


def test_only_the_groups_namespaces_count() -> None:
    assert said("customer.moved", namespaces=["crm"]) == []
    assert "events known here" in said("customer.moved", namespaces=["shop"])[0]
    assert "there are no events here" in said("customer.moved", namespaces=["other"])[0]


def test_topics_of_others_and_systems_without_templates_are_left_alone() -> None:
    assert said("com.example.Order", topics=["orders"]) == []
    subscriber = Subscriber("audit")
    subscriber.on("a.b", name="record")(print)
    assert unheard([subscriber.spec], []) == []
    assert unheard([subscriber.spec], [plan("shop")]) == []
