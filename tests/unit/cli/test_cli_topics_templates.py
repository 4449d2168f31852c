"""`tasker topics` and `tasker template` on a log in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasker_kafka.topics.log import TopicDescription
from tasker_kafka.topics.memory import MemoryCluster, MemoryLog
from tasker_kafka.topics.names import TopicNames

Tasker = Callable[..., Any]
NAMES = TopicNames()
TEMPLATE = """
name: order
namespace: shop
version: {version}
steps:
  - name: reserve
    handler: {{callable: shop.reserve}}
  - name: charge
    handler: {{callable: shop.charge}}
    dependencies: [reserve]
    queue: payments
"""


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A sound template file."""
    path = tmp_path / "order.yaml"
    path.write_text(TEMPLATE.format(version="1.0.0"))
    return path


class TestTopics:
    def test_create_makes_every_topic_once(self, tasker: Tasker) -> None:
        first = tasker("topics", "create", "--partitions", "2", "--json")
        assert first.code == 0
        assert NAMES.commands in first.json["created"]
        assert tasker("topics", "create", "--json").json == {"created": []}

    def test_create_adds_the_queues_of_published_templates(self, tasker: Tasker, template: Path) -> None:
        tasker("topics", "create", "--partitions", "2")
        told = tasker("template", "publish", str(template))
        assert "run `tasker topics create`" in told.out
        assert sorted(tasker("topics", "create", "--json").json["created"]) == [
            NAMES.steps("payments"),
            NAMES.steps("shop"),
        ]
        assert tasker("topics", "verify").code == 0

    def test_verify_says_what_differs_and_what_to_do(self, tasker: Tasker, cluster: MemoryCluster) -> None:
        tasker("topics", "create", "--partitions", "2")
        admin = MemoryLog(cluster).admin()
        asyncio.run(admin.update_config(NAMES.commands, {"retention.ms": "5"}))
        asyncio.run(admin.delete([NAMES.control]))
        shown = tasker("topics", "verify", "--json")
        assert shown.code == 1
        drifts = {each["topic"]: each for each in shown.json["drifts"]}
        assert drifts[NAMES.commands]["found"] == "5"
        assert drifts[NAMES.control]["way_out"] == "run `tasker topics create`"

    def test_repair_mends_settings_and_leaves_the_rest(self, tasker: Tasker, cluster: MemoryCluster) -> None:
        tasker("topics", "create", "--partitions", "2")
        admin = MemoryLog(cluster).admin()
        asyncio.run(admin.update_config(NAMES.commands, {"retention.ms": "5"}))
        assert tasker("topics", "repair").code == 0
        assert tasker("topics", "verify").code == 0
        asyncio.run(admin.delete([NAMES.control]))
        left = tasker("topics", "repair")
        assert left.code == 1
        assert NAMES.control in left.err

    def test_another_partition_count_is_drift(self, tasker: Tasker) -> None:
        tasker("topics", "create", "--partitions", "2")
        shown = tasker("topics", "verify", "--partitions", "3", "--json")
        assert shown.code == 1
        assert {each["setting"] for each in shown.json["drifts"] if each["topic"] == NAMES.commands} == {
            "partitions"
        }

    def test_list_shows_own_topics_only(self, tasker: Tasker, cluster: MemoryCluster) -> None:
        tasker("topics", "create", "--partitions", "2")
        asyncio.run(MemoryLog(cluster).admin().create([TopicDescription("other.topic", 1, 1, {})]))
        shown = tasker("topics", "list", "--json").json["topics"]
        assert all(each["name"].startswith("tasker.") for each in shown)
        assert {"name", "partitions", "replication", "cleanup_policy", "retention_ms"} == set(shown[0])
        assert NAMES.commands in tasker("topics", "list").out

    def test_acls_let_no_worker_write_transitions(self, tasker: Tasker, template: Path) -> None:
        tasker("topics", "create", "--partitions", "2")
        tasker("template", "publish", str(template))
        rules = tasker("topics", "acls", "--json").json["acls"]
        writers = {
            each["role"]
            for each in rules
            if "Write" in each["operations"]
            and (
                each["name"] == NAMES.transitions
                or (each["pattern"] == "prefixed" and NAMES.transitions.startswith(each["name"]))
            )
        }
        assert writers == {"orchestrator"}
        assert {"worker:payments", "worker:shop"} <= {each["role"] for each in rules}


class TestTemplates:
    def test_publish_list_show_and_graph(self, tasker: Tasker, template: Path) -> None:
        tasker("topics", "create", "--partitions", "2")
        first = tasker("template", "publish", str(template), "--json").json["published"]
        assert [(each["name"], each["version"], each["is_new"]) for each in first] == [
            ("order", "1.0.0", True)
        ]
        assert tasker("template", "publish", str(template.parent)).out.startswith(
            "unchanged shop/order@1.0.0"
        )
        (row,) = tasker("template", "list", "--json").json["templates"]
        assert (row["namespace"], row["steps"], row["queues"]) == ("shop", 2, ["payments", "shop"])
        assert tasker("template", "show", "shop/order", "--json").json["plan_hash"] == row["plan_hash"]
        assert "shop.charge" in tasker("template", "show", "shop/order@1.0.0").out
        assert "s0 --> s1" in tasker("template", "graph", "shop/order").out
        assert "└─ charge" in tasker("template", "graph", "shop/order", "--format", "text").out

    def test_other_content_under_a_published_version_is_refused(self, tasker: Tasker, template: Path) -> None:
        tasker("topics", "create", "--partitions", "2")
        tasker("template", "publish", str(template))
        template.write_text(TEMPLATE.format(version="1.0.0").replace("payments", "billing"))
        told = tasker("template", "publish", str(template))
        assert told.code == 1
        assert "give the changed template a new version" in told.err

    def test_an_unknown_template_names_those_there_are(self, tasker: Tasker, template: Path) -> None:
        tasker("topics", "create", "--partitions", "2")
        tasker("template", "publish", str(template))
        told = tasker("template", "show", "shop/ordr")
        assert told.code == 4
        assert "published: shop/order" in told.err
        assert "its versions: 1.0.0" in tasker("template", "show", "shop/order@9.9.9").err

    def test_lint_names_file_line_and_the_nearest_key(self, tasker: Tasker, template: Path) -> None:
        assert tasker("template", "lint", str(template)).code == 0
        template.write_text(TEMPLATE.format(version="1.0.0").replace("queue:", "quue:"))
        told = tasker("template", "lint", str(template))
        assert told.code == 1
        assert f"{template}:11" in told.out
        assert "queue" in told.out

    def test_settings_of_events_reach_the_plan_and_the_check(
        self, tasker: Tasker, template: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        event = "    publishes_events: [{name: order.reserved}]\n"
        template.write_text(TEMPLATE.format(version="1.0.0").rstrip("\n") + "\n" + event)
        monkeypatch.setenv("TASKER_EVENTS__DEFAULT_DELIVERY", "durable")
        tasker("topics", "create", "--partitions", "2")
        assert tasker("template", "publish", str(template)).code == 0
        assert '"durable"' in tasker("template", "show", "shop/order", "--json").out
        monkeypatch.setenv("TASKER_EVENTS__ENABLED", "false")
        told = tasker("template", "lint", str(template), "--json")
        assert told.code == 1
        assert "events.enabled" in told.json["findings"][0]["message"]

    def test_lint_checks_handlers_of_a_module(
        self, tasker: Tasker, template: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (template.parent / "shop_handlers_for_lint.py").write_text(
            "from tasker_kafka.handlers import StepContext, step_handler\n"
            '@step_handler("shop.reserve")\ndef reserve(context: StepContext): return {}\n'
        )
        monkeypatch.syspath_prepend(str(template.parent))
        told = tasker("template", "lint", str(template), "-m", "shop_handlers_for_lint", "--json")
        assert told.code == 1
        (finding,) = told.json["findings"]
        assert (finding["code"], finding["path"]) == ("unknown_handler", "steps[1].handler.callable")

    def test_a_missing_path_is_told(self, tasker: Tasker, tmp_path: Path) -> None:
        told = tasker("template", "lint", str(tmp_path / "no.yaml"))
        assert told.code == 78
        assert "There is no template file or folder" in told.err
