"""What worker and child say to each other: MessagePack, each message with its length before it (4 bytes)."""

from __future__ import annotations

import socket
from typing import Any

import msgspec

from tasker_kafka.handlers.calls import StepCall
from tasker_kafka.handlers.results import Completed, Failed
from tasker_kafka.schemas.records import TaskRequest

__all__ = ["Beat", "End", "Message", "Publish", "Published", "Run", "Submit", "Submitted", "receive", "send"]


class Run(msgspec.Struct, frozen=True, tag=True):
    """To the child: run this. `place` is where the handler is imported from."""

    place: str
    path: list[str]
    memory_mb: int | None
    call: StepCall


class Beat(msgspec.Struct, frozen=True, tag=True):
    """From the child: a heartbeat."""

    progress: bytes | None


class Submit(msgspec.Struct, frozen=True, tag=True):
    """From the child: write this request, and answer."""

    request: TaskRequest


class Submitted(msgspec.Struct, frozen=True, tag=True):
    """To the child: the request is acknowledged, or why not."""

    error: str | None


class Publish(msgspec.Struct, frozen=True, tag=True):
    """From the child: take in this event, and answer."""

    name: str
    payload: bytes


class Published(msgspec.Struct, frozen=True, tag=True):
    """To the child: the event is taken in, or why not (`EventError`'s message, code and way out)."""

    error: str | None = None
    code: str = ""
    next_step: str | None = None


class End(msgspec.Struct, frozen=True, tag=True):
    """From the child: how the call ended."""

    end: Completed | Failed


Message = Run | Beat | Submit | Submitted | Publish | Published | End

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(Message)


def send(connection: socket.socket, message: Message) -> None:
    """Write one message, blocking."""
    data = _encoder.encode(message)
    connection.sendall(len(data).to_bytes(4, "big") + data)


def receive(connection: socket.socket) -> Message | None:
    """Read one message, blocking; None when the other side is gone."""
    head = _exactly(connection, 4)
    data = None if head is None else _exactly(connection, int.from_bytes(head, "big"))
    if data is None:
        return None
    found: Message = _decoder.decode(data)
    return found


def _exactly(connection: socket.socket, count: int) -> bytes | None:
    found = bytearray()
    while len(found) < count:
        try:
            part = connection.recv(count - len(found))
        except ConnectionError:
            return None
        if not part:
            return None
        found += part
    return bytes(found)
