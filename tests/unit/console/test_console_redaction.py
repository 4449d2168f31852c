"""No secret leaves by any door: a canary in every place that people or programs write to."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import AsyncMock

import msgspec
import pytest

from tasker_kafka.deploy.console.backend import submitting
from tasker_kafka.deploy.console.backend.hiding import hidden
from tasker_kafka.schemas.records import TaskRequest
from tests.support.console_world import ConsoleWorld

pytestmark = pytest.mark.slow

CANARY = "canary-91fd"
SAID = f"password={CANARY}"
"""A secret in free text, as people write it."""
SECRET_CONTEXT = {"total": 500, "password": CANARY, "card": {"api_key": CANARY}, "note": SAID}


async def told_secret(world: ConsoleWorld) -> str:
    """A failed task with a canary in everything that a caller gives, and one in an operator's reason."""
    task_id = await world.submit(
        "held",
        context=SECRET_CONTEXT,
        reason=SAID,
        initiator=SAID,
        source_system=SAID,
        tags=[SAID],
        correlation_id=SAID,
    )
    await world.api.post(f"/tasks/{task_id}/retry", json={"reason": SAID, "actor": "ada"})
    await world.projected()
    result = {"result": {"token": CANARY, "text": SAID}, "reason": SAID}
    await world.api.post(f"/tasks/{task_id}/steps/charge/complete", json=result)
    await world.settled(task_id)
    await world.api.post(
        "/tasks?wait=5", json={"name": "keyed", "namespace": "shop", "idempotency_key": SAID}
    )
    return task_id


async def test_no_get_shows_it(world: ConsoleWorld) -> None:
    task_id = await told_secret(world)
    await world.api.post(
        "/tasks",
        json={"name": "order", "namespace": "shop", "context": {"total": CANARY, "password": CANARY}},
    )
    paths = [
        path.replace("{task_id}", task_id)
        .replace("{namespace}/{name}/{version}", "shop/held/latest")
        .replace("{place}", "0:0")
        .replace("{queue}", "shop")
        .replace("{group}", "none")
        for path, operations in world.app.openapi()["paths"].items()
        if "get" in operations
    ]
    assert len(paths) >= 28
    for path in paths:
        query = (
            "?follow=false"
            if path.endswith("/events")
            else "?at=offset:99999"
            if path.endswith("as-of")
            else ""
        )
        answer = await world.api.get(path + query)
        assert answer.status_code in {200, 404}, (path, answer.text)
        assert CANARY not in answer.text, path


async def test_no_answer_to_a_post_shows_it(world: ConsoleWorld) -> None:
    task_id = await told_secret(world)
    bodies: list[tuple[str, Any]] = [
        ("/tasks", {"name": "order", "namespace": "shop", "context": {"total": CANARY}}),
        ("/tasks", {"name": CANARY and SAID, "namespace": "shop"}),
        (f"/tasks/{task_id}/retry", {"reason": SAID}),
        (f"/tasks/{task_id}/commands", {"action": "set_reason", "text": SAID}),
        ("/tasks/bulk", {"filter": {"text": SAID}, "action": "cancel_task", "reason": SAID}),
        ("/dlq/redrive", {"places": [SAID]}),
    ]
    for path, body in bodies:
        answer = await world.api.post(path, json=body)
        assert answer.status_code < 500, answer.text
        assert CANARY not in answer.text, (path, answer.text)


async def test_no_awaited_output_shows_it() -> None:
    """`POST /tasks?wait=5` tells the output, as GET does: with secrets hidden."""
    handle = AsyncMock(task_id=bytes(16), place=None)
    handle.result.return_value = {"token": CANARY, "note": SAID, "receipt": 7}
    told = await submitting._outcome(handle, TaskRequest(name="order", context=b"{}"), 5.0)
    assert told.output["receipt"] == 7
    assert CANARY not in str(told.output)


async def test_a_search_does_not_find_what_is_hidden(world: ConsoleWorld) -> None:
    await told_secret(world)
    assert (await world.get("/tasks", params={"text": CANARY}))["tasks"] == []


async def test_no_id_becomes_a_label(world: ConsoleWorld) -> None:
    task_id = await told_secret(world)
    async with asyncio.timeout(10):
        while world.backend.reach.store.records_behind is None:  # noqa: ASYNC110 - its watch tells nobody
            await asyncio.sleep(0.05)
    text = (await world.api.get("/metrics")).text
    worker = (await world.get("/workers"))["workers"][0]["worker_id"]
    assert 'tasker_tasks{state="complete"}' in text
    assert "tasker_projection_behind_records" in text
    assert task_id not in text
    assert worker not in text


class Shown(msgspec.Struct, frozen=True):
    message: str
    name: str
    parts: tuple[str, ...] = ()
    below: tuple[Any, ...] = ()


class Tagged(msgspec.Struct, frozen=True):
    tags: tuple[str, ...]


def test_free_texts_are_told_by_their_names_at_any_depth() -> None:
    value = Shown(SAID, SAID, below=(Tagged((SAID, "eu")), [Tagged((SAID,))]))
    shown = hidden(value)
    assert CANARY not in shown.message
    assert shown.name == SAID, "a name is no free text: steps and templates are named"
    assert CANARY not in str(shown.below)
    assert shown.below[0].tags[1] == "eu"
    clean = Shown("fine", "x")
    assert hidden(clean) is clean, "nothing is copied where nothing is hidden"
