"""All logic of the read side: what is read where, what is asked how, and what is said while a part is away."""

from __future__ import annotations

from .backend import Backend
from .errors import CommandRefused, Forbidden, InvalidInput, Overloaded, RequestRefused
from .following import RecordEvent
from .operating import Asked, Operation, id_of_key
from .overview import Overview
from .reach import Reach
from .shapes import (
    BrokerReach,
    Component,
    HandlerRow,
    HealthReport,
    Level,
    Outcome,
    Source,
    StoreReach,
    Submitted,
    TaskDetails,
    TaskMoment,
    TemplateDetails,
    TemplateRow,
    TemplateStep,
    WrittenAt,
)

__all__ = [
    "Asked",
    "Backend",
    "BrokerReach",
    "CommandRefused",
    "Component",
    "Forbidden",
    "HandlerRow",
    "HealthReport",
    "InvalidInput",
    "Level",
    "Operation",
    "Outcome",
    "Overloaded",
    "Overview",
    "Reach",
    "RecordEvent",
    "RequestRefused",
    "Source",
    "StoreReach",
    "Submitted",
    "TaskDetails",
    "TaskMoment",
    "TemplateDetails",
    "TemplateRow",
    "TemplateStep",
    "WrittenAt",
    "id_of_key",
]
