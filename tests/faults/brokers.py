"""The broker under test, one node or three, and what its faults prove about themselves."""

from __future__ import annotations

import asyncio
import resource
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

from tasker_kafka.topics.brokers import EmbeddedBroker, EmbeddedCluster
from tasker_kafka.topics.brokers.wire import answering_nodes, free_port
from tests.faults.wires import Wire, listeners_of, open_wires

__all__ = ["Brokers", "open_brokers"]

HOST: Final = "127.0.0.1"
POLL_SECONDS: Final = 0.05
ENDS_SECONDS: Final = 40.0


class Brokers(Protocol):
    """What can be done to the broker. Each returns the proof."""

    bootstrap: str
    replication: int

    async def kill(self, down_seconds: float, node: int | None = None) -> dict[str, object]:
        """kill −9, wait, start again; `node` of three."""
        ...

    async def pause(self, seconds: float) -> dict[str, object]:
        """SIGSTOP, wait, SIGCONT."""
        ...

    async def fill(self, down_seconds: float) -> dict[str, object]:
        """Let it find its disk full, wait for its end and some seconds more, start it again with room."""
        ...

    async def connect(self) -> None:
        """Let the wires carry."""
        ...

    def close(self) -> None:
        """End it."""
        ...


class OneBroker:
    """A single embedded broker."""

    replication = 1

    def __init__(self, folder: Path, wires: Mapping[str, Wire]) -> None:
        port = free_port()
        listeners, advertised = listeners_of(wires, port)
        self._broker = EmbeddedBroker.start(
            data_dir=folder / "broker",
            port=port,
            listeners=listeners,
            settings={"advertised.listeners": advertised},
        )
        self._wires = wires
        self.bootstrap = self._broker.bootstrap_servers

    async def kill(self, down_seconds: float, node: int | None = None) -> dict[str, object]:
        """kill −9; connections are refused until it is back."""
        pid, begun = self._broker.pid, time.monotonic()
        await asyncio.to_thread(self._broker.kill)
        refused = is_refused(self._broker.port)
        await asyncio.sleep(down_seconds)
        await asyncio.to_thread(self._broker.restart)
        down = round(time.monotonic() - begun, 2)
        return {
            "bit": refused and self._broker.pid != pid,
            "pid": pid,
            "new_pid": self._broker.pid,
            "refused_for_seconds": down,
        }

    async def pause(self, seconds: float) -> dict[str, object]:
        """SIGSTOP; nobody answers until it goes on."""
        return await pause(self._broker, seconds)

    async def fill(self, down_seconds: float) -> dict[str, object]:
        """No file of it may become larger than a commands partition is now: its next write is cut off.

        To the process that is as a disk without room (EFBIG for ENOSPC); a limit ends with the process that has it.
        """
        pid, begun = self._broker.pid, time.monotonic()
        segments = self._broker.node.log_dir.glob("*.commands.v1-*/*.log")
        limit = max(each.stat().st_size for each in segments)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        with suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self._broker.running().process.wait, ENDS_SECONDS)
        has_ended = not self._broker.is_running
        await asyncio.sleep(down_seconds)
        await asyncio.to_thread(self._broker.restart)
        return {
            "bit": has_ended and self._broker.pid != pid,
            "pid": pid,
            "new_pid": self._broker.pid,
            "limit_bytes": limit,
            "down_seconds": round(time.monotonic() - begun, 2),
        }

    async def connect(self) -> None:
        """Let the wires carry."""
        await open_wires(self._wires, self._broker)

    def close(self) -> None:
        """End it."""
        self._broker.stop()


class ThreeBrokers:
    """Three nodes, replication 3, two in-sync replicas needed."""

    replication = 3

    def __init__(self, folder: Path) -> None:
        self.cluster = EmbeddedCluster.start(data_dir=folder / "cluster")
        self.bootstrap = self.cluster.bootstrap_servers

    async def kill(self, down_seconds: float, node: int | None = None) -> dict[str, object]:
        """kill −9 of one node; the others list two until it is back."""
        number = node or 1
        broker = self.cluster.nodes[number]
        pid, begun = broker.pid, time.monotonic()
        await asyncio.to_thread(self.cluster.kill, number)
        others = [other for other in self.cluster.nodes if other != number]
        noticed = await self._until_listed(set(others), 20.0)
        await asyncio.sleep(down_seconds)
        await asyncio.to_thread(self.cluster.restart, number)
        down = round(time.monotonic() - begun, 2)
        return {"bit": noticed, "node": number, "pid": pid, "new_pid": broker.pid, "down_seconds": down}

    async def pause(self, seconds: float) -> dict[str, object]:
        """SIGSTOP of one node."""
        return await pause(self.cluster.nodes[2], seconds)

    async def _until_listed(self, wanted: set[int], seconds: float) -> bool:
        """Wait until the cluster lists exactly these nodes."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if await asyncio.to_thread(self.cluster.live_nodes) == wanted:
                return True
            await asyncio.sleep(POLL_SECONDS)
        return False

    async def fill(self, down_seconds: float) -> dict[str, object]:
        """Not for three."""
        raise NotImplementedError

    async def connect(self) -> None:
        """Nothing: there are no wires to three nodes."""

    def close(self) -> None:
        """End them."""
        self.cluster.stop()


@contextmanager
def open_brokers(folder: Path, wires: Mapping[str, Wire], *, cluster: bool) -> Iterator[Brokers]:
    """One broker, with a listener for each wire, or three; ended at the end of the block."""
    brokers = ThreeBrokers(folder) if cluster else OneBroker(folder, wires)
    try:
        yield brokers
    finally:
        brokers.close()


async def pause(broker: EmbeddedBroker, seconds: float) -> dict[str, object]:
    """Stop a node for so long; it listens and does not answer."""
    begun = time.monotonic()
    broker.pause()
    try:
        is_silent = not await asyncio.to_thread(answering_nodes, HOST, broker.port)
        await asyncio.sleep(max(0.0, seconds - (time.monotonic() - begun)))
    finally:
        broker.resume()
    return {"bit": is_silent, "pid": broker.pid, "silent_for_seconds": round(time.monotonic() - begun, 2)}


def is_refused(port: int) -> bool:
    """Whether nobody listens on the loopback port."""
    with socket.socket() as client:
        return client.connect_ex((HOST, port)) != 0
