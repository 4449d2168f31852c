"""A subscriber in every kind of trouble, each a subscription of its own; `steady` has none."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from tasker_kafka.handlers import DeliveryPolicy, DomainEvent, Subscriber
from tasker_kafka.handlers.delivery.journey import FailureClass

__all__ = ["TROUBLES", "troubled"]


async def raising(event: DomainEvent[Any]) -> None:
    """Fails."""
    raise ValueError("no")


async def hanging(event: DomainEvent[Any]) -> None:
    """Never returns."""
    await asyncio.Event().wait()


async def exiting(event: DomainEvent[Any]) -> None:
    """Exits on the loop."""
    sys.exit(3)


def exiting_thread(event: DomainEvent[Any]) -> None:
    """Exits in a thread."""
    sys.exit(3)


async def cancelling(event: DomainEvent[Any]) -> None:
    """Ends as if it were cancelled."""
    raise asyncio.CancelledError


async def starving(event: DomainEvent[Any]) -> None:
    """Has eaten the memory."""
    raise MemoryError


async def recursing(event: DomainEvent[Any]) -> None:
    """Has eaten the stack."""
    await recursing(event)


async def steady(event: DomainEvent[Any]) -> None:
    """Works."""


TROUBLES = {
    "raising": FailureClass.HANDLER,
    "hanging": FailureClass.TIMEOUT,
    "exiting": FailureClass.HANDLER,
    "exiting_thread": FailureClass.HANDLER,
    "cancelling": FailureClass.HANDLER,
    "starving": FailureClass.HANDLER,
    "recursing": FailureClass.HANDLER,
}
"""Subscription → the class of its dead letters."""


def troubled(group: str, retry: DeliveryPolicy, *patterns: str) -> Subscriber:
    """The group; it gives up hanging handlers after the policy's timeout."""
    subscriber = Subscriber(group, retry=retry)
    for handler in (raising, hanging, exiting, exiting_thread, cancelling, starving, recursing, steady):
        subscriber.on(*patterns)(handler)
    return subscriber
