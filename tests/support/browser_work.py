"""What the console's tests and screenshots look at: templates for every state a task can rest in, their handlers, and
subscribers that fail on demand.

A switch is an empty file in the folder that SWITCHES names; a test makes it, and handlers and subscribers look for it.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from tasker_kafka.handlers import (
    DeliveryPolicy,
    DomainEvent,
    PermanentError,
    StepContext,
    Subscriber,
    step_handler,
)
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.template import Event, Lifecycle, Retry, Template

__all__ = ["LONG", "NAMESPACE", "NOBODY", "PLANS", "SECRET", "SWITCHES", "WIDE_STEPS"]

NAMESPACE: Final = "shop"
NOBODY: Final = "warehouse"
"""A queue that no worker serves."""
SWITCHES: Final = "BROWSER_TEST_SWITCHES"
SECRET: Final = "canary-5f1c"
"""Lies under names that are redacted; no page may show it."""
WIDE_STEPS: Final = 1_000
LONG: Final = "monthly_settlement_of_marketplace_sellers_in_the_european_union"
"""A template with names as long as people make them."""
LANES: Final = 25
LOOK_SECONDS: Final = 0.05


def is_on(switch: str) -> bool:
    """Whether a test has made the file."""
    return Path(os.environ[SWITCHES], switch).exists()


# ---------------------------------------------------------------------------------------------- handlers


@step_handler("shop.work")
async def work(context: StepContext) -> dict[str, Any]:
    """Succeeds, with the task's number (default 7) and a secret in its result."""
    return {"number": context.task_context.get("number", 7), "step": context.step, "api_key": SECRET}


@step_handler("shop.charge")
async def charge() -> dict[str, Any]:
    """Fails for good until the switch `funds` is on. The message is an attempt to be taken for markup."""
    if not is_on("funds"):
        raise PermanentError("card declined <b onclick=alert(1)>by the bank</b>", code="card_declined")
    return {"charge_id": "ch_1"}


@step_handler("shop.busy")
async def busy() -> dict[str, Any]:
    """Fails for now, always."""
    raise ConnectionError("gateway busy")


@step_handler("shop.hold")
async def hold(context: StepContext) -> dict[str, Any]:
    """Runs until the switch `release` is on."""
    while not is_on("release"):
        context.heartbeat({"percent": 40})
        await asyncio.sleep(LOOK_SECONDS)
    return {"held": True}


# --------------------------------------------------------------------------------------------- templates


def order(name: str, handler: str, *, retry: Retry | None = None, **more: Any) -> Template:
    """Three steps, the second of this handler."""
    template = Template(name, namespace=NAMESPACE, version="1.0.0", **more)
    return (
        template.step("check_cart", handler="shop.work")
        .step("charge_card", handler=handler, depends_on=["check_cart"], retry=retry, timeout_seconds=3600)
        .step("ship", handler="shop.work", depends_on=["charge_card"])
    )


def wide() -> Template:
    """1,000 steps: 25 lanes, each 40 long, with some edges across."""
    template = Template("wide", namespace=NAMESPACE, version="1.0.0")
    for number in range(WIDE_STEPS):
        parents = [f"s{number - LANES}"] if number >= LANES else []
        if number >= LANES and number % 7 == 0 and number % LANES:
            parents.append(f"s{number - LANES - 1}")
        template = template.step(f"s{number}", handler="shop.work", depends_on=parents)
    return template


PLACED: Final = Event(
    "order.placed",
    delivery="durable",
    condition="success",
    key="$.number",
    schema={"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]},
)
PLANS: Final[tuple[Plan, ...]] = tuple(
    template.compile()
    for template in (
        Template("order", namespace=NAMESPACE, version="1.0.0", description="Takes an order and ships it.")
        .step("check_cart", handler="shop.work")
        .step("price", handler="shop.work", depends_on=["check_cart"])
        .step("reserve", handler="shop.work", depends_on=["check_cart"])
        .step("place", handler="shop.work", depends_on=["price", "reserve"], publishes_events=[PLACED])
        .step("confirm", handler="shop.work", depends_on=["place"]),
        order("declined", "shop.charge"),
        order("retrying", "shop.busy", retry=Retry(max_attempts=9, backoff_base_ms=30_000)),
        order("running", "shop.hold"),
        order(
            "stale",
            "shop.charge",
            lifecycle=Lifecycle(on_blocked="wait", stale_after_seconds=1.0, staleness_action="dlq"),
        ),
        Template("waiting", namespace=NAMESPACE, version="1.0.0")
        .step("check_cart", handler="shop.work")
        .step("pick", handler="warehouse.pick", queue=NOBODY, depends_on=["check_cart"]),
        Template(
            "priced",
            namespace=NAMESPACE,
            version="1.0.0",
            input_schema={
                "type": "object",
                "properties": {"total": {"type": "integer"}},
                "required": ["total"],
            },
        ).step("check_cart", handler="shop.work"),
        Template(
            LONG,
            namespace=NAMESPACE,
            version="2026.11.1-rc.4",
            description="Reconciles what payment providers report with the ledger, seller by seller, and pays out.",
        )
        .step("reconcile_statements_of_payment_providers_with_the_ledger", handler="shop.work")
        .step(
            "collect_payouts_that_wait_for_a_second_signature",
            handler="shop.charge",
            depends_on=["reconcile_statements_of_payment_providers_with_the_ledger"],
        ),
        wide(),
    )
)


# ------------------------------------------------------------------------------------------- subscribers


class OrderPlaced(BaseModel):
    """The payload that both subscribers need."""

    number: int


audit = Subscriber("audit", namespaces=[NAMESPACE])


@audit.on("order.*", delivery="durable")
async def write_down(event: DomainEvent[OrderPlaced]) -> None:
    """Takes everything."""


books = Subscriber(
    "books", namespaces=[NAMESPACE], retry=DeliveryPolicy(max_attempts=2, delays=(0.05,), breaker_failures=0)
)


@books.on("order.placed", delivery="durable")
def book(event: DomainEvent[OrderPlaced]) -> None:
    """Takes numbers below 7 until the switch `books` is on; what it takes is a line of the file `booked`."""
    number = event.payload.number
    if number >= 7 and not is_on("books"):
        raise ValueError(f"the books are closed for {number} <i>and more</i>")
    with Path(os.environ[SWITCHES], "booked").open("a") as file:
        file.write(f"{number}\n")
