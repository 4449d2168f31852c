"""`/tasks`: submitting, listing, and everything about one task, over a real engine, worker and projection."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.console_world import ConsoleWorld

pytestmark = pytest.mark.slow

UNKNOWN = "0197f3c8-7a1e-7c3b-9d7e-2f1a5b6c7d8e"


class TestSubmit:
    async def test_a_request_is_a_record_and_its_task_is_known_at_once(self, world: ConsoleWorld) -> None:
        answer = await world.api.post("/tasks", json={"name": "order", "namespace": "shop"})
        said = answer.json()
        assert answer.status_code == 202
        assert said["written"]["topic"] == world.names.task_requests
        await world.settled(said["task_id"])
        shown = await world.get(f"/tasks/{said['task_id']}")
        assert shown["task"]["state"] == "complete"

    async def test_wait_gives_the_output(self, world: ConsoleWorld) -> None:
        body = {"name": "order", "namespace": "shop", "context": {"total": 7}}
        answer = await world.api.post("/tasks?wait=20", json=body)
        assert (answer.status_code, answer.json()["state"]) == (200, "complete")
        assert answer.json()["output"] == {"receipt": 7}

    async def test_wait_tells_how_a_task_failed(self, world: ConsoleWorld) -> None:
        body = {"name": "order", "namespace": "shop", "context": {"total": 500}}
        answer = await world.api.post("/tasks?wait=20", json=body)
        assert (answer.status_code, answer.json()["state"]) == (200, "error")

    async def test_every_fault_of_a_context_is_told_with_its_path(self, world: ConsoleWorld) -> None:
        body = {"name": "order", "namespace": "shop", "context": {"total": "many"}}
        answer = await world.api.post("/tasks", json=body)
        assert answer.status_code == 422
        (error,) = answer.json()["errors"]
        assert error["path"] == "context.total"
        assert "integer" in error["message"]
        assert "many" not in answer.text, "the value may be a secret"

    @pytest.mark.parametrize(
        ("body", "path"),
        [
            ({"name": "ordre", "namespace": "shop"}, "name"),
            ({"name": "keyed", "namespace": "shop"}, "idempotency_key"),
            ({"name": "order", "namespace": "shop", "bypass_steps": ["nope"]}, "bypass_steps[0]"),
            ({"name": "order", "namespace": "shop", "not_before": "tomorrow"}, "not_before"),
            ({"name": "order", "namespace": "shop", "contxt": {}}, "contxt"),
            ({"namespace": "shop"}, "name"),
            ({"name": "order", "namespace": "shop", "context": [1]}, "context"),
        ],
    )
    async def test_what_cannot_be_accepted_says_where(
        self, world: ConsoleWorld, body: dict[str, Any], path: str
    ) -> None:
        answer = await world.api.post("/tasks", json=body)
        assert answer.status_code == 422, answer.text
        assert path in [each["path"] for each in answer.json()["errors"]]
        assert answer.headers["content-type"] == "application/problem+json"

    async def test_a_duplicate_names_the_task_that_is_there(self, world: ConsoleWorld) -> None:
        task_id = await world.submit("keyed", context={}, idempotency_key="k-1")
        again = await world.api.post(
            "/tasks", json={"name": "keyed", "namespace": "shop", "idempotency_key": "k-1"}
        )
        assert again.status_code == 409
        assert again.json()["task_id"] == task_id

    async def test_the_same_header_is_the_same_request(self, world: ConsoleWorld) -> None:
        body = {"name": "order", "namespace": "shop"}
        headers = {"Idempotency-Key": "checkout-4711"}
        first = await world.api.post("/tasks", json=body, headers=headers)
        await world.settled(first.json()["task_id"])
        again = await world.api.post("/tasks", json=body, headers=headers)
        assert (again.status_code, again.json()["is_repeat"]) == (200, True)
        assert again.json()["task_id"] == first.json()["task_id"]
        assert len((await world.get("/tasks"))["tasks"]) == 1

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"name": "held"}, "another template"),
            ({"context": {"total": 6}}, "another context"),
            ({"context": {"total": 5}, "reason": "said otherwise"}, None),
        ],
    )
    async def test_the_same_header_for_another_request_is_422(
        self, world: ConsoleWorld, change: dict[str, Any], said: str | None
    ) -> None:
        body = {"name": "order", "namespace": "shop", "context": {"total": 5}}
        headers = {"Idempotency-Key": "checkout-4711"}
        first = await world.api.post("/tasks", json=body, headers=headers)
        await world.settled(first.json()["task_id"])
        again = await world.api.post("/tasks", json=body | change, headers=headers)
        if said is None:
            assert (again.status_code, again.json()["is_repeat"]) == (200, True)
        else:
            assert (again.status_code, again.json()["errors"][0]["path"]) == (422, "Idempotency-Key")
            assert said in again.json()["detail"]

    async def test_a_repeat_that_overtakes_the_projection_makes_one_task_too(
        self, world: ConsoleWorld
    ) -> None:
        body = {"name": "order", "namespace": "shop"}
        headers = {"Idempotency-Key": "0197f3c8-7a1e-7c3b-9d7e-000000000001"}
        answers = [await world.api.post("/tasks", json=body, headers=headers) for _ in range(5)]
        ids = {each.json()["task_id"] for each in answers}
        assert len(ids) == 1
        await world.settled(ids.pop())
        await world.projected()
        assert len((await world.get("/tasks"))["tasks"]) == 1


class TestList:
    async def test_pages_are_cut_by_key(self, world: ConsoleWorld) -> None:
        made = [await world.submit() for _ in range(5)]
        seen: list[str] = []
        cursor: str | None = None
        while True:
            page = await world.get("/tasks", params={"limit": 2, **({"cursor": cursor} if cursor else {})})
            seen += [each["task_id"] for each in page["tasks"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert sorted(seen) == sorted(made)
        assert len(seen) == len(set(seen))

    async def test_filters(self, world: ConsoleWorld) -> None:
        done = await world.submit(
            tags=["vip", "eu"], correlation_id="c-9", context={"total": 1, "city": "Ulm"}
        )
        failed = await world.failed()

        async def ids(**params: Any) -> list[str]:
            return [each["task_id"] for each in (await world.get("/tasks", params=params))["tasks"]]

        assert await ids(state=["complete"]) == [done]
        assert await ids(state=["blocked_by_failures", "error"]) == [failed]
        assert await ids(template="held") == [failed]
        assert await ids(tag=["vip", "eu"]) == [done]
        assert await ids(tag=["vip", "us"]) == []
        assert await ids(correlation_id="c-9") == [done]
        assert await ids(text="ULM") == [done]
        assert await ids(created_to="2001-01-01T00:00:00Z") == []
        counted = await world.get("/tasks", params={"with_counts": True, "limit": 1})
        assert counted["counts"] == {"complete": 1, "blocked_by_failures": 1}

    @pytest.mark.parametrize(
        "params",
        [
            {"cursor": "nonsense"},
            {"limit": 0},
            {"limit": 501},
            {"state": "asleep"},
            {"colour": "red"},
            {"text": "a\0b"},
        ],
    )
    async def test_what_is_no_filter_is_told(self, world: ConsoleWorld, params: dict[str, Any]) -> None:
        answer = await world.api.get("/tasks", params=params)
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"][0]["path"].partition("[")[0] in params


class TestOne:
    async def test_steps_come_with_readiness_relations_and_what_is_allowed(self, world: ConsoleWorld) -> None:
        said = await world.get(f"/tasks/{await world.failed()}/steps")
        _, charge, after = said["steps"]
        assert charge["step"]["error"]["code"] == "CARD_DECLINED"
        assert charge["allowed"] == [
            "retry_step",
            "resolve_step",
            "complete_step",
            "cancel_step",
            "set_max_attempts",
        ]
        assert after["readiness"]["blocking_reason"] == "dependencies_not_satisfied"
        assert after["relations"]["parent_names"] == ["charge"]

    async def test_transitions_carry_seq_and_offset(self, world: ConsoleWorld) -> None:
        said = await world.get(f"/tasks/{await world.submit()}/transitions")
        first, last = said["transitions"][0], said["transitions"][-1]
        assert (first["from"], first["to"], first["seq"]) == (None, "pending", 1)
        assert (last["event"], last["to"]) == ("all_steps_done", "complete")
        assert last["offset"] > first["offset"]

    async def test_the_graph_as_json_and_as_mermaid(self, world: ConsoleWorld) -> None:
        task_id = await world.failed()
        graph = await world.get(f"/tasks/{task_id}/graph")
        assert [(each["name"], each["state"], each["level"]) for each in graph["nodes"]] == [
            ("reserve", "complete", 0),
            ("charge", "error", 1),
            ("after", "pending", 2),
        ]
        assert graph["edges"][-1] == {"from": "charge", "to": "after"}
        text = await world.api.get(f"/tasks/{task_id}/graph?format=mermaid")
        assert text.headers["content-type"].startswith("text/plain")
        assert "s0 --> s1" in text.text

    async def test_as_of_an_offset_and_a_time(self, world: ConsoleWorld) -> None:
        task_id = await world.submit()
        said = await world.get(f"/tasks/{task_id}/transitions")
        first = said["transitions"][0]
        then = await world.get(f"/tasks/{task_id}/as-of", params={"at": f"offset:{first['offset']}"})
        assert (then["task"]["seq"], then["task"]["state"], then["is_newest"]) == (1, "in_progress", False)
        assert then["allowed"] == [], "nothing can be asked of the past"
        now = await world.get(f"/tasks/{task_id}/as-of", params={"at": said["transitions"][-1]["at"]})
        assert now["task"]["state"] == "complete"
        before = await world.api.get(f"/tasks/{task_id}/as-of", params={"at": "2001-01-01T00:00:00Z"})
        assert before.status_code == 404
        bad = await world.api.get(f"/tasks/{task_id}/as-of", params={"at": "yesterday"})
        assert (bad.status_code, bad.json()["errors"][0]["path"]) == (422, "at")

    async def test_what_waits_for_nobody_is_told(self, world: ConsoleWorld) -> None:
        answer = await world.api.post("/tasks", json={"name": "orphan", "namespace": "shop"})
        task_id = answer.json()["task_id"]
        await world.projected()
        said = await world.get(f"/tasks/{task_id}")
        assert "shop.pack" in said["task"]["waiting"][0]["message"]

    @pytest.mark.parametrize("rest", ["", "/steps", "/transitions", "/graph", "/as-of?at=5", "/events"])
    async def test_an_unknown_task_is_404_everywhere(self, world: ConsoleWorld, rest: str) -> None:
        answer = await world.api.get(f"/tasks/{UNKNOWN}{rest}")
        assert answer.status_code == 404, answer.text
        assert answer.json()["type"] == "urn:tasker:problem:not-found"

    async def test_a_task_that_the_projection_has_not_is_read_from_the_log(self, world: ConsoleWorld) -> None:
        task_id = await world.submit()
        with world.store.writing() as connection:
            connection.exec_driver_sql("DELETE FROM history")
        said = await world.get(f"/tasks/{task_id}")
        assert (said["is_from"], said["task"]["state"]) == ("log", "complete")

    async def test_an_unknown_life_is_404(self, world: ConsoleWorld) -> None:
        task_id = await world.submit()
        assert (await world.api.get(f"/tasks/{task_id}?life=77")).status_code == 404
        life = (await world.get(f"/tasks/{task_id}"))["lives"][0]
        assert (await world.get(f"/tasks/{task_id}?life={life}"))["task"]["life"] == life
