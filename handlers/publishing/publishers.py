"""Registered event publishers: functions that may change, enrich or veto an event before it is published.

A declaration names one (`publisher: payments.charged`). It runs in the worker, after the handler's own payload was
made and before the schema is asked, so what it returns is held against the declaration like any other payload. It
never changes a task: one that raises or takes too long loses its event, which is counted and said.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.words import Delivery, EventCondition

__all__ = ["EventDraft", "PublisherDefinition", "event_publisher", "publisher_of"]

_ATTRIBUTE: Final = "__tasker_event_publisher__"
_NAME: Final = re.compile(r"[a-z0-9_]{1,64}(\.[a-z0-9_]{1,64})*")


@dataclass(frozen=True, slots=True, kw_only=True)
class EventDraft:
    """An event that is about to be published, as a publisher sees it. Ids are UUID text."""

    name: str
    version: str
    namespace: str
    delivery: Delivery
    condition: EventCondition
    payload: Any
    """Decoded JSON; the publisher's own copy."""
    is_made: bool
    """True: made from the step's result or failure, because the handler did not publish it."""
    task_id: str
    step: str
    attempt: int
    template: str
    template_version: str
    correlation_id: str


Publish = Callable[[EventDraft], object | Awaitable[object]]
F = TypeVar("F", bound=Publish)


@dataclass(frozen=True, slots=True)
class PublisherDefinition:
    """An event publisher: its name and its code."""

    name: str
    function: Publish
    is_async: bool

    @property
    def place(self) -> str:
        """`module:name`."""
        return f"{self.function.__module__}:{getattr(self.function, '__qualname__', self.name)}"


def event_publisher(name: str) -> Callable[[F], F]:
    """Declare a function, async or plain, as the event publisher `name` (as templates' `publisher` says it).

    It takes an `EventDraft` and returns the payload to publish, changed or not; None publishes nothing. Plain
    functions run in a thread. The function itself stays as it was.
    """
    if _NAME.fullmatch(name) is None:
        raise ConfigurationError(
            f"publisher name {name!r} is not allowed",
            next_step="use parts of a–z, 0–9 and _ (1–64 each), joined by dots: payments.charged",
        )

    def declare(function: F) -> F:
        if not _is_function(function):
            raise ConfigurationError(f"publisher {name} is neither a function nor a coroutine function")
        definition = PublisherDefinition(name, function, inspect.iscoroutinefunction(function))
        setattr(function, _ATTRIBUTE, definition)
        return function

    return declare


def publisher_of(value: object) -> PublisherDefinition | None:
    """What `event_publisher` attached to this very object; None when it is no publisher."""
    if isinstance(value, PublisherDefinition):
        return value
    found = vars(value).get(_ATTRIBUTE) if hasattr(value, "__dict__") else None
    return found if isinstance(found, PublisherDefinition) and found.function is value else None


def _is_function(value: object) -> bool:
    return inspect.isroutine(value) and not inspect.isgeneratorfunction(value)
