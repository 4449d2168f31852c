"""A client and an engine that the test plays, on either log."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tasker_kafka.schemas.codec import decode, encode
from tasker_kafka.schemas.plan import Plan, PlanStep
from tasker_kafka.schemas.records import (
    NO_LIFE,
    OWNER_KEY,
    Answer,
    AttemptEnded,
    OwnerMarker,
    Rejection,
    TaskRequest,
    Transition,
    Transitions,
    Value,
)
from tasker_kafka.schemas.words import (
    Cause,
    Identity,
    Outcome,
    StepStatus,
    TaskStatus,
    TransitionEvent,
)
from tasker_kafka.topics import provision
from tasker_kafka.topics.client import TaskClient
from tasker_kafka.topics.declarations import TopicPlan, declarations
from tasker_kafka.topics.headers import for_owner
from tasker_kafka.topics.kafka import KafkaLog
from tasker_kafka.topics.log import Log, Outbox, Record, TopicPartition, Write
from tasker_kafka.topics.memory import MemoryLog, run_virtual
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.partitioner import partition_for
from tasker_kafka.topics.plans import publish
from tests.support.task_created import created

__all__ = [
    "KEYED",
    "MAPPED",
    "PARTITIONS",
    "PLAN",
    "Check",
    "Engine",
    "Run",
    "kafka_run",
    "memory_run",
    "reject",
    "step_edge",
    "task_edge",
]

PARTITIONS = 2
STEPS = (PlanStep("pay", "pay", "shop"), PlanStep("ship", "ship", "shop", parents=("pay",)))
PLAN = Plan("shop", "checkout", "1.0.0", STEPS)
KEYED = Plan("shop", "keyed", "1.0.0", STEPS, identity=Identity.CALLER_PROVIDED)
MAPPED = Plan("shop", "mapped", "1.0.0", STEPS, output={"receipt": "$.pay.id"})


class Engine:
    """Plays the owner of every partition."""

    def __init__(self, log: Log, names: TopicNames, outbox: Outbox) -> None:
        self.log, self.names, self.outbox = log, names, outbox
        self.owners: dict[int, int] = {}
        self.command_offset = 100
        self.lives: dict[bytes, int] = {}

    async def take_over(self, partition: int) -> int:
        value = encode(OwnerMarker(0, "test", "0"))
        place = await self.outbox.write(Write(self.names.transitions, OWNER_KEY, value, partition=partition))
        self.owners[partition] = place.offset
        return place.offset

    async def write(
        self, task_id: bytes, *edges: Transition, answer: Answer | None = None, **extra: int
    ) -> None:
        """One decision about a task."""
        partition = partition_for(task_id, PARTITIONS)
        owner = extra.get("owner", self.owners[partition])
        self.command_offset += 1
        record = Transitions(
            life=self.lives.get(task_id, NO_LIFE),
            seq=1,
            command_offset=extra.get("command_offset", self.command_offset),
            at=0,
            transitions=edges,
            answer=answer,
        )
        await self.outbox.write(Write(self.names.transitions, task_id, encode(record), for_owner(owner)))

    async def create(self, task_id: bytes, request_id: bytes, plan: Plan = PLAN) -> None:
        self.lives[task_id] = self.command_offset
        data = created(task_id, request_id, plan_hash=plan.hash, name=plan.name)
        edge = task_edge(TransitionEvent.INITIALIZE_REQUESTED, None, TaskStatus.PENDING, data)
        await self.write(task_id, edge, *(step_edge(each.name, None, StepStatus.PENDING) for each in STEPS))

    async def finish_step(self, task_id: bytes, step: str, result: Value) -> None:
        ended = AttemptEnded(attempt=1, outcome=Outcome.SUCCESS, result=result)
        await self.write(task_id, step_edge(step, StepStatus.IN_PROGRESS, StepStatus.COMPLETE, ended))

    async def complete(self, task_id: bytes) -> None:
        event = TransitionEvent.ALL_STEPS_DONE
        await self.write(task_id, task_edge(event, TaskStatus.IN_PROGRESS, TaskStatus.COMPLETE))

    async def play(self, task_id: bytes, request_id: bytes, plan: Plan = PLAN) -> None:
        await self.create(task_id, request_id, plan)
        await self.finish_step(task_id, "pay", b'{"id":7}')
        await self.finish_step(task_id, "ship", b'"sent"')
        await self.complete(task_id)

    async def requests(self, count: int = 1) -> list[tuple[Record, TaskRequest]]:
        """The first `count` requests in the log, as intake reads them."""
        found = await self.read(self.names.task_requests, count)
        return [(each, decode(each.value, TaskRequest)) for each in found]

    async def read(self, topic: str, count: int) -> list[Record]:
        reader = await self.log.reader({TopicPartition(topic, number): 0 for number in range(PARTITIONS)})
        found: list[Record] = []
        while len(found) < count:
            for batch in (await reader.fetch()).values():
                found += batch.records
        await reader.close()
        return found

    async def play_request(self, plan: Plan = PLAN) -> TaskRequest:
        ((record, request),) = await self.requests()
        assert record.key is not None
        assert request.request_id is not None
        await self.play(record.key, request.request_id, plan)
        return request


def task_edge(
    event: TransitionEvent, before: TaskStatus | None, after: TaskStatus, data: Any = None
) -> Transition:
    return Transition(None, event, before, after, 0, Cause.EVALUATION, data)


def step_edge(step: str, before: StepStatus | None, after: StepStatus, data: Any = None) -> Transition:
    return Transition(step, TransitionEvent.COMPLETED, before, after, 0, Cause.RESULT, data)


Check = Callable[[TaskClient, Engine], Awaitable[None]]
Run = Callable[[Check], None]


async def scene(log: Log, names: TopicNames, check: Check) -> None:
    await log.start()
    try:
        plan = TopicPlan(partitions=PARTITIONS)
        await provision.create(log.admin(), declarations(names, plan))
        await publish(log, names, [PLAN, KEYED, MAPPED])
        outbox = await log.outbox(client_id="engine")
        await outbox.warm([names.transitions, names.rejections, names.payloads])
        engine = Engine(log, names, outbox)
        for partition in range(PARTITIONS):
            await engine.take_over(partition)
        async with TaskClient(log, names) as client:
            await check(client, engine)
        await outbox.close()
    finally:
        await log.close()


async def reject(
    engine: Engine, record: Record, request_id: bytes | None, code: str = "invalid_context"
) -> None:
    rejection = Rejection(
        code=code,
        message="cart: is missing",
        path="context.cart",
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        rejected_at=0,
        request_id=request_id,
        key=record.key,
        value=record.value,
    )
    await engine.outbox.write(Write(engine.names.rejections, record.key, encode(rejection)))


def memory_run(prefix: str) -> Run:
    """Runs checks on a log in memory."""
    return lambda check: run_virtual(scene(MemoryLog(), TopicNames(prefix), check))


def kafka_run(prefix: str, bootstrap: str) -> Run:
    """Runs checks on Kafka."""
    return lambda check: asyncio.run(scene(KafkaLog(bootstrap), TopicNames(prefix), check))
