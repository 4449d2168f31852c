"""Declaring subscribers of domain events; how they are delivered is in `handlers.delivery`."""

from .access import safe_get
from .base import BaseSubscriber
from .event import DomainEvent, EventMetadata
from .metrics import (
    CoreMetrics,
    ErrorCategory,
    ErrorMetrics,
    PerformanceMetrics,
    TimingMetrics,
    core_metrics,
    error_category,
    error_metrics,
    metric_tags,
    performance_metrics,
    timing_metrics,
)
from .subscriber import Subscriber
from .subscription import SubscriberSpec, Subscription

__all__ = [
    "BaseSubscriber",
    "CoreMetrics",
    "DomainEvent",
    "ErrorCategory",
    "ErrorMetrics",
    "EventMetadata",
    "PerformanceMetrics",
    "Subscriber",
    "SubscriberSpec",
    "Subscription",
    "TimingMetrics",
    "core_metrics",
    "error_category",
    "error_metrics",
    "metric_tags",
    "performance_metrics",
    "safe_get",
    "timing_metrics",
]
