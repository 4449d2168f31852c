"""Commands through the API: audited, acting once, refused with the state and what is allowed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.console_world import ConsoleWorld, bearer

pytestmark = pytest.mark.slow

UNKNOWN = "0197f3c8-7a1e-7c3b-9d7e-2f1a5b6c7d8e"


async def transitions(world: ConsoleWorld, task_id: str, **options: Any) -> list[dict[str, Any]]:
    await world.projected()
    return list((await world.get(f"/tasks/{task_id}/transitions", **options))["transitions"])


async def test_a_step_is_completed_by_hand_and_the_task_goes_on(world: ConsoleWorld) -> None:
    task_id = await world.failed()
    body = {"result": {"receipt": 3}, "reason": "paid by phone", "actor": "ada"}
    answer = await world.api.post(f"/tasks/{task_id}/steps/charge/complete", json=body)
    assert (answer.status_code, answer.json()["code"]) == (200, "accepted")
    assert answer.json()["written"]["topic"] == world.names.commands
    await world.settled(task_id)
    audited = [each for each in await transitions(world, task_id) if each["actor"]]
    assert {(each["actor"], each["reason"]) for each in audited} == {("ada", "paid by phone")}


async def test_the_token_says_who_acts(guarded: ConsoleWorld) -> None:
    headers = bearer("o-8c2d")
    asked = await guarded.api.post(
        "/tasks?wait=1",
        json={"name": "held", "namespace": "shop", "context": {"total": 500}},
        headers=headers,
    )
    task_id = asked.json()["task_id"]
    await guarded.settled(task_id)
    shown = await guarded.get(f"/tasks/{task_id}", headers=headers)
    assert shown["task"]["initiator"] == "otto"
    for actor, status in ((None, 200), ("otto", 200), ("ada", 403)):
        body = {"reason": "again", "actor": actor}
        answer = await guarded.api.post(f"/tasks/{task_id}/retry", json=body, headers=headers)
        assert answer.status_code == status, answer.text
    audited = [each for each in await transitions(guarded, task_id, headers=headers) if each["actor"]]
    assert {each["actor"] for each in audited} == {"otto"}


async def test_the_same_key_acts_once(world: ConsoleWorld) -> None:
    task_id = await world.failed()
    headers = {"Idempotency-Key": "retry-1"}
    first = await world.api.post(f"/tasks/{task_id}/retry", headers=headers)
    await world.settled(task_id)
    again = await world.api.post(f"/tasks/{task_id}/retry", headers=headers)
    assert (first.json()["code"], again.json()["code"]) == ("accepted", "repeated")
    assert first.json()["command_id"] == again.json()["command_id"]
    edges = [(each["entity"], each["event"]) for each in await transitions(world, task_id)]
    assert edges.count(("task", "retry_requested")) == 1


async def test_the_same_key_for_another_act_acts(world: ConsoleWorld) -> None:
    """A UUID, too: it is the caller's name for one act, not the command's id for all of them."""
    one, other = await world.failed(), await world.failed()
    headers = {"Idempotency-Key": "0197f3c8-7a1e-7c3b-9d7e-000000000001"}
    asked: list[tuple[str, dict[str, Any]]] = [
        (f"/tasks/{one}/steps/charge/retry", {}),
        (f"/tasks/{other}/steps/charge/retry", {}),
        (f"/tasks/{one}/commands", {"action": "set_reason", "text": "a"}),
        (f"/tasks/{one}/commands", {"action": "set_reason", "text": "b"}),
        (f"/tasks/{one}/commands", {"action": "set_tags", "tags": ["a"]}),
        (f"/tasks/{one}/commands", {"action": "set_max_attempts", "steps": ["charge"], "max_attempts": 7}),
        (f"/tasks/{one}/commands", {"action": "set_max_attempts", "steps": ["after"], "max_attempts": 7}),
        (f"/tasks/{one}/steps/after/complete", {"result": 1}),
        (f"/tasks/{one}/cancel", {}),
    ]
    ids = set()
    for path, body in asked:
        first = await world.api.post(path, json=body, headers=headers)
        assert (first.status_code, first.json()["code"]) == (200, "accepted"), (path, body, first.text)
        ids.add(first.json()["command_id"])
        await world.settled(one)
    assert len(ids) == len(asked)


async def test_who_says_more_about_an_act_asks_for_the_same(world: ConsoleWorld) -> None:
    task_id = await world.failed()
    path, headers = f"/tasks/{task_id}/commands", {"Idempotency-Key": "k"}
    body = {"action": "set_max_attempts", "steps": ["charge", "after"], "max_attempts": 7}
    said = [
        await world.api.post(path, json=body | more, headers=headers)
        for more in (
            {},
            {"reason": "again", "actor": "ada", "expected_seq": 1},
            {"steps": ["after", "charge"]},
        )
    ]
    assert [each.json()["code"] for each in said] == ["accepted", "repeated", "repeated"]
    assert len({each.json()["command_id"] for each in said}) == 1


async def test_a_key_that_was_refused_is_refused_again(world: ConsoleWorld) -> None:
    """`repeated` with 200 would sound as if it had been done."""
    task_id = await world.failed()
    headers = {"Idempotency-Key": "too-early"}
    path = f"/tasks/{task_id}/steps/reserve/cancel"
    first = await world.api.post(path, headers=headers)
    await world.projected()
    again = await world.api.post(path, headers=headers)
    assert (first.status_code, again.status_code) == (409, 409)
    assert first.json()["type"] == again.json()["type"]
    assert "another key" in again.json()["next_step"]


async def test_a_final_task_is_409_with_its_state_and_nothing_allowed(world: ConsoleWorld) -> None:
    task_id = await world.submit()
    answer = await world.api.post(f"/tasks/{task_id}/retry")
    said = answer.json()
    assert answer.status_code == 409
    assert (said["state"], said["allowed"], said["type"]) == ("complete", [], "urn:tasker:problem:final-task")


async def test_a_state_that_forbids_it_says_what_is_allowed(world: ConsoleWorld) -> None:
    task_id = await world.submit("orphan")
    whole = await world.api.post(f"/tasks/{task_id}/resolve")
    assert (whole.status_code, whole.json()["state"]) == (409, "waiting_for_retry")
    assert whole.json()["allowed"] == ["cancel_task", "set_reason", "set_tags"]
    step = await world.api.post(f"/tasks/{await world.failed()}/steps/reserve/cancel")
    assert (step.status_code, step.json()["allowed"]) == (409, [])


async def test_a_task_that_moved_on_is_409(world: ConsoleWorld) -> None:
    task_id = await world.failed()
    seq = (await world.get(f"/tasks/{task_id}"))["task"]["seq"]
    stale = await world.api.post(f"/tasks/{task_id}/retry", json={"expected_seq": seq - 1})
    assert (stale.status_code, stale.json()["type"]) == (409, "urn:tasker:problem:seq-mismatch")
    await world.projected()
    seq = (await world.get(f"/tasks/{task_id}"))["task"]["seq"]
    right = await world.api.post(f"/tasks/{task_id}/retry", json={"expected_seq": seq})
    assert right.status_code == 200


async def test_unknown_task_and_step_are_404(world: ConsoleWorld) -> None:
    assert (await world.api.post(f"/tasks/{UNKNOWN}/cancel")).status_code == 404
    task_id = await world.failed()
    answer = await world.api.post(f"/tasks/{task_id}/steps/nope/cancel")
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:tasker:problem:unknown-step")


async def test_without_waiting_it_is_202_and_acts_all_the_same(world: ConsoleWorld) -> None:
    task_id = await world.failed()
    answer = await world.api.post(f"/tasks/{task_id}/cancel?wait=0")
    assert (answer.status_code, answer.json()["code"]) == (202, None)
    assert answer.json()["written"]["offset"] >= 0
    await world.reached(task_id, "cancelled")
    assert (await world.get(f"/tasks/{task_id}"))["task"]["state"] == "cancelled"


@pytest.mark.parametrize(
    ("body", "check"),
    [
        ({"action": "set_reason", "text": "vip"}, lambda task: task["reason"] == "vip"),
        ({"action": "set_tags", "tags": ["a", "b"]}, lambda task: task["tags"] == ["a", "b"]),
        (
            {"action": "set_max_attempts", "steps": ["charge"], "max_attempts": 9},
            lambda task: task["steps"][1]["max_attempts"] == 9,
        ),
        ({"action": "resolve_task"}, lambda task: task["state"] == "resolved_manually"),
    ],
)
async def test_any_action_by_its_name(world: ConsoleWorld, body: dict[str, Any], check: Any) -> None:
    task_id = await world.failed()
    answer = await world.api.post(f"/tasks/{task_id}/commands", json=body)
    assert answer.status_code == 200, answer.text
    await world.projected()
    assert check((await world.get(f"/tasks/{task_id}"))["task"])


async def test_a_command_that_says_too_little_is_422(world: ConsoleWorld) -> None:
    task_id = await world.failed()
    answer = await world.api.post(f"/tasks/{task_id}/commands", json={"action": "set_reason"})
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:tasker:problem:invalid")


class TestBulk:
    async def test_a_dry_run_is_the_default_and_writes_nothing(self, world: ConsoleWorld) -> None:
        failed = [await world.failed() for _ in range(2)]
        done = await world.submit()
        body = {"filter": {}, "action": "retry_task"}
        said = (await world.api.post("/tasks/bulk", json=body)).json()
        assert (said["is_dry_run"], said["total"], said["accepted"], said["rejected"]) == (True, 3, 2, 1)
        assert {each["task_id"]: each["code"] for each in said["rows"]} == {
            failed[0]: "accepted",
            failed[1]: "accepted",
            done: "final_task",
        }
        await world.projected()
        for each in failed:
            assert not (await world.get(f"/tasks/{each}/transitions"))["answers"]

    async def test_a_repeat_acts_once(self, world: ConsoleWorld) -> None:
        failed = [await world.failed() for _ in range(3)]
        body = {
            "filter": {"template": "held"},
            "action": "retry_task",
            "dry_run": False,
            "reason": "bank is back",
        }
        headers = {"Idempotency-Key": "bulk-1"}
        first = (await world.api.post("/tasks/bulk", json=body, headers=headers)).json()
        for each in failed:
            await world.settled(each)
        again = (await world.api.post("/tasks/bulk", json=body, headers=headers)).json()
        assert (first["accepted"], again["accepted"], again["already"]) == (3, 0, 3)
        assert first["bulk_id"] == again["bulk_id"]

    async def test_the_same_key_for_another_bulk_acts(self, world: ConsoleWorld) -> None:
        await world.failed()
        bulk = {"filter": {"template": "held"}, "dry_run": False}
        steps = {"action": "set_max_attempts", "max_attempts": 7}
        headers = {"Idempotency-Key": "bulk-1"}
        for act in (
            {"action": "set_tags", "tags": ["a"]},
            {"action": "set_tags", "tags": ["b"]},
            steps | {"steps": ["charge"]},
            steps | {"steps": ["after"]},
        ):
            said = (await world.api.post("/tasks/bulk", json=bulk | act, headers=headers)).json()
            assert said["accepted"] == 1, (act, said)

    async def test_a_pace_that_nobody_can_wait_for_is_refused(self, world: ConsoleWorld) -> None:
        await world.failed()
        bulk = {"filter": {}, "action": "set_tags", "tags": [], "per_second": 0.01}
        assert (await world.api.post("/tasks/bulk", json=bulk)).status_code == 200
        await world.failed()
        await world.failed()
        await world.failed()
        said = await world.api.post("/tasks/bulk", json=bulk | {"dry_run": False})
        assert (said.status_code, said.json()["errors"][0]["path"]) == (422, "per_second")
        assert "at least 0.02" in said.json()["detail"]

    async def test_sending_needs_an_admin(self, guarded: ConsoleWorld) -> None:
        body = {"filter": {}, "action": "cancel_task", "dry_run": False}
        headers = {"operate": bearer("o-8c2d"), "admin": bearer("a-77f0")}
        assert (
            await guarded.api.post("/tasks/bulk", json=body, headers=headers["operate"])
        ).status_code == 403
        assert (await guarded.api.post("/tasks/bulk", json=body, headers=headers["admin"])).status_code == 200
        dry = body | {"dry_run": True}
        assert (
            await guarded.api.post("/tasks/bulk", json=dry, headers=headers["operate"])
        ).status_code == 200
