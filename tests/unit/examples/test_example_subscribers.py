"""The observed checkout and those who listen to it, in memory, with the shop's web service over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tasker_kafka.deploy.examples import TEMPLATES, subscribers
from tasker_kafka.deploy.examples.handlers import ecommerce, payments
from tasker_kafka.deploy.examples.shop import Shop
from tasker_kafka.handlers import BaseSubscriber, Subscriber
from tasker_kafka.handlers.testing import WorkflowTest
from tasker_kafka.schemas.words import TaskStatus

CART = {
    "cart": [{"sku": "mug", "quantity": 2}],
    "customer_email": "ada@example.com",
    "payment_token": "tok_visa",
}
GROUPS: list[Subscriber | BaseSubscriber] = [
    subscribers.audit,
    subscribers.notifier,
    subscribers.books,
    subscribers.performance,
]


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    with Shop() as running:
        monkeypatch.setenv("SHOP_URL", running.url)
        yield running


@pytest.fixture
def workflow() -> Iterator[WorkflowTest]:
    template = TEMPLATES / "observed_checkout.yaml"
    with WorkflowTest([template], [ecommerce], subscribers=GROUPS) as entered:
        yield entered


def run(workflow: WorkflowTest, **changes: str) -> TaskStatus | None:
    """One checkout, until all who listen have heard of it."""
    result = workflow.run("observed_checkout", {**CART, **changes}, namespace="ecommerce")
    workflow.events.settle()
    return result.state


def test_everybody_hears_what_they_asked_for(shop: Shop, workflow: WorkflowTest) -> None:
    assert run(workflow, payment_token="tok_busy_1") is TaskStatus.COMPLETE
    ids = {event.name: event.event_id for event in workflow.events.published()}
    audited, notified, booked = (shop.written(book) for book in ("audit", "notifications", "ledger"))
    assert audited.keys() == {ids["payment.charged"], ids["order.placed"], ids["checkout.completed"]}
    assert notified.keys() == {ids["payment.delayed"], ids["confirmation.sent"], ids["checkout.completed"]}
    assert notified[ids["payment.delayed"]]["about"] == "gateway_busy"
    assert booked.keys() == {ids["order.placed"]}
    assert workflow.events.dead_letters() == []


def test_closed_books_end_in_a_dead_letter_and_open_ones_take_it(shop: Shop, workflow: WorkflowTest) -> None:
    shop.open_books(is_open=False)
    assert run(workflow) is TaskStatus.COMPLETE
    (letter,) = workflow.events.dead_letters()
    assert (letter.journey.group, letter.journey.attempts) == ("checkout-books", 3)
    assert shop.written("ledger") == {}
    shop.open_books(is_open=True)
    workflow.events.redrive()
    workflow.events.settle()
    assert len(shop.written("ledger")) == 1


def test_a_declined_card_is_told_to_the_audit(shop: Shop, workflow: WorkflowTest) -> None:
    assert run(workflow, payment_token="tok_declined") is TaskStatus.ERROR
    (event,) = workflow.events.published()
    assert event.name == "checkout.failed"
    assert shop.written("audit").keys() == {event.event_id}


@pytest.mark.parametrize(
    ("token", "told"), [("tok_visa", ["payment.charged"]), ("tok_declined", ["payment.failed"])]
)
def test_a_payment_tells_how_it_ended(token: str, told: list[str]) -> None:
    invoice = {"invoice": "R-1", "amount_cents": 4999, "payment_token": token}
    with WorkflowTest([TEMPLATES / "process_payment.yaml"], [payments]) as workflow:
        workflow.run("process_payment", invoice, namespace="payments")
        found = workflow.events.published()
        assert [event.name for event in found] == told
        if told == ["payment.charged"]:
            assert found[0].key == found[0].payload["charge_id"]
        else:
            assert found[0].payload["error_code"] == "card_declined"
