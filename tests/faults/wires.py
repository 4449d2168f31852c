"""The networks between roles and broker: each role has one of its own, which can be silent, slow, or break.

The broker has a listener for every role, and says of each that it is where the role's wire begins: so all that a role
and the broker say to each other goes through its wire, and nothing else does. What is held back is delivered late, as
by a network that comes back, to whoever is still there.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import Final

from tasker_kafka.topics.brokers import EmbeddedBroker

__all__ = ["Way", "Wire", "listeners_of", "open_wires"]

HOST: Final = "127.0.0.1"
_CHUNK: Final = 64 * 1024


class Way(StrEnum):
    """In which direction bytes go."""

    TO_BROKER = "to the broker"
    TO_ROLE = "to the role"


class Wire:
    """One role's network. It is there from the beginning (`port`), and carries from `open` to `close`."""

    def __init__(self, role: str) -> None:
        self.role = role
        self.holding = asyncio.Event()
        """Set while something waits."""
        self.held_bytes = 0
        """What had to wait."""
        self.delayed_bytes = 0
        """What took longer."""
        self.broken = 0
        """Connections that were reset."""
        self._socket = socket.create_server((HOST, 0), backlog=64)
        self._target = 0
        self._server: asyncio.Server | None = None
        self._flowing = {way: asyncio.Event() for way in Way}
        self._latency = 0.0
        self._bytes_per_second = float("inf")
        self._breaking: random.Random | None = None
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.mend()

    @property
    def port(self) -> int:
        """Where the role connects to."""
        found: int = self._socket.getsockname()[1]
        return found

    async def open(self, target: int) -> None:
        """Carry to this port of the loopback."""
        self._target = target
        self._server = await asyncio.start_server(self._accepted, sock=self._socket)

    async def close(self) -> None:
        """End every connection."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._socket.close()

    # ------------------------------------------------------------------------------------------ weather

    def hold(self, *ways: Way) -> None:
        """Deliver nothing more in these directions, of new connections neither; nobody is told."""
        for way in ways:
            self._flowing[way].clear()

    def slow(self, latency_seconds: float, bytes_per_second: float) -> None:
        """Every delivery takes so long, and longer the larger it is."""
        self._latency, self._bytes_per_second = latency_seconds, bytes_per_second

    def break_now(self, dice: random.Random) -> None:
        """Reset every connection in the middle of what it carries next."""
        self._breaking = dice

    def mend(self) -> None:
        """Carry everything again, what was held first."""
        self._latency, self._bytes_per_second, self._breaking = 0.0, float("inf"), None
        self.holding.clear()
        for flowing in self._flowing.values():
            flowing.set()

    # ------------------------------------------------------------------------------------------ carrying

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(OSError):
                await self._carry(reader, writer)
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(HOST, self._target)
        ends = writer, far_writer
        pumps = [
            asyncio.create_task(self._pump(reader, far_writer, Way.TO_BROKER, ends)),
            asyncio.create_task(self._pump(far_reader, writer, Way.TO_ROLE, ends)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            # The other direction may still have something to say: what was held is not lost by a close.
            await asyncio.wait(pumps, timeout=1.0)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            far_writer.transport.abort()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        way: Way,
        ends: Sequence[asyncio.StreamWriter],
    ) -> None:
        while data := await reader.read(_CHUNK):
            if self._latency:
                self.delayed_bytes += len(data)
                await asyncio.sleep(self._latency + len(data) / self._bytes_per_second)
            if not self._flowing[way].is_set():
                self.held_bytes += len(data)
                self.holding.set()
                await self._flowing[way].wait()
            if self._breaking is not None:
                writer.write(data[: self._breaking.randrange(len(data))])
                self.broken += 1
                for end in ends:
                    end.transport.abort()
                return
            writer.write(data)
            await writer.drain()


def listeners_of(wires: Mapping[str, Wire], port: int) -> tuple[dict[str, str], str]:
    """The broker's further listeners, and what it must advertise when its own port is this one."""
    listeners = {_listener(name): "PLAINTEXT" for name in wires}
    ways = [f"PLAINTEXT://{HOST}:{port}"]
    ways += [f"{_listener(name)}://{HOST}:{wire.port}" for name, wire in wires.items()]
    return listeners, ",".join(ways)


async def open_wires(wires: Mapping[str, Wire], broker: EmbeddedBroker) -> None:
    """Connect each to its listener."""
    for name, wire in wires.items():
        await wire.open(int(broker.listener_address(_listener(name)).rpartition(":")[2]))


def _listener(role: str) -> str:
    return role.replace("-", "_").upper()
