"""Fix and go on, by the command line, with real processes on a real broker.

A task that failed for good is retried from its failed step, or the step is resolved, or completed with an operator's
result; a task is cancelled. Each goes on (or stops) by itself, is audited with actor and reason, and the same command
sent twice acts once. Steps that were done do not run again.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tasker_kafka.topics.brokers import Broker
from tests.support import steered_handlers
from tests.support.patience import wait_until
from tests.support.shell import Shell

pytestmark = pytest.mark.slow

WHO = ("--actor", "ada", "--reason", "the customer called")


class Desk:
    """An operator's shell, and the book of what the handlers did."""

    def __init__(self, shell: Shell, folder: Path) -> None:
        self.shell = shell
        self._folder = folder

    def begin(self) -> None:
        """Take the signs away."""
        for sign in ("mended", "van"):
            (self._folder / sign).unlink(missing_ok=True)

    def mend(self) -> None:
        """From now on cards are taken."""
        (self._folder / "mended").touch()

    def send_van(self) -> None:
        """From now on parcels leave."""
        (self._folder / "van").touch()

    def failed(self) -> str:
        """The id of a parcel whose charge has failed for good."""
        ran = self.shell.run("submit", "-t", "steered/parcel", "--wait", "--json", stdin="{}")
        assert ran.returncode == 1, ran.stderr
        said = json.loads(ran.stdout)
        assert said["state"] == "error"
        return str(said["task_id"])

    def twice(self, *arguments: str) -> list[dict[str, Any]]:
        """The same command, with the same id, sent two times: both answers."""
        same = ("--command-id", str(uuid.uuid4()))
        return [self.shell.json(*arguments, *WHO, *same) for _ in range(2)]

    def ended(self, task_id: str) -> dict[str, Any]:
        """The task when it is closed; nobody but the engine moves it on."""
        ran = self.shell.run("task", "watch", task_id, "--json", "--interval", "0.2")
        shown: dict[str, Any] = json.loads(ran.stdout)
        return shown

    def did(self, task_id: str, what: str) -> int:
        """How often a handler began this for the task."""
        written = self._folder / "book"
        lines = written.read_text().splitlines() if written.exists() else []
        return sum(line.startswith(task_id) and line.endswith(f" {what}") for line in lines)


@pytest.fixture(scope="module")
def office(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A system with the templates, an orchestrator and a worker, for all tests of this module."""
    folder = tmp_path_factory.mktemp("steered")
    shell = Shell(
        {
            "TASKER_BROKER": kafka.bootstrap_servers,
            "TASKER_PREFIX": f"t{uuid.uuid4().hex[:10]}",
            "STEERED_FOLDER": str(folder),
        }
    )
    template = folder / "steered.yaml"
    template.write_text(steered_handlers.TEMPLATES)
    shell.json("topics", "create", "--partitions", "2")
    shell.json("template", "publish", str(template))
    shell.json("topics", "create")
    with ExitStack() as running:
        running.enter_context(shell.role("orchestrator", ready="orchestrator of"))
        running.enter_context(shell.role("worker", "-m", steered_handlers.__name__, ready=" serves steered "))
        yield Desk(shell, folder)


@pytest.fixture
def desk(office: Desk) -> Desk:
    """The office in the morning: nothing is mended, and no van is there."""
    office.begin()
    return office


def audits(shown: dict[str, Any]) -> set[tuple[str, str]]:
    """Who and why, of every transition that an operator caused."""
    return {(each["actor"], each["reason"]) for each in shown["transitions"] if each["actor"]}


def events(shown: dict[str, Any], entity: str) -> list[str]:
    """The edges of the task, or of a step, in their order."""
    return [each["event"] for each in shown["transitions"] if each["entity"] == entity]


def check_acted_once(said: list[dict[str, Any]], shown: dict[str, Any], second: str = "repeated") -> None:
    """The first was accepted, the second known; both are in the log; who and why with them."""
    assert [each["code"] for each in said] == ["accepted", second]
    assert [each["code"] for each in shown["answers"]] == ["accepted", second]
    assert audits(shown) == {("ada", "the customer called")}


def test_fix_and_go_on(desk: Desk) -> None:
    retried, whole, resolved, completed, given_up = (desk.failed() for _ in range(5))

    # A task that is final keeps no command ids: the same command finds it there already.
    check_acted_once(
        desk.twice("task", "resolve", given_up), desk.ended(given_up), "already_resolved_manually"
    )
    answers = {
        resolved: desk.twice("step", "resolve", resolved, "charge"),
        completed: desk.twice("step", "complete", completed, "charge", "--result", '{"receipt": 42}'),
    }
    desk.mend()
    answers |= {
        retried: desk.twice("step", "retry", retried, "charge"),
        whole: desk.twice("task", "retry", whole),
    }
    desk.send_van()  # until now nothing could be shipped, so that no task was final
    shown = {task_id: desk.ended(task_id) for task_id in answers}
    for task_id, said in answers.items():
        check_acted_once(said, shown[task_id])
    assert {shown[each]["state"] for each in answers} == {"complete"}

    assert shown[resolved]["output"] == {"shipped": None}
    assert shown[completed]["output"] == {"shipped": {"receipt": 42}}
    assert events(shown[completed], "task")[-2:] == ["resumed", "all_steps_done"]
    assert shown[retried]["output"] == shown[whole]["output"] == {"shipped": {"receipt": 2}}
    assert events(shown[retried], "step:charge").count("retry_requested") == 1
    did = {each: [desk.did(each, step) for step in ("collect", "charge", "ship")] for each in answers}
    assert did == {resolved: [1, 1, 1], completed: [1, 1, 1], retried: [1, 2, 1], whole: [1, 2, 1]}
    assert desk.did(given_up, "ship") == 0


def test_a_cancelled_task_stops_what_runs(desk: Desk) -> None:
    task_id = str(desk.shell.json("submit", "-t", "steered/vigil", stdin="{}")["task_id"])
    wait_until(lambda: desk.did(task_id, "watch") == 1, "the handler's start")
    said = desk.twice("task", "cancel", task_id)
    shown = desk.ended(task_id)
    check_acted_once(said, shown, "already_cancelled")
    assert shown["state"] == "cancelled"
    assert [step["state"] for step in shown["steps"]] == ["cancelled", "cancelled"]
    wait_until(lambda: desk.did(task_id, "cancelled") == 1, "the handler's cancellation")
    late = desk.shell.run("task", "retry", task_id, "--json")
    assert (late.returncode, json.loads(late.stdout)["code"]) == (1, "final_task")


def test_many_at_once_and_again_after_a_lost_answer(desk: Desk) -> None:
    broken = {desk.failed() for _ in range(4)}
    foretold = desk.shell.json("task", "retry", "--state", "error", "--dry-run")
    assert {row["task_id"] for row in foretold["rows"]} == broken
    assert foretold["accepted"] == 4
    desk.mend()
    same = ("--yes", "--bulk-id", str(uuid.uuid4()), *WHO)
    first, *rest = sorted(broken)
    assert desk.shell.json("task", "retry", first, *same)["accepted"] == 1  # and the connection broke
    again = desk.shell.json("task", "retry", first, *rest, *same)
    assert again["codes"] == {"accepted": 3, "repeated": 1}
    desk.send_van()
    for task_id in broken:
        shown = desk.ended(task_id)
        assert (shown["state"], audits(shown)) == ("complete", {("ada", "the customer called")})
        assert [desk.did(task_id, step) for step in ("collect", "charge", "ship")] == [1, 2, 1]
