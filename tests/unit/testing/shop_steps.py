"""Step handlers of a shop, as a user's module holds them."""

from __future__ import annotations

from typing import Annotated

from tasker_kafka.handlers import StepContext, result_of, step_handler

__all__ = ["charge_card", "ship", "validate_cart"]


@step_handler("shop.validate_cart")
def validate_cart(context: StepContext) -> dict[str, int]:
    """A plain function."""
    return {"total": 10 * int(context.task_context["items"])}


@step_handler("shop.charge_card")
async def charge_card(cart: Annotated[dict[str, int], result_of("validate_cart")]) -> str:
    """An async one."""
    return f"charged {cart['total']}"


@step_handler("shop.ship", isolation="process")
def ship(paid: Annotated[str, result_of("charge_card")]) -> str:
    """One that wants a process of its own."""
    return f"shipped, {paid}"
