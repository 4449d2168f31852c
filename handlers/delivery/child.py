"""The child process of subscribers: calls one handler after the other, as its parent asks, until that hangs up.

Started as `python -m tasker_kafka.handlers.delivery.child FD`.
"""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import msgspec
from pydantic import TypeAdapter

from tasker_kafka.handlers.isolation.channel import Channel
from tasker_kafka.handlers.isolation.serving import contained, find, limit_memory, serve
from tasker_kafka.handlers.subscribing.event import DomainEvent
from tasker_kafka.schemas.records import Failure

__all__ = ["Ended", "Order", "main"]


class Order(msgspec.Struct, frozen=True):
    """To the child: call this handler with this event. Places are `module:qualified.name`."""

    handler: str
    model: str | None
    path: list[str]
    memory_mb: int | None
    event: DomainEvent[Any]
    """Its payload as decoded JSON."""


class Ended(msgspec.Struct, frozen=True):
    """To the parent: how it ended."""

    failure: Failure | None


def main() -> None:
    """Serve the parent."""
    serve(Order, _answer)


def _answer(order: Order, _channel: Channel[Order]) -> Ended:
    end = contained(order.memory_mb, lambda: _run(order))
    return Ended(None if end is None else end.failure)


def _run(order: Order) -> None:
    handler = find(order.handler, order.path)
    model = None if order.model is None else TypeAdapter[Any](find(order.model))
    limit_memory(order.memory_mb)
    event = order.event
    if model is not None:
        event = dataclasses.replace(event, payload=model.validate_python(event.payload))
    value = handler(event)
    if hasattr(value, "__await__"):
        asyncio.run(_awaited(value))


async def _awaited(value: Any) -> None:
    await value


if __name__ == "__main__":
    main()
