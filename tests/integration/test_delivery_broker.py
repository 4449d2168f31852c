"""Delivery on a real broker: order, retries, dead letters, sharing, and a member killed while events are parked."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tasker_kafka.handlers.subscribing.event import DomainEvent
from tasker_kafka.schemas.words import Delivery
from tasker_kafka.topics.brokers import Broker
from tasker_kafka.topics.kafka import KafkaLog
from tasker_kafka.topics.names import TopicNames
from tests.support.delivery_world import Seen, World, envelope, on, policy_of, spec_of
from tests.support.patience import PATIENCE_SECONDS

ROOT = Path(__file__).resolve().parents[2]
Line = tuple[int, str, int, int, bool]


@asynccontextmanager
async def world_on(broker: Broker, prefix: str, partitions: int = 2) -> AsyncIterator[World]:
    """A world on the broker."""
    logs: list[KafkaLog] = []

    def new_log() -> KafkaLog:
        logs.append(KafkaLog(broker.bootstrap_servers))
        return logs[-1]

    async with World.on(new_log, TopicNames(prefix), partitions=partitions) as world:
        yield world
    for log in logs:
        await log.close()


def test_events_are_handled_in_order_tried_again_and_buried(kafka: Broker, prefix: str) -> None:
    async def scene() -> None:
        async with world_on(kafka, prefix) as world:

            def end(event: DomainEvent[Any]) -> None:
                number = event.payload["number"]
                if number == 0 or (number == 1 and event.delivery_attempt < 3):
                    raise RuntimeError("not now")

            seen = Seen(end)
            policy = policy_of(0.1, 1.0, in_place_seconds=0.5)
            async with world.member(
                spec_of(on(seen, policy=policy, delivery=Delivery.ACKNOWLEDGED))
            ) as member:
                await world.publish(*(envelope(each, key=f"k{each % 3}") for each in range(60)))
                await world.settled(60)
                figures = member.figures
            assert figures.delivered == 59
            assert (figures.dead, figures.receipts) == (1, 60)
            done = [event.payload["number"] for event in seen if event.payload["number"] not in {0, 1}]
            for key in range(3):
                assert [each for each in done if each % 3 == key] == [
                    each for each in range(key, 60, 3) if each > 1
                ]
            [(original, journey)] = await world.dead()
            [published] = [
                each
                for each in await world.records(world.source)
                if (each.partition, each.offset) == (original.partition, original.offset)
            ]
            assert original == published
            assert journey.attempts == 3

    asyncio.run(scene())


def test_members_share_partitions_and_lose_nothing_when_one_leaves(kafka: Broker, prefix: str) -> None:
    async def scene() -> None:
        async with world_on(kafka, prefix, partitions=4) as world:
            first, second = Seen(), Seen()
            async with world.member(spec_of(on(first))):
                async with world.member(spec_of(on(second))):
                    for number in range(100):
                        await world.publish(envelope(number, key=f"k{number % 20}"))
                await world.publish(*(envelope(number, key=f"k{number % 20}") for number in range(100, 200)))
                await world.settled(60)
            assert set(first.numbers) | set(second.numbers) == set(range(200))
            assert second.numbers

    asyncio.run(scene())


def lines_of(ledger: Path) -> list[Line]:
    """What the processes have handled."""
    found = []
    for text in ledger.read_text().splitlines():
        at, key, number, attempt, is_done = text.split()
        found.append((int(at), key, int(number), int(attempt), is_done == "1"))
    return found


def start(broker: Broker, prefix: str, ledger: Path, delay: float) -> subprocess.Popen[bytes]:
    """A member in a process of its own."""
    command = [sys.executable, "-m", "tests.integration.delivery_process"]
    arguments = [broker.bootstrap_servers, prefix, str(ledger), "bad", str(delay)]
    return subprocess.Popen([*command, *arguments], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)})


async def until_handled(ledger: Path, count: int, seconds: float = PATIENCE_SECONDS) -> list[Line]:
    """Wait for so many lines."""
    async with asyncio.timeout(seconds):
        while len(found := lines_of(ledger)) < count:  # noqa: ASYNC110 - another process writes
            await asyncio.sleep(0.1)
    return found


def test_what_is_parked_survives_a_kill(kafka: Broker, prefix: str, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    ledger.touch()
    delay = 15.0

    async def scene() -> None:
        async with world_on(kafka, prefix, partitions=1) as world:
            process = start(kafka, prefix, ledger, delay)
            try:
                await world.publish(*(envelope(each, key="bad") for each in range(3)))
                await world.publish(*(envelope(each, key="good") for each in range(10, 13)))
                await until_handled(ledger, 4)  # the failed one, and those of the other key
                async with asyncio.timeout(PATIENCE_SECONDS):
                    while len(await world.records(world.names.retry("audit", "15s"))) < 3:  # noqa: ASYNC110 - read anew
                        await asyncio.sleep(0.1)
            finally:
                process.send_signal(signal.SIGKILL)
                process.wait()
            process = start(kafka, prefix, ledger, delay)
            try:
                await world.publish(envelope(3, key="bad"))
                await world.settled()
            finally:
                process.kill()
                process.wait()

    asyncio.run(scene())
    lines = lines_of(ledger)
    bad = [(number, attempt, is_done) for _, key, number, attempt, is_done in lines if key == "bad"]
    assert bad == [(0, 1, False), (0, 2, True), (1, 1, True), (2, 1, True), (3, 1, True)]
    times = [at for at, key, number, _, _ in lines if (key, number) == ("bad", 0)]
    assert times[1] - times[0] >= delay * 1_000
    assert {number for _, key, number, _, _ in lines if key == "good"} == {10, 11, 12}
