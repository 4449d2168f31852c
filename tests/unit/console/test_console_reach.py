"""What is said and done while broker or projection are away, and that both come back by themselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import pytest
from fastapi import FastAPI

from tasker_kafka.deploy.console.app import make_app
from tasker_kafka.deploy.console.backend import Backend, broker, reach
from tasker_kafka.schemas.errors import BrokerUnavailable
from tasker_kafka.schemas.identity import parse_id
from tasker_kafka.schemas.settings import load_settings
from tasker_kafka.schemas.words import OperatorAction
from tasker_kafka.streams.projection import Store, StoreUnavailable, TaskQuery
from tasker_kafka.topics.log import Log, TopicPartition
from tasker_kafka.topics.memory import MemoryCluster, MemoryLog
from tests.support.console_world import ConsoleWorld, console_world

pytestmark = pytest.mark.slow

PATIENCE = 20.0


class Breakable:
    """A broker and a store that can go away. Give its methods to a backend."""

    def __init__(self, cluster: MemoryCluster, path: Path) -> None:
        self.cluster, self.path = cluster, path
        self.has_broker = True
        self.has_store = True
        self.opened: list[MemoryLog] = []

    def connect(self) -> Log:
        outer = self

        class Away(MemoryLog):
            async def start(self) -> None:
                outer.check()
                await super().start()

            async def end_offset(self, partition: TopicPartition, **options: Any) -> int:
                outer.check()
                return await super().end_offset(partition, **options)

        log = Away(self.cluster)
        self.opened.append(log)
        return log

    def open_store(self) -> Store:
        if not self.has_store:
            raise StoreUnavailable("the database is being restarted")
        return Store.open(self.path, prefix="tasker")

    def check(self) -> None:
        if not self.has_broker:
            raise BrokerUnavailable("nobody listens at memory:1")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks often, and gives a lost connection up soon."""
    monkeypatch.setattr(broker, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(broker, "REOPEN_SECONDS", 0.2)
    monkeypatch.setattr(reach, "LOOK_SECONDS", 0.02)


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[tuple[ConsoleWorld, Breakable, Backend]]:
    """A world, and a second backend on it whose surroundings can break."""
    async with console_world(tmp_path) as world:
        around = Breakable(world.cluster, tmp_path / "projection.sqlite")
        async with Backend(load_settings(environ={}), around.connect, around.open_store) as backend:
            yield world, around, backend


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - the watch tells nobody
            await asyncio.sleep(0.01)


async def test_reads_go_on_without_the_broker_and_it_comes_back(
    parts: tuple[ConsoleWorld, Breakable, Backend],
) -> None:
    world, around, backend = parts
    task_id = parse_id(await world.failed())
    around.has_broker = False
    await until(lambda: not backend.reach.broker.is_reachable)
    details = await backend.task(task_id)
    assert (details.is_from, details.report.state) == ("projection", "blocked_by_failures")
    assert any("workers" in each for each in details.notes)
    assert await backend.templates(), "templates are as they were last known"
    known = [each.worker_id for each in await backend.workers()]
    around.has_store = False
    await backend.reach._close()
    await until(lambda: not backend.reach.store.is_readable)
    with pytest.raises(BrokerUnavailable, match="nobody listens"):
        await backend.workers()
    around.has_store = True
    await until(lambda: backend.reach.store.is_readable)
    # Nobody can say how far it is behind; broker and projection are looked after one beside the other.
    await until(lambda: backend.reach.store.seconds_behind is None)
    opened = len(around.opened)
    await until(lambda: len(around.opened) > opened + 2)
    around.has_broker = True
    await until(lambda: backend.reach.broker.is_reachable)
    assert [each.worker_id for each in await backend.workers()] == known
    assert known
    outcome = await backend.operate(task_id, OperatorAction.CANCEL_TASK, actor="ada", reason="", wait=10)
    assert outcome.code == "accepted"


async def test_what_is_under_way_does_not_outwait_the_broker(
    parts: tuple[ConsoleWorld, Breakable, Backend],
) -> None:
    _, around, backend = parts
    begun = asyncio.Event()

    async def never(_: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    doing = asyncio.create_task(backend.broker.use(never))
    await begun.wait()
    around.has_broker = False
    with pytest.raises(BrokerUnavailable, match="same id"):
        async with asyncio.timeout(PATIENCE):
            await doing


async def test_single_tasks_are_read_from_the_log_without_the_store_and_it_comes_back(
    parts: tuple[ConsoleWorld, Breakable, Backend],
) -> None:
    world, around, backend = parts
    task_id = parse_id(await world.submit())
    around.has_store = False
    await backend.reach._close()
    await until(lambda: not backend.reach.store.is_readable)
    assert "being restarted" in (backend.reach.store.error or "")
    assert (await backend.task(task_id)).is_from == "log"
    with pytest.raises(StoreUnavailable):
        await backend.counts(TaskQuery())
    report = await backend.health()
    assert report.level == "down"
    assert {each.name: each.level for each in report.components}["projection"] == "down"
    around.has_store = True
    await until(lambda: backend.reach.store.is_readable)
    assert (await backend.task(task_id)).is_from == "projection"


async def test_a_projection_that_is_far_behind_is_passed_over(
    parts: tuple[ConsoleWorld, Breakable, Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, _, backend = parts
    task_id = parse_id(await world.submit())
    await until(lambda: backend.reach.store.seconds_behind == 0)
    with world.store.writing() as connection:
        connection.exec_driver_sql("UPDATE position SET next_offset = 1, record_at = record_at - 60000")
    await until(lambda: (backend.reach.store.seconds_behind or 0) > 10)
    assert (backend.reach.store.records_behind or 0) > 0
    assert (await backend.task(task_id)).is_from == "log"
    assert {each.name: each.level for each in (await backend.health()).components}["projection"] == "degraded"


async def test_it_opens_with_nothing_there_at_all(tmp_path: Path) -> None:
    around = Breakable(MemoryCluster(), tmp_path / "nothing.sqlite")
    around.has_broker = around.has_store = False
    settings = load_settings(environ={})
    async with Backend(settings, around.connect, around.open_store) as backend:
        assert not backend.reach.broker.is_reachable
        assert not backend.reach.store.is_readable
        world = ConsoleWorld(
            around.cluster, MemoryLog(around.cluster), cast("Any", None), backend, _app(backend)
        )
        assert (await world.api.get("/health/live")).status_code == 200
        assert (await world.api.get("/health/ready")).status_code == 503
        for path in ("/tasks", "/templates", "/workers", "/tasks/0197f3c8-7a1e-7c3b-9d7e-2f1a5b6c7d8e"):
            answer = await world.api.get(path)
            assert (answer.status_code, "Retry-After" in answer.headers) == (503, True), answer.text
        assert (await world.api.get("/metrics")).status_code == 200
        assert (await world.get("/health/status"))["level"] == "down"
        await world.api.aclose()


def _app(backend: Backend) -> FastAPI:
    return make_app(backend, backend.settings, with_pages=False, environ={})
