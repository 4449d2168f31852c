"""What the demo plays, and how each story must end. The demo fails when a task ends otherwise.

An expected output is compared value by value; a compiled pattern stands for a text that differs from run to run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from tasker_kafka.deploy.examples.shop import Shop
from tasker_kafka.schemas.records import Answer
from tasker_kafka.topics.client import TaskClient
from tasker_kafka.topics.operators import TaskReference

__all__ = ["STORIES", "Mend", "Story", "differences"]


@dataclass(frozen=True)
class Mend:
    """What an operator does about a step that has failed for good, once its task is in `error`."""

    told: str
    act: Callable[[TaskClient, TaskReference, Shop], Coroutine[Any, Any, Answer | None]]


@dataclass(frozen=True, kw_only=True)
class Story:
    """A request, and how its task must end: complete, with this output, after these attempts."""

    name: str
    template: str
    """`namespace/name`."""
    context: Mapping[str, Any] = field(default_factory=dict[str, Any])
    output: Mapping[str, Any]
    failures: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Step → error codes of its failed attempts, in order. Every other step succeeds at its first attempt."""
    mend: Mend | None = None
    is_observed: bool = False
    """It publishes events, and the demo shows who heard of them (`observed.py`)."""
    further: Story | None = None
    """The task that this one submits; its id is `refund_task` of the output. Nobody requests it otherwise."""

    @property
    def namespace(self) -> str:
        """Of its template."""
        return self.template.partition("/")[0]

    @property
    def template_name(self) -> str:
        """Of its template."""
        return self.template.partition("/")[2]


async def unlock_and_retry(client: TaskClient, task: TaskReference, shop: Shop) -> Answer | None:
    """The cause is mended where it lies; then the step gets a new budget of attempts."""
    shop.unlock(2)
    return await client.retry(task, "create_order", reason="customer 2 is unlocked again")


async def complete_by_hand(client: TaskClient, task: TaskReference, shop: Shop) -> Answer | None:
    """The step will never succeed; its work was done in another way, and this is its result."""
    paid = {"charge_id": "bank_transfer_77", "amount_cents": 12900, "method": "transfer"}
    return await client.complete(task, "charge_card", paid, reason="the customer paid by bank transfer")


def like(pattern: str) -> re.Pattern[str]:
    """A text of this form."""
    return re.compile(pattern)


CART: Final = [{"sku": "mug", "quantity": 2}, {"sku": "tea", "quantity": 1}]
REFERENCE: Final = "_[0-9a-f]{10}"
UUID: Final = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
ORDERED: Final = MappingProxyType(
    {
        "order_number": like(f"ord{REFERENCE}"),
        "total_cents": 4034,
        "charge_id": like(f"ch{REFERENCE}"),
        "confirmation": like(f"msg{REFERENCE}"),
    }
)

STORIES: Final[tuple[Story, ...]] = (
    Story(name="dummy", template="default/dummy", context={"start": 4}, output={"one": 4, "chain": 81}),
    Story(
        name="checkout",
        template="ecommerce/checkout",
        context={"cart": CART, "customer_email": "ada@example.com", "payment_token": "tok_visa"},
        output=ORDERED,
    ),
    Story(
        name="data pipeline",
        template="analytics/data_pipeline",
        context={"period": "2026-01"},
        output={
            "revenue_cents": 236200,
            "best_customer": "Ada",
            "best_product": "Tea pot",
            "dashboard": "https://dashboards.shop.example/2026-01",
            "notified": ["management", "marketing"],
        },
    ),
    Story(
        name="microservices",
        template="microservices/user_registration",
        context={"user": {"name": "Cleo", "email": "cleo@example.com", "plan": "pro", "language": "fr"}},
        output={
            "user_id": like(f"usr{REFERENCE}"),
            "state": "active",
            "billing": like(f"bil{REFERENCE}"),
            "greeting": "Bienvenue, Cleo",
        },
    ),
    Story(
        name="refund, two teams",
        template="customer_success/process_refund",
        context={
            "ticket_id": "T-1042",
            "charge_id": "ch_5f2a90c1d3",
            "amount_cents": 20000,
            "reason": "unwanted",
        },
        output={"approved_by": "manager", "refund_task": like(UUID), "ticket": "refund requested"},
        further=Story(
            name="payments/process_refund",
            template="payments/process_refund",
            output={"refund_id": like(f"re{REFERENCE}"), "booked_as": like(f"ch_5f2a90c1d3/re{REFERENCE}")},
        ),
    ),
    Story(
        name="API task",
        template="integrations/api_task",
        context={"cart_id": 1},
        output={"order_id": like("ord_[0-9]{4}"), "total_cents": 5170, "published": True},
    ),
    Story(
        name="payment",
        template="payments/process_payment",
        context={"invoice": "R-1", "amount_cents": 4999, "payment_token": "tok_visa"},
        output={
            "charge_id": like(f"ch{REFERENCE}"),
            "method": "card",
            "booked_as": like(f"R-1/ch{REFERENCE}"),
        },
    ),
    Story(
        name="checkout, gateway busy",
        template="ecommerce/checkout",
        context={"cart": CART, "customer_email": "ben@example.com", "payment_token": "tok_busy_2"},
        output=ORDERED,
        failures={"process_payment": ("gateway_busy", "gateway_busy")},
    ),
    Story(
        name="observed checkout",
        template="ecommerce/observed_checkout",
        context={"cart": CART, "customer_email": "dee@example.com", "payment_token": "tok_busy_1"},
        output=ORDERED,
        failures={"process_payment": ("gateway_busy",)},
        is_observed=True,
    ),
    Story(
        name="API task, forbidden",
        template="integrations/api_task",
        context={"cart_id": 2},
        output={"order_id": like("ord_[0-9]{4}"), "total_cents": 3900, "published": True},
        failures={"create_order": ("HTTP_403",)},
        mend=Mend(
            told="customer 2 is unlocked; the operator retries create_order",
            act=unlock_and_retry,
        ),
    ),
    Story(
        name="payment, declined",
        template="payments/process_payment",
        context={"invoice": "R-2", "amount_cents": 12900, "payment_token": "tok_declined"},
        output={
            "charge_id": "bank_transfer_77",
            "method": "transfer",
            "booked_as": "R-2/bank_transfer_77",
        },
        failures={"charge_card": ("card_declined",)},
        mend=Mend(
            told="the customer pays by transfer; the operator completes charge_card with that result",
            act=complete_by_hand,
        ),
    ),
)


def differences(expected: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """What of an output is not as expected, one sentence each."""
    wrong = [f"output has no {name}" for name in expected.keys() - found.keys()]
    wrong += [f"output has {name}, which is not in the story" for name in found.keys() - expected.keys()]
    for name in expected.keys() & found.keys():
        wanted, value = expected[name], found[name]
        fits = wanted.fullmatch(str(value)) if isinstance(wanted, re.Pattern) else wanted == value
        if not fits:
            shown = wanted.pattern if isinstance(wanted, re.Pattern) else wanted
            wrong.append(f"output {name} is {value!r}, the story says {shown!r}")
    return sorted(wrong)
