"""A console over a living system in memory: engine, worker, projection, backend, and a client of its API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx
from fastapi import FastAPI

from tasker_kafka.deploy.console.app import make_app
from tasker_kafka.deploy.console.backend import Backend
from tasker_kafka.deploy.template_files import load_plans
from tasker_kafka.handlers import HandlerRegistry
from tasker_kafka.schemas.identity import parse_id
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.settings import Settings, load_settings
from tasker_kafka.streams.projection import Projector, Reads, Store
from tasker_kafka.topics.declarations import TopicPlan, declarations, declared_for
from tasker_kafka.topics.log import Log, TopicPartition
from tasker_kafka.topics.memory import MemoryCluster, MemoryLog
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.plans import publish
from tasker_kafka.topics.provision import create, publish_schemas
from tests.support import shop_handlers
from tests.support.living_log import LivingLog

__all__ = ["PARTITIONS", "TOKENS", "TOKEN_SETTINGS", "ConsoleWorld", "bearer", "console_world", "stream"]

PARTITIONS = 2
TEMPLATES = (
    shop_handlers.TEMPLATES
    + """
---
name: held
namespace: shop
lifecycle: {on_blocked: wait}
steps:
  - name: reserve
    handler: {callable: shop.reserve}
  - name: charge
    handler: {callable: shop.charge}
    dependencies: [reserve]
    retry: {retryable: false}
  - name: after
    handler: {callable: shop.reserve}
    dependencies: [charge]
---
name: keyed
namespace: shop
identity: caller_provided
steps:
  - name: reserve
    handler: {callable: shop.reserve}
"""
)
TOKENS = {"READ_TOKEN": "r-4e1b", "OPERATE_TOKEN": "o-8c2d", "ADMIN_TOKEN": "a-77f0"}
TOKEN_SETTINGS = "rita:read:env:READ_TOKEN,otto:operate:env:OPERATE_TOKEN,ada:admin:env:ADMIN_TOKEN"
PATIENCE = 90.0


class ConsoleWorld:
    """What a test needs of it. `api` is a client of the application, in process."""

    def __init__(
        self, cluster: MemoryCluster, log: Log, store: Store, backend: Backend, app: FastAPI
    ) -> None:
        self.cluster = cluster
        self.names = TopicNames()
        self.log = log
        self.store = store
        self.backend = backend
        self.app = app
        self.moved = asyncio.Event()
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        self.api = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")

    async def get(self, path: str, **options: Any) -> Any:
        """The JSON of an answer that must be 200."""
        answer = await self.api.get(path, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def submit(self, template: str = "order", **body: Any) -> str:
        """A task that intake has accepted and that has come to rest: its id."""
        body = {"name": template, "namespace": "shop", "context": {"total": 5}, **body}
        answer = await self.api.post("/tasks", json=body)
        assert answer.status_code == 202, answer.text
        task_id = str(answer.json()["task_id"])
        await self.settled(task_id)
        return task_id

    async def failed(self) -> str:
        """The id of a task whose payment has failed, waiting for an operator."""
        return await self.submit("held", context={"total": 500})

    async def settled(self, task_id: str) -> None:
        """Until the projection shows the task at rest: closed, blocked, or with nothing that a worker takes."""
        while True:
            self.moved.clear()
            row = await Reads(self.store).task(parse_id(task_id))
            if row is not None and (row.closed_at is not None or row.state == "blocked_by_failures"):
                return
            if row is not None and row.state == "waiting_for_retry":
                return  # given back by a worker that does not know the handler
            async with asyncio.timeout(PATIENCE):
                await self.moved.wait()

    async def reached(self, task_id: str, state: str) -> None:
        """Until the projection shows the task in this state."""
        while True:
            self.moved.clear()
            row = await Reads(self.store).task(parse_id(task_id))
            if row is not None and row.state == state:
                return
            async with asyncio.timeout(PATIENCE):
                await self.moved.wait()

    async def projected(self) -> None:
        """Until everything that is in the log now is in the store."""
        places = [TopicPartition(self.names.transitions, number) for number in range(PARTITIONS)]
        ends = {each.partition: await self.log.end_offset(each) for each in places}
        while True:
            self.moved.clear()
            rows = await Reads(self.store).positions()
            at = {each.partition: each.next_offset for each in rows if each.topic == self.names.transitions}
            if all(at.get(number, 0) >= end for number, end in ends.items()):
                return
            async with asyncio.timeout(PATIENCE):
                await self.moved.wait()


@asynccontextmanager
async def console_world(
    folder: Path,
    *,
    plans: Sequence[Plan] = (),
    environ: Mapping[str, str] | None = None,
    is_living: bool = True,
) -> AsyncIterator[ConsoleWorld]:
    """A console at work. environ: variables of settings and tokens; is_living: with engine and worker."""
    variables = {"TASKER_BROKER": "memory:1", **(environ or {})}
    settings = load_settings(environ=variables)
    cluster = MemoryCluster()
    async with AsyncExitStack() as opened:
        log = MemoryLog(cluster)
        opened.push_async_callback(log.close)
        await _provide(log, settings, folder, plans)
        if is_living:
            registry = HandlerRegistry()
            registry.load(shop_handlers.__name__)
            living = LivingLog(cluster, registry, ["shop"], {})
            await living.start()
            opened.push_async_callback(living.close)
        store = Store.open(folder / "projection.sqlite", prefix=settings.prefix, create=True)
        opened.callback(store.close)
        backend = Backend.open(settings, lambda: MemoryLog(cluster), folder / "projection.sqlite")
        app = make_app(backend, settings, with_pages=False, environ=variables)
        world = ConsoleWorld(cluster, log, store, backend, app)
        projector = Projector(log, world.names, store, on_progress=lambda _: world.moved.set())
        running = asyncio.create_task(projector.run())
        opened.push_async_callback(_end, projector, running)
        await opened.enter_async_context(backend)
        opened.push_async_callback(world.api.aclose)
        yield world


async def _provide(log: Log, settings: Settings, folder: Path, plans: Sequence[Plan]) -> None:
    names = TopicNames(settings.prefix)
    file = folder / "templates.yaml"
    file.write_text(TEMPLATES)
    known = [*(plan for each in load_plans([file], settings).values() for plan in each), *plans]
    queues, namespaces = declared_for(known)
    declared = declarations(names, TopicPlan(partitions=PARTITIONS), queues=queues, namespaces=namespaces)
    await create(log.admin(), declared)
    await publish_schemas(log, names)
    await publish(log, names, known)


async def _end(projector: Projector, running: asyncio.Task[None]) -> None:
    await projector.stop()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def bearer(token: str) -> dict[str, str]:
    """The header of a token."""
    return {"Authorization": f"Bearer {token}"}


@asynccontextmanager
async def stream(
    app: FastAPI, path: str, headers: Mapping[str, str] | None = None
) -> AsyncIterator[AsyncGenerator[dict[str, Any], None]]:
    """The server-sent events of a path as they come: dictionaries with id and data. Closed by leaving the block."""
    sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    gone = asyncio.Event()
    asked = {"host": "127.0.0.1", **(headers or {})}

    said = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> dict[str, Any]:
        if (request := next(said, None)) is not None:
            return request
        await gone.wait()
        return {"type": "http.disconnect"}

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path.partition("?")[0],
        "raw_path": path.encode(),
        "query_string": path.partition("?")[2].encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in asked.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    serving = asyncio.create_task(app(scope, receive, cast("Any", sent.put)))
    try:
        start = await sent.get()
        assert start["status"] == 200, start
        yield _events(sent)
    finally:
        gone.set()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def _events(sent: asyncio.Queue[dict[str, Any]]) -> AsyncGenerator[dict[str, Any], None]:
    text = ""
    while True:
        async with asyncio.timeout(PATIENCE):
            message = await sent.get()
        text += message.get("body", b"").decode()
        *whole, text = text.replace("\r\n", "\n").split("\n\n")
        for each in whole:
            fields = dict(line.partition(": ")[::2] for line in each.splitlines())
            if "data" in fields:
                yield {"id": int(fields["id"]), "data": json.loads(fields["data"])}
        if not message.get("more_body", False):
            return
