"""`tasker doctor`: each thing that can be wrong is found, and what to do is said."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from tasker_kafka.deploy.cli import session
from tasker_kafka.deploy.doctor import WAITS_LONG_MS, examine
from tasker_kafka.deploy.reading.workers import SILENT_MS
from tasker_kafka.schemas.errors import BrokerUnavailable
from tasker_kafka.schemas.plan import Plan, PlanStep
from tasker_kafka.schemas.settings import Settings
from tasker_kafka.topics.memory import MemoryCluster, MemoryLog, run_virtual
from tasker_kafka.topics.names import TopicNames
from tests.support.written_log import WrittenLog

Tasker = Callable[..., Any]
NAMES = TopicNames()
PLAN = Plan("shop", "order", "1.0.0", (PlanStep("pay", "shop.pay", "shop"),))


def wrong(checks: Any) -> dict[str, str]:
    """The findings by name, where something is wrong."""
    return {
        each["name"]: f"{each['message']} → {each['way_out']}" for each in checks if each["verdict"] != "ok"
    }


def findings(
    *, after_ms: int = 0, workers: tuple[tuple[str, str, str], ...] = (), silent_ms: int | None = None
) -> dict[str, str]:
    """What is wrong with a system with one enqueued step, some time later.

    silent_ms: how long ago the workers spoke last; None: they speak at the beginning only.
    """

    async def look() -> dict[str, str]:
        written = await WrittenLog(PLAN).open()
        await written.start(PLAN)
        await written.checkpoint()
        silent = after_ms if silent_ms is None else silent_ms
        await asyncio.sleep((after_ms - silent) / 1000)
        for worker, queue, handler in workers:
            await written.announce(worker, (queue,), (handler,))
        await asyncio.sleep(silent / 1000)
        cluster = written.log.cluster
        found = await examine(Settings(), "memory:1", lambda: MemoryLog(cluster))
        texts: dict[str, str] = {}
        for each in found.checks:
            if each.verdict != "ok":
                texts[each.name] = f"{texts.get(each.name, '')}{each.message} → {each.way_out}\n"
        return texts

    return run_virtual(look())


def test_a_sound_system_is_exit_code_0(tasker: Tasker, system: Tasker) -> None:
    ran = tasker("doctor", "--json")
    shown = {each["name"]: each["verdict"] for each in ran.json["checks"]}
    assert shown["broker"] == shown["topics"] == shown["templates"] == "ok"
    assert {"versions", "settings", "orchestrators", "workers", "waiting steps"} <= set(shown)


def test_an_empty_cluster_lacks_topics_and_templates(tasker: Tasker) -> None:
    ran = tasker("doctor", "--json")
    assert ran.code == 1
    assert ran.json["is_well"] is False
    found = wrong(ran.json["checks"])
    assert NAMES.commands in found["topics"]
    assert "run `tasker topics create`" in found["topics"]
    assert "templates" in found


def test_a_missing_broker_is_told_and_ends_the_examination(
    tasker: Tasker, monkeypatch: pytest.MonkeyPatch, cluster: MemoryCluster
) -> None:
    class Unreachable(MemoryLog):
        async def start(self) -> None:
            raise BrokerUnavailable("nothing listens there", next_step="start the broker")

    monkeypatch.setattr(session, "connect", lambda settings: Unreachable(cluster))
    ran = tasker("doctor")
    assert ran.code == 1
    assert "WRONG    broker: nothing listens there\n         → start the broker" in ran.out
    assert "topics" not in ran.out


def test_drift_is_told_with_its_way_out(tasker: Tasker, cluster: MemoryCluster) -> None:
    tasker("topics", "create", "--partitions", "2")
    asyncio.run(MemoryLog(cluster).admin().update_config(NAMES.commands, {"retention.ms": "5"}))
    found = wrong(tasker("doctor", "--json").json["checks"])
    assert "retention.ms is 5, declared 604800000" in found["topics"]


def test_queues_that_nobody_serves(tasker: Tasker) -> None:
    found = findings()
    assert "nobody consumes steps.shop, which shop/order needs → start `tasker worker`" in found["workers"]
    assert "waiting steps" not in found


def test_a_handler_that_nobody_knows() -> None:
    found = findings(workers=(("w1", "shop", "shop.other"),))
    assert "no worker of steps.shop knows handler shop.pay (w1), which shop/order needs" in found["workers"]


def test_a_step_that_waits_for_long() -> None:
    found = findings(after_ms=4 * 60_000)
    assert "step pay: enqueued 4 min: nobody consumes steps.shop" in found["waiting steps"]
    assert "`tasker task show" in found["waiting steps"]
    served = findings(after_ms=WAITS_LONG_MS + 1_000, workers=(("w1", "shop", "shop.pay"),), silent_ms=0)
    assert "waits for a free worker of steps.shop (1 serve it)" in served["waiting steps"]


def test_a_silent_worker() -> None:
    found = findings(after_ms=SILENT_MS + 1_000, workers=(("w1", "shop", "shop.pay"),))
    assert "nobody consumes" in found["workers"]
    assert "w1 has said nothing for 26 s" in found["workers"]


def test_requests_and_commands_that_nobody_does() -> None:
    assert "1 records of tasker.commands" in findings()["orchestrators"]


def test_output_is_json(tasker: Tasker) -> None:
    json.dumps(tasker("doctor", "--json").json)
