"""The handlers of `integrations/api_task`: steps that call a web service (that of `shop.py`, in the demo).

Whether a call's failure is worth another attempt is the helper's business: see `tasker_kafka.handlers.http`.
"""

from __future__ import annotations

import os
from typing import Annotated

import httpx
from pydantic import BaseModel, TypeAdapter

from tasker_kafka.deploy.examples.catalogue import Product
from tasker_kafka.deploy.examples.shop import USUAL_URL
from tasker_kafka.handlers import PermanentError, StepContext, http, result_of, step_handler

__all__ = [
    "ApiRequest",
    "Cart",
    "CartLine",
    "Order",
    "Published",
    "ValidCart",
    "create_order",
    "fetch_cart",
    "fetch_products",
    "publish_event",
    "validate_products",
]

PRODUCTS = TypeAdapter(list[Product])


class ApiRequest(BaseModel):
    """The task's context."""

    cart_id: int


class CartLine(BaseModel):
    """So many of a product."""

    sku: str
    quantity: int


class Cart(BaseModel):
    """A cart as the service has it."""

    cart_id: int
    customer_id: int
    lines: list[CartLine]


class ValidCart(BaseModel):
    """A cart that can be ordered."""

    cart_id: int
    customer_id: int
    total_cents: int


class Order(BaseModel):
    """An order as the service has it."""

    order_id: str
    total_cents: int


class Published(BaseModel):
    """Whether the service took the event."""

    accepted: bool


@step_handler("integrations.fetch_cart")
async def fetch_cart(context: StepContext, request: ApiRequest) -> Cart:
    """GET one cart."""
    response = await http.call(context, url=f"{_url(context)}/{request.cart_id}")
    return Cart.model_validate_json(response.content)


@step_handler("integrations.fetch_products")
async def fetch_products(context: StepContext) -> list[Product]:
    """GET the catalogue."""
    response = await http.call(context, url=_url(context))
    return PRODUCTS.validate_json(response.content)


@step_handler("integrations.validate_products")
async def validate_products(
    cart: Annotated[Cart, result_of("fetch_cart")],
    products: Annotated[list[Product], result_of("fetch_products")],
) -> ValidCart:
    """Everything in the cart is sold and in stock. PermanentError `unavailable` names what is not."""
    known = {product.sku: product for product in products}
    missing = [
        line.sku for line in cart.lines if line.sku not in known or known[line.sku].stock < line.quantity
    ]
    if missing:
        raise PermanentError(f"not available: {', '.join(missing)}", code="unavailable")
    total = sum(known[line.sku].price_cents * line.quantity for line in cart.lines)
    return ValidCart(cart_id=cart.cart_id, customer_id=cart.customer_id, total_cents=total)


@step_handler("integrations.create_order")
async def create_order(
    context: StepContext, cart: Annotated[ValidCart, result_of("validate_products")]
) -> Order:
    """POST the order. The helper sends the step's idempotency key, so a repeat finds the first one's order."""
    response = await http.call(context, url=_url(context), json=cart.model_dump())
    return Order.model_validate_json(response.content)


@step_handler("integrations.publish_event")
async def publish_event(
    context: StepContext, order: Annotated[Order, result_of("create_order")]
) -> Published:
    """POST what has happened."""
    event = {"type": "order.created", "order_id": order.order_id}
    response = await http.call(context, url=_url(context), json=event)
    return Published(accepted=response.status_code == httpx.codes.ACCEPTED)


def _url(context: StepContext) -> str:
    """Where the service is, is the worker's business; what to ask of it, the template's."""
    return f"{os.environ.get('SHOP_URL', USUAL_URL)}{context.config['path']}"
