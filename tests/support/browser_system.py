"""The system that browser tests look at: an embedded Kafka of its own, and every role as the process that users run.

The projector is a process beside the console, so that a test can end one of them and leave the other.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx
import msgspec

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.identity import format_id, new_request_id
from tasker_kafka.schemas.records import TaskRequest
from tasker_kafka.topics.brokers import EmbeddedBroker
from tasker_kafka.topics.brokers.wire import free_port
from tasker_kafka.topics.log import Write

from . import browser_work as work
from .patience import PATIENCE_SECONDS
from .system import System

__all__ = [
    "CONSOLE",
    "ORCHESTRATOR",
    "PROJECTOR",
    "SUBSCRIBER",
    "WORKER",
    "ConsoleSystem",
    "console_system",
]

CONSOLE: Final = "console"
PROJECTOR: Final = "projector"
ORCHESTRATOR: Final = "orchestrator-0"
WORKER: Final = "worker-0"
SUBSCRIBER: Final = "subscriber"
T = TypeVar("T")
START_SECONDS: Final = 2 * PATIENCE_SECONDS
"""Six processes load their code at once."""
POLL_SECONDS: Final = 0.1


class ConsoleSystem(System):
    """Topics, templates, orchestrator, worker, subscribers, projector and console over one broker."""

    def __init__(self, broker: EmbeddedBroker, prefix: str, folder: Path) -> None:
        super().__init__(broker.bootstrap_servers, prefix, folder)
        self.broker = broker
        self.url = f"http://127.0.0.1:{free_port()}"
        self.switches = folder / "switches"
        self.switches.mkdir()
        self.variables = {
            work.SWITCHES: str(self.switches),
            "TASKER_CONSOLE__PORT": self.url.rpartition(":")[2],
            "TASKER_PROJECTION__URL": f"sqlite:///{folder / 'projection.sqlite'}",
        }

    def start_roles(self) -> None:
        """All of them; they are ready when `wait_ready` returns."""
        self.start_orchestrator(0)
        self.start_worker(0, module=work.__name__)
        self.start_role(SUBSCRIBER, ["subscriber", "-m", work.__name__])
        self.start_role(PROJECTOR, ["projection", "run"])
        self.start_role(CONSOLE, ["console", "--no-projection"])

    async def start_console(self, name: str, variables: Mapping[str, str]) -> str:
        """Start one more console, with these variables beside the system's: its address, once it answers."""
        url, ours = f"http://127.0.0.1:{free_port()}", self.variables
        self.variables = {**ours, "TASKER_CONSOLE__PORT": url.rpartition(":")[2], **variables}
        try:
            self.start_role(name, ["console", "--no-projection"])
        finally:
            self.variables = ours
        await self.wait_ready(url)
        return url

    async def wait_ready(self, url: str | None = None) -> None:
        """Until the console answers, or the one at `url`."""
        until = time.monotonic() + START_SECONDS
        async with httpx.AsyncClient(base_url=url or self.url, timeout=5) as client:
            while True:
                try:
                    if (await client.get("/health/live")).is_success:
                        return
                except httpx.TransportError:
                    pass
                self.check_roles()
                assert time.monotonic() < until, self.errors_of(CONSOLE)
                await asyncio.sleep(POLL_SECONDS)

    async def api(self, path: str) -> Any:
        """What the console's API answers to a GET; AssertionError when it is no success."""
        async with httpx.AsyncClient(base_url=self.url, timeout=10) as client:
            answer = await client.get(path)
        assert answer.is_success, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    async def wait_api(self, path: str, wanted: Callable[[Any], T]) -> T:
        """Ask until `wanted` takes something from the answer: that."""
        until = time.monotonic() + PATIENCE_SECONDS
        while not (found := wanted(answer := await self.api(path))):
            assert time.monotonic() < until, f"{path}: {answer}"
            await asyncio.sleep(POLL_SECONDS)
        return found

    # ------------------------------------------------------------------------------------------ load

    async def request(self, template: str, context: Mapping[str, object] | None = None, **fields: Any) -> str:
        """Ask for a task of a template of `browser_work`: its id, as pages and commands write it."""
        request_id = new_request_id()
        await self.send(
            TaskRequest(
                name=template,
                namespace=work.NAMESPACE,
                context=msgspec.json.encode(context or {}),
                request_id=request_id,
                **fields,
            )
        )
        return format_id(request_id)

    async def send(self, request: TaskRequest) -> None:
        """Write any request, also one that must be rejected; acknowledged when this returns."""
        assert self._outbox is not None
        await self._outbox.write(Write(self.names.task_requests, request.request_id, codec.encode(request)))

    async def wait_state(self, task_id: str, states: Iterable[str]) -> dict[str, Any]:
        """Until the console shows the task in one of these states: the task, as the API gives it."""
        wanted, until = set(states), time.monotonic() + PATIENCE_SECONDS
        async with httpx.AsyncClient(base_url=self.url, timeout=10) as client:
            while True:
                answer = await client.get(f"/tasks/{task_id}")
                if answer.is_success and answer.json()["task"]["state"] in wanted:
                    return dict(answer.json()["task"])
                self.check_roles()
                assert time.monotonic() < until, f"{task_id} is not {wanted}: {answer.text[:2000]}"
                await asyncio.sleep(POLL_SECONDS)

    # -------------------------------------------------------------------------------------- switches

    def switch(self, name: str, *, is_on: bool = True) -> None:
        """Set a switch of `browser_work`."""
        if is_on:
            (self.switches / name).touch()
        else:
            (self.switches / name).unlink(missing_ok=True)

    def booked(self) -> list[int]:
        """The numbers that the subscriber `books` has taken, in order."""
        file = self.switches / "booked"
        return [int(line) for line in file.read_text().split()] if file.exists() else []


@asynccontextmanager
async def console_system(folder: Path, *, prefix: str | None = None) -> AsyncIterator[ConsoleSystem]:
    """A system that answers; everything is stopped at the end. BrokerNotSupported where no broker can run.

    prefix: of its topics; default one that no other system on this host has, since orchestrators share ordinals
    """
    broker = await asyncio.to_thread(EmbeddedBroker.start)
    system = ConsoleSystem(broker, prefix or f"t{uuid.uuid4().hex[:8]}", folder)
    try:
        await system.set_up(work.PLANS)
        system.start_roles()
        await system.wait_ready()
        yield system
    finally:
        await system.tear_down()
        await asyncio.to_thread(broker.stop)
