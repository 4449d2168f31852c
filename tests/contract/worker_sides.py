"""The sides of the log on which the worker's contract is tested."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from tasker_kafka.topics.kafka import KafkaLog
from tasker_kafka.topics.log import Log
from tasker_kafka.topics.memory import MemoryCluster, MemoryLog, run_virtual
from tasker_kafka.topics.names import TopicNames
from tests.support.patience import PATIENCE_SECONDS

from .worker_rig import Rig, rig

__all__ = ["Scenario", "Side", "kafka_side", "memory_side", "play"]

Scenario = Callable[[Rig], Awaitable[None]]


@dataclass(frozen=True)
class Side:
    """How to make logs of one cluster, and how to run a coroutine on it."""

    name: str
    prefix: str
    new_log: Callable[[], Log]
    run: Callable[[Coroutine[Any, Any, None]], None]


def memory_side(prefix: str, cluster: MemoryCluster | None = None) -> Side:
    """The log in memory, on a virtual clock."""
    shared = cluster or MemoryCluster(latency=0.001)

    def run(main: Coroutine[Any, Any, None]) -> None:
        run_virtual(asyncio.wait_for(main, 600))

    return Side("memory", prefix, lambda: MemoryLog(shared), run)


def kafka_side(prefix: str, bootstrap: str) -> Side:
    """A real broker, on a real clock."""

    def run(main: Coroutine[Any, Any, None]) -> None:
        asyncio.run(asyncio.wait_for(main, 2 * PATIENCE_SECONDS))

    return Side("kafka", prefix, lambda: KafkaLog(bootstrap), run)


def play(side: Side, scenario: Scenario, **options: Any) -> None:
    """Run a scenario with a rig on this side; `options` as of `rig`."""

    async def main() -> None:
        log = side.new_log()
        await log.start()
        try:
            async with rig(log, TopicNames(side.prefix), side.new_log, **options) as made:
                await scenario(made)
        finally:
            await log.close()

    side.run(main())
