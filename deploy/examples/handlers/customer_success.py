"""The handlers of `customer_success/process_refund`: one team's workflow that requests another team's."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel

from tasker_kafka.handlers import PermanentError, StepContext, result_of, step_handler

__all__ = [
    "Approval",
    "Policy",
    "Requested",
    "Ticket",
    "TicketRequest",
    "check_policy",
    "get_approval",
    "request_refund",
    "update_ticket",
    "validate_request",
]

Reason = Literal["defective", "late", "unwanted"]


class TicketRequest(BaseModel):
    """The task's context."""

    ticket_id: str
    charge_id: str
    amount_cents: int
    reason: Reason


class Policy(BaseModel):
    """What the policy says about a refund."""

    amount_cents: int
    needs_manager: bool


class Approval(BaseModel):
    """Who has agreed, and to how much."""

    approved_by: str
    amount_cents: int


class Requested(BaseModel):
    """The refund that payments was asked for."""

    task_id: str


class Ticket(BaseModel):
    """The ticket as it stands afterwards."""

    ticket_id: str
    state: str
    refund_task: str


@step_handler("customer_success.validate_request")
async def validate_request(request: TicketRequest) -> TicketRequest:
    """PermanentError `bad_ticket` for a ticket that cannot be ours."""
    if not request.ticket_id.startswith("T-"):
        raise PermanentError(f"{request.ticket_id} is no ticket of ours", code="bad_ticket")
    return request


@step_handler("customer_success.check_policy")
async def check_policy(
    context: StepContext, request: Annotated[TicketRequest, result_of("validate_request")]
) -> Policy:
    """Unwanted goods are refunded at nine tenths; from an amount on, a manager has to agree."""
    amount = request.amount_cents * 9 // 10 if request.reason == "unwanted" else request.amount_cents
    return Policy(amount_cents=amount, needs_manager=amount >= context.config["manager_from_cents"])


@step_handler("customer_success.get_approval")
async def get_approval(policy: Annotated[Policy, result_of("check_policy")]) -> Approval:
    """Small refunds are approved by the policy itself."""
    return Approval(
        approved_by="manager" if policy.needs_manager else "policy", amount_cents=policy.amount_cents
    )


@step_handler("customer_success.request_refund")
async def request_refund(
    context: StepContext, request: TicketRequest, approval: Annotated[Approval, result_of("get_approval")]
) -> Requested:
    """Ask the payments team. Every repeat of this step names the same task, so nothing is refunded twice."""
    task_id = await context.submit(
        "process_refund",
        {
            "charge_id": request.charge_id,
            "amount_cents": approval.amount_cents,
            "ticket_id": request.ticket_id,
        },
        namespace="payments",
        version="2.1.0",
    )
    return Requested(task_id=task_id)


@step_handler("customer_success.update_ticket")
async def update_ticket(
    request: TicketRequest, requested: Annotated[Requested, result_of("request_refund")]
) -> Ticket:
    """Note in the ticket which task carries the refund out."""
    return Ticket(ticket_id=request.ticket_id, state="refund requested", refund_task=requested.task_id)
