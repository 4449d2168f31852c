"""A connection in memory that brings an orchestrator and a step worker along, alive as long as it is open.

So a command of `tasker` that waits for an answer gets one from the real lanes, handlers and client, without processes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from tasker_kafka.handlers import HandlerRegistry
from tasker_kafka.handlers.worker import StepWorker, WorkerSettings
from tasker_kafka.streams.lane import LaneHost, LaneSettings
from tasker_kafka.topics.log import TopicPartition
from tasker_kafka.topics.memory import MemoryCluster, MemoryLog
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.plans import PlanStore

__all__ = ["LivingLog"]


class LivingLog(MemoryLog):
    """A `MemoryLog` with company. `positions`: where intake goes on, kept between two connections."""

    def __init__(
        self,
        cluster: MemoryCluster,
        registry: HandlerRegistry,
        queues: Iterable[str],
        positions: dict[TopicPartition, int],
    ) -> None:
        super().__init__(cluster)
        self._names = TopicNames()
        self._registry = registry
        self._queues = tuple(queues)
        self._positions = positions
        self._engine_log = MemoryLog(cluster)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Connect; the company has taken every partition when this returns."""
        await super().start()
        names = self._names
        self._host = LaneHost(
            log=self._engine_log,
            names=names,
            settings=LaneSettings(checkpoint_interval_ms=10, tick_interval_ms=10),
            instance="living",
            on_fatal=self._fail,
            commit=self._commit,
        )
        await self._host.start()
        partitions = range(self.cluster.partitions(names.commands))
        await self._host.acquire(partitions)
        self._plans = PlanStore(self._engine_log, names)
        await self._plans.start()
        self._worker = StepWorker(
            self._engine_log,
            names,
            self._plans,
            self._queues,
            self._registry,
            settings=WorkerSettings(revoke_seconds=0.1, commit_seconds=0.01),
        )
        self._tasks = [
            asyncio.create_task(self._feed(names.commands)),
            asyncio.create_task(self._feed(names.task_requests)),
            asyncio.create_task(self._worker.run()),
        ]

    async def close(self) -> None:
        """Stop the company in order, with its last checkpoint."""
        if self._tasks:
            await self._worker.stop()
            *feeding, working = self._tasks
            await working
            for task in feeding:
                task.cancel()
            await asyncio.gather(*feeding, return_exceptions=True)
            await self._host.stop()
            await self._plans.stop()
        await super().close()

    async def _feed(self, topic: str) -> None:
        places = [TopicPartition(topic, number) for number in range(self.cluster.partitions(topic))]
        starts = {
            place: self._host.start_position(topic, place.partition) or self._positions.get(place, 0)
            for place in places
        }
        reader = await self._engine_log.reader(starts)
        while True:
            for place, batch in (await reader.fetch(timeout=0.05)).items():
                await self._host.process(topic, place.partition, batch)

    async def _commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self._positions.update(offsets)

    def _fail(self, error: BaseException) -> None:
        raise error
