"""A system in memory whose parts go away for minutes of virtual time: real lanes, real workers, one log.

The engine is restarted a second after it has ended by itself, as a supervisor would. While the broker is down every
process's calls wait, also those of processes that are started meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress

from tasker_kafka.handlers import HandlerRegistry
from tasker_kafka.handlers.testing.orchestrator import Orchestrator
from tasker_kafka.handlers.worker import StepWorker, WorkerSettings
from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.identity import new_request_id
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import AttemptGranted, TaskRequest, Transitions
from tasker_kafka.schemas.words import CLOSED_TASK_STATES, TaskStatus
from tasker_kafka.streams.lane import LaneSettings
from tasker_kafka.topics.declarations import TopicPlan, declarations, declared_for
from tasker_kafka.topics.history import AcceptedHistory
from tasker_kafka.topics.log import Isolation, TopicPartition, Write
from tasker_kafka.topics.memory import MemoryCluster, MemoryLog
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.plans import PlanStore, publish
from tasker_kafka.topics.provision import create, publish_schemas

__all__ = ["OutageWorld"]

PARTITIONS = 2
SETTINGS = WorkerSettings(session_timeout_ms=6_000, heartbeat_ms=500, announce_seconds=3600.0)


class OutageWorld:
    """A cluster, an engine under a supervisor, and workers."""

    def __init__(self, *plans: Plan, handlers: Iterable[object]) -> None:
        self.names = TopicNames()
        self.engine_ends: list[BaseException] = []
        """Why the engine has ended by itself."""
        self._plans = plans
        self._registry = HandlerRegistry(*handlers)
        self._cluster = MemoryCluster(latency=0.001)
        self._client = MemoryLog(self._cluster)
        self._logs: list[MemoryLog] = []
        self._is_broker_down = False
        self._supervisor: asyncio.Task[None] | None = None
        self._workers: dict[str, tuple[MemoryLog, PlanStore, asyncio.Task[None]]] = {}

    async def open(self) -> OutageWorld:
        """Create topics, publish the plans, start the engine."""
        queues, namespaces = declared_for(self._plans)
        plan = TopicPlan(partitions=PARTITIONS)
        await create(
            self._client.admin(), declarations(self.names, plan, queues=queues, namespaces=namespaces)
        )
        await publish(self._client, self.names, list(self._plans))
        await publish_schemas(self._client, self.names)
        self.start_engine()
        return self

    async def close(self) -> None:
        """End everything."""
        await self.kill_engine()
        for name in list(self._workers):
            await self.kill_worker(name)

    # ----------------------------------------------------------------------------------- processes

    def start_engine(self) -> None:
        """An orchestrator that is started again whenever it ends."""
        self._supervisor = asyncio.create_task(self._supervise())

    async def kill_engine(self) -> None:
        """kill −9, for good."""
        assert self._supervisor is not None
        self._supervisor.cancel()
        await asyncio.wait([self._supervisor])

    async def start_worker(self, name: str) -> None:
        """A worker of every queue."""
        log = self._new_log()
        plans = PlanStore(log, self.names)
        await plans.start()
        queues = sorted({queue for plan in self._plans for queue in plan.queues})
        worker = StepWorker(log, self.names, plans, queues, self._registry, settings=SETTINGS, worker_id=name)
        task = asyncio.create_task(worker.run())
        self._workers[name] = (log, plans, task)

    async def kill_worker(self, name: str) -> None:
        """kill −9."""
        log, plans, task = self._workers.pop(name)
        log.kill()
        task.cancel()
        await asyncio.wait([task])
        await plans.stop()

    def stop_broker(self) -> None:
        """Nobody's call returns from now on."""
        self._is_broker_down = True
        for log in self._logs:
            log.pause()

    def start_broker(self) -> None:
        """What waited goes on."""
        self._is_broker_down = False
        for log in self._logs:
            log.resume()

    def _new_log(self) -> MemoryLog:
        log = MemoryLog(self._cluster)
        self._logs.append(log)
        if self._is_broker_down:
            log.pause()
        return log

    async def _supervise(self) -> None:
        while True:
            log = self._new_log()
            ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

            def end(error: BaseException, ended: asyncio.Future[None] = ended) -> None:
                if not ended.done():
                    self.engine_ends.append(error)
                    ended.set_result(None)

            engine = Orchestrator(log, self.names, LaneSettings(), end, None)
            starting = asyncio.create_task(engine.start())
            try:
                await asyncio.wait([starting, ended], return_when=asyncio.FIRST_COMPLETED)
                if starting.done() and (error := starting.exception()) is not None:
                    end(error)
                await ended
            finally:
                starting.cancel()
                log.kill()
                with suppress(Exception):
                    await engine.drop()
            await asyncio.sleep(1)

    # ------------------------------------------------------------------------------------ the log

    async def submit(self, plan: Plan, count: int = 1, *, not_before: int | None = None) -> set[bytes]:
        """Requests of one client that is never down: their task ids."""
        outbox = await self._client.outbox(client_id="client")
        ids = {new_request_id() for _ in range(count)}
        for request_id in ids:
            request = TaskRequest(name=plan.name, context=b"{}", request_id=request_id, not_before=not_before)
            await outbox.write(Write(self.names.task_requests, request_id, codec.encode(request)))
        await outbox.close()
        return ids

    @property
    def now_ms(self) -> int:
        """Virtual wall time."""
        return self._client.now_ms()

    def history(self) -> dict[bytes, list[Transitions]]:
        """The accepted records of each task."""
        found: dict[bytes, list[Transitions]] = defaultdict(list)
        for number in range(PARTITIONS):
            accepted = AcceptedHistory()
            store = self._cluster.store(TopicPartition(self.names.transitions, number))
            for record in store.read(0, 1_000_000, Isolation.COMMITTED)[0]:
                decoded = codec.decode_transition_record(record.value or b"")
                if accepted.accept(record, decoded) and isinstance(decoded, Transitions):
                    found[record.key or b""].append(decoded)
        return found

    def ends(self) -> dict[bytes, TaskStatus]:
        """How each closed task has ended."""
        return {
            task_id: each.to_state
            for task_id, records in self.history().items()
            for record in records
            for each in record.transitions
            if isinstance(each.to_state, TaskStatus) and each.to_state in CLOSED_TASK_STATES
        }

    def attempts(self, task_id: bytes) -> dict[str, list[int]]:
        """The attempts granted to each step."""
        found: dict[str, list[int]] = defaultdict(list)
        for record in self.history()[task_id]:
            for each in record.transitions:
                if isinstance(each.data, AttemptGranted):
                    found[each.step or ""].append(each.data.attempt)
        return found

    async def wait_complete(self, tasks: set[bytes], *, seconds: float) -> None:
        """Wait until all of these are complete, at most this long."""
        async with asyncio.timeout(seconds):
            while not tasks <= self.ends().keys():  # noqa: ASYNC110 - virtual time costs nothing
                await asyncio.sleep(2)
        assert {self.ends()[each] for each in tasks} == {TaskStatus.COMPLETE}
