"""A step worker with a log around it: sends dispatches as an engine would, and keeps what the worker answers.

The rig plays the engine but for its rules. It runs on either side of the log port.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import msgspec

from tasker_kafka.handlers import HandlerRegistry
from tasker_kafka.handlers.watermark import decode_metadata
from tasker_kafka.handlers.worker import StepWorker, WorkerSettings
from tasker_kafka.schemas.codec import decode, encode
from tasker_kafka.schemas.errors import LogError
from tasker_kafka.schemas.identity import dispatch_key
from tasker_kafka.schemas.plan import Plan, PlanStep
from tasker_kafka.schemas.records import (
    Body,
    Cancellation,
    Command,
    Dispatch,
    Failure,
    Heartbeat,
    StepInput,
    StepResult,
    StepStarted,
)
from tasker_kafka.schemas.words import Outcome
from tasker_kafka.topics.declarations import TopicPlan, declarations
from tasker_kafka.topics.log import Committed, Log, Outbox, Record, TopicPartition, Write
from tasker_kafka.topics.memory import MemoryLog
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.plans import PlanStore, publish
from tasker_kafka.topics.provision import create

QUEUE = "q"
B = TypeVar("B", bound=Body)

FAST = WorkerSettings(session_timeout_ms=6_000, heartbeat_ms=500, shutdown_seconds=5.0)


def task(number: int) -> bytes:
    """The id of a task."""
    return number.to_bytes(16, "big")


class Calls(list[str]):
    """What handlers were called with, in order; to be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._more = asyncio.Event()

    def add(self, what: str) -> None:
        """A handler was called."""
        self.append(what)
        self._more.set()

    async def wait(self, count: int) -> None:
        """As soon as there were `count` calls."""
        while len(self) < count:
            self._more.clear()
            await self._more.wait()


class Rig:
    """Topics, an engine's outbox and ears, and any number of workers."""

    def __init__(self, log: Log, names: TopicNames, new_log: Callable[[], Log]) -> None:
        self.log = log
        self.names = names
        self.new_log = new_log
        self.commands: list[tuple[bytes, Body]] = []
        self.plan: Plan | None = None
        self._outbox: Outbox | None = None
        self._heard = asyncio.Condition()
        self._ears: asyncio.Task[None] | None = None
        self._running: list[RunningWorker] = []

    async def start(self, *, partitions: int, steps: list[PlanStep], inline_limit: int) -> None:
        """Create topics, publish a plan of these steps, listen to commands."""
        namespaces = ["default"] if any(step.publishes_events for step in steps) else []
        topics = TopicPlan(partitions=partitions)
        declared = declarations(self.names, topics, queues=[QUEUE], namespaces=namespaces)
        await create(self.log.admin(), declared)
        self.plan = Plan(
            namespace="default", name="t", version="1.0.0", steps=tuple(steps), inline_limit=inline_limit
        )
        await publish(self.log, self.names, [self.plan])
        self._outbox = await self.log.outbox(client_id="rig")
        await self._outbox.warm([self.names.steps(QUEUE), self.names.control])
        self._ears = asyncio.create_task(self._listen(partitions))

    async def stop(self) -> None:
        """End workers and ears."""
        for running in self._running:
            if not running.is_over:
                await running.stop()
        if self._ears is not None:
            self._ears.cancel()
            await asyncio.gather(self._ears, return_exceptions=True)

    # ----------------------------------------------------------------------------------- as an engine

    async def dispatch(self, number: int = 1, step: str = "one", **changes: Any) -> Dispatch:
        """Grant an attempt of a step of task `number`; acknowledged."""
        assert self._outbox is not None
        made = self.make_dispatch(number, step, **changes)
        await self._outbox.write(self.write_of(made))
        return made

    async def send(self, made: Dispatch) -> None:
        """Write this dispatch."""
        assert self._outbox is not None
        await self._outbox.write(self.write_of(made))

    async def dispatch_many(self, count: int, step: str = "one", *, first: int = 1) -> None:
        """Grant attempt 1 of the step of `count` tasks, numbered from `first`."""
        assert self._outbox is not None
        for number in range(first, first + count):
            self._outbox.send(self.write_of(self.make_dispatch(number, step)))
        await self._outbox.flush()

    async def send_raw(self, key: bytes | None, value: bytes | None) -> None:
        """Write anything to the queue."""
        assert self._outbox is not None
        await self._outbox.write(Write(self.names.steps(QUEUE), key, value))

    def write_of(self, made: Dispatch) -> Write:
        """The record of a dispatch."""
        return Write(self.names.steps(QUEUE), dispatch_key(made.task_id, made.step), encode(made))

    def make_dispatch(self, number: int = 1, step: str = "one", **changes: Any) -> Dispatch:
        """A dispatch; `inputs` and `context` are given as Python values, or as stored values."""
        assert self.plan is not None
        found = self.plan.steps[self.plan.index[step]] if step in self.plan.index else None
        inputs = tuple(
            StepInput(name, msgspec.json.encode(value)) for name, value in changes.pop("inputs", {}).items()
        )
        context = changes.pop("context", {})
        made = Dispatch(
            task_id=task(number),
            life=0,
            step=step,
            attempt=1,
            last_attempt=False,
            plan_hash=self.plan.hash,
            handler="gone" if found is None else found.handler,
            context=context if not isinstance(context, dict) else msgspec.json.encode(context),
            inputs=inputs,
            dispatched_at=self.log.now_ms(),
            queue_deadline=None,
            correlation_id="story",
            traceparent=None,
        )
        return msgspec.structs.replace(made, **changes)

    async def cancel(self, number: int = 1, step: str | None = None, attempt: int = 1) -> None:
        """Cancel a task, or one of its steps."""
        assert self._outbox is not None
        record = Cancellation(life=0, step=step, attempt=attempt, reason="because", at=self.log.now_ms())
        await self._outbox.write(Write(self.names.control, task(number), encode(record)))

    # ----------------------------------------------------------------------------------- what came back

    def bodies(self, kind: type[B], number: int | None = None) -> list[B]:
        """Every command of this kind so far, of one task or all."""
        return [
            body
            for task_id, body in self.commands
            if isinstance(body, kind) and number in {None, int.from_bytes(task_id, "big")}
        ]

    async def wait_for(self, kind: type[B], number: int | None = None, count: int = 1) -> list[B]:
        """The commands of this kind, as soon as there are `count`."""
        async with self._heard:
            await self._heard.wait_for(lambda: len(self.bodies(kind, number)) >= count)
        return self.bodies(kind, number)

    async def result(self, number: int = 1, count: int = 1) -> StepResult:
        """The `count`-th answer about a task."""
        return (await self.wait_for(StepResult, number, count))[count - 1]

    async def _listen(self, partitions: int) -> None:
        places = {TopicPartition(self.names.commands, number): 0 for number in range(partitions)}
        reader = await self.log.reader(places)
        while True:
            for batch in (await reader.fetch()).values():
                async with self._heard:
                    for record in batch.records:
                        command = decode(record.value or b"", Command)
                        self.commands.append((command.task_id, command.body))
                    self._heard.notify_all()

    async def committed(self) -> dict[int, Committed]:
        """The worker group's committed offsets by partition."""
        found = await self.log.admin().group_offsets(self.names.worker_group(QUEUE))
        return {place.partition: committed for place, committed in found.items()}

    async def wait_committed(self, offset: int, partition: int = 0) -> Committed:
        """As soon as the group has committed this offset or a higher one."""
        while True:
            found = (await self.committed()).get(partition)
            if found is not None and found.offset >= offset:
                return found
            await asyncio.sleep(0.05)

    async def wait_finished_above(self, offset: int, count: int) -> None:
        """As soon as a commit at `offset` of partition 0 says that `count` offsets above it are finished."""
        while True:
            found = (await self.committed()).get(0)
            restored = None if found is None else decode_metadata(found.offset, found.metadata)
            finished = 0 if restored is None else sum(end - first for first, end in restored.finished)
            if found is not None and (found.offset, finished) == (offset, count):
                return
            await asyncio.sleep(0.05)

    async def set_committed(self, offset: int, metadata: str) -> None:
        """Commit for the worker group as a tool would, from outside."""

        class Nobody:
            async def on_assigned(self, partitions: set[TopicPartition]) -> None: ...

            async def on_revoked(self, partitions: set[TopicPartition]) -> None: ...

        member = self.log.group(self.names.worker_group(QUEUE), client_id="tool")
        await member.start([self.names.steps(QUEUE)], Nobody())
        await member.commit({TopicPartition(self.names.steps(QUEUE), 0): Committed(offset, metadata)})
        await member.close()

    async def read(self, topic: str) -> list[Record]:
        """Everything in a topic."""
        found: list[Record] = []
        for number in range(await self.log.partition_count(topic)):
            place = TopicPartition(topic, number)
            end = await self.log.end_offset(place)
            reader = await self.log.reader({place: await self.log.begin_offset(place)})
            while reader.position(place) < end:
                for batch in (await reader.fetch()).values():
                    found += batch.records
            await reader.close()
        return found

    # ----------------------------------------------------------------------------------- workers

    async def work(
        self, *handlers: object, settings: WorkerSettings = FAST, worker_id: str = "w1"
    ) -> RunningWorker:
        """Start a worker with these handlers, on a log of its own."""
        log = self.new_log()
        await log.start()
        plans = PlanStore(log, self.names)
        await plans.start()
        worker = StepWorker(
            log,
            self.names,
            plans,
            [QUEUE],
            HandlerRegistry(*handlers),
            settings=settings,
            worker_id=worker_id,
        )
        running = RunningWorker(log, plans, worker)
        self._running.append(running)
        return running


class RunningWorker:
    """A worker that runs in a task."""

    def __init__(self, log: Log, plans: PlanStore, worker: StepWorker) -> None:
        self.log = log
        self.plans = plans
        self.worker = worker
        self.task = asyncio.create_task(worker.run())
        self.is_over = False

    async def stop(self) -> None:
        """As on SIGTERM."""
        self.is_over = True
        await self.worker.stop()
        try:
            await self.task
        finally:
            await self.plans.stop()
            await self.log.close()

    def kill(self) -> None:
        """As kill −9, seen from the log; only logs that can be killed."""
        assert isinstance(self.log, MemoryLog)
        self.log.kill()

    async def crash(self) -> None:
        """Kill it, and clear away what is left of it in this process."""
        self.is_over = True
        self.kill()
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        with contextlib.suppress(LogError):
            await self.plans.stop()


@contextlib.asynccontextmanager
async def rig(
    log: Log,
    names: TopicNames,
    new_log: Callable[[], Log],
    *,
    partitions: int = 1,
    steps: list[PlanStep] | None = None,
    inline_limit: int = 4096,
) -> AsyncIterator[Rig]:
    """A rig that is stopped at the end."""
    made = Rig(log, names, new_log)
    await made.start(partitions=partitions, steps=steps or [step_of()], inline_limit=inline_limit)
    try:
        yield made
    finally:
        await made.stop()


def step_of(name: str = "one", **changes: Any) -> PlanStep:
    """A step whose handler has its name."""
    return PlanStep(name=name, handler=changes.pop("handler", name), queue=QUEUE, **changes)


def outcomes(results: list[StepResult]) -> list[Outcome]:
    """What became of each."""
    return [each.outcome for each in results]


def failure(result: StepResult) -> Failure:
    """The failure of a failed attempt."""
    assert result.failure is not None
    return result.failure


def value_of(result: StepResult) -> Any:
    """The inline result of a successful attempt."""
    assert isinstance(result.result, bytes)
    return msgspec.json.decode(result.result)


__all__ = [
    "FAST",
    "QUEUE",
    "Calls",
    "Heartbeat",
    "Outcome",
    "Rig",
    "RunningWorker",
    "StepResult",
    "StepStarted",
    "failure",
    "outcomes",
    "rig",
    "step_of",
    "task",
    "value_of",
]
