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
from tasker_kafka.schemas.identity import format_id
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import Answer, Rejection
from tasker_kafka.schemas.template import Template
from tasker_kafka.streams.lane import LaneSettings
from tasker_kafka.topics.client import RequestOptions, TaskClient
from tasker_kafka.topics.handle import TaskHandle

from .delivering import Delivering
from .doubles import Doubles, HandledCall, HandlerSource, InjectedError
from .result import TaskResult
from .sources import SubscriberSource, TemplateSource, check_handlers, plans_from, specs_from
from .stages import KafkaStage, MemoryStage, Stage
from .system import System
from .task import TaskCondition, WorkflowTask
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
        self.events = WorkflowEvents(self._run, self._on_stage)
        self._stage: Stage | None = None
        self._system: System | None = None

    # ------------------------------------------------------------------------------------- its life

    def __enter__(self) -> Self:
        if self._system is not None:
            raise ConfigurationError("this workflow test is entered already")
        if self._strict:
            check_handlers(self._plans, self._doubles)
        self._stage = MemoryStage() if self._broker is None else KafkaStage(self._broker)
        try:
            self._system = self._stage.run(self._start(self._stage))
        except BaseException:
            self._stage.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stage, system = self._on_stage()
        self._system = None
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
        self._run(self._on_stage()[1].add(plans))

    def add_subscribers(self, *subscribers: SubscriberSource) -> None:
        """Take in further groups of subscribers while it runs, and start a member of each."""
        self._run(self._on_stage()[1].delivering.add(specs_from(subscribers)))

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
        client = self._on_stage()[1].client
        return WorkflowTask(self, self._run(client.submit(str(name), context, **request)))

    def task(self, task_id: str | bytes) -> WorkflowTask:
        """A task by its id, as one that a handler submitted. NotFoundError when there is none."""
        return WorkflowTask(self, self._run(self._on_stage()[1].client.task(task_id)))

    # ---------------------------------------------------------------------------------------- time

    @property
    def now_ms(self) -> int:
        """The test's wall time, ms since 1970: virtual in memory."""
        return self._run(answer(self._on_stage()[1].log.now_ms))

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass: skipped in memory, waited for on a broker."""
        self._run(asyncio.sleep(seconds))

    def wait_until(
        self, condition: Callable[[], bool], timeout: float | None = None, what: str = "the condition"
    ) -> None:
        """Let time pass until `condition` holds; it must not call the workflow test's waiting methods."""
        stage, _ = self._on_stage()
        seconds = stage.patience_seconds if timeout is None else timeout
        if not self._run(poll(asked(condition), seconds, stage.poll_seconds)):
            raise WaitTimeout(f"{what} did not come about within {seconds:g} s of the test's clock")

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
        self._run(self._on_stage()[1].restart_workers(crash=crash))

    @property
    def rejections(self) -> list[Rejection]:
        """Every rejection until now."""
        history = self._on_stage()[1].history
        self._run(history.refresh())
        return list(history.rejections)

    # ------------------------------------------------------------------------- what tasks ask for

    def command(self, send: Callable[[TaskClient], Coroutine[Any, Any, Answer | None]]) -> Answer | None:
        """Send an operator's command and wait for its answer."""
        return self._run(send(self._on_stage()[1].client))

    def result_of(self, handle: TaskHandle) -> TaskResult:
        """What has become of a task until now."""
        return self._run(self._result(handle))

    def wait_closed(self, handle: TaskHandle, timeout: float | None) -> TaskResult:
        """Let time pass until a task is closed."""
        stage, _ = self._on_stage()
        seconds = stage.patience_seconds if timeout is None else timeout
        return self._run(self._closed(handle, seconds))

    def wait_task(self, handle: TaskHandle, condition: TaskCondition, timeout: float | None) -> TaskResult:
        """Let time pass until a task is as wanted."""
        stage, _ = self._on_stage()
        seconds = stage.patience_seconds if timeout is None else timeout
        return self._run(self._as_wanted(handle, condition, seconds, stage.poll_seconds))

    # -------------------------------------------------------------------------------------- inside

    async def _closed(self, handle: TaskHandle, seconds: float) -> TaskResult:
        try:
            await handle.wait(seconds)
        except WaitTimeout:
            story = (await self._result(handle)).story()
            raise WaitTimeout(
                f"the task has not ended within {seconds:g} s of the test's clock\n{story}",
                next_step="to look at it before its end: submit(…) and wait_until(…)",
            ) from None
        return await self._result(handle)

    async def _as_wanted(
        self, handle: TaskHandle, condition: TaskCondition, seconds: float, poll_seconds: float
    ) -> TaskResult:
        history = self._on_stage()[1].history

        async def is_so() -> bool:
            await history.refresh()
            state = history.state(handle.task_id)
            if state is None:
                await handle.status()  # raises if it was rejected
                return False
            return condition(await self._result(handle)) if callable(condition) else state == condition

        if not await poll(is_so, seconds, poll_seconds):
            story = (await self._result(handle)).story()
            wanted = "as the test wants it" if callable(condition) else condition
            raise WaitTimeout(f"within {seconds:g} s of the test's clock the task was not {wanted}\n{story}")
        return await self._result(handle)

    async def _result(self, handle: TaskHandle) -> TaskResult:
        history = self._on_stage()[1].history
        await history.refresh()
        return await history.result(handle.task_id, format_id(handle.task_id))

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            stage, system = self._on_stage()
        except ConfigurationError:
            work.close()
            raise
        return stage.run(system.guard.wait(work))

    def _on_stage(self) -> tuple[Stage, System]:
        if self._stage is None or self._system is None:
            raise ConfigurationError(
                "the workflow test is not entered", next_step="use `with WorkflowTest(…) as workflow:`"
            )
        return self._stage, self._system


class WorkflowEvents(EventView):
    """What a workflow test sees of domain events, and does to their subscribers."""

    def __init__(
        self, run: Callable[[Coroutine[Any, Any, Any]], Any], on_stage: Callable[[], tuple[Stage, System]]
    ) -> None:
        self._run_work = run
        self._stage_and_system = on_stage

    def _on(self) -> Stage:
        return self._stage_and_system()[0]

    def _delivering(self) -> Delivering:
        return self._stage_and_system()[1].delivering

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        done: T = self._run_work(work)
        return done
