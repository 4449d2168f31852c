"""Operator commands to one task and to many, and the ledger, against real lanes and handlers in memory."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasker_kafka.topics.memory import MemoryCluster

pytestmark = pytest.mark.slow

Tasker = Callable[..., Any]

STUBBORN = """
name: stubborn
namespace: shop
steps:
  - name: reserve
    handler: {callable: shop.reserve}
  - name: charge
    handler: {callable: shop.charge}  # a total that is no number fails each attempt
    dependencies: [reserve]
    retry: {max_attempts: 2, backoff: none}
"""


def submitted(system: Tasker, context: dict[str, Any], *options: str, template: str = "shop/order") -> Any:
    """`tasker submit` of a context, as JSON."""
    return system("submit", "--template", template, "--json", *options, "-", stdin=json.dumps(context))


def failed(system: Tasker, **context: Any) -> str:
    """The id of a task whose second step has failed."""
    ran = submitted(system, {"total": 500, **context}, "--wait", "--timeout", "10")
    assert ran.code == 1
    return str(ran.json["task_id"])


def answers(system: Tasker, task_id: str) -> list[str]:
    """What the task's commands were answered."""
    return [each["code"] for each in system("task", "show", task_id, "--json").json["answers"]]


class TestOne:
    def test_the_same_command_id_acts_once(self, system: Tasker) -> None:
        task_id, command = failed(system), str(uuid.uuid4())
        said = [system("task", "retry", task_id, "--command-id", command, "--json").json for _ in range(2)]
        assert [each["code"] for each in said] == ["accepted", "repeated"]
        assert {each["command_id"] for each in said} == {command}
        edges = system("task", "show", task_id, "--json").json["transitions"]
        assert [each["event"] for each in edges if each["entity"] == "task"].count("retry_requested") == 1

    def test_a_task_that_has_moved_on_is_left_alone(self, system: Tasker) -> None:
        task_id = failed(system)
        seq = system("task", "show", task_id, "--json").json["seq"]
        old = system("step", "retry", task_id, "charge", "--expected-seq", str(seq - 1), "--json")
        assert (old.code, old.json["code"]) == (1, "seq_mismatch")
        now = system("step", "retry", task_id, "charge", "--expected-seq", str(seq + 1), "--json")
        assert (now.code, now.json["code"]) == (0, "accepted"), "the refusal was a record, too"

    def test_reason_tags_and_max_attempts(self, system: Tasker) -> None:
        task_id = submitted(system, {}, template="shop/orphan").json["task_id"]
        assert system("task", "set-reason", task_id, "the king is coming", "--actor", "ada").code == 0
        assert system("task", "set-tags", task_id, "red", "vip").code == 0
        assert system("step", "set-max-attempts", task_id, "pack", "9").code == 0
        shown = system("task", "show", task_id, "--json").json
        assert (shown["reason"], shown["tags"]) == ("the king is coming", ["red", "vip"])
        assert shown["steps"][0]["max_attempts"] == 9
        assert system("task", "set-tags", task_id).code == 0
        assert system("task", "show", task_id, "--json").json["tags"] == []
        assert system("step", "set-max-attempts", task_id, "pack", "101").code == 1

    def test_an_unknown_step_of_a_failed_task_is_named(self, system: Tasker) -> None:
        ran = system("step", "cancel", failed(system), "chrge", "--json")
        assert (ran.code, ran.json["code"]) == (1, "unknown_step")
        assert "'chrge'" in ran.json["message"]


class TestMany:
    def test_a_filter_chooses_a_dry_run_tells_and_a_repeat_acts_once(self, system: Tasker) -> None:
        broken = {failed(system), failed(system)}
        done = submitted(system, {"total": 5}, "--wait").json["task_id"]
        told = system("task", "retry", "--state", "error", "--dry-run", "--json")
        assert (told.code, told.json["is_dry_run"], told.json["accepted"]) == (0, True, 2)
        assert {row["task_id"] for row in told.json["rows"]} == broken
        assert all(answers(system, each) == [] for each in broken)

        bulk = str(uuid.uuid4())
        options = ("--yes", "--bulk-id", bulk, "--reason", "new cards", "--json")
        first = system("task", "retry", *sorted(broken), done, *options)
        assert (first.code, first.json["bulk_id"]) == (1, bulk)
        assert (first.json["accepted"], first.json["rejected"]) == (2, 1)
        assert first.json["codes"] == {"accepted": 2, "final_task": 1}
        again = system("task", "retry", *sorted(broken), *options)
        assert (again.code, again.json["codes"]) == (0, {"repeated": 2})
        assert all(answers(system, each) == ["accepted", "repeated"] for each in broken)

    def test_the_forecast_is_what_is_answered(self, system: Tasker) -> None:
        ids = [
            failed(system),
            submitted(system, {"total": 5}, "--wait").json["task_id"],
            submitted(system, {}, template="shop/orphan").json["task_id"],
            str(uuid.uuid4()),
        ]
        system("task", "list")  # lets the last checkpoint pass
        for action in ("resolve", "retry", "cancel"):
            told = system("task", action, *ids, "--dry-run", "--json").json["rows"]
            done = system("task", action, *ids, "--yes", "--json").json["rows"]
            assert [(row["task_id"], row["code"]) for row in told] == [
                (row["task_id"], row["code"]) for row in done
            ]

    def test_for_people(self, system: Tasker) -> None:
        done = submitted(system, {"total": 5}, "--wait").json["task_id"]
        ran = system("task", "cancel", failed(system), done, "--yes")
        assert "cancel_task of 2 tasks: 1 accepted, 1 rejected" in ran.out
        assert (done in ran.out, "final_task" in ran.out) == (True, True)
        nobody = system("task", "cancel", "--namespace", "nobody", "--yes")
        assert (nobody.code, nobody.out) == (0, "cancel_task of 0 tasks: none matched\n")

    def test_nobody_is_asked_where_nobody_can_answer(self, system: Tasker) -> None:
        task_id = failed(system)
        ran = system("task", "cancel", "--state", "error")
        assert (ran.code, "--yes" in ran.err) == (2, True)
        assert answers(system, task_id) == []

    @pytest.mark.parametrize(("said", "code", "times"), [("y\n", 0, 1), ("n\n", 1, 0)])
    def test_a_person_is_asked(
        self, system: Tasker, monkeypatch: pytest.MonkeyPatch, said: str, code: int, times: int
    ) -> None:
        from tasker_kafka.deploy.cli import bulk

        task_id = failed(system)
        monkeypatch.setattr(bulk, "is_terminal", lambda: True)
        ran = system("task", "resolve", "--state", "error", "--json", stdin=said)
        assert ran.code == code
        assert len(answers(system, task_id)) == times

    @pytest.mark.parametrize(
        "arguments",
        [
            (),
            ("--state", "error", str(uuid.uuid4())),
            ("--state", "broken"),
            ("--state", "error", "--yes", "--expected-seq", "3"),
            ("--state", "error", "--yes", "--no-wait"),
            ("--since", "yesterday", "--yes"),
        ],
    )
    def test_what_is_not_said_clearly_is_a_usage_error(
        self, system: Tasker, arguments: tuple[str, ...]
    ) -> None:
        assert system("task", "cancel", *arguments).code == 2


def test_task_list_filters(system: Tasker) -> None:
    broken = failed(system, note="Blümchen")
    submitted(system, {"total": 5}, "--wait")
    system("task", "set-tags", submitted(system, {}, template="shop/orphan").json["task_id"], "vip")

    def found(*options: str) -> list[str]:
        return [row["task_id"] for row in system("task", "list", "--json", *options).json["tasks"]]

    assert found("--text", "BLÜMCHEN") == [broken]
    assert len(found("--tag", "vip")) == 1
    assert len(found("--state", "error", "--state", "complete")) == 2
    assert len(found("--since", "1d")) == 3
    assert found("--until", "1d") == []


def test_the_projection_lists_the_same_and_chooses_for_bulks(
    system: Tasker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("sqlalchemy")
    broken = failed(system, note="Blümchen")
    done = submitted(system, {"total": 5}, "--wait").json["task_id"]
    system("task", "set-tags", submitted(system, {}, template="shop/orphan").json["task_id"], "vip")
    monkeypatch.setenv("TASKER_PROJECTION__URL", str(tmp_path / "store.sqlite"))
    refused = system("task", "list", "--projection")
    assert (refused.code, "projection" in refused.err) == (78, True)
    assert system("projection", "rebuild", "--json").code == 0

    def found(*options: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = system("task", "list", "--json", *options).json["tasks"]
        return sorted(rows, key=lambda row: str(row["task_id"]))

    for options in (
        ("--state", "error"),
        ("--state", "in_progress"),
        ("--text", "BLÜMCHEN"),
        ("--tag", "vip"),
        ("--since", "1d"),
        ("--until", "1d"),
        ("--template", "order", "--namespace", "shop", "--state", "error"),
    ):
        ids = [row["task_id"] for row in found(*options, "--projection")]
        assert ids == [row["task_id"] for row in found(*options)]
    only = ("--state", "error")
    assert found(*only, "--projection") == found(*only), "the same in every field"
    assert len(found("--projection")) == 3
    shown = {row["task_id"]: row for row in found("--projection")}
    assert (shown[done]["state"], shown[done]["completed_steps"]) == ("complete", 2), "a stub knows no counts"
    assert system("task", "list", "--projection", "--limit", "1", "--json").json["total"] == 3
    told = system("task", "retry", "--projection", "--state", "error", "--dry-run", "--json").json
    assert [row["task_id"] for row in told["rows"]] == [broken]


class TestLedger:
    def test_a_task_that_gave_up_is_listed_until_it_is_settled(self, system: Tasker, tmp_path: Path) -> None:
        file = tmp_path / "stubborn.yaml"
        file.write_text(STUBBORN)
        assert system("template", "publish", str(file)).code == 0
        ran = submitted(system, {"total": "?"}, "--wait", "--timeout", "30", template="shop/stubborn")
        task_id = str(ran.json["task_id"])
        (entry,) = system("stale", "list", "--json").json["entries"]
        assert (entry["task_id"], entry["reason"], entry["status"]) == (
            task_id,
            "max_retries_exceeded",
            "pending",
        )
        assert task_id in system("stale", "list").out
        shown = system("stale", "show", task_id, "--json").json
        assert shown["snapshot"]["steps"][0]["name"] == "charge"
        assert "max_retries_exceeded" in system("stale", "show", task_id).out
        ran = system("stale", "resolve", task_id, "--reason", "paid in cash", "--actor", "ada", "--json")
        assert (ran.code, ran.json["code"]) == (0, "accepted")
        assert system("stale", "list", "--json").json == {"entries": [], "total": 0}
        (settled,) = system("stale", "list", "--all", "--json").json["entries"]
        assert (settled["status"], settled["actor"]) == ("resolved", "ada")

    def test_a_task_without_an_entry(self, system: Tasker) -> None:
        assert system("stale", "show", str(uuid.uuid4())).code == 4
        assert system("stale", "list").out == "nothing waits for anybody\n"

    @pytest.mark.parametrize(("way", "state"), [("retry", "error"), ("cancel", "cancelled")])
    def test_other_ways_to_settle(self, system: Tasker, way: str, state: str) -> None:
        task_id = failed(system)
        assert system("stale", "resolve", task_id, "--by", way).code == 0
        system("task", "watch", task_id)
        assert system("task", "show", task_id, "--json").json["state"] == state


def test_a_rejection_of_sixteen_bytes_is_printed_as_bytes(system: Tasker, cluster: MemoryCluster) -> None:
    """Sixteen bytes are no id."""
    from tasker_kafka.topics.log import Write
    from tasker_kafka.topics.memory import MemoryLog
    from tasker_kafka.topics.names import TopicNames

    async def send() -> None:
        log = MemoryLog(cluster)
        await log.start()
        outbox = await log.outbox(client_id="tests")
        await outbox.write(Write(TopicNames("tasker").task_requests, b"k", b"sixteen bytes ha"))
        await outbox.close()
        await log.close()

    import asyncio

    asyncio.run(send())
    submitted(system, {"total": 5}, "--wait")
    (row,) = system("rejections", "list", "--json").json["rejections"]
    shown = system("rejections", "show", row["place"], "--raw", "--json").json
    assert bytes.fromhex(shown["original"]) == b"sixteen bytes ha"
