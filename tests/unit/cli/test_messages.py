"""The texts of errors that users meet: each says what is wrong, where, and what to do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasker_kafka.topics.kafka import KafkaLog
from tasker_kafka.topics.memory import MemoryCluster, MemoryLog
from tasker_kafka.topics.names import TopicNames

Tasker = Callable[..., Any]
NAMES = TopicNames()


def flat(text: str) -> str:
    """Text without line breaks and repeated blanks."""
    return " ".join(text.split())


def test_template_error(tasker: Tasker, tmp_path: Path) -> None:
    file = tmp_path / "order.yaml"
    file.write_text(
        "name: order\nsteps:\n  - name: pay\n    handler: {callable: shop.pay}\n    dependencis: [cart]\n"
    )
    tasker("topics", "create", "--partitions", "1")
    told = tasker("template", "publish", str(file))
    assert told.code == 1
    what, where, way_out = "unknown key", f"{file}:5: steps[0].dependencis", "`dependencies`"
    assert all(each in told.err for each in (what, where, way_out))


def test_template_cycle_shows_the_path(tasker: Tasker, tmp_path: Path) -> None:
    file = tmp_path / "loop.yaml"
    file.write_text(
        "name: loop\nsteps:\n"
        "  - {name: a, handler: {callable: x}, dependencies: [b]}\n"
        "  - {name: b, handler: {callable: x}, dependencies: [a]}\n"
    )
    told = tasker("template", "lint", str(file))
    assert told.code == 1
    assert "a → b → a" in told.out or "b → a → b" in told.out


def test_wrong_context(system: Tasker) -> None:
    ran = system("submit", "-t", "shop/order", "--wait", "-", stdin='{"total": "many"}')
    assert ran.code == 1
    assert "error: rejected: " in ran.err
    assert "total" in ran.err
    (row,) = system("rejections", "list", "--json").json["rejections"]
    assert (row["code"], row["path"]) == ("invalid_context", "context.total")
    assert "integer" in row["message"]


def test_context_that_is_no_json(system: Tasker) -> None:
    ran = system("submit", "-t", "shop/order", "-", stdin='{"total": }')
    assert ran.code == 1
    assert "standard input" in ran.err


def test_request_with_an_unknown_key(system: Tasker) -> None:
    ran = system("submit", "-", stdin=json.dumps({"name": "order", "contxt": {}}))
    assert ran.code == 1
    assert flat("standard input: a request has no key 'contxt'") in flat(ran.err)
    assert "context" in ran.err


def test_unknown_template(system: Tasker) -> None:
    ran = system("submit", "-t", "shop/nothing", "-", stdin="{}")
    assert ran.code == 1
    assert "no template shop/nothing is published" in ran.err
    assert "tasker template publish" in ran.err


def test_unknown_handler(system: Tasker) -> None:
    ran = system("submit", "-t", "shop/orphan", "--json", "-", stdin="{}")
    shown = system("task", "show", ran.json["task_id"], "--json").json
    assert shown["steps"][0]["history"][0]["outcome"] in (None, "returned")
    (wait,) = shown["waiting"]
    assert wait["step"] == "pack"
    assert wait["waits_for"] in ("handler", "worker")
    if wait["waits_for"] == "handler":
        assert "no worker of steps.shop knows handler shop.pack" in wait["message"]
        assert "deploy it there" in wait["message"]


def test_queue_nobody_consumes(
    system: Tasker, cluster: MemoryCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = system("submit", "-t", "shop/orphan", "--json", "-", stdin="{}")
    # Without the company: its worker has signed off, and the step is enqueued or waits to be again.
    monkeypatch.setattr("tasker_kafka.deploy.cli.session.connect", lambda settings: MemoryLog(cluster))
    out = system("task", "show", ran.json["task_id"]).out
    assert "nobody consumes steps.shop: start `tasker worker` with that queue" in out


def test_missing_broker() -> None:
    async def reach() -> None:
        await KafkaLog("127.0.0.1:1").start()

    with pytest.raises(Exception, match="nothing listens there") as caught:
        asyncio.run(reach())
    assert "127.0.0.1:1" in str(caught.value)
    assert "start the broker (tasker broker start) or check the address" in str(caught.value)


def test_drifted_topic_refuses_a_role(tasker: Tasker, cluster: MemoryCluster) -> None:
    tasker("topics", "create", "--partitions", "2")
    asyncio.run(MemoryLog(cluster).admin().update_config(NAMES.transitions, {"cleanup.policy": "compact"}))
    ran = tasker("orchestrator")
    assert ran.code == 78
    assert "the topics are not as declared" in ran.err
    assert f"{NAMES.transitions}: cleanup.policy should be delete, is compact" in ran.err
    assert "tasker topics verify" in ran.err


def test_missing_topics_refuse_a_role(tasker: Tasker) -> None:
    ran = tasker("orchestrator")
    assert ran.code == 78
    assert "run `tasker topics create`" in ran.err


def test_a_worker_without_a_published_handler_is_told(tasker: Tasker) -> None:
    tasker("topics", "create", "--partitions", "2")
    ran = tasker("worker", "-m", "tests.support.shop_handlers")
    assert ran.code == 78
    assert "handlers here: shop.charge, shop.reserve" in ran.err
    assert "--queue" in ran.err


def test_a_worker_without_a_module_is_a_usage_error(tasker: Tasker) -> None:
    ran = tasker("worker")
    assert ran.code == 2
    assert "--module" in ran.err


def test_a_missing_module_is_told(tasker: Tasker) -> None:
    ran = tasker("worker", "-m", "no_such_handlers")
    assert ran.code == 78
    assert "there is no module 'no_such_handlers'" in ran.err
    assert "PYTHONPATH" in ran.err
