"""A small shop: two templates and their handlers, for tests of commands and roles."""

from __future__ import annotations

from typing import Annotated, Any

from tasker_kafka.handlers import PermanentError, StepContext, result_of, step_handler

TEMPLATES = """
name: order
namespace: shop
input_schema:
  type: object
  properties: {total: {type: integer}}
output: {receipt: $.charge.receipt}
steps:
  - name: reserve
    handler: {callable: shop.reserve}
  - name: charge
    handler: {callable: shop.charge}
    dependencies: [reserve]
    retry: {retryable: false}
---
name: orphan
namespace: shop
steps:
  - name: pack
    handler: {callable: shop.pack}
"""


@step_handler("shop.reserve")
async def reserve(context: StepContext) -> dict[str, Any]:
    """Always works."""
    return {"reserved": True}


@step_handler("shop.charge")
async def charge(
    context: StepContext,
    cart: dict[str, Any],
    reserved: Annotated[dict[str, Any] | None, result_of("reserve")],
) -> dict[str, Any]:
    """Refuses more than 100."""
    if cart.get("total", 0) > 100:
        raise PermanentError("too much for this card", code="CARD_DECLINED")
    return {"receipt": cart.get("total", 0), "reserved": reserved}
