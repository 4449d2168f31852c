"""The list of tasks: the newest state of each key of the changelog.

Only the head of a state is decoded, unless the filter asks for what lies behind it. Of a final task only a stub is
left, which knows no tags and no text: a filter by those reads the transitions of such tasks, too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import msgspec

from tasker_kafka.schemas.codec import codec, decode_state
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import CHECKPOINT_KEY, Checkpoint
from tasker_kafka.schemas.state import Stub, TaskHead, TaskState
from tasker_kafka.schemas.words import TaskStatus
from tasker_kafka.streams.domain.views import coarse_task_status
from tasker_kafka.topics.log import Log, TopicPartition
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.partitioner import partition_for

from .scan import newest_by_key, partitions_of
from .searching import Finished, Searched, read_searched
from .walking import Progress

__all__ = ["TaskFilter", "TaskRow", "list_tasks", "row_of", "saved_states"]


class TaskRow(msgspec.Struct, frozen=True, kw_only=True):
    """One task in a list. Counts that the stub of a final task does not tell are None."""

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
    """Which tasks are wanted; None and (): any."""

    namespace: str | None = None
    template: str | None = None
    states: tuple[str, ...] = ()
    """States or coarse statuses, any of them."""
    tags: tuple[str, ...] = ()
    """All of them."""
    text: str | None = None
    """In the context (secrets hidden), reason, correlation id or idempotency key, whatever the case."""
    since: int | None = None
    """Created then or later, ms."""
    until: int | None = None
    """Created before then, ms."""

    def matches(self, row: TaskRow) -> bool:
        """Whether the row is wanted, as far as it tells."""
        return (
            self.namespace in (None, row.namespace)
            and self.template in (None, row.template)
            and (not self.states or row.state in self.states or row.status in self.states)
            and (self.since is None or row.created_at >= self.since)
            and (self.until is None or row.created_at < self.until)
        )

    @property
    def looks_inside(self) -> bool:
        """Whether a row does not tell if it is wanted: tags and text do."""
        return bool(self.tags) or self.text is not None

    def fits(self, searched: Searched) -> bool:
        """Whether tags and text are wanted."""
        return searched.fits(self.tags, self.text)

    def matches_value(self, value: bytes) -> bool:
        """Whether the state itself is wanted: tags and text. Of a stub nobody can say: it is not."""
        if not self.looks_inside:
            return True
        if is_stub(value):
            return False
        state = codec.decode(value, TaskState)
        return self.fits(
            Searched(state.tags, state.context, state.reason, state.correlation_id, state.idempotency_key)
        )


async def list_tasks(
    log: Log,
    names: TopicNames,
    find_plan: Callable[[bytes], Plan | None],
    wanted: TaskFilter,
    progress: Progress | None = None,
) -> list[TaskRow]:
    """Every wanted task, newest first, as of the partitions' last checkpoints (under a second ago).

    `find_plan` names the template of a stub by its plan hash. A filter by tag or text reads the transitions, too, from
    the creation of the oldest finished task that the rest of the filter leaves; `progress` is told how far that is.
    """
    held = await newest_by_key(log, await partitions_of(log, names.task_state))
    found: list[TaskRow] = []
    stubs: dict[bytes, TaskRow] = {}
    for (_, key), record in held.items():
        if key == CHECKPOINT_KEY or record.value is None:
            continue
        row = row_of(record.value, find_plan)
        if not wanted.matches(row):
            continue
        if wanted.looks_inside and is_stub(record.value):
            stubs[key] = row
        elif wanted.matches_value(record.value):
            found.append(row)
    if stubs:
        lives = {key: Finished(row.life, row.created_at) for key, row in stubs.items()}
        searched = await read_searched(log, names, lives, progress)
        found += [stubs[key] for key, told in searched.items() if wanted.fits(told)]
    return sorted(found, key=lambda row: (-row.created_at, row.task_id))


async def saved_states(
    log: Log, names: TopicNames, wanted: Collection[bytes]
) -> dict[bytes, TaskState | Stub]:
    """The whole states of these tasks, as of the partitions' last checkpoints; unknown tasks are left out."""
    count = await log.partition_count(names.task_state)
    places = {TopicPartition(names.task_state, partition_for(each, count)) for each in wanted}
    held = await newest_by_key(log, places)
    found: dict[bytes, TaskState | Stub] = {}
    for (_, key), record in held.items():
        if key in wanted and record.value is not None:
            state = decode_state(record.value)
            if not isinstance(state, Checkpoint):
                found[key] = state
    return found


def is_stub(value: bytes) -> bool:
    """Whether only a stub is left of a task: no tags, no text."""
    return codec.kind_of(value) is Stub


def row_of(value: bytes, find_plan: Callable[[bytes], Plan | None]) -> TaskRow:
    """The row of a state as the changelog holds it."""
    if is_stub(value):
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
    total = None if plan is None else len(plan.steps)
    # A complete task has no step that is not; of another end the stub does not tell.
    is_complete = stub.outcome is TaskStatus.COMPLETE and total is not None
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
        total_steps=total,
        completed_steps=total if is_complete else None,
        failed_steps=0 if is_complete else None,
    )
