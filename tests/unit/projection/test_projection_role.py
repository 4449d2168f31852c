"""The role's process: a signal ends it wherever it is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tasker_kafka.deploy import projecting
from tasker_kafka.schemas.settings import load_settings
from tasker_kafka.topics.memory import MemoryCluster, MemoryLog


async def test_told_to_stop_while_the_broker_is_being_reached_it_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stops: list[Callable[[], Awaitable[None]]] = []
    monkeypatch.setattr(projecting, "on_stop_signal", stops.append)

    class Slow(MemoryLog):
        async def start(self) -> None:
            await super().start()
            await stops[0]()

    environ = {"TASKER_BROKER": "memory:1", "TASKER_PROJECTION__URL": str(tmp_path / "p.sqlite")}
    settings = load_settings(environ=environ)
    async with asyncio.timeout(5):
        await projecting._project(
            lambda: Slow(MemoryCluster()), settings, projecting.projector_settings(settings)
        )
