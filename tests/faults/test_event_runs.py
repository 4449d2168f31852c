"""Durable events, three groups, and processes that die: each event is handled by every group, or is a dead letter."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Mapping
from pathlib import Path

import pytest

from tasker_kafka.handlers import EventPublisher
from tasker_kafka.schemas.plan import EventDeclaration
from tasker_kafka.schemas.words import Delivery, EventCondition
from tasker_kafka.topics.declarations import TopicPlan, declarations
from tasker_kafka.topics.provision import create, publish_schemas
from tests.checker import Ledger, LedgerWriter, Report, check, read_ledger, read_raw
from tests.support.brokers import OwnBroker
from tests.support.system import PARTITIONS, System

from .event_handlers import FAILS_ALWAYS, GROUPS, LEDGER, SINK

NAMESPACE = "shop"
KEYS = 500
MEMBERS = 2
PER_ROUND = 500

pytestmark = pytest.mark.timeout(600)


class Run:
    """Three groups of two processes each, and a publisher."""

    def __init__(self, broker: OwnBroker, prefix: str, folder: Path, seed: int) -> None:
        self.broker = broker()
        self.folder = folder
        self.dice = random.Random(seed)
        self.system = System(self.broker.bootstrap_servers, prefix, folder)
        self.published = 0
        self.kills = 0

    @property
    def topic(self) -> str:
        return self.system.names.domain_events(NAMESPACE)

    async def start(self) -> None:
        system = self.system
        await system.log.start()
        plan = TopicPlan(partitions=PARTITIONS)
        await create(system.log.admin(), declarations(system.names, plan, namespaces=[NAMESPACE]))
        await publish_schemas(system.log, system.names)
        with sqlite3.connect(self.folder / "sink.db") as sink:
            sink.execute("CREATE TABLE tries (event_id TEXT)")
            sink.execute("PRAGMA journal_mode = WAL")
            sink.execute("CREATE TABLE effects (event_id TEXT PRIMARY KEY)")
        ledger = LedgerWriter(self.folder / "ledger", "test")
        for group in GROUPS:
            ledger.subscribed(group, "all", self.topic)
            for number in range(MEMBERS):
                self.start_member(group, number)
        ledger.close()

    def start_member(self, group: str, number: int) -> None:
        arguments = ["subscriber", "-m", "tests.faults.event_handlers", "--group", group]
        self.system.start_role(f"{group}-{number}", arguments)

    async def publish(self, count: int) -> None:
        declared = EventDeclaration(
            "order.paid", Delivery.ACKNOWLEDGED, EventCondition.ALWAYS, key="$.customer"
        )
        async with EventPublisher(
            NAMESPACE, log=self.system.log, prefix=self.system.prefix, declares=[declared]
        ) as events:
            for _ in range(count):
                self.published += 1
                payload = {"number": self.published, "customer": f"c{self.dice.randrange(KEYS)}"}
                await events.publish("order.paid", payload)

    async def kill_one(self) -> None:
        """kill −9 of a member at a random moment; it is started again."""
        name = self.dice.choice(sorted(self.system.roles))
        await asyncio.sleep(self.dice.uniform(0.2, 1.5))  # the moment itself is the fault
        self.system.kill(name)
        self.kills += 1
        self.system.restart(name)

    async def restart_broker(self) -> None:
        await asyncio.to_thread(self.broker.kill)
        await asyncio.to_thread(self.broker.restart)

    async def settled(self) -> Ledger:
        """Wait until every group has handled or given up everything; the groups' commits tell."""
        async with asyncio.timeout(180):
            while True:
                for name, process in self.system.roles.items():
                    assert process.poll() is None, self.system.errors_of(name)
                ledger = await asyncio.to_thread(read_ledger, self.folder / "ledger")
                ends = [self.left(ledger, group) for group in GROUPS]
                if not any(ends):
                    return ledger
                await asyncio.sleep(0.5)  # other processes write files: nothing tells

    def left(self, ledger: Ledger, group: str) -> int:
        done = {each.event_id for each in ledger.handled if each.group == group and each.outcome == "success"}
        dead = sum(number % FAILS_ALWAYS == 7 for number in range(1, self.published + 1))
        return self.published - len(done) - (dead if group == "flaky" else 0)

    async def verdict(self) -> tuple[Report, Mapping[str, int]]:
        for name, process in self.system.roles.items():
            process.terminate()
            assert await asyncio.to_thread(process.wait, 40) == 0, self.system.errors_of(name)
        raw = await read_raw(self.system.bootstrap, self.system.prefix)
        report = check(raw, read_ledger(self.folder / "ledger"), settled=True)
        with sqlite3.connect(self.folder / "sink.db") as sink:
            tries, effects = (
                sink.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("tries", "effects")
            )
        receipts = sum(len(each.records) for each in raw.of("receipts").values())
        return report, {"tries": tries, "effects": effects, "receipts": receipts}


async def play(run: Run, *, rounds: int, broker_restarts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LEDGER, str(run.folder / "ledger"))
    monkeypatch.setenv(SINK, str(run.folder / "sink.db"))
    monkeypatch.setenv("TASKER_SUBSCRIBER__SESSION_TIMEOUT_MS", "3000")
    monkeypatch.setenv("TASKER_SUBSCRIBER__HEARTBEAT_MS", "500")
    try:
        await run.start()
        lost = set(run.dice.sample(range(1, rounds), broker_restarts))
        for number in range(rounds):
            publishing = asyncio.create_task(run.publish(PER_ROUND))
            await run.kill_one()
            if number in lost:
                await run.restart_broker()
            await publishing
        await run.settled()
        report, figures = await run.verdict()
    finally:
        await run.system.tear_down()
    print(f"{run.published} events, {run.kills} members killed, broker {broker_restarts} times; {figures}")
    print(report)
    assert not report.violations, str(report)
    dead = sum(number % FAILS_ALWAYS == 7 for number in range(1, run.published + 1))
    assert report.figures["events_dead"] >= dead
    assert figures["effects"] == run.published, "no effect is missing, none happened twice"
    assert figures["receipts"] >= run.published
    assert report.figures["deliveries_repeated"] < report.figures["deliveries"] // 20


async def test_killed_subscribers_lose_no_event(
    own_broker: OwnBroker, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(own_broker, prefix, tmp_path, seed=1)
    await play(run, rounds=3, broker_restarts=0, monkeypatch=monkeypatch)


@pytest.mark.campaign
async def test_ten_thousand_events_survive_kills_and_broker_restarts(
    own_broker: OwnBroker, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(own_broker, prefix, tmp_path, seed=2)
    await play(run, rounds=20, broker_restarts=3, monkeypatch=monkeypatch)
