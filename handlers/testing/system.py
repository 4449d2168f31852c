"""A whole system for one test, in this process: topics, templates, orchestrator, workers, client, subscribers.

Everything here runs on the stage's loop; `workflow` calls it from the test.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from tasker_kafka.handlers.delivery.settings import DeliverySettings
from tasker_kafka.handlers.subscribing.subscription import SubscriberSpec
from tasker_kafka.handlers.worker import StepWorker, WorkerSettings
from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.streams.lane import LaneSettings
from tasker_kafka.topics.client import TaskClient
from tasker_kafka.topics.declarations import TopicDeclaration, TopicPlan, declarations, declared_for
from tasker_kafka.topics.log import Log
from tasker_kafka.topics.memory import MemoryLog
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.plans import publish
from tasker_kafka.topics.provision import create

from .delivering import Delivering
from .doubles import Doubles
from .guard import Guard
from .history import TaskHistory
from .members import Member
from .orchestrator import Orchestrator
from .pace import IdlePace
from .stages import Stage

__all__ = ["System"]


class _Worker:
    """A step worker, the process it is in, and its life."""

    def __init__(self, log: Log, worker: StepWorker) -> None:
        self.log = log
        self.worker = worker
        self.task: asyncio.Task[None] | None = None


class System:
    """One prefix on one stage. `start`, `add` as often as wanted, `stop`."""

    def __init__(
        self,
        stage: Stage,
        doubles: Doubles,
        *,
        prefix: str,
        partitions: int,
        lanes: LaneSettings,
        worker: WorkerSettings,
        delivery: DeliverySettings,
    ) -> None:
        self.names = TopicNames(prefix)
        self.log = stage.new_log()
        self._stage = stage
        self._doubles = doubles
        self._topics = TopicPlan(partitions=partitions)
        self._lanes = lanes
        self._worker_settings = worker
        self._workers: list[_Worker] = []
        self._queues: set[str] = set()
        self._plans: list[Plan] = []
        self.guard = Guard()
        pace = IdlePace() if stage.is_virtual else None
        self._orchestrator = Orchestrator(self.log, self.names, lanes, self.guard.fail, pace)
        self.plans = self._orchestrator.host.plans
        self.client = TaskClient(self.log, self.names, self.plans, actor="test")
        self.history = TaskHistory(self.log, self.names, self.plans)
        self.delivering = Delivering(self.log, stage.new_log, self.names, delivery, self._member_ended)

    # ------------------------------------------------------------------------------------- its life

    async def start(self, plans: Sequence[Plan], subscribers: Sequence[SubscriberSpec] = ()) -> None:
        """Create topics, publish the plans, start every role; what was started is stopped if that fails."""
        try:
            await self._start(plans)
            await self.delivering.add(subscribers)
        except BaseException as error:
            self.guard.fail(error)
            with suppress(Exception):
                await self.stop()
            raise

    async def _start(self, plans: Sequence[Plan]) -> None:
        await self.log.start()
        await self._publish(plans)
        self._doubles.follow(asyncio.get_running_loop())
        await self._orchestrator.start()
        await self.client.start()
        await self.history.start()
        await self._serve_queues()

    async def add(self, plans: Sequence[Plan]) -> None:
        """Publish further plans; queues that are new get a worker."""
        await self._publish(plans)
        await self.plans.catch_up()
        await self._serve_queues()

    async def stop(self) -> None:
        """Stop every role in order; after a failure without saving."""
        await self.client.close()
        await self.delivering.close()
        for each in self._workers:
            await each.worker.stop()
            if each.task is not None:
                await asyncio.wait([each.task])
        if self.guard.has_failed:
            await self._orchestrator.drop()
        else:
            await self._orchestrator.stop()
        await self.history.stop()
        for each in self._workers:
            await each.log.close()
        if not self._stage.is_virtual:
            await self._delete_topics()
        await self.log.close()

    # -------------------------------------------------------------------------------------- workers

    async def restart_workers(self, *, crash: bool) -> None:
        """End every worker, as `kill -9` does if `crash`, and start new ones."""
        former, self._workers = self._workers, []
        for each in former:
            assert each.task is not None, "it was started"
            if not crash:
                await each.worker.stop()
            elif isinstance(each.log, MemoryLog):
                each.log.kill()
                each.task.cancel()
            else:
                raise ConfigurationError(
                    "a worker in this process cannot crash on a real broker", next_step="test it in memory"
                )
            await asyncio.wait([each.task])
        self._queues.clear()
        await self._serve_queues()

    async def _serve_queues(self) -> None:
        queues = sorted({queue for plan in self._plans for queue in plan.queues} - self._queues)
        if not queues:
            return
        self._queues.update(queues)
        log = self._stage.new_log()
        await log.start()
        worker_id = f"test-worker-{len(self._workers) + 1}"
        settings = self._worker_settings
        if self._stage.is_virtual:  # back at once after a crash: sessions are long here
            settings = msgspec.structs.replace(settings, instance_id=settings.instance_id or worker_id)
        worker = StepWorker(
            log,
            self.names,
            self.plans,
            queues,
            self._doubles,
            settings=settings,
            worker_id=worker_id,
        )
        made = _Worker(log, worker)
        made.task = asyncio.create_task(worker.run(), name=worker.worker_id)
        made.task.add_done_callback(self._worker_ended)
        self._workers.append(made)
        await worker.wait_ready()

    def _worker_ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.guard.fail(error)

    def _member_ended(self, member: Member, error: BaseException) -> None:
        self.guard.fail(error)

    # --------------------------------------------------------------------------------------- topics

    async def _publish(self, plans: Sequence[Plan]) -> None:
        self._plans += plans
        await create(self.log.admin(), self._declared())
        await publish(self.log, self.names, plans)

    def _declared(self) -> list[TopicDeclaration]:
        queues, namespaces = declared_for(self._plans)
        return declarations(self.names, self._topics, queues=queues, namespaces=namespaces)

    async def _delete_topics(self) -> None:
        admin = self.log.admin()
        own = self.names.every_topic
        await admin.delete([name for name in await admin.names() if name.startswith(own)])
