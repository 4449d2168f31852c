"""Runs workflows in a test: the engine's own rules and lanes, a real worker and the real client, in this process.

Nothing is imitated but the log and the clock: templates are published, requests go through intake, steps through
a queue. In memory a test takes milliseconds, however long its retries wait.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Coroutine, Iterable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from tasker_kafka.handlers.definition import HandlerDefinition
from tasker_kafka.handlers.delivery.settings import DeliverySettings
from tasker_kafka.handlers.worker import WorkerSettings
from tasker_kafka.schemas.errors import ConfigurationError, WaitTimeout
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import Answer, Rejection
from tasker_kafka.schemas.template import Template
from tasker_kafka.streams.lane import LaneSettings
from tasker_kafka.topics.client import RequestOptions, TaskClient

from .delivering import Delivering
from .doubles import Doubles, HandledCall, HandlerSource, InjectedError
from .ground import Ground
from .result import TaskResult
from .sources import SubscriberSource, TemplateSource, check_handlers, plans_from, specs_from
from .stages import KafkaStage, MemoryStage, Stage
from .system import System
from .task import WorkflowTask
from .view import EventView
from .waiting import answer, asked, poll

__all__ = ["WorkflowTest"]

T = TypeVar("T")


class WorkflowTest:
    """A system for tests. Use as `with WorkflowTest(…) as workflow:`, in plain and in async tests alike.

    templates: what is published: Template, Plan, or paths of YAML files or folders.
    handlers: modules (or their names), registries, single handlers.
    subscribers: of the domain events; what they get and what was published is asked of `events`.
    broker: bootstrap servers of a real Kafka; None (default): in memory, on a virtual clock.
    prefix: of the topics; default one of its own, whose topics are deleted at the end.
    strict: False lets steps wait whose handlers are missing; by default that is an error.
    environment, variables: as for `tasker template publish`.
    """

    def __init__(
        self,
        templates: Iterable[TemplateSource] = (),
        handlers: Iterable[HandlerSource] = (),
        *,
        subscribers: Iterable[SubscriberSource] = (),
        broker: str | None = None,
        prefix: str | None = None,
        partitions: int = 1,
        strict: bool = True,
        environment: str | None = None,
        variables: Mapping[str, str | None] | None = None,
        lanes: LaneSettings | None = None,
        worker: WorkerSettings | None = None,
        delivery: DeliverySettings | None = None,
    ) -> None:
        self._plans = plans_from(templates, environment=environment, variables=variables)
        self._doubles = Doubles(handlers)
        self._broker = broker
        self._prefix = prefix or f"test-{uuid.uuid4().hex[:12]}"
        self._partitions = partitions
        self._strict = strict
        self._lanes = lanes
        self._worker = worker
        self._delivery = delivery
        self._subscribers = specs_from(subscribers)
        self._ground = Ground()
        self.events = WorkflowEvents(self._ground)

    # ------------------------------------------------------------------------------------- its life

    def __enter__(self) -> Self:
        if self._ground.is_entered:
            raise ConfigurationError("this workflow test is entered already")
        if self._strict:
            check_handlers(self._plans, self._doubles)
        stage: Stage = MemoryStage() if self._broker is None else KafkaStage(self._broker)
        try:
            self._ground.enter(stage, stage.run(self._start(stage)))
        except BaseException:
            stage.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stage, system = self._ground.leave()
        try:
            stage.run(system.stop())
        finally:
            stage.close()

    async def _start(self, stage: Stage) -> System:
        system = System(
            stage,
            self._doubles,
            prefix=self._prefix,
            partitions=self._partitions,
            lanes=self._lanes or stage.lanes,
            worker=self._worker or stage.worker,
            delivery=self._delivery or stage.delivery,
        )
        await system.start(self._plans, self._subscribers)
        return system

    def add(self, *templates: TemplateSource, handlers: Iterable[HandlerSource] = ()) -> None:
        """Publish further templates, or further versions, while it runs; with further handlers."""
        for source in handlers:
            self._doubles.add(source)
        plans = plans_from(templates)
        if self._strict:
            check_handlers(plans, self._doubles)
        self._ground.run(self._ground.system.add(plans))

    def add_subscribers(self, *subscribers: SubscriberSource) -> None:
        """Take in further groups of subscribers while it runs, and start a member of each."""
        self._ground.run(self._ground.system.delivering.add(specs_from(subscribers)))

    # --------------------------------------------------------------------------------------- tasks

    def run(
        self,
        template: str | Template | Plan,
        context: Mapping[str, Any] | bytes | None = None,
        *,
        timeout: float | None = None,
        **request: Unpack[RequestOptions],
    ) -> TaskResult:
        """Submit a task and let time pass until it is closed, however it ends.

        timeout: seconds of the test's clock; default a day in memory, 30 s on a broker.
        RequestRejected when it is not accepted, WaitTimeout with the task's story when it does not end.
        """
        return self.submit(template, context, **request).wait(timeout)

    def submit(
        self,
        template: str | Template | Plan,
        context: Mapping[str, Any] | bytes | None = None,
        **request: Unpack[RequestOptions],
    ) -> WorkflowTask:
        """Submit a task; returns once the request is acknowledged, before anything is decided in memory."""
        name = template
        if not isinstance(template, str):
            plan = template if isinstance(template, Plan) else template.compile()
            request = {"namespace": plan.namespace, **request}
            name = plan.name
        submitted = self._ground.system.client.submit(str(name), context, **request)
        return WorkflowTask(self._ground, self._ground.run(submitted))

    def task(self, task_id: str | bytes) -> WorkflowTask:
        """A task by its id, as one that a handler submitted. NotFoundError when there is none."""
        return WorkflowTask(self._ground, self._ground.run(self._ground.system.client.task(task_id)))

    # ---------------------------------------------------------------------------------------- time

    @property
    def now_ms(self) -> int:
        """The test's wall time, ms since 1970: virtual in memory."""
        return self._ground.run(answer(self._ground.system.log.now_ms))

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass: skipped in memory, waited for on a broker."""
        self._ground.run(asyncio.sleep(seconds))

    def wait_until(
        self, condition: Callable[[], bool], timeout: float | None = None, what: str = "the condition"
    ) -> None:
        """Let time pass until `condition` holds; it must not call the workflow test's waiting methods."""
        stage = self._ground.stage
        seconds = stage.patience_seconds if timeout is None else timeout
        if not self._ground.run(poll(asked(condition), seconds, stage.poll_seconds)):
            raise WaitTimeout(f"{what} did not come about within {seconds:g} s of the test's clock")

    # ------------------------------------------------------------------------------------- commands

    def command(self, send: Callable[[TaskClient], Coroutine[Any, Any, Answer | None]]) -> Answer | None:
        """Send an operator's command with the test's client, and wait for its answer."""
        return self._ground.run(send(self._ground.system.client))

    # ------------------------------------------------------------------------------------- handlers

    def handled(self, step: str | None = None) -> list[HandledCall]:
        """Calls of step handlers that were seen, in the order they began; of one step, or all."""
        return [call for call in self._doubles.calls if step in (None, call.step)]

    def fail(self, step: str, times: int | None = 1, error: InjectedError | None = None) -> None:
        """Let the next `times` calls of a step fail before its handler begins; None: all of them, 0: no more.

        error: an exception or its class, or what `failure(…)` made; default a RetryableError.
        """
        self._doubles.fail(step, times, error)

    def replace(self, handler: str, function: Callable[..., Any] | HandlerDefinition) -> None:
        """Run `function` (decorated or not, async or plain) wherever templates name this handler, from now on."""
        self._doubles.replace(handler, function)

    def restart_workers(self, *, crash: bool = False) -> None:
        """Stop the workers and start new ones; with `crash` (in memory only) as after kill −9."""
        self._ground.run(self._ground.system.restart_workers(crash=crash))

    @property
    def rejections(self) -> list[Rejection]:
        """Every rejection until now."""
        history = self._ground.system.history
        self._ground.run(history.refresh())
        return list(history.rejections)


class WorkflowEvents(EventView):
    """What a workflow test sees of domain events, and does to their subscribers."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def _on(self) -> Stage:
        return self._ground.stage

    def _delivering(self) -> Delivering:
        return self._ground.system.delivering

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._ground.run(work)
