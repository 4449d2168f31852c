"""The list of tasks: the newest state of each key of the changelog, of which only the head is decoded."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import CHECKPOINT_KEY
from tasker_kafka.schemas.state import Stub, TaskHead
from tasker_kafka.schemas.words import TaskStatus
from tasker_kafka.streams.domain.views import coarse_task_status
from tasker_kafka.topics.log import Log
from tasker_kafka.topics.names import TopicNames

from .scan import newest_by_key, partitions_of

__all__ = ["TaskFilter", "TaskRow", "list_tasks", "row_of"]


class TaskRow(msgspec.Struct, frozen=True, kw_only=True):
    """One task in a list. Counts are None for a closed task of which only the stub is left."""

    task_id: bytes
    life: int
    namespace: str
    template: str
    version: str
    state: TaskStatus
    status: str
    created_at: int
    closed_at: int | None
    total_steps: int | None
    completed_steps: int | None
    failed_steps: int | None


class TaskFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which tasks are wanted; None: any. `state` is a state or a coarse status."""

    namespace: str | None = None
    template: str | None = None
    state: str | None = None

    def matches(self, row: TaskRow) -> bool:
        """Whether the row is wanted."""
        return (
            self.namespace in (None, row.namespace)
            and self.template in (None, row.template)
            and self.state in (None, row.state, row.status)
        )


async def list_tasks(
    log: Log, names: TopicNames, find_plan: Callable[[bytes], Plan | None], wanted: TaskFilter
) -> list[TaskRow]:
    """Every wanted task, newest first, as of the partitions' last checkpoints (under a second ago).

    `find_plan` names the template of a stub by its plan hash.
    """
    held = await newest_by_key(log, await partitions_of(log, names.task_state))
    rows = [
        row_of(record.value, find_plan)
        for (_, key), record in held.items()
        if key != CHECKPOINT_KEY and record.value is not None
    ]
    found = [row for row in rows if wanted.matches(row)]
    return sorted(found, key=lambda row: (-row.created_at, row.task_id))


def row_of(value: bytes, find_plan: Callable[[bytes], Plan | None]) -> TaskRow:
    """The row of a state as the changelog holds it."""
    if codec.kind_of(value) is Stub:
        return _stub_row(codec.decode(value, Stub), find_plan)
    return _head_row(codec.decode_head(value))


def _head_row(head: TaskHead) -> TaskRow:
    return TaskRow(
        task_id=head.task_id,
        life=head.life,
        namespace=head.namespace,
        template=head.name,
        version=head.version,
        state=head.state,
        status=coarse_task_status(head.state),
        created_at=head.created_at,
        closed_at=head.closed_at,
        total_steps=head.total,
        completed_steps=head.complete + head.resolved,
        failed_steps=head.failed,
    )


def _stub_row(stub: Stub, find_plan: Callable[[bytes], Plan | None]) -> TaskRow:
    plan = find_plan(stub.plan_hash)
    return TaskRow(
        task_id=stub.task_id,
        life=stub.life,
        namespace="?" if plan is None else plan.namespace,
        template="?" if plan is None else plan.name,
        version="?" if plan is None else plan.version,
        state=stub.outcome,
        status=coarse_task_status(stub.outcome),
        created_at=stub.created_at,
        closed_at=stub.closed_at,
        total_steps=None if plan is None else len(plan.steps),
        completed_steps=None,
        failed_steps=None,
    )
