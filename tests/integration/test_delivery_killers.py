"""Handlers that end their process, on a real broker: a supervisor starts `tasker subscriber` again each time."""

from __future__ import annotations

import asyncio
import select
import subprocess
import time
from pathlib import Path

import pytest

from tasker_kafka.handlers import EventPublisher
from tasker_kafka.handlers.delivery.journey import Journey, unwrap
from tasker_kafka.schemas.plan import EventDeclaration
from tasker_kafka.schemas.words import Delivery, EventCondition
from tasker_kafka.topics.brokers import Broker
from tasker_kafka.topics.kafka import KafkaLog
from tasker_kafka.topics.log import TopicDescription, TopicPartition
from tasker_kafka.topics.names import TopicNames
from tests.support import killing_subscribers
from tests.support.killing_subscribers import ABORTS, EXITS
from tests.support.log_sides import drain
from tests.support.shell import TASKER, Shell

MODULE = killing_subscribers.__name__
PLACED = EventDeclaration("order.placed", Delivery.DURABLE, EventCondition.SUCCESS, key="$.customer")
COUNT = 30
SECONDS = 400

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(600)]


async def provide(broker: Broker, prefix: str) -> None:
    """The namespace's topic, and events in it."""
    log = KafkaLog(broker.bootstrap_servers)
    await log.start()
    try:
        await log.admin().create([TopicDescription(TopicNames(prefix).domain_events("shop"), 2, 1, {})])
    finally:
        await log.close()
    publisher = EventPublisher("shop", bootstrap=broker.bootstrap_servers, prefix=prefix, declares=[PLACED])
    async with publisher as events:
        for number in range(COUNT):
            await events.publish("order.placed", {"number": number, "customer": f"c{number % 4}"})


def numbers(seen: Path, group: str) -> list[int]:
    """What this group was given, in order."""
    lines = [line.split() for line in seen.read_text().splitlines()]
    return [int(number) for name, number in lines if name == group]


async def letters(broker: Broker, prefix: str) -> list[Journey]:
    """The group's dead letters; none as long as there is no topic for them."""
    topic = TopicNames(prefix).group_dlq("killing")
    log = KafkaLog(broker.bootstrap_servers)
    await log.start()
    try:
        if topic not in await log.admin().names():
            return []
        count = await log.partition_count(topic)
        places = [TopicPartition(topic, number) for number in range(count)]
        return [unwrap(record)[1] for place in places for record in await drain(log, place)]
    finally:
        await log.close()


def test_events_that_end_the_process_become_dead_letters_and_all_others_are_handled(
    kafka: Broker, prefix: str, tmp_path: Path
) -> None:
    asyncio.run(provide(kafka, prefix))
    seen = tmp_path / "seen"
    seen.touch()
    shell = Shell({"TASKER_BROKER": kafka.bootstrap_servers, "TASKER_PREFIX": prefix, "SEEN": str(seen)})
    everything = set(range(COUNT))
    codes: list[int] = []
    until = time.monotonic() + SECONDS
    process: subprocess.Popen[bytes] | None = None
    try:
        while len(found := asyncio.run(letters(kafka, prefix))) < 2 or not everything <= set(
            numbers(seen, "beside")
        ):
            assert time.monotonic() < until, (found, codes)
            if process is not None and process.poll() is not None:
                codes.append(process.returncode)
                process = None
            if process is None:
                process = subprocess.Popen([*TASKER, "subscriber", "-m", MODULE], env=shell.environment)
            else:
                try:
                    process.wait(1.0)
                except subprocess.TimeoutExpired:
                    continue
        while not everything <= set(numbers(seen, "killing")):
            assert time.monotonic() < until
            select.select([], [], [], 0.2)
        assert process is not None
        assert process.poll() is None
    finally:
        if process is not None:
            process.terminate()
            process.wait(60)
    assert set(codes) == {7, -6}
    assert max(codes.count(7), codes.count(-6)) <= 4
    assert {letter.error_type for letter in found} == {"ProcessLost"}
    deliveries = numbers(seen, "killing")
    assert max(deliveries.count(EXITS), deliveries.count(ABORTS)) <= 4
