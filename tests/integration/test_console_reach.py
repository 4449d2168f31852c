"""The console as people run it, over a real broker that is killed and comes back, and a projector that is killed."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tasker_kafka.topics.brokers.wire import free_port
from tests.support.brokers import OwnBroker
from tests.support.system import System, chain

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

PLAN = chain(2)
PATIENCE = 90.0
POLL_SECONDS = 0.2


@asynccontextmanager
async def running(
    own_broker: OwnBroker, prefix: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[System, httpx.AsyncClient, Any]]:
    """System, client of its console, broker."""
    broker = await asyncio.to_thread(own_broker)
    port = free_port()
    monkeypatch.setenv("TASKER_CONSOLE__PORT", str(port))
    monkeypatch.setenv("TASKER_PROJECTION__URL", str(folder / "projection.sqlite"))
    system = System(broker.bootstrap_servers, prefix, folder)
    try:
        await system.set_up([PLAN])
        system.start_orchestrator(0)
        system.start_worker(0)
        system.start_role("console", ["console"])
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as api:
            await until(lambda: answers(api, "/health/ready", level="ok"), system)
            yield system, api, broker
    finally:
        await system.tear_down()


async def until(condition: Callable[[], Awaitable[bool]], system: System) -> None:
    """Until it holds; what the console has said, if it never does."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not await condition():  # noqa: ASYNC110 - another process tells nobody
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise AssertionError(system.errors_of("console")) from None


async def answers(api: httpx.AsyncClient, path: str, **wanted: Any) -> bool:
    """Whether the console answers there with these values."""
    try:
        said = (await api.get(path)).json()
    except httpx.TransportError:
        return False
    return all(said.get(name) == value for name, value in wanted.items())


async def done(api: httpx.AsyncClient, system: System) -> str:
    """A task that was submitted through the API and is complete in its list."""
    answer = await api.post("/tasks", json={"name": PLAN.name})
    assert answer.status_code == 202, answer.text
    task_id = str(answer.json()["task_id"])
    await until(lambda: listed(api, task_id), system)
    return task_id


async def listed(api: httpx.AsyncClient, task_id: str) -> bool:
    """Whether the list of complete tasks has it."""
    said = (await api.get("/tasks?state=complete")).json()
    return any(each["task_id"] == task_id for each in said["tasks"])


def projector_of(console: int) -> int:
    """Process id of the console's child."""
    (child,) = Path(f"/proc/{console}/task/{console}/children").read_text().split()
    return int(child)


async def test_reads_outlive_the_broker_and_everything_comes_back_by_itself(
    own_broker: OwnBroker, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(own_broker, prefix, tmp_path, monkeypatch) as (system, api, broker):
        task_id = await done(api, system)

        await asyncio.to_thread(broker.kill)
        await until(lambda: answers(api, "/health/ready", level="degraded"), system)
        assert await listed(api, task_id)
        shown = (await api.get(f"/tasks/{task_id}")).json()
        assert (shown["task"]["state"], shown["is_from"]) == ("complete", "projection")
        for refused in (
            await api.post(f"/tasks/{task_id}/cancel"),
            await api.post("/tasks", json={"name": PLAN.name}),
            await api.get("/rejections"),
            await api.get("/dlq"),
        ):
            assert refused.status_code == 503, refused.text
            assert int(refused.headers["Retry-After"]) > 0
            assert refused.json()["type"] == "urn:tasker:problem:broker-away"
        assert (await api.get("/workers")).status_code == 200, "as last known"
        health = (await api.get("/health/status")).json()
        assert health["level"] == "down"
        assert health["tasks"] == {"complete": 1}

        await asyncio.to_thread(broker.restart)
        await until(lambda: answers(api, "/health/ready", level="ok"), system)
        await done(api, system)

        console = system.roles["console"].pid
        killed = projector_of(console)
        os.kill(killed, signal.SIGKILL)
        await done(api, system)
        assert projector_of(console) != killed

        await asyncio.to_thread(stop, system)


def stop(system: System) -> None:
    """SIGTERM ends the console and its child within seconds, cleanly."""
    console = system.roles["console"]
    child = projector_of(console.pid)
    console.terminate()
    assert console.wait(30) == 0
    assert not Path(f"/proc/{child}").exists()
