"""A log in memory, written by the real rules one command at a time: histories for what reads the log.

No lanes and no timing: a command is decided as soon as it is given, a checkpoint is written when it is asked for. So
a test says exactly what the changelog already holds and what only the transitions do.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tasker_kafka.schemas.codec import encode
from tasker_kafka.schemas.identity import new_request_id
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import (
    CHECKPOINT_KEY,
    OWNER_KEY,
    Body,
    Checkpoint,
    Command,
    Failure,
    OperatorCommand,
    OwnerMarker,
    RequestPlace,
    StartTask,
    StepResult,
    Transitions,
    Value,
    WorkerAnnouncement,
)
from tasker_kafka.schemas.state import Stub, TaskState
from tasker_kafka.schemas.words import OperatorAction, Outcome
from tasker_kafka.streams.domain.decide import decide
from tasker_kafka.streams.domain.decision import Decision, Moment
from tasker_kafka.topics.declarations import TopicPlan, declarations
from tasker_kafka.topics.headers import for_owner
from tasker_kafka.topics.log import Outbox, TopicPartition, TopicPartitionOffset, Write
from tasker_kafka.topics.memory import MemoryLog
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.partitioner import partition_for
from tasker_kafka.topics.plans import publish
from tasker_kafka.topics.provision import create

__all__ = ["WrittenLog"]

WORKER = "worker-1"


class WrittenLog:
    """Owns every partition of a small system on `log` and writes its records."""

    def __init__(self, *plans: Plan, partitions: int = 2) -> None:
        self.log = MemoryLog()
        self.names = TopicNames()
        self.plans = {plan.hash: plan for plan in plans}
        self.partitions = partitions
        self.states: dict[bytes, TaskState | Stub | None] = {}
        self.owners: dict[int, int] = {}
        self.last: Decision | None = None
        self._outbox: Outbox | None = None

    async def open(self) -> WrittenLog:
        """Create the topics, publish the plans, become every partition's owner."""
        queues = {queue for plan in self.plans.values() for queue in plan.queues}
        declared = declarations(self.names, TopicPlan(partitions=self.partitions), queues=queues)
        await create(self.log.admin(), declared)
        await publish(self.log, self.names, list(self.plans.values()))
        self._outbox = await self.log.outbox(client_id="written")
        await self._outbox.warm(each.name for each in declared)
        for partition in range(self.partitions):
            await self.own(partition)
        return self

    async def own(self, partition: int) -> int:
        """A new owner of a partition: its number."""
        marker = OwnerMarker(at=self.log.now_ms(), instance="written", version="1")
        place = await self.write(
            Write(self.names.transitions, OWNER_KEY, encode(marker), partition=partition)
        )
        self.owners[partition] = place.offset
        return place.offset

    async def write(self, write: Write) -> TopicPartitionOffset:
        """Write any record."""
        assert self._outbox is not None, "open comes first"
        return await self._outbox.write(write)

    async def start(
        self,
        plan: Plan,
        context: Any = None,
        *,
        context_value: Value = None,
        requested_at: int | None = None,
        **fields: Any,
    ) -> bytes:
        """A task of the plan: its id.

        context_value: the context as a reference. requested_at: the broker's time of the request; default now
        """
        task_id = new_request_id()
        now = self.log.now_ms() if requested_at is None else requested_at
        body = StartTask(
            plan_hash=plan.hash,
            request_id=task_id,
            context=context_value or json.dumps(context or {}).encode(),
            request=RequestPlace(0, 0, now),
            **fields,
        )
        await self.command(task_id, body)
        return task_id

    async def succeed(self, task_id: bytes, step: str, result: Any = None) -> None:
        """The running attempt of a step ended well."""
        value = None if result is None else json.dumps(result).encode()
        await self._end(task_id, step, Outcome.SUCCESS, result=value)

    async def fail(self, task_id: bytes, step: str, code: str = "boom", *, retryable: bool = False) -> None:
        """The running attempt of a step failed."""
        failure = Failure(
            type="ValueError", code=code, message=f"{code} happened", traceback="Trace", retryable=retryable
        )
        await self._end(task_id, step, Outcome.FAILURE, failure=failure)

    async def operate(self, task_id: bytes, action: OperatorAction, steps: Sequence[str] = ()) -> None:
        """An operator's command."""
        body = OperatorCommand(
            command_id=new_request_id(), action=action, actor="ada@desk", reason="a test", steps=tuple(steps)
        )
        await self.command(task_id, body)

    async def command(self, task_id: bytes, body: Body) -> Decision | None:
        """Log a command, decide it, write what was decided."""
        command = Command(task_id, body)
        place = await self.write(Write(self.names.commands, task_id, encode(command)))
        logged = await self.log.fetch_at(place)
        state = self.states.get(task_id)
        plan_hash = body.plan_hash if isinstance(body, StartTask) else getattr(state, "plan_hash", b"")
        moment = Moment(place.partition, place.offset, logged.timestamp, self.plans.get(plan_hash))
        decision = decide(state, command, moment)
        if not isinstance(decision, Decision):
            return None
        self.states[task_id] = decision.state
        self.last = decision
        await self.record(task_id, decision.record, self.owners[place.partition])
        return decision

    async def record(self, task_id: bytes, record: Transitions, owner: int) -> None:
        """Write a transitions record as this owner, be it in office or not."""
        await self.write(Write(self.names.transitions, task_id, encode(record), headers=for_owner(owner)))

    async def checkpoint(self) -> None:
        """Write every state and each partition's Checkpoint to the changelog."""
        for task_id, state in self.states.items():
            await self.write(Write(self.names.task_state, task_id, None if state is None else encode(state)))
        for partition in range(self.partitions):
            await self._checkpoint(partition)

    async def announce(self, worker_id: str, queues: Sequence[str], handlers: Sequence[str]) -> None:
        """A live worker."""
        said = WorkerAnnouncement(
            worker_id=worker_id,
            queues=tuple(queues),
            handlers=tuple(handlers),
            version="1",
            host="desk",
            pid=1,
            started_at=self.log.now_ms(),
            seen_at=self.log.now_ms(),
        )
        await self.write(Write(self.names.workers, worker_id.encode(), encode(said)))

    def partition_of(self, task_id: bytes) -> int:
        """The partition that a task belongs to."""
        return partition_for(task_id, self.partitions)

    async def _checkpoint(self, partition: int) -> None:
        commands = TopicPartition(self.names.commands, partition)
        transitions = TopicPartition(self.names.transitions, partition)
        said = Checkpoint(
            next_command=await self.log.end_offset(commands),
            next_transition=await self.log.end_offset(transitions),
            owner=self.owners[partition],
            horizon=-1,
            partition_count=self.partitions,
            at=self.log.now_ms(),
        )
        await self.write(Write(self.names.task_state, CHECKPOINT_KEY, encode(said), partition=partition))

    async def _end(self, task_id: bytes, step: str, outcome: Outcome, **fields: Any) -> None:
        state = self.states[task_id]
        assert isinstance(state, TaskState), "the task is not open"
        running = next(each for each in state.steps if each.name == step)
        now = self.log.now_ms()
        body = StepResult(
            life=state.life,
            step=step,
            attempt=running.attempt,
            outcome=outcome,
            worker_id=WORKER,
            started_at=now,
            finished_at=now,
            **fields,
        )
        await self.command(task_id, body)
