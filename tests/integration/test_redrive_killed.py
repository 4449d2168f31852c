"""`tasker dlq redrive` as a process that is killed: what it did is done, what it did not do is open."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from tasker_kafka.handlers.delivery.letters import LetterFilter
from tasker_kafka.topics.brokers import Broker
from tasker_kafka.topics.log import TopicPartition
from tests.support.dead_letter_world import LetterWorld, original
from tests.support.log_sides import KafkaSide
from tests.support.patience import PATIENCE_SECONDS

LETTERS = 120
COMMAND = (sys.executable, "-m", "tasker_kafka.deploy.cli", "dlq", "redrive", "--all", "--actor", "ann")


def test_a_killed_redrive_is_gone_on_with(kafka: Broker, prefix: str) -> None:
    async def run() -> None:
        side = KafkaSide(prefix, kafka.bootstrap_servers)
        try:
            await _check(side, kafka.bootstrap_servers)
        finally:
            await side.close()

    asyncio.run(run())


async def _check(side: KafkaSide, bootstrap: str) -> None:
    world = await LetterWorld.make(side)
    for number in range(LETTERS):
        await world.die(original(world.names, number, partition=number % 2))
    env = {**os.environ, "TASKER_BROKER": bootstrap, "TASKER_PREFIX": side.prefix}

    killed = await asyncio.create_subprocess_exec(*COMMAND, "--rate", "20", env=env)
    redriven = TopicPartition(world.names.retry("audit", "redrive"), 0)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await world.log.end_offset(redriven):  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    assert await killed.wait() == -signal.SIGKILL
    before = len(await world.redriven())
    assert 0 < before < LETTERS
    assert len(await world.letters()) <= LETTERS - before, "each of them says so"

    again = await asyncio.create_subprocess_exec(*COMMAND, env=env)
    assert await again.wait() == 0

    places = [(record.partition, record.offset) for record, _ in await world.redriven()]
    assert places == sorted((number % 2, number) for number in range(LETTERS)), "each once, in order"
    assert await world.letters(LetterFilter()) == []
