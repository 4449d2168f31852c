"""A thousand scrapes cost what one costs: health and metrics are gathered once for all who ask within a second."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import event

from tasker_kafka.deploy.console.backend.sharing import Shared
from tasker_kafka.deploy.reading import list_workers
from tests.support.console_world import ConsoleWorld


class Work:
    """Answers a number, when it is let; fails when it is told."""

    def __init__(self) -> None:
        self.calls = 0
        self.gate = asyncio.Event()
        self.fails = False

    async def __call__(self) -> int:
        self.calls += 1
        number = self.calls
        await self.gate.wait()
        if self.fails:
            raise ValueError("no")
        return number


async def test_all_who_ask_meanwhile_wait_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Work()
    shared = Shared(work, 60)
    asking = [asyncio.create_task(shared.get()) for _ in range(50)]
    await asyncio.sleep(0)
    asking[0].cancel()
    await asyncio.wait(asking[:1])
    work.gate.set()
    assert await asyncio.gather(*asking[1:]) == [1] * 49, "who stops waiting stops nobody else"
    assert (await shared.get(), work.calls) == (1, 1)
    later = asyncio.get_running_loop().time() + 60
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: later)
    assert await shared.get() == 2


async def test_a_failure_is_told_to_all_and_not_kept() -> None:
    work = Work()
    work.fails = True
    shared = Shared(work, 60)
    asking = [asyncio.create_task(shared.get()) for _ in range(3)]
    await asyncio.sleep(0)
    work.gate.set()
    assert [type(each) for each in await asyncio.gather(*asking, return_exceptions=True)] == [ValueError] * 3
    work.fails = False
    assert await shared.get() == 2


async def test_closing_ends_it() -> None:
    work = Work()
    shared = Shared(work, 60)
    asking = asyncio.create_task(shared.get())
    await asyncio.sleep(0)
    await shared.close()
    with pytest.raises(asyncio.CancelledError):
        await asking


@pytest.mark.slow
async def test_a_thousand_scrapes_cost_what_one_costs(
    world: ConsoleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.submit()
    reads = world.backend.reach.reads
    assert reads is not None
    statements: list[str] = []
    scans: list[object] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("SELECT") and "FROM position" not in statement:  # the watch over the store
            statements.append(statement)

    async def counted(*given: Any) -> Any:
        scans.append(given)
        return await list_workers(*given)

    monkeypatch.setattr("tasker_kafka.deploy.console.backend.roster.list_workers", counted)
    monkeypatch.setattr(world.backend._overview, "_kept_seconds", 600.0)
    event.listen(reads.store.engine, "before_cursor_execute", note)
    try:
        paths = ["/metrics", "/health/status"] * 500
        answers = await asyncio.gather(*(world.api.get(each) for each in paths))
    finally:
        event.remove(reads.store.engine, "before_cursor_execute", note)
    assert {each.status_code for each in answers} == {200}
    assert 'tasker_tasks{state="complete"} 1.0' in answers[-2].text
    assert answers[-1].json()["tasks"] == {"complete": 1}
    assert len(statements) == len(set(statements)) == 4, statements
    assert len(scans) == 1
