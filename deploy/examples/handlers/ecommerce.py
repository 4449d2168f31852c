"""The handlers of `ecommerce/checkout`. Each returns what the next one needs, so a step can be read alone."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel

from tasker_kafka.deploy.examples.catalogue import CATALOGUE
from tasker_kafka.deploy.examples.gateway import charge, reference
from tasker_kafka.handlers import PermanentError, StepContext, result_of, step_handler

__all__ = [
    "Checkout",
    "Confirmation",
    "Line",
    "Order",
    "Payment",
    "PricedCart",
    "Reservation",
    "create_order",
    "process_payment",
    "reserve_inventory",
    "send_confirmation",
    "validate_cart",
]

TAX_PERCENT = 19


class Line(BaseModel):
    """So many of a product."""

    sku: str
    quantity: int


class Checkout(BaseModel):
    """The task's context."""

    cart: list[Line]
    customer_email: str
    payment_token: str


class PricedCart(BaseModel):
    """The cart with its price."""

    lines: list[Line]
    net_cents: int
    tax_cents: int
    total_cents: int


class Payment(BaseModel):
    """Money that was taken."""

    charge_id: str
    amount_cents: int


class Reservation(BaseModel):
    """Products put aside for a paid cart."""

    reservation_id: str
    units: int
    payment: Payment


class Order(BaseModel):
    """An order as the shop keeps it."""

    order_number: str
    reservation_id: str
    charge_id: str
    total_cents: int


class Confirmation(BaseModel):
    """A message to the customer."""

    message_id: str
    recipient: str
    subject: str


@step_handler("ecommerce.validate_cart")
async def validate_cart(checkout: Checkout) -> PricedCart:
    """Price the cart. PermanentError `unknown_product`: trying again would not put it on sale."""
    unknown = [line.sku for line in checkout.cart if line.sku not in CATALOGUE]
    if unknown:
        raise PermanentError(f"not sold here: {', '.join(unknown)}", code="unknown_product")
    net = sum(CATALOGUE[line.sku].price_cents * line.quantity for line in checkout.cart)
    tax = net * TAX_PERCENT // 100
    return PricedCart(lines=checkout.cart, net_cents=net, tax_cents=tax, total_cents=net + tax)


@step_handler("ecommerce.process_payment")
async def process_payment(
    context: StepContext, checkout: Checkout, cart: Annotated[PricedCart, result_of("validate_cart")]
) -> Payment:
    """Charge the customer. The idempotency key makes a redelivery of this step one charge, not two."""
    charge_id = charge(
        checkout.payment_token,
        cart.total_cents,
        idempotency_key=context.idempotency_key,
        attempt=context.attempt,
    )
    return Payment(charge_id=charge_id, amount_cents=cart.total_cents)


@step_handler("ecommerce.reserve_inventory")
async def reserve_inventory(
    context: StepContext, checkout: Checkout, payment: Annotated[Payment, result_of("process_payment")]
) -> Reservation:
    """Put the products aside. PermanentError `out_of_stock` names what is missing."""
    short = [line.sku for line in checkout.cart if line.quantity > CATALOGUE[line.sku].stock]
    if short:
        raise PermanentError(f"not enough in stock: {', '.join(short)}", code="out_of_stock")
    return Reservation(
        reservation_id=reference("rsv", context.idempotency_key),
        units=sum(line.quantity for line in checkout.cart),
        payment=payment,
    )


@step_handler("ecommerce.create_order")
async def create_order(
    context: StepContext, reservation: Annotated[Reservation, result_of("reserve_inventory")]
) -> Order:
    """Write the order down."""
    return Order(
        order_number=reference("ord", context.task_id),
        reservation_id=reservation.reservation_id,
        charge_id=reservation.payment.charge_id,
        total_cents=reservation.payment.amount_cents,
    )


@step_handler("ecommerce.send_confirmation")
def send_confirmation(
    context: StepContext, checkout: Checkout, order: Annotated[Order, result_of("create_order")]
) -> Confirmation:
    """Tell the customer. A plain function: mail libraries block, so it runs in a thread of the worker."""
    context.logger.info("mail from %s about %s", context.config["sender"], order.order_number)
    return Confirmation(
        message_id=reference("msg", context.idempotency_key),
        recipient=checkout.customer_email,
        subject=f"Your order {order.order_number}",
    )
