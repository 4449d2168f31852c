"""What a request costs the database does not depend on how large a task is, or how long a list."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from tasker_kafka.schemas.template import Template
from tests.support.console_world import ConsoleWorld, console_world

pytestmark = pytest.mark.slow


def wide(steps: int) -> Template:
    """One step, and the others after it, of a handler that the world's worker has."""
    template = Template(f"wide_{steps}", namespace="shop", version="1.0.0").step("s0", handler="shop.reserve")
    for number in range(1, steps):
        template = template.step(f"s{number}", handler="shop.reserve", depends_on=[f"s{number // 2}"])
    return template


async def statements(world: ConsoleWorld, path: str) -> list[str]:
    """What a request makes the backend ask, the watch over the store left out."""
    store = world.backend.reach.reads
    assert store is not None
    texts: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        texts.append(statement)

    engine = store.store.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        answer = await world.api.get(path)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert answer.status_code == 200, answer.text
    watch = ("PRAGMA", "BEGIN", "SET")
    asked = [each for each in texts if not each.startswith(watch)]
    return [each for each in asked if "position" not in each.split("FROM")[-1] or "JOIN" in each]


@pytest.mark.parametrize(
    ("rest", "most"),
    [
        ("", 4),
        ("/steps", 4),
        ("/transitions", 4),
        ("/graph", 4),
        ("/graph?format=mermaid", 4),
        ("/domain-events", 4),
        ("/as-of?at=2099-01-01T00:00:00Z", 3),
        ("/as-of?at=offset:100000", 3),
        ("/events?follow=false", 3),
    ],
)
async def test_one_step_and_a_thousand_cost_the_same(
    tmp_path: Path, rest: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = [wide(1).compile(), wide(1_000).compile()]
    async with console_world(tmp_path, plans=plans) as world:
        small = await world.submit("wide_1", context={})
        large = await world.submit(
            "wide_1000", context={}, bypass_steps=[f"s{each}" for each in range(1, 1_000)]
        )
        monkeypatch.setattr(world.backend._roster._workers, "_kept_seconds", 600.0)
        await world.backend.workers()  # read once for all who ask
        asked: list[object] = []
        monkeypatch.setattr(world.backend.broker, "use", partial(_counted, asked, world.backend.broker.use))
        costs = set()
        for each in (small, large):
            asked.clear()
            costs.add((len(await statements(world, f"/tasks/{each}{rest}")), len(asked)))
    ((of_store, of_log),) = costs
    assert 1 <= of_store <= most
    assert of_log == 0, "everything is in the projection"


async def _counted(asked: list[object], use: Callable[[Any], Awaitable[Any]], work: Any) -> Any:
    """A question to the log, noted."""
    asked.append(work)
    return await use(work)


async def test_a_list_costs_the_same_however_long_it_is(world: ConsoleWorld) -> None:
    await world.submit(tags=["a", "b"])
    few = len(await statements(world, "/tasks?with_counts=true"))
    for _ in range(6):
        await world.submit(tags=["a", "b"])
    assert len((await world.get("/tasks"))["tasks"]) == 7
    assert len(await statements(world, "/tasks?with_counts=true")) == few == 2
    assert len(await statements(world, "/tasks?tag=a&text=5&state=complete")) == 1
