"""The child process of a subscriber: runs one handler after the other, as its parent asks, until that hangs up.

Started as `python -m tasker_kafka.handlers.delivery.child FD`. Standard output goes to standard error; the socket
`FD` is the only way to the parent. It ends with the parent, however that ends, because the socket closes.
"""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
import os
import signal
import socket
import sys
from collections.abc import Callable
from functools import reduce
from io import BufferedRWPair
from typing import Any, TypeVar

import msgspec
from pydantic import TypeAdapter

from tasker_kafka.handlers.failures import end_of_error
from tasker_kafka.handlers.subscribing.event import DomainEvent
from tasker_kafka.schemas.records import Failure

__all__ = ["Ended", "Order", "Stream", "found", "main", "receive", "send"]

Stream = BufferedRWPair

MessageT = TypeVar("MessageT", bound=msgspec.Struct)


class Order(msgspec.Struct, frozen=True):
    """To the child: call this handler with this event. Places are `module:qualified.name`."""

    handler: str
    model: str | None
    path: list[str]
    event: DomainEvent[Any]
    """Its payload as decoded JSON."""


class Ended(msgspec.Struct, frozen=True):
    """To the parent: how it ended."""

    failure: Failure | None


def main(descriptor: int) -> None:
    """Serve the parent at the other end of this socket."""
    # Ctrl-C in a terminal reaches the whole group; the parent decides about its children.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=descriptor) as connection, connection.makefile("rwb") as stream:
        while (order := receive(stream, Order)) is not None:
            send(stream, Ended(_failure_of(order)))


def send(stream: Stream, message: msgspec.Struct) -> None:
    """Write one message with its length before it (4 bytes), blocking."""
    data = msgspec.msgpack.encode(message)
    stream.write(len(data).to_bytes(4, "big") + data)
    stream.flush()


def receive(stream: Stream, kind: type[MessageT]) -> MessageT | None:
    """Read one message, blocking; None when the other side is gone."""
    try:
        head = stream.read(4)
        data = stream.read(int.from_bytes(head, "big")) if len(head) == 4 else b""
    except ConnectionError:
        return None
    return msgspec.msgpack.decode(data, type=kind) if data else None


def found(place: str) -> Any:
    """What lies at `module:qualified.name`."""
    module, _, name = place.partition(":")
    return reduce(getattr, name.split("."), importlib.import_module(module))


def _failure_of(order: Order) -> Failure | None:
    try:
        sys.path[:] = order.path
        handler = found(order.handler)
        event = order.event
        if order.model is not None:
            payload = TypeAdapter[Any](found(order.model)).validate_python(event.payload)
            event = dataclasses.replace(event, payload=payload)
        _call(handler, event)
    except BaseException as error:
        return end_of_error(error).failure
    return None


def _call(handler: Callable[[DomainEvent[Any]], Any], event: DomainEvent[Any]) -> None:
    value = handler(event)
    if hasattr(value, "__await__"):
        asyncio.run(_awaited(value))


async def _awaited(value: Any) -> None:
    await value


if __name__ == "__main__":
    standard_output = os.dup(2)
    os.dup2(standard_output, 1)
    main(int(sys.argv[1]))
