"""How a parent and its child process talk: MessagePack, each message with its length before it (4 bytes)."""

from __future__ import annotations

import socket
from typing import Any, Generic, TypeVar

import msgspec

__all__ = ["Channel"]

MessageT = TypeVar("MessageT")


class Channel(Generic[MessageT]):
    """One end of the socket. All calls block; `kind` is what the other end sends, a type or a union of types."""

    def __init__(self, connection: socket.socket, kind: Any) -> None:
        self._connection = connection
        self._decoder: msgspec.msgpack.Decoder[MessageT] = msgspec.msgpack.Decoder(kind)

    def send(self, message: msgspec.Struct) -> None:
        """Write one message. OSError when the other end is gone."""
        data = msgspec.msgpack.encode(message)
        self._connection.sendall(len(data).to_bytes(4, "big") + data)

    def receive(self) -> MessageT | None:
        """Read one message; None when the other end is gone."""
        head = self._exactly(4)
        data = None if head is None else self._exactly(int.from_bytes(head, "big"))
        return None if data is None else self._decoder.decode(data)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def _exactly(self, count: int) -> bytes | None:
        found = bytearray()
        while len(found) < count:
            try:
                part = self._connection.recv(count - len(found))
            except ConnectionError:
                return None
            if not part:
                return None
            found += part
        return bytes(found)
