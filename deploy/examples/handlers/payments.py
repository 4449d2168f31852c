"""The handlers of the payments team: `payments/process_payment` and `payments/process_refund`."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel

from tasker_kafka.deploy.examples.gateway import charge, reference
from tasker_kafka.handlers import PermanentError, StepContext, result_of, step_handler

__all__ = [
    "Booking",
    "Charge",
    "Notice",
    "PaymentRequest",
    "Refund",
    "RefundRequest",
    "Refundable",
    "book_charge",
    "book_refund",
    "charge_card",
    "check_charge",
    "check_payment",
    "notify_customer",
    "refund_charge",
]


class PaymentRequest(BaseModel):
    """The context of `process_payment`."""

    invoice: str
    amount_cents: int
    currency: str = "EUR"
    payment_token: str


class Charge(BaseModel):
    """Money that was taken, by card or otherwise."""

    charge_id: str
    amount_cents: int
    method: str = "card"


class Booking(BaseModel):
    """A line in the books."""

    entry: str
    amount_cents: int


class RefundRequest(BaseModel):
    """The context of `process_refund`."""

    charge_id: str
    amount_cents: int
    ticket_id: str | None = None


class Refundable(BaseModel):
    """A charge that may be given back, up to an amount."""

    charge_id: str
    amount_cents: int


class Refund(BaseModel):
    """Money that was given back."""

    refund_id: str
    amount_cents: int


class Notice(BaseModel):
    """What the customer was told."""

    message_id: str
    about: str


# ------------------------------------------------------------------------------------------ process_payment


@step_handler("payments.check_payment")
async def check_payment(context: StepContext, request: PaymentRequest) -> PaymentRequest:
    """Refuse what no card may be charged with. PermanentError `amount_too_large`."""
    largest = int(context.config["largest_cents"])
    if request.amount_cents > largest:
        raise PermanentError(
            f"{request.amount_cents} cents is more than a card may be charged with ({largest})",
            code="amount_too_large",
        )
    return request


@step_handler("payments.charge_card")
async def charge_card(
    context: StepContext, request: Annotated[PaymentRequest, result_of("check_payment")]
) -> Charge:
    """Charge the card. A declined one is final: the step waits in `error` for an operator."""
    charge_id = charge(
        request.payment_token,
        request.amount_cents,
        idempotency_key=context.idempotency_key,
        attempt=context.attempt,
    )
    return Charge(charge_id=charge_id, amount_cents=request.amount_cents)


@step_handler("payments.book_charge")
async def book_charge(request: PaymentRequest, taken: Annotated[Charge, result_of("charge_card")]) -> Booking:
    """Write the charge into the books."""
    return Booking(entry=f"{request.invoice}/{taken.charge_id}", amount_cents=taken.amount_cents)


# ------------------------------------------------------------------------------------------- process_refund


@step_handler("payments.check_charge")
async def check_charge(request: RefundRequest) -> Refundable:
    """Only what was charged can be given back. PermanentError `unknown_charge`."""
    if not request.charge_id.startswith("ch_"):
        raise PermanentError(f"there is no charge {request.charge_id}", code="unknown_charge")
    return Refundable(charge_id=request.charge_id, amount_cents=request.amount_cents)


@step_handler("payments.refund_charge")
async def refund_charge(
    context: StepContext, charged: Annotated[Refundable, result_of("check_charge")]
) -> Refund:
    """Give the money back."""
    return Refund(
        refund_id=reference("re", context.idempotency_key),
        amount_cents=charged.amount_cents,
    )


@step_handler("payments.book_refund")
async def book_refund(
    request: RefundRequest, refund: Annotated[Refund, result_of("refund_charge")]
) -> Booking:
    """Write the refund into the books."""
    return Booking(entry=f"{request.charge_id}/{refund.refund_id}", amount_cents=-refund.amount_cents)


@step_handler("payments.notify_customer")
async def notify_customer(
    context: StepContext, refund: Annotated[Refund, result_of("refund_charge")]
) -> Notice:
    """Tell the customer."""
    return Notice(message_id=reference("msg", context.idempotency_key), about=refund.refund_id)
