"""What a wire does to a connection is what its name says, and nothing while the weather is fair."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from tests.faults.wires import HOST, Way, Wire, listeners_of


@asynccontextmanager
async def wired() -> AsyncIterator[tuple[Wire, asyncio.StreamReader, asyncio.StreamWriter, list[bytes]]]:
    """A connection through a wire to a server that gives back what it hears, and tells."""
    heard: list[bytes] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(1024):
                heard.append(data)
                writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, HOST, 0)
    wire = Wire("worker-0")
    try:
        await wire.open(server.sockets[0].getsockname()[1])
        reader, writer = await asyncio.open_connection(HOST, wire.port)
        yield wire, reader, writer, heard
        writer.close()
    finally:
        await wire.close()
        server.close()


async def test_in_fair_weather_everything_goes_through() -> None:
    async with wired() as (wire, reader, writer, heard):
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        assert b"".join(heard) == b"hello"
        assert (wire.held_bytes, wire.delayed_bytes, wire.broken) == (0, 0, 0)


@pytest.mark.parametrize(("way", "arrives"), [(Way.TO_BROKER, False), (Way.TO_ROLE, True)])
async def test_what_is_held_comes_late_and_in_one_direction_only(way: Way, *, arrives: bool) -> None:
    async with wired() as (wire, reader, writer, heard):
        wire.hold(way)
        writer.write(b"hello")
        await wire.holding.wait()
        assert bool(heard) is arrives
        wire.mend()
        assert await reader.readexactly(5) == b"hello"


async def test_new_connections_hear_nothing_either() -> None:
    async with wired() as (wire, _, _, heard):
        wire.hold(*Way)
        reader, writer = await asyncio.open_connection(HOST, wire.port)
        writer.write(b"new")
        await wire.holding.wait()
        assert not heard
        wire.mend()
        assert await reader.readexactly(3) == b"new"
        writer.close()


async def test_a_reset_comes_in_the_middle_of_what_is_said() -> None:
    async with wired() as (wire, reader, writer, heard):
        wire.break_now(random.Random(1))
        writer.write(b"x" * 1000)
        with suppress(ConnectionError):
            assert await reader.read(1000) == b""
        assert wire.broken == 1
        assert sum(map(len, heard)) < 1000


async def test_slow_is_late_and_whole() -> None:
    async with wired() as (wire, reader, writer, _):
        wire.slow(0.001, 1e9)
        writer.write(b"x" * 10_000)
        assert await reader.readexactly(10_000) == b"x" * 10_000
        assert wire.delayed_bytes >= 10_000


def test_every_role_has_a_listener_of_its_own_that_is_advertised_where_its_wire_begins() -> None:
    wire = Wire("worker-0")
    listeners, advertised = listeners_of({"worker-0": wire}, 9092)
    assert listeners == {"WORKER_0": "PLAINTEXT"}
    assert advertised == f"PLAINTEXT://127.0.0.1:9092,WORKER_0://127.0.0.1:{wire.port}"
