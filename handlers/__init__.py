"""The SDK of step handlers: declare them, say how they end, and ask for what they need.

@step_handler("checkout.charge_card")
async def charge_card(context: StepContext, cart: Annotated[Cart, result_of("validate_cart")]) -> Charge: ...
"""

from .binding import result_of, task_context
from .context import StepContext
from .definition import HandlerDefinition, StepHandler, step_handler
from .errors import PermanentError, RetryableError, StepCancelled, StepError
from .lint import Finding, check_handler
from .registry import HandlerRegistry
from .results import StepFailure, Success, failure, success

__all__ = [
    "Finding",
    "HandlerDefinition",
    "HandlerRegistry",
    "PermanentError",
    "RetryableError",
    "StepCancelled",
    "StepContext",
    "StepError",
    "StepFailure",
    "StepHandler",
    "Success",
    "check_handler",
    "failure",
    "result_of",
    "step_handler",
    "success",
    "task_context",
]
