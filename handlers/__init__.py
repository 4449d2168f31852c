"""The SDK of step handlers and of subscribers: declare them, say how they end, and ask for what they need.

@step_handler("checkout.charge_card")
async def charge_card(context: StepContext, cart: Annotated[Cart, result_of("validate_cart")]) -> Charge: ...

subscriber = Subscriber("billing-audit")

@subscriber.on("payment.*", delivery="durable")
async def record(event: DomainEvent[Payment]) -> None: ...
"""

from typing import TYPE_CHECKING

from .binding import result_of, task_context
from .context import StepContext
from .definition import HandlerDefinition, StepHandler, step_handler
from .delivery.policy import DeliveryPolicy
from .errors import PermanentError, RetryableError, StepCancelled, StepError
from .lint import Finding, check_handler
from .publishing.publishers import event_publisher
from .registry import HandlerRegistry
from .results import StepFailure, Success, failure, success
from .subscribing import BaseSubscriber, DomainEvent, EventMetadata, Subscriber, safe_get

if TYPE_CHECKING:
    from .publishing.publisher import EventPublisher
else:

    def __getattr__(name: str) -> object:
        """Load what most handlers do not need when it is asked for: its imports double the time of this one's."""
        if name != "EventPublisher":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from .publishing.publisher import EventPublisher

        return EventPublisher


__all__ = [
    "BaseSubscriber",
    "DeliveryPolicy",
    "DomainEvent",
    "EventMetadata",
    "EventPublisher",
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
    "Subscriber",
    "Success",
    "check_handler",
    "event_publisher",
    "failure",
    "result_of",
    "safe_get",
    "step_handler",
    "success",
    "task_context",
]
