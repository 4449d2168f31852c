"""Where every task of the demo stands, read from the transitions topic as any other reader of it would.

Nothing is asked of the orchestrator. A decision is one record, and one record is one change of one task.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import AttemptEnded, Audit, TaskCreated, Transition, Transitions
from tasker_kafka.schemas.words import CLOSED_TASK_STATES, StepStatus, TaskStatus
from tasker_kafka.topics.history import AcceptedHistory
from tasker_kafka.topics.log import Log, Record, TopicPartition
from tasker_kafka.topics.names import TopicNames

__all__ = ["Board", "Change", "Row", "follow"]


@dataclass
class Row:
    """One task."""

    label: str
    plan: Plan
    created_at: int
    """Broker time, ms; as `changed_at`."""
    changed_at: int
    state: TaskStatus = TaskStatus.PENDING
    steps: dict[str, StepStatus] = field(default_factory=dict[str, StepStatus])
    remark: str = ""
    """The last failure, or what an operator did about it."""

    @property
    def is_closed(self) -> bool:
        """Complete, in error or ended otherwise."""
        return self.state in CLOSED_TASK_STATES


@dataclass(frozen=True)
class Change:
    """What one decision changed, for people."""

    label: str
    text: str


class Board:
    """Rows by task id, in the order in which the tasks were created. A task's tag is its label."""

    def __init__(self, plan_of: Callable[[bytes], Plan | None]) -> None:
        self._plan_of = plan_of
        self._news = asyncio.Event()
        self.rows: dict[bytes, Row] = {}

    def take(self, task_id: bytes, record: Transitions) -> Change | None:
        """Note a record; None when nothing of it is for the board."""
        for transition in record.transitions:
            if isinstance(transition.data, TaskCreated):
                self._begin(task_id, transition.data, record.at)
        row = self.rows.get(task_id)
        if row is None or not record.transitions:
            return None
        row.changed_at = record.at
        told = _Told(row)
        for transition in record.transitions:
            told.add(transition)
        self._news.set()
        self._news = asyncio.Event()
        return Change(row.label, told.text())

    async def wait_closed(self, task_id: bytes) -> None:
        """Until this task, which need not exist yet, is closed."""
        while (row := self.rows.get(task_id)) is None or not row.is_closed:
            await self._news.wait()

    def _begin(self, task_id: bytes, created: TaskCreated, at: int) -> None:
        plan = self._plan_of(created.plan_hash)
        if plan is not None:
            label = created.tags[0] if created.tags else f"{created.namespace}/{created.name}"
            self.rows[task_id] = Row(label, plan, at, at)


class _Told:
    """The sentence about one decision: where each step that it moved is now, and the task if that moved too."""

    def __init__(self, row: Row) -> None:
        self._row = row
        self._before = row.state
        self._steps: dict[str, str] = {}

    def add(self, transition: Transition) -> None:
        row, name = self._row, transition.step
        if name is None:
            row.state = TaskStatus(transition.to_state)
        else:
            row.steps[name] = StepStatus(transition.to_state)
            self._steps[name] = str(transition.to_state)
        data = transition.data
        if name is not None and isinstance(data, AttemptEnded) and data.failure is not None:
            row.remark = f"{name}: {data.failure.code}"
            self._steps[name] = f"{self._steps[name]} ({data.failure.code})"
        elif isinstance(data, Audit):
            row.remark = f"{data.actor}: {data.reason}"

    def text(self) -> str:
        parts = [f"{name} {state}" for name, state in self._steps.items() if state != StepStatus.PENDING]
        if self._row.state is not self._before or not parts:
            parts.append(f"task {self._row.state}")
        return ", ".join(parts)


async def follow(log: Log, names: TopicNames, board: Board) -> AsyncIterator[list[Change]]:
    """The changes of the transitions topic from its beginning, as they come; never ends."""
    count = await log.partition_count(names.transitions)
    places = {TopicPartition(names.transitions, number): 0 for number in range(count)}
    histories = {place: AcceptedHistory() for place in places}
    reader = await log.reader(places)
    try:
        while True:
            changes: list[Change] = []
            for place, batch in (await reader.fetch()).items():
                for record in batch.records:
                    change = _accepted(record, histories[place], board)
                    if change is not None:
                        changes.append(change)
            yield changes
    finally:
        await reader.close()


def _accepted(record: Record, history: AcceptedHistory, board: Board) -> Change | None:
    decoded = codec.decode_transition_record(record.value)
    if record.key is None or not history.accept(record, decoded) or not isinstance(decoded, Transitions):
        return None
    return board.take(record.key, decoded)
