"""Fills the changelog with closed tasks as if an engine had closed them: a million are too many to run for a look."""

from __future__ import annotations

import time
from typing import Final

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.identity import new_request_id
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import CHECKPOINT_KEY, Checkpoint
from tasker_kafka.schemas.state import Stub
from tasker_kafka.schemas.words import TaskStatus
from tasker_kafka.topics.log import Write
from tests.bench.stage import BenchSystem
from tests.support.system import PARTITIONS

__all__ = ["write_stubs"]

_AT_ONCE: Final = 20_000
_HOUR_MS: Final = 3_600_000
_KEPT_HOURS: Final = 72


async def write_stubs(system: BenchSystem, plan: Plan, count: int) -> None:
    """`count` stubs of tasks closed evenly over three days, the retention, and a checkpoint of nothing else."""
    outbox = await system.log.outbox(client_id="bench-stubs")
    topic, now = system.names.task_state, int(time.time() * 1000)
    span = (_KEPT_HOURS - 1) * _HOUR_MS
    try:
        await outbox.warm([topic])
        for number in range(count):
            closed_at = now - span + number * span // count
            task_id = new_request_id()
            stub = Stub(
                task_id=task_id,
                request_id=task_id,
                life=number,
                outcome=TaskStatus.COMPLETE,
                created_at=closed_at - 100,
                closed_at=closed_at,
                forget_at=closed_at + _KEPT_HOURS * _HOUR_MS,
                plan_hash=plan.hash,
            )
            outbox.send(Write(topic, task_id, codec.encode(stub)))
            if number % _AT_ONCE == 0:
                await outbox.flush()
        saved = Checkpoint(
            next_command=0, next_transition=0, owner=0, horizon=-1, partition_count=PARTITIONS, at=now
        )
        for partition in range(PARTITIONS):
            outbox.send(Write(topic, CHECKPOINT_KEY, codec.encode(saved), partition=partition))
        await outbox.flush()
    finally:
        await outbox.close()
