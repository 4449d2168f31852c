"""Who listens to `ecommerce/observed_checkout`: an audit, a notifier, the books, and a clock; each in its own group.

    tasker subscriber -m tasker_kafka.deploy.examples.subscribers

They write to the shop's web service, under the event's id: so an event that is delivered twice has one effect.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import httpx
from pydantic import BaseModel

from tasker_kafka.deploy.examples.shop import USUAL_URL
from tasker_kafka.handlers import BaseSubscriber, DeliveryPolicy, DomainEvent, Subscriber, safe_get

__all__ = ["OrderBooks", "OrderPlaced", "audit", "books", "notifier", "performance"]

ECOMMERCE = ("ecommerce",)


class OrderPlaced(BaseModel):
    """The payload of `order.placed`, as far as the books need it."""

    order_number: str
    charge_id: str
    total_cents: int


# ---------------------------------------------------------------------------------------------- the audit

audit = Subscriber("checkout-audit", namespaces=ECOMMERCE)


@audit.on("payment.charged", "order.*", "checkout.*")
async def write_down(event: DomainEvent[Any]) -> None:
    """Durable or acknowledged, as published: nothing of it may be missing."""
    await _write("audit", event, {"by": audit.group, "task": event.metadata.task_id})


# ------------------------------------------------------------------------------------------- the notifier

notifier = Subscriber("checkout-notifier", namespaces=ECOMMERCE)


@notifier.on("payment.delayed", "confirmation.sent", delivery="fire_and_forget")
async def notify(event: DomainEvent[Any]) -> None:
    """Good to know, and no harm if it gets lost: tried once."""
    what = safe_get(event, "error_code") or safe_get(event, "subject")
    await _write("notifications", event, {"by": notifier.group, "about": what})


# ---------------------------------------------------------------------------------------------- the books


class OrderBooks(BaseSubscriber):
    """Books orders, in the order of their checkouts. While the books are closed, the service answers 503."""

    group = "checkout-books"
    namespaces = ECOMMERCE
    subscribe_to = ("order.placed",)
    retry = DeliveryPolicy(max_attempts=3, delays=(0.2, 0.5))
    """So short for the demo; a real one would wait out a night."""

    async def open(self) -> None:
        """One client for all events."""
        self._client = httpx.AsyncClient(base_url=_url())

    async def close(self) -> None:
        """After the last event."""
        await self._client.aclose()

    async def handle_order_placed(self, event: DomainEvent[OrderPlaced]) -> None:
        """An error is raised, so the event is delivered again; after the third time it is a dead letter."""
        order = event.payload
        entry = {"by": self.group, "order": order.order_number, "cents": order.total_cents}
        answer = await self._client.post("/ledger", json=entry, headers=_once(event))
        answer.raise_for_status()


books = OrderBooks()


# ---------------------------------------------------------------------------------------------- the clock

performance = Subscriber("checkout-performance", namespaces=ECOMMERCE)


@performance.on("checkout.completed")
def measure(event: DomainEvent[Any]) -> None:
    """A plain function runs in a thread."""
    seconds = safe_get(event, "duration", 0.0)
    with httpx.Client(base_url=_url()) as client:
        entry = {"by": performance.group, "about": f"the checkout took {seconds:.2f} s"}
        client.post("/notifications", json=entry, headers=_once(event)).raise_for_status()


async def _write(book: str, event: DomainEvent[Any], entry: Mapping[str, Any]) -> None:
    async with httpx.AsyncClient(base_url=_url()) as client:
        answer = await client.post(f"/{book}", json=entry, headers=_once(event))
        answer.raise_for_status()


def _once(event: DomainEvent[Any]) -> dict[str, str]:
    """The header that makes a repeat harmless."""
    return {"Idempotency-Key": event.event_id}


def _url() -> str:
    return os.environ.get("SHOP_URL", USUAL_URL)
