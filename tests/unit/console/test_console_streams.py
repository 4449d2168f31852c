"""Server-sent events: whoever comes again with the last id loses nothing and gets nothing twice."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from tasker_kafka.schemas.identity import parse_id
from tasker_kafka.streams.projection import Reads, StoredHistory
from tasker_kafka.topics.history import AcceptedRecord
from tests.support.console_world import ConsoleWorld, stream

pytestmark = pytest.mark.slow


async def test_a_finished_task_is_told_whole_and_the_stream_ends(world: ConsoleWorld) -> None:
    task_id = await world.submit()
    async with stream(world.app, f"/tasks/{task_id}/events") as events:
        told = [each async for each in events]
    assert [each["data"]["seq"] for each in told] == [1, 2, 3]
    assert [each["id"] for each in told] == [each["data"]["offset"] for each in told]
    assert [each["data"]["is_final"] for each in told] == [False, False, True]
    again = await world.api.get(f"/tasks/{task_id}/events", headers={"Last-Event-ID": str(told[-1]["id"])})
    assert again.status_code == 204, "an EventSource comes again after any other end"


async def test_resumed_at_every_place_it_is_the_same_stream(world: ConsoleWorld) -> None:
    task_id = await world.submit()
    path = f"/tasks/{task_id}/events"
    async with stream(world.app, path) as events:
        whole = [each async for each in events]
    for place, each in enumerate(whole[:-1]):
        async with stream(world.app, path, {"Last-Event-ID": str(each["id"])}) as events:
            assert [later async for later in events] == whole[place + 1 :]


async def test_what_happens_meanwhile_comes_once_over_breaks(world: ConsoleWorld) -> None:
    """The reader breaks off after each event and comes again, while operators go on."""
    task_id = await world.failed()
    seen: list[int] = []
    last: int | None = None
    commands = [("retry", 200), ("retry", 200), ("cancel", 200)]
    is_final = False
    while not is_final:
        headers = {} if last is None else {"Last-Event-ID": str(last)}
        async with stream(world.app, f"/tasks/{task_id}/events", headers) as events:
            event = await anext(events)
        seen.append(event["data"]["seq"])
        last, is_final = event["id"], event["data"]["is_final"]
        if seen[-1] in {3, 5, 7} and commands:
            action, status = commands.pop(0)
            answer = await world.api.post(f"/tasks/{task_id}/{action}")
            assert answer.status_code == status, answer.text
    assert seen == list(range(1, len(seen) + 1))
    await world.projected()
    task = (await world.get(f"/tasks/{task_id}"))["task"]
    assert (task["state"], task["seq"]) == ("cancelled", seen[-1])


async def test_an_open_stream_is_told_what_comes(world: ConsoleWorld) -> None:
    task_id = await world.failed()
    async with stream(world.app, f"/tasks/{task_id}/events") as events:
        first = [await anext(events) for _ in range(3)]
        assert [each["data"]["seq"] for each in first] == [1, 2, 3]
        await world.api.post(f"/tasks/{task_id}/cancel", json={"reason": "no", "actor": "ada"})
        last = [each async for each in events]
    assert last[-1]["data"]["transitions"][-1]["actor"] == "ada"
    assert last[-1]["data"]["is_final"] is True


async def test_what_a_change_costs_does_not_grow_with_the_task(
    world: ConsoleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each record is read once, and each change costs one statement."""
    task_id = await world.failed()
    read: list[int] = []
    histories: list[bytes] = []
    after, whole = Reads.history_after, Reads.history

    async def counted(reads: Reads, task: bytes, offset: int) -> tuple[AcceptedRecord, ...]:
        found = await after(reads, task, offset)
        read.extend(each.offset for each in found)
        return found

    async def counted_whole(reads: Reads, task: bytes, *, life: int | None = None) -> StoredHistory | None:
        histories.append(task)
        return await whole(reads, task, life=life)

    async with stream(world.app, f"/tasks/{task_id}/events") as events:
        first = [await anext(events) for _ in range(3)]
        monkeypatch.setattr(Reads, "history_after", counted)
        monkeypatch.setattr(Reads, "history", counted_whole)
        told = []
        for number in range(12):
            body = {"action": "set_reason", "text": f"{number}"}
            await world.api.post(f"/tasks/{task_id}/commands?wait=0", json=body)
            told.append(await anext(events))
    assert [each["data"]["seq"] for each in (*first, *told)] == list(range(1, 16))
    assert read == [each["id"] for each in told]
    assert not histories


async def test_an_offset_that_is_none_ends_with_the_task(world: ConsoleWorld) -> None:
    task_id = await world.failed()
    headers = {"Last-Event-ID": str(2**63 - 1)}
    async with asyncio.timeout(10), stream(world.app, f"/tasks/{task_id}/events", headers) as events:
        await world.api.post(f"/tasks/{task_id}/cancel")
        assert [each async for each in events] == []
    again = await world.api.get(f"/tasks/{task_id}/events", headers=headers)
    assert again.status_code == 204


async def test_who_comes_again_while_nothing_moves_is_let_in_at_once(world: ConsoleWorld) -> None:
    """The answer must begin: until then the stream would be held as a request, and nobody would see a reader leave."""
    task_id = await world.failed()
    path = f"/tasks/{task_id}/events"
    async with stream(world.app, f"{path}?follow=false") as events:
        last = [each async for each in events][-1]
    async with asyncio.timeout(10):
        async with stream(world.app, path, {"Last-Event-ID": str(last["id"])}) as events:
            await world.api.post(f"/tasks/{task_id}/cancel")
            told = [each async for each in events]
    assert [each["data"]["seq"] for each in told] == [last["data"]["seq"] + 1]


async def test_one_poll_serves_all_and_none_is_made_for_nobody(world: ConsoleWorld) -> None:
    task_id = await world.failed()
    backend = world.backend
    async with aclosing(backend.changes()) as one, aclosing(backend.changes()) as other:
        await anext(one)
        await anext(other)
        assert backend.listeners == 2
        await world.api.post(f"/tasks/{task_id}/cancel?wait=0")
        for each in (one, other):
            moved = await anext(each)
            assert [change.task_id for change in moved.tasks] == [parse_id(task_id)]
    assert backend.listeners == 0


async def test_too_many_listeners_are_503(world: ConsoleWorld) -> None:
    task_id = await world.failed()
    world.backend._feed._most = 1
    async with aclosing(world.backend.changes()) as changes:
        await anext(changes)
        answer = await world.api.get(f"/tasks/{task_id}/events")
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:tasker:problem:overloaded")
        told = await world.api.get(f"/tasks/{task_id}/events?follow=false")
        assert told.status_code == 200, "what is there is told without listening"


async def test_a_reader_that_leaves_is_forgotten(world: ConsoleWorld) -> None:
    task_id = await world.failed()
    async with stream(world.app, f"/tasks/{task_id}/events") as events:
        await anext(events)
        assert world.backend.listeners == 1
    async with asyncio.timeout(10):
        while world.backend.listeners:  # noqa: ASYNC110 - the server notices in its own time
            await asyncio.sleep(0.01)
