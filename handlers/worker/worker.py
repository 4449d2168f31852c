"""The step worker: puts the parts together, and takes them apart in order."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Coroutine, Sequence
from typing import Any, NamedTuple

from tasker_kafka.handlers.isolation.children import ChildProcesses
from tasker_kafka.handlers.lint import check_handler, check_publishers
from tasker_kafka.handlers.publishing.desk import EventDesk
from tasker_kafka.handlers.publishing.figures import PublishingFigures
from tasker_kafka.handlers.registry import HandlerRegistry
from tasker_kafka.schemas.codec import Codec
from tasker_kafka.schemas.codec import codec as default_codec
from tasker_kafka.schemas.errors import ConfigurationError, TaskerError
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.topics.crash_points import NO_CRASH_POINTS, CrashPoints
from tasker_kafka.topics.log import Log, Outbox
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.payloads import Payloads

from .announcing import Announcer
from .answering import Answering
from .attempts import Attempts, Equipment
from .cancellations import Cancellations
from .crash_points import WorkerCrashPoint
from .lane import QueueLane
from .sender import Sender
from .settings import WorkerSettings
from .steps import Plans, Steps
from .suspects import SuspectTurn
from .tasks import BackgroundTasks
from .threads import HandlerThreads
from .values import Values

__all__ = ["StepWorker"]

_logger = logging.getLogger(__name__)


_HANDLERS_SHARE, _GRACE_SHARE = 0.7, 0.15
"""Of `shutdown_seconds`: for handlers to end by themselves, and after they were told to. The rest is for the log."""
_LEAST_SECONDS = 1.0
"""For each last step towards a log that may be gone."""


class _Parts(NamedTuple):
    """What has to be ended in order."""

    attempts: Attempts
    sender: Sender
    announcer: Announcer
    lanes: list[asyncio.Task[None]]


class StepWorker:
    """Runs the step handlers of some queues. `log` and `plans` are started by the caller, and stay the caller's."""

    def __init__(
        self,
        log: Log,
        names: TopicNames,
        plans: Plans,
        queues: Sequence[str],
        registry: HandlerRegistry,
        *,
        settings: WorkerSettings | None = None,
        worker_id: str | None = None,
        codec: Codec = default_codec,
        crash_points: CrashPoints[WorkerCrashPoint] = NO_CRASH_POINTS,
    ) -> None:
        if not queues:
            raise ConfigurationError(
                "a worker needs at least one queue", next_step="name the queues to take from"
            )
        self.worker_id = worker_id or f"{socket.gethostname()}-{os.getpid()}-{os.urandom(3).hex()}"
        self._log = log
        self._names = names
        self._plans = plans
        self._queues = tuple(dict.fromkeys(queues))
        self._registry = registry
        self._settings = settings or WorkerSettings()
        self._codec = codec
        self._crash_points = crash_points
        self._stopping = asyncio.Event()
        self._failure: BaseException | None = None
        self.events = PublishingFigures()
        """What has become of the domain events of its steps."""
        self._lanes: list[QueueLane] = []
        self._pump_is_due = False
        self._ready = asyncio.Event()

    async def run(self) -> None:
        """Work until `stop`. Raises what makes it impossible to go on, after giving back what it can.

        ConfigurationError: a published step that this worker runs names an event publisher that is not here.
        """
        check_publishers(self._plans.all(), self._queues, self._registry)
        self._warn_of_misfits()
        self._loop = asyncio.get_running_loop()
        outbox = await self._log.outbox(client_id=self.worker_id)
        names = self._names
        await outbox.warm([names.commands, names.task_requests, names.payloads, names.workers])
        sender = Sender(outbox, self._settings, self._crash_points)
        announcer = Announcer(self._log, sender, self._codec, names.workers, self._settings)
        cancellations = Cancellations(self._log, names.control, self._codec, self._settings)
        tasks = BackgroundTasks(self._fail)
        threads = HandlerThreads()
        children = ChildProcesses(threads, self._settings.processes)
        attempts: Attempts | None = None
        lanes: list[asyncio.Task[None]] = []
        try:
            await cancellations.start()
            attempts = self._make_attempts(outbox, sender, cancellations, threads, children)
            self._lanes = self._make_lanes(attempts, tasks)
            tasks.start(sender.run())
            tasks.start(cancellations.follow())
            tasks.start(announcer.run(self.worker_id, self._queues, self._registry.names))
            lanes = [self._loop.create_task(self._run_lane(lane)) for lane in self._lanes]
            tasks.start(self._tell_ready())
            await self._stopping.wait()
            await self._wind_down(_Parts(attempts, sender, announcer, lanes))
        finally:
            self._ready.set()
            # Also when `run` was cancelled: no handler outlives its worker.
            for lane in lanes:
                lane.cancel()
            if attempts is not None:
                await attempts.close()
            await tasks.close()
            children.close()
            threads.shutdown(wait=False)
            await _shortly(cancellations.close())
            await _shortly(outbox.close())
        if self._failure is not None:
            raise self._failure

    async def wait_ready(self) -> None:
        """Wait until `run` has joined the group of every queue; ends also when the worker does."""
        await self._ready.wait()

    async def stop(self) -> None:
        """Ask `run` to end: it finishes or gives back what it has in hand, within `shutdown_seconds`."""
        self._stopping.set()

    # ------------------------------------------------------------------------------------- parts

    def _make_attempts(
        self,
        outbox: Outbox,
        sender: Sender,
        cancellations: Cancellations,
        threads: HandlerThreads,
        children: ChildProcesses,
    ) -> Attempts:
        settings = self._settings
        equipment = Equipment(
            log=self._log,
            codec=self._codec,
            outbox=outbox,
            names=self._names,
            answering=Answering(
                sender,
                self._codec,
                self._names.commands,
                self.worker_id,
                settings.answer_cache_bytes,
                crash_points=self._crash_points,
            ),
            steps=Steps(self._plans, self._registry, settings),
            values=Values(Payloads(self._log, self._names, outbox), settings, self.worker_id),
            cancellations=cancellations,
            threads=threads,
            children=children,
            events=self._make_desk(threads),
            settings=settings,
            worker_id=self.worker_id,
            crash_points=self._crash_points,
        )
        return Attempts(equipment, self._schedule_pump, self._fail)

    def _make_desk(self, threads: HandlerThreads) -> EventDesk:
        return EventDesk(
            self._log,
            self._names,
            self._codec,
            self._settings.events,
            figures=self.events,
            client_id=self.worker_id,
            threads=threads,
            on_room=self._schedule_pump,
        )

    def _make_lanes(self, attempts: Attempts, tasks: BackgroundTasks) -> list[QueueLane]:
        """One for each queue; they share the turn of suspects."""
        patience = 2 * self._settings.start_report_seconds + _LEAST_SECONDS
        turn = SuspectTurn(self._schedule_pump, patience_seconds=patience)
        return [self._make_lane(queue, attempts, turn, tasks) for queue in self._queues]

    def _make_lane(
        self, queue: str, attempts: Attempts, turn: SuspectTurn, tasks: BackgroundTasks
    ) -> QueueLane:
        settings = self._settings
        consumer = self._log.group(
            self._names.worker_group(queue),
            client_id=self.worker_id,
            instance_id=settings.instance_id,
            session_timeout_ms=settings.session_timeout_ms,
            heartbeat_ms=settings.heartbeat_ms,
        )
        topic = self._names.steps(queue)
        return QueueLane(
            self._log,
            topic,
            consumer,
            attempts,
            turn,
            tasks=tasks,
            settings=settings,
            crash_points=self._crash_points,
        )

    async def _run_lane(self, lane: QueueLane) -> None:
        try:
            await lane.run()
        except Exception as error:
            if not self._stopping.is_set():
                self._fail(error)

    async def _tell_ready(self) -> None:
        for lane in self._lanes:
            await lane.assigned.wait()
        self._ready.set()

    def _schedule_pump(self) -> None:
        """Let the lanes start more, once in this iteration of the loop."""
        if not self._pump_is_due:
            self._pump_is_due = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._pump_is_due = False
        self._lanes.append(self._lanes.pop(0))
        for lane in self._lanes:
            lane.pump()

    # ------------------------------------------------------------------------------------- the end

    def _fail(self, error: BaseException) -> None:
        """Something that must not happen: give back what can be given back, and end."""
        if self._failure is None:
            self._failure = error
            _logger.error("the worker %s stops: %s", self.worker_id, error)
        self._stopping.set()

    async def _wind_down(self, parts: _Parts) -> None:
        """In this order, so that whatever is finished is answered, and whatever is answered is committed."""
        whole = self._settings.shutdown_seconds
        until = self._loop.time() + whole
        for lane in self._lanes:
            lane.stop()  # 1. nothing new starts
        grace = min(self._settings.cancel_grace_seconds, whole * _GRACE_SHARE)
        await parts.attempts.wind_down(whole * _HANDLERS_SHARE, grace)  # 2. handlers end, or are given back

        def left() -> float:
            return max(until - self._loop.time(), _LEAST_SECONDS)

        revoke_seconds = self._settings.revoke_seconds
        is_heard = await parts.sender.drain(min(left(), revoke_seconds))  # 3. answers are acknowledged
        await asyncio.wait(parts.lanes, timeout=_LEAST_SECONDS)
        leaving = [self._loop.create_task(lane.close()) for lane in self._lanes]
        # 4. committed, and left; a log that is gone is not waited for
        await asyncio.wait(
            leaving, timeout=min(left(), revoke_seconds + _LEAST_SECONDS if is_heard else _LEAST_SECONDS)
        )
        for task in (*parts.lanes, *leaving):
            task.cancel()
        parts.announcer.farewell()
        await parts.sender.drain(min(left(), _LEAST_SECONDS))

    def _warn_of_misfits(self) -> None:
        """Say which published steps of our queues a handler of ours does not fit."""
        for plan in self._plans.all():
            for text in _misfits(plan, self._queues, self._registry):
                _logger.warning("template %s/%s@%s: %s", plan.namespace, plan.name, plan.version, text)


async def _shortly(closing: Coroutine[Any, Any, None]) -> None:
    """Close something, without waiting long for a log that is gone."""
    try:
        async with asyncio.timeout(_LEAST_SECONDS):
            await closing
    except (TimeoutError, TaskerError) as error:
        _logger.warning("not closed in order: %s", error)


def _misfits(plan: Plan, queues: Sequence[str], registry: HandlerRegistry) -> list[str]:
    found = []
    for step in plan.steps:
        handler = registry.get(step.handler)
        if step.queue in queues and handler is None:
            found.append(
                f"step {step.name}: this worker takes queue {step.queue} and has no handler {step.handler!r}"
            )
        elif step.queue in queues and handler is not None:
            found += [each.message for each in check_handler(step, handler) if each.severity == "error"]
    return found
