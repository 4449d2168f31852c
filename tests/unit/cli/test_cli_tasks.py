"""`submit`, `task`, `step`, `rejections` and `worker list` against real lanes and handlers in memory."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

Tasker = Callable[..., Any]


def submitted(system: Tasker, context: dict[str, Any], *options: str, template: str = "shop/order") -> Any:
    """`tasker submit` of a context, as JSON."""
    return system("submit", "--template", template, "--json", *options, "-", stdin=json.dumps(context))


def failed(system: Tasker) -> str:
    """The id of a task whose second step has failed."""
    ran = submitted(system, {"total": 500}, "--wait", "--timeout", "10")
    assert ran.code == 1
    return str(ran.json["task_id"])


class TestSubmit:
    def test_prints_the_task_id(self, system: Tasker) -> None:
        ran = submitted(system, {"total": 5})
        assert ran.code == 0
        assert set(ran.json) == {"task_id"}
        assert uuid.UUID(ran.json["task_id"]).version == 7

    def test_waits_for_the_output(self, system: Tasker) -> None:
        ran = submitted(system, {"total": 5}, "--wait", "--timeout", "10")
        assert ran.code == 0
        assert (ran.json["state"], ran.json["output"], ran.json["error"]) == (
            "complete",
            {"receipt": 5},
            None,
        )

    def test_a_failed_task_gives_its_error_and_exit_code_1(self, system: Tasker) -> None:
        ran = submitted(system, {"total": 500}, "--wait", "--timeout", "10")
        assert (ran.code, ran.json["state"], ran.json["output"]) == (1, "error", None)
        error = ran.json["error"]
        assert error["code"] == "step_failed"
        assert "charge" in error["message"]
        assert "task show" in error["way_out"]
        assert "→" not in error["message"]

    def test_a_wait_that_is_too_short_is_exit_code_5(self, system: Tasker) -> None:
        ran = submitted(system, {}, "--wait", "--timeout", "0.3", template="shop/orphan")
        assert ran.code == 5

    def test_takes_a_whole_request_from_a_file(self, system: Tasker, tmp_path: Path) -> None:
        file = tmp_path / "request.json"
        request = {"name": "order", "namespace": "shop", "context": {"total": 7}, "tags": ["vip"]}
        file.write_text(json.dumps(request))
        task_id = system("submit", str(file), "--wait", "--json", "--reason", "a test").json["task_id"]
        shown = system("task", "show", task_id, "--json").json
        assert (shown["tags"], shown["reason"], shown["context"]) == (["vip"], "a test", {"total": 7})
        assert "@" in shown["initiator"]

    def test_the_same_key_is_the_same_task(self, system: Tasker) -> None:
        ids = {submitted(system, {"total": 1}, "--key", "k1").json["task_id"] for _ in range(2)}
        assert len(ids) == 1


class TestTask:
    def test_list_shows_states_and_filters(self, system: Tasker) -> None:
        done = submitted(system, {"total": 5}, "--wait").json["task_id"]
        broken = failed(system)
        rows = {row["task_id"]: row for row in system("task", "list", "--json").json["tasks"]}
        assert rows[done]["state"] == "complete"
        assert (rows[broken]["state"], rows[broken]["failed_steps"]) == ("error", 1)
        only = system("task", "list", "--state", "error", "--json").json
        assert (only["total"], only["tasks"][0]["task_id"]) == (1, broken)
        assert done in system("task", "list").out
        assert "raise --limit" in system("task", "list", "--limit", "1").err

    def test_list_refuses_a_state_that_is_none(self, system: Tasker) -> None:
        ran = system("task", "list", "--state", "done")
        assert ran.code == 2
        assert "'done' is no state" in ran.err

    def test_show_has_the_documented_keys(self, system: Tasker) -> None:
        shown = system("task", "show", failed(system), "--json").json
        assert {
            "task_id",
            "life",
            "namespace",
            "template",
            "version",
            "state",
            "status",
            "context",
            "output",
            "steps",
            "transitions",
        } <= set(shown)
        assert {
            "name",
            "state",
            "attempts",
            "started_at",
            "completed_at",
            "result",
            "error",
            "history",
        } <= set(shown["steps"][0])
        assert {"seq", "offset", "entity", "from", "to", "event", "at", "cause"} <= set(
            shown["transitions"][0]
        )
        assert shown["steps"][1]["error"]["code"] == "CARD_DECLINED"

    def test_show_hides_secrets(self, system: Tasker) -> None:
        context = {"total": 5, "password": "hunter2", "note": "Authorization: Bearer abcdefghijklmnop"}
        task_id = submitted(system, context, "--wait").json["task_id"]
        for options in ((), ("--json",)):
            out = system("task", "show", task_id, *options).out
            assert "[FILTERED]" in out
            assert "hunter2" not in out
            assert "abcdefghijklmnop" not in out

    def test_show_for_people_says_what_failed_and_what_to_do(self, system: Tasker) -> None:
        out = system("task", "show", failed(system), "--transitions").out
        assert "CARD_DECLINED: too much for this card" in out
        assert "charge: failed with CARD_DECLINED: `tasker step retry`, `resolve` or `complete` it" in out
        assert "initialize_requested" in out

    def test_show_tells_of_a_rejected_request(self, system: Tasker) -> None:
        task_id = submitted(system, {"total": "many"}).json["task_id"]
        ran = system("task", "show", task_id)
        assert ran.code == 4
        assert "was rejected (invalid_context)" in ran.err
        assert "tasker rejections show" in ran.err

    @pytest.mark.parametrize(
        ("task", "code", "text"),
        [
            ("nonsense", 1, "'nonsense' is not an id"),
            ("0197f3c8-7a1e-7c3b-9d7e-2f1a5b6c7d8e", 4, "No task"),
        ],
    )
    def test_show_tells_of_a_wrong_id(self, system: Tasker, task: str, code: int, text: str) -> None:
        ran = system("task", "show", task)
        assert ran.code == code
        assert text in ran.err

    def test_graph_carries_states(self, system: Tasker) -> None:
        task_id = failed(system)
        assert ":::error" in system("task", "graph", task_id).out
        assert "✗ charge [error]" in system("task", "graph", task_id, "--format", "text").out
        nodes = json.loads(system("task", "graph", task_id, "--format", "json").out)["nodes"]
        assert [node["state"] for node in nodes] == ["complete", "error"]

    def test_watch_ends_with_the_task(self, system: Tasker) -> None:
        done = submitted(system, {"total": 5}, "--wait").json["task_id"]
        ran = system("task", "watch", done)
        assert (ran.code, ran.out.splitlines()[0]) == (0, "task complete")
        assert system("task", "watch", failed(system), "--json").code == 1


class TestOperators:
    def test_retry_is_answered_and_audited(self, system: Tasker) -> None:
        task_id = failed(system)
        ran = system("step", "retry", task_id, "charge", "--reason", "new card", "--actor", "ada", "--json")
        assert (ran.code, ran.json["code"], ran.json["is_refused"]) == (0, "accepted", False)
        edges = system("task", "show", task_id, "--json").json["transitions"]
        audits = {(each["actor"], each["reason"]) for each in edges if each["actor"]}
        assert audits == {("ada", "new card")}

    def test_complete_gives_the_step_a_result(self, system: Tasker) -> None:
        task_id = failed(system)
        ran = system("step", "complete", task_id, "charge", "--result", '{"receipt": 42}')
        assert (ran.code, ran.out.split(":")[0]) == (0, "accepted")
        shown = system("task", "show", task_id, "--json").json
        assert (shown["state"], shown["output"]) == ("complete", {"receipt": 42})

    def test_resolve_and_what_is_reached_already(self, system: Tasker) -> None:
        task_id = failed(system)
        assert system("task", "resolve", task_id).code == 0
        again = system("task", "resolve", task_id, "--json")
        assert (again.code, again.json["code"]) == (0, "already_resolved_manually")

    def test_a_refusal_is_exit_code_1_and_says_why(self, system: Tasker) -> None:
        done = submitted(system, {"total": 5}, "--wait").json["task_id"]
        ran = system("task", "cancel", done, "--json")
        assert (ran.code, ran.json["is_refused"], ran.json["code"]) == (1, True, "final_task")
        unknown = system("step", "retry", failed(system), "chrge", "--json")
        assert (unknown.code, unknown.json["code"]) == (1, "unknown_step")

    def test_retry_and_cancel_of_a_whole_task(self, system: Tasker) -> None:
        task_id = submitted(system, {}, template="shop/orphan").json["task_id"]
        assert system("task", "cancel", task_id, "--reason", "not needed").code == 0
        assert system("task", "show", task_id, "--json").json["state"] == "cancelled"
        assert system("task", "retry", failed(system)).code == 0

    def test_no_wait_only_sends(self, system: Tasker) -> None:
        ran = system("task", "retry", failed(system), "--no-wait", "--json")
        assert (ran.code, ran.json["code"], ran.json["message"]) == (0, None, "sent; not waited for")

    def test_a_result_that_is_no_json_is_a_usage_error(self, system: Tasker) -> None:
        ran = system("step", "complete", str(uuid.uuid4()), "charge", "--result", "{oops")
        assert ran.code == 2


class TestRejections:
    def test_list_and_show(self, system: Tasker) -> None:
        submitted(system, {"total": "many"})
        submitted(system, {"total": "x"}, "--wait")
        rows = system("rejections", "list", "--json").json["rejections"]
        assert {(row["code"], row["template"]) for row in rows} == {("invalid_context", "shop/order")}
        assert system("rejections", "list", "--code", "expired", "--json").json == {"rejections": []}
        shown = system("rejections", "show", rows[0]["place"], "--json").json
        assert shown["request"]["context"] in ({"total": "many"}, {"total": "x"})
        assert shown["original"] is None
        raw = system("rejections", "show", rows[0]["place"], "--raw", "--json").json["original"]
        assert b'"total"' in bytes.fromhex(raw)
        assert "invalid_context" in system("rejections", "show", rows[0]["place"]).out

    @pytest.mark.parametrize("place", ["x", "0:99999", "77:0"])
    def test_a_place_where_none_lies_is_not_found(self, system: Tasker, place: str) -> None:
        assert system("rejections", "show", place).code == 4


def test_worker_list_names_queues_and_handlers(system: Tasker) -> None:
    submitted(system, {"total": 5}, "--wait")
    listed = system("worker", "list")
    assert listed.out == "no workers: `tasker worker -m MODULE` starts one\n"
    assert "nobody serves queue shop (steps of shop/order, shop/orphan)\n" in listed.err
    told = system("worker", "list", "--json").json
    assert told["unserved"] == [{"queue": "shop", "templates": ["shop/order", "shop/orphan"]}]


def test_worker_list_before_there_are_topics(tasker: Tasker) -> None:
    assert tasker("worker", "list").code == 78


def test_what_operators_did_is_told(system: Tasker) -> None:
    task = submitted(system, {"total": 500}, "--wait").json["task_id"]
    system(
        "step",
        "complete",
        task,
        "charge",
        "--result",
        '{"receipt": 1}',
        "--actor",
        "ann",
        "--reason",
        "in cash",
    )
    shown = system("task", "show", task).out
    acts = shown.partition("what operators did")[2]
    assert acts.count("ann") == 2, "of the task, which goes on, and of the step"
    assert "in cash" in acts
    (charge,) = (line for line in shown.splitlines() if line.startswith("charge "))
    assert " – " in charge, "what an operator completes took no time of a worker"
