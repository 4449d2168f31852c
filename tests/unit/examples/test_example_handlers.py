"""The examples' handlers: every story of the demo without Kafka, and what they refuse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tasker_kafka.deploy.demo.stories import STORIES, Story, differences
from tasker_kafka.deploy.examples.shop import Shop
from tasker_kafka.deploy.handler_checks import load_registry
from tasker_kafka.handlers import HandlerRegistry
from tasker_kafka.schemas.identity import format_id
from tasker_kafka.schemas.output import evaluate_output
from tests.support.example_runs import Run, call_step, example_plans, run_plan

PLANS = example_plans()
PAID = {"charge_id": "bank_transfer_77", "amount_cents": 12900, "method": "transfer"}
CART = [{"sku": "mug", "quantity": 1}]


@pytest.fixture(scope="module")
def registry() -> HandlerRegistry:
    return load_registry(["tasker_kafka.deploy.examples"])


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    with Shop() as running:
        monkeypatch.setenv("SHOP_URL", running.url)
        yield running


def by_name(name: str) -> Story:
    return next(story for story in STORIES if story.name == name)


def test_there_are_stories_of_every_template() -> None:
    told = {story.template for story in STORIES} | {s.further.template for s in STORIES if s.further}
    assert told == PLANS.keys()


@pytest.mark.parametrize("story", [s for s in STORIES if s.mend is None], ids=lambda story: story.name)
async def test_story_comes_out_as_told(story: Story, registry: HandlerRegistry, shop: Shop) -> None:
    plan = PLANS[story.template]
    run = await run_plan(plan, registry, story.context)
    assert run.codes() == dict(story.failures)
    assert differences(story.output, evaluate_output(plan, run.decoded())) == []


async def test_refund_requests_the_payments_team(registry: HandlerRegistry) -> None:
    story = by_name("refund, two teams")
    run = await run_plan(PLANS[story.template], registry, story.context)
    [request] = run.requests
    assert (request.namespace, request.name, request.version) == ("payments", "process_refund", "2.1.0")
    assert run.decoded()["request_refund"] == {"task_id": format_id(request.request_id or b"")}

    assert story.further is not None
    plan = PLANS[story.further.template]
    further = await run_plan(plan, registry, decoded(request.context))
    assert differences(story.further.output, evaluate_output(plan, further.decoded())) == []


async def test_repeated_refund_request_is_the_same_request(registry: HandlerRegistry) -> None:
    story = by_name("refund, two teams")
    plan = PLANS[story.template]
    run = await run_plan(plan, registry, story.context)
    await call_step(plan.steps[plan.index["request_refund"]], registry, story.context, run, attempt=2)
    first, second = run.requests
    assert first.request_id == second.request_id
    assert first.idempotency_key == second.idempotency_key


async def test_declined_card_ends_the_step_and_a_transfer_goes_on(registry: HandlerRegistry) -> None:
    story = by_name("payment, declined")
    plan = PLANS[story.template]
    run = await run_plan(plan, registry, story.context)
    assert run.codes() == dict(story.failures)
    assert "book_charge" not in run.results

    mended = await run_plan(plan, registry, story.context, given={"charge_card": PAID})
    assert differences(story.output, evaluate_output(plan, mended.decoded())) == []


async def test_forbidden_order_can_be_made_once_the_customer_is_unlocked(
    registry: HandlerRegistry, shop: Shop
) -> None:
    story = by_name("API task, forbidden")
    plan = PLANS[story.template]
    assert (await run_plan(plan, registry, story.context)).codes() == dict(story.failures)
    shop.unlock(2)
    run = await run_plan(plan, registry, story.context)
    assert run.codes() == {}
    assert differences(story.output, evaluate_output(plan, run.decoded())) == []


@pytest.mark.parametrize(
    ("template", "context", "step", "code"),
    [
        ("ecommerce/checkout", {"cart": [{"sku": "car", "quantity": 1}]}, "validate_cart", "unknown_product"),
        (
            "ecommerce/checkout",
            {"cart": [{"sku": "tray", "quantity": 1}]},
            "reserve_inventory",
            "out_of_stock",
        ),
        (
            "ecommerce/checkout",
            {"cart": CART, "payment_token": "tok_declined"},
            "process_payment",
            "card_declined",
        ),
        ("payments/process_payment", {"amount_cents": 500001}, "check_payment", "amount_too_large"),
        ("payments/process_refund", {"charge_id": "x"}, "check_charge", "unknown_charge"),
        ("customer_success/process_refund", {"ticket_id": "x"}, "validate_request", "bad_ticket"),
    ],
)
async def test_what_cannot_succeed_is_not_tried_again(
    template: str, context: dict[str, Any], step: str, code: str, registry: HandlerRegistry
) -> None:
    told = next(story for story in (*STORIES, *further_stories()) if story.template == template)
    run = await run_plan(
        PLANS[template], registry, {**told.context, "amount_cents": 1, "charge_id": "ch_1", **context}
    )
    assert run.codes() == {step: (code,)}
    assert step not in run.results


async def test_busy_gateway_uses_up_the_attempts(registry: HandlerRegistry) -> None:
    context = {"cart": CART, "customer_email": "a@example.com", "payment_token": "tok_busy_9"}
    run = await run_plan(PLANS["ecommerce/checkout"], registry, context)
    assert run.codes()["process_payment"] == ("gateway_busy",) * 3


async def test_missing_cart_is_permanent(registry: HandlerRegistry, shop: Shop) -> None:
    run = await run_plan(PLANS["integrations/api_task"], registry, {"cart_id": 99})
    assert run.codes() == {"fetch_cart": ("HTTP_404",)}


async def test_small_refund_needs_no_manager(registry: HandlerRegistry) -> None:
    story = by_name("refund, two teams")
    context = {**story.context, "amount_cents": 900, "reason": "defective"}
    run = await run_plan(PLANS[story.template], registry, context)
    assert run.decoded()["get_approval"] == {"approved_by": "policy", "amount_cents": 900}


async def test_references_differ_between_tasks_and_not_between_attempts(registry: HandlerRegistry) -> None:
    story = by_name("checkout")
    plan = PLANS[story.template]
    first = await run_plan(plan, registry, story.context)
    again = await run_plan(plan, registry, story.context)
    other = await run_plan(plan, registry, story.context, task_id=bytes(16))
    assert first.results == again.results
    assert first.decoded()["create_order"]["order_number"] != other.decoded()["create_order"]["order_number"]


@pytest.mark.parametrize(
    ("fail_times", "attempt", "succeeds"), [(0, 1, True), (2, 1, False), (2, 2, False), (2, 3, True)]
)
async def test_flaky_fails_as_often_as_told(
    fail_times: int, attempt: int, succeeds: bool, registry: HandlerRegistry
) -> None:
    from tasker_kafka.schemas.plan import PlanStep

    step = PlanStep(name="s", handler="shape.flaky", queue="q", config={"fail_times": fail_times})
    end = await call_step(step, registry, {}, Run(), attempt=attempt)
    assert (getattr(end, "result", None) == str(attempt).encode()) is succeeds


def further_stories() -> Iterator[Story]:
    """Stories of tasks that other tasks submit."""
    return (story.further for story in STORIES if story.further is not None)


def decoded(data: bytes) -> dict[str, Any]:
    """JSON bytes as a mapping."""
    import json

    found: dict[str, Any] = json.loads(data)
    return found
