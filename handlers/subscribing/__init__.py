"""Declaring subscribers of domain events; how they are delivered is in `handlers.delivery`."""

from .access import safe_get
from .base import BaseSubscriber
from .event import DomainEvent, EventMetadata
from .subscriber import Subscriber
from .subscription import SubscriberSpec, Subscription

__all__ = [
    "BaseSubscriber",
    "DomainEvent",
    "EventMetadata",
    "Subscriber",
    "SubscriberSpec",
    "Subscription",
    "safe_get",
]
