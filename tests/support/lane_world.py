"""A small system in memory around engine and intake lanes: owners that can be killed or paused, and fake workers.

Nothing runs by itself unless `Owner.run` is started: a test says who reads, ticks and saves, in which order, so that a
crash between two effects is a line of the test. `tests.support.lane_checks` judges what is in the log afterwards.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, ParamSpec

import msgspec

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.identity import new_request_id
from tasker_kafka.schemas.plan import Lifecycle, Plan, PlanStep, RetryPolicy
from tasker_kafka.schemas.records import (
    Body,
    Command,
    Dispatch,
    Failure,
    RequestPlace,
    StartTask,
    StepResult,
    TaskRequest,
)
from tasker_kafka.schemas.words import Identity, Outcome
from tasker_kafka.streams.lane import EngineLane, IntakeLane, LaneSettings
from tasker_kafka.streams.lane.equipment import LaneEquipment
from tasker_kafka.streams.lane.watch import ASK_SECONDS
from tasker_kafka.topics.declarations import TopicPlan, declarations
from tasker_kafka.topics.log import Batch, Isolation, Outbox, Reader, Record, TopicPartition, Write
from tasker_kafka.topics.memory import MemoryCluster, MemoryLog, run_virtual
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.partitioner import partition_for
from tasker_kafka.topics.plans import PlanStore, publish
from tasker_kafka.topics.provision import create, publish_schemas

from .crash_at import Crash, CrashAt

__all__ = ["LaneWorld", "Owner", "plan_of", "virtual"]

P = ParamSpec("P")
ANSWER = Callable[[Dispatch], "tuple[Outcome, Failure | None]"]


def virtual(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an async test on a virtual clock."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        run_virtual(test(*args, **kwargs))

    return run


def plan_of(
    name: str = "demo",
    steps: Mapping[str, Sequence[str]] | None = None,
    *,
    retry: RetryPolicy | None = None,
    identity: Identity = Identity.ALWAYS_UNIQUE,
    lifecycle: Lifecycle | None = None,
    **options: Any,
) -> Plan:
    """A plan of steps with their parents; `one → two` by default. `options`: fields of every step, or of the plan."""
    shape = {"one": (), "two": ("one",)} if steps is None else steps
    of_plan = {each: options.pop(each) for each in list(options) if each in Plan.__struct_fields__}
    return Plan(
        namespace="default",
        name=name,
        version="1.0.0",
        steps=tuple(
            PlanStep(
                name=step,
                handler=f"{name}.{step}",
                queue="default",
                parents=tuple(parents),
                retry=RetryPolicy(jitter=0.0) if retry is None else retry,
                **options,
            )
            for step, parents in shape.items()
        ),
        identity=identity,
        lifecycle=Lifecycle() if lifecycle is None else lifecycle,
        **of_plan,
    )


class Owner:
    """One process that owns one partition: its own log, outbox, plans, an engine and an intake lane."""

    def __init__(self, world: LaneWorld, partition: int, settings: LaneSettings, instance: str) -> None:
        self.world = world
        self.partition = partition
        self.settings = settings
        self.instance = instance
        self.log = MemoryLog(world.cluster)
        self.error: BaseException | None = None
        self.failures: list[BaseException] = []
        self._reader: Reader | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def prepare(self) -> Owner:
        """Everything but taking the partition."""
        names = self.world.names
        self.outbox = await self.log.outbox(client_id=self.instance, on_failure=self.failures.append)
        self.plans = PlanStore(self.log, names)
        await self.plans.start()
        equipment = LaneEquipment(
            log=self.log,
            names=names,
            plans=self.plans,
            outbox=self.outbox,
            settings=self.settings,
            instance=self.instance,
        )
        self.lane = EngineLane(self.partition, equipment)
        self.intake = IntakeLane(self.partition, equipment)
        return self

    async def acquire(self) -> Owner:
        """Take the partition."""
        try:
            await self.lane.acquire()
        except BaseException:
            await self.kill()
            raise
        return self

    # ------------------------------------------------------------------------------------ by hand

    async def pump(self) -> int:
        """Decide everything that is in the commands partition now; how many records were handed over."""
        handed = 0
        while (batch := await self.fetch(timeout=0)) is not None:
            await self.lane.process(batch)
            handed += len(batch.records)
        return handed

    async def fetch(self, *, timeout: float) -> Batch | None:
        """The next commands."""
        place = TopicPartition(self.world.names.commands, self.partition)
        if self._reader is None:
            self._reader = await self.log.reader({place: self.lane.next_command})
        return (await self._reader.fetch(timeout=timeout, max_records=50)).get(place)

    async def learn_time(self) -> Owner:
        """It asks what time it is, and reads the answer: before that it does nothing unasked."""
        await asyncio.sleep(ASK_SECONDS)
        await self.lane.tick()
        await self.flush()
        await self.pump()
        await self.lane.tick()
        return self

    async def flush(self) -> None:
        """Until everything sent is acknowledged."""
        await self.outbox.flush()

    # ------------------------------------------------------------------------------------- by itself

    def run(self) -> None:
        """Read, tick and save until something fails; then the process is dead and `error` says why."""
        self._tasks = [
            asyncio.create_task(self._watched(loop)) for loop in (self._feed, self._tick, self._save)
        ]

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self.error is None and bool(self._tasks)

    async def kill(self) -> None:
        """As kill -9."""
        self.log.kill()
        if self.error is None:
            self.error = Crash("killed")
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            if task is not asyncio.current_task():
                task.cancel()
        await self.plans.stop()

    async def stop(self) -> None:
        """Cleanly: the last checkpoint, then leave."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.lane.release()
        await self.plans.stop()
        await self.outbox.close()

    async def _watched(self, loop: Callable[[], Awaitable[None]]) -> None:
        try:
            await loop()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            if self.error is None:
                self.error = error
                await self.kill()

    async def _feed(self) -> None:
        while True:
            batch = await self.fetch(timeout=0.5)
            if batch is not None:
                await self.lane.process(batch)

    async def _tick(self) -> None:
        await self._every(self.settings.tick_interval_ms, self.lane.tick)

    async def _save(self) -> None:
        await self._every(self.settings.checkpoint_interval_ms, self.lane.checkpoint)

    async def _every(self, interval_ms: int, action: Callable[[], Awaitable[object]]) -> None:
        while True:
            await asyncio.sleep(interval_ms / 1000)
            await action()


class LaneWorld:
    """The cluster, the topics, the published plans, a client and a worker."""

    def __init__(
        self, *plans: Plan, partitions: int = 1, latency: float = 0.0, marker_delay: float = 0.0
    ) -> None:
        self.cluster = MemoryCluster(latency=latency, marker_delay=marker_delay)
        self.names = TopicNames()
        self.published = plans
        self.partitions = partitions
        self.log = MemoryLog(self.cluster)
        self.owners: list[Owner] = []
        self.answer: ANSWER = lambda _: (Outcome.SUCCESS, None)
        self.muted: set[bytes] = set()
        """Tasks whose dispatches nobody takes."""
        self.dispatched: list[Dispatch] = []
        self._outbox: Outbox | None = None
        self._steps: Reader | None = None

    async def open(self) -> LaneWorld:
        """Create the topics and publish the plans."""
        queues = {queue for plan in self.published for queue in plan.queues}
        declared = declarations(
            self.names, TopicPlan(partitions=self.partitions), queues=queues, namespaces=["default"]
        )
        await create(self.log.admin(), declared)
        await publish(self.log, self.names, list(self.published))
        await publish_schemas(self.log, self.names)
        self._outbox = await self.log.outbox(client_id="world")
        await self._outbox.warm(each.name for each in declared)
        return self

    @property
    def outbox(self) -> Outbox:
        """The client's and worker's outbox."""
        assert self._outbox is not None, "open first"
        return self._outbox

    async def owner(self, partition: int = 0, *, crash: CrashAt | None = None, **settings: Any) -> Owner:
        """A new owner that has acquired its partition."""
        owner = await self.prepared(partition, crash=crash, **settings)
        return await owner.acquire()

    async def prepared(self, partition: int = 0, *, crash: CrashAt | None = None, **settings: Any) -> Owner:
        """A new process that has not taken its partition yet."""
        settings.setdefault("verify_folds", True)
        chosen = LaneSettings(crash_points=CrashAt() if crash is None else crash, **settings)
        owner = Owner(self, partition, chosen, f"owner-{len(self.owners)}")
        self.owners.append(owner)
        return await owner.prepare()

    # ------------------------------------------------------------------------------------- clients

    async def command(self, task_id: bytes, body: Body, *, partition: int | None = None) -> int:
        """Write a command; its offset."""
        value = codec.encode(Command(task_id, body))
        return (
            await self.outbox.write(Write(self.names.commands, task_id, value, partition=partition))
        ).offset

    async def raw(self, topic: str, key: bytes | None, value: bytes | None, **options: Any) -> int:
        """Write any bytes; the offset."""
        return (await self.outbox.write(Write(topic, key, value, **options))).offset

    async def start(self, plan: Plan, *, task_id: bytes | None = None, **fields: Any) -> bytes:
        """Start a task as intake does; its id."""
        request_id = new_request_id(self.log.now_ms()) if task_id is None else task_id
        body = StartTask(
            plan_hash=plan.hash,
            request_id=request_id,
            context=b"{}",
            request=RequestPlace(0, 0, self.log.now_ms()),
            identity=plan.identity,
            **fields,
        )
        await self.command(request_id, body)
        return request_id

    async def request(self, **fields: Any) -> int:
        """Write a task request; its offset."""
        fields.setdefault("name", "demo")
        fields.setdefault("context", b"{}")
        request = TaskRequest(**fields)
        return await self.raw(self.names.task_requests, None, codec.encode(request), partition=0)

    def partition_of(self, task_id: bytes) -> int:
        """Where a task lives."""
        return partition_for(task_id, self.partitions)

    # ------------------------------------------------------------------------------------- workers

    async def dispatches(self, *, timeout: float = 0) -> list[Dispatch]:
        """Dispatches that were not handed out before, repeats included."""
        if self._steps is None:
            topics = {self.names.steps(queue) for plan in self.published for queue in plan.queues}
            counts = {topic: self.cluster.partitions(topic) for topic in sorted(topics)}
            places = (TopicPartition(topic, n) for topic, count in counts.items() for n in range(count))
            self._steps = await self.log.reader(dict.fromkeys(places, 0))
        batches = await self._steps.fetch(timeout=timeout)
        found = [codec.decode(each.value, Dispatch) for batch in batches.values() for each in batch.records]
        self.dispatched += found
        return found

    async def work(self, *, timeout: float = 0) -> int:
        """Answer every new dispatch; how many."""
        found = [each for each in await self.dispatches(timeout=timeout) if each.task_id not in self.muted]
        for dispatch in found:
            await self.finish(dispatch)
        return len(found)

    async def finish(self, dispatch: Dispatch, **fields: Any) -> int:
        """Answer one dispatch as `answer` says; the result's offset."""
        outcome, failure = self.answer(dispatch)
        now = self.log.now_ms()
        result = StepResult(
            life=dispatch.life,
            step=dispatch.step,
            attempt=dispatch.attempt,
            outcome=outcome,
            worker_id="worker",
            started_at=now,
            finished_at=now,
            result=b'"done"' if outcome is Outcome.SUCCESS else None,
            failure=failure,
        )
        result = msgspec.structs.replace(result, **fields)
        return await self.command(dispatch.task_id, result)

    async def settle(self, *owners: Owner, rounds: int = 200) -> None:
        """Decide and work until nothing moves any more."""
        for _ in range(rounds):
            handed = sum([await owner.pump() for owner in owners])
            for owner in owners:
                await owner.flush()
            if not handed + await self.work():
                return
        raise AssertionError("it never comes to rest")

    # ---------------------------------------------------------------------------------------- reading

    async def quiet(self) -> None:
        """Until what is on its way has arrived (control records of transactions come after their answer)."""
        await asyncio.sleep(0.2)

    def records(self, topic: str, partition: int | None = None) -> list[Record]:
        """Every committed record of a topic, by partition and offset."""
        found: list[Record] = []
        chosen: Iterable[int] = range(self.cluster.partitions(topic)) if partition is None else [partition]
        for number in chosen:
            store = self.cluster.store(TopicPartition(topic, number))
            found += store.read(0, 1_000_000, Isolation.COMMITTED)[0]
        return found

    async def close(self) -> None:
        """End what still runs."""
        for owner in self.owners:
            if owner.error is None:
                with suppress(Exception):
                    await owner.kill()
        await self.log.close()
