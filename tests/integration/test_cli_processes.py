"""The command line as users run it: processes against a real broker, from topics to a finished task."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tasker_kafka.topics.brokers import Broker
from tests.support import shop_handlers
from tests.support.shell import Shell


@pytest.fixture
def shell(kafka: Broker, prefix: str, tmp_path: Path) -> Iterator[Shell]:
    """A system with the shop's templates, an orchestrator and a worker."""
    found = Shell({"TASKER_BROKER": kafka.bootstrap_servers, "TASKER_PREFIX": prefix})
    template = tmp_path / "shop.yaml"
    template.write_text(shop_handlers.TEMPLATES)
    found.json("topics", "create", "--partitions", "2")
    found.json("template", "publish", str(template))
    found.json("topics", "create")
    with ExitStack() as running:
        running.enter_context(found.role("orchestrator", ready="orchestrator of"))
        running.enter_context(found.role("worker", "-m", shop_handlers.__name__, ready=" serves shop "))
        yield found


def test_the_main_path(shell: Shell) -> None:
    done = shell.json("submit", "-t", "shop/order", "--wait", "--timeout", "40", stdin='{"total": 5}')
    assert (done["state"], done["output"]) == ("complete", {"receipt": 5})

    refused = shell.run("submit", "-t", "shop/order", "--wait", "--json", stdin='{"total": 500}')
    assert refused.returncode == 1
    broken = json.loads(refused.stdout)["task_id"]

    shown = shell.json("task", "show", broken)
    assert (shown["state"], shown["steps"][1]["error"]["code"]) == ("error", "CARD_DECLINED")
    assert shell.run("step", "complete", broken, "charge", "--result", '{"receipt": 1}').returncode == 0
    assert shell.json("task", "watch", broken)["output"] == {"receipt": 1}

    rejected = shell.run("submit", "-t", "shop/order", "--wait", "--json", stdin='{"total": "many"}')
    assert (rejected.returncode, json.loads(rejected.stdout)["error"]["code"]) == (1, "invalid_context")
    assert shell.json("rejections", "list")["rejections"][0]["code"] == "invalid_context"

    (worker,) = shell.json("worker", "list")["workers"]
    assert (worker["queues"], worker["is_alive"]) == (["shop"], True)
    assert shell.json("topics", "verify") == {"drifts": []}

    orphan = shell.json("submit", "-t", "shop/orphan", stdin="{}")["task_id"]
    assert shell.run("task", "cancel", orphan, "--reason", "nobody packs").returncode == 0
    states = {each["task_id"]: each["state"] for each in shell.json("task", "list")["tasks"]}
    assert states[done["task_id"]] == states[broken] == "complete"

    examined = json.loads(shell.run("doctor", "--json").stdout)
    found = {each["name"]: each["verdict"] for each in examined["checks"]}
    assert (found["broker"], found["topics"], found["workers"]) == ("ok", "ok", "wrong")


def test_a_missing_broker_is_told_with_its_exit_code() -> None:
    ran = Shell({"TASKER_BROKER": "127.0.0.1:1"}).run("task", "list")
    assert ran.returncode == 75
    assert ran.stderr.startswith("error: no broker can be used\n  127.0.0.1:1: nothing listens there\n")


def test_dev_brings_everything_and_leaves_nothing(kafka: Broker, prefix: str, tmp_path: Path) -> None:
    template = tmp_path / "shop.yaml"
    template.write_text(shop_handlers.TEMPLATES)
    shell = Shell({"TASKER_BROKER": kafka.bootstrap_servers, "TASKER_PREFIX": prefix})
    arguments = ("dev", "-m", shop_handlers.__name__, "-t", str(template))
    with shell.role(*arguments, ready="ready: submit") as process:
        children = below(process.pid)
        assert len(children) == 4, "orchestrator, worker, projector, console"
        done = shell.json("submit", "-t", "shop/order", "--wait", "--timeout", "40", stdin='{"total": 5}')
        assert done["state"] == "complete"
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]


def below(pid: int) -> list[int]:
    """The direct children of a process."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
