"""What the API answers around the backend's shapes: named lists, and the parts of a task."""

from __future__ import annotations

from typing import Any

import msgspec

from tasker_kafka.deploy.catalog import DomainEventEntry, SystemEventEntry
from tasker_kafka.deploy.console.backend import (
    HandlerRow,
    Level,
    Source,
    TaskDetails,
    TaskMoment,
    TemplateRow,
)
from tasker_kafka.deploy.reading import (
    AnswerReport,
    RejectionRow,
    StepReport,
    TaskReport,
    TransitionReport,
    WorkerRow,
)
from tasker_kafka.deploy.reading.subscriber_rows import GroupRow
from tasker_kafka.deploy.system_names import NamedEvent
from tasker_kafka.schemas.words import StepStatus, TaskStatus
from tasker_kafka.streams.domain.readiness import StepReadiness
from tasker_kafka.streams.domain.views import StepRelations, TaskSummary
from tasker_kafka.streams.projection import BottleneckRow, EventRow, LedgerRow, PerformanceRow, TaskRow

__all__ = [
    "ActAnswer",
    "Bottlenecks",
    "DomainEvents",
    "Graph",
    "GraphEdge",
    "GraphNode",
    "Groups",
    "Handlers",
    "PerformanceAnswer",
    "Problem",
    "ProblemError",
    "Readiness",
    "Rejections",
    "SkippedLetter",
    "StaleAnswer",
    "StaleEntry",
    "StaleTasks",
    "StepAnswer",
    "Steps",
    "SystemEvents",
    "TaskAnswer",
    "TaskEvents",
    "TaskList",
    "Templates",
    "Transitions",
    "Workers",
]


class ProblemError(msgspec.Struct, frozen=True, kw_only=True):
    """One value that is wrong. `path` as `context.items[2]`; empty: the whole."""

    path: str
    message: str


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request was not answered (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: tuple[ProblemError, ...]
    next_step: str | None
    state: TaskStatus | msgspec.UnsetType | None = msgspec.UNSET
    """Of a refused command: the task's state now."""
    allowed: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    """Of a refused command: actions that would be accepted."""
    command_id: str | msgspec.UnsetType | None = msgspec.UNSET
    task_id: str | msgspec.UnsetType | None = msgspec.UNSET
    """Of a duplicate request: the task that is there."""


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """Whether this process lives, or is ready to serve."""

    level: Level
    message: str


class TaskList(msgspec.Struct, frozen=True, kw_only=True):
    """Tasks, the newest first. `counts`: how many fit in all, by state, where it was asked for."""

    tasks: tuple[TaskRow, ...]
    next_cursor: str | None
    counts: dict[str, int] | None


class TaskAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One task. `is_from`: projection or log; `behind_seconds`: how far the projection was behind."""

    task: TaskReport
    summary: TaskSummary
    lives: tuple[int, ...]
    moment: TaskMoment
    is_from: Source
    is_newest: bool
    behind_seconds: float
    allowed: tuple[str, ...]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, details: TaskDetails) -> TaskAnswer:
        """From the backend's."""
        return cls(
            task=details.report,
            summary=details.summary,
            lives=details.lives,
            moment=details.moment,
            is_from=details.is_from,
            is_newest=details.is_newest,
            behind_seconds=details.behind_seconds,
            allowed=details.allowed,
            notes=details.notes,
        )


class StepAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One step: its attempts, whether it may run, its place in the graph, and what may be asked of it."""

    step: StepReport
    readiness: StepReadiness
    relations: StepRelations
    allowed: tuple[str, ...]


class Steps(msgspec.Struct, frozen=True, kw_only=True):
    """The steps of a task, in the template's order."""

    task_id: bytes
    seq: int
    steps: tuple[StepAnswer, ...]


class Transitions(msgspec.Struct, frozen=True, kw_only=True):
    """Every edge that was taken, and every answer to a command, in order."""

    task_id: bytes
    life: int
    partition: int
    transitions: tuple[TransitionReport, ...]
    answers: tuple[AnswerReport, ...]


class GraphNode(msgspec.Struct, frozen=True, kw_only=True):
    """One step in a graph. `state` None: of a template."""

    name: str
    handler: str
    queue: str
    state: StepStatus | None
    level: int
    """Edges on the longest path from a root."""


class GraphEdge(msgspec.Struct, frozen=True):
    """From a parent to its child."""

    from_step: str = msgspec.field(name="from")
    to_step: str = msgspec.field(name="to")


class Graph(msgspec.Struct, frozen=True, kw_only=True):
    """The steps and what depends on what."""

    namespace: str
    template: str
    version: str
    nodes: tuple[GraphNode, ...]
    edges: tuple[GraphEdge, ...]


class TaskEvents(msgspec.Struct, frozen=True, kw_only=True):
    """Domain events that a task published, the oldest first."""

    events: tuple[EventRow, ...]


class Templates(msgspec.Struct, frozen=True, kw_only=True):
    """Every published version."""

    templates: tuple[TemplateRow, ...]


class SystemEvents(msgspec.Struct, frozen=True, kw_only=True):
    """Every event of the engine, and the names that people know them by."""

    events: tuple[SystemEventEntry, ...]
    names: tuple[NamedEvent, ...]


class DomainEvents(msgspec.Struct, frozen=True, kw_only=True):
    """Every event that a published template declares."""

    events: tuple[DomainEventEntry, ...]


class Workers(msgspec.Struct, frozen=True, kw_only=True):
    """Every step worker that has announced itself."""

    workers: tuple[WorkerRow, ...]


class Handlers(msgspec.Struct, frozen=True, kw_only=True):
    """Who serves what."""

    handlers: tuple[HandlerRow, ...]


class Groups(msgspec.Struct, frozen=True, kw_only=True):
    """Subscriber groups."""

    groups: tuple[GroupRow, ...]


class StaleEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A task that needs, or needed, a person."""

    task_id: bytes
    life: int
    reason: str
    status: str
    at: int
    message: str
    actor: str | None
    namespace: str | None
    template: str | None
    state: TaskStatus | None
    snapshot: Any
    """The task and its unfinished steps when it was written; null in lists."""

    @classmethod
    def of(cls, row: LedgerRow, snapshot: Any = None) -> StaleEntry:
        """From the projection's row."""
        return cls(
            task_id=row.task_id,
            life=row.life,
            reason=row.reason,
            status=row.status,
            at=row.at,
            message=row.message,
            actor=row.actor,
            namespace=row.namespace,
            template=row.template,
            state=row.state,
            snapshot=snapshot,
        )


class StaleTasks(msgspec.Struct, frozen=True, kw_only=True):
    """Entries of the ledger, the newest first."""

    entries: tuple[StaleEntry, ...]
    next_cursor: str | None


class StaleAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One entry in full."""

    entry: StaleEntry


class SkippedLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A letter that was named and is not open."""

    place: str
    state: str


class ActAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What was done about dead letters, or would be."""

    is_dry_run: bool
    letters: int
    repeats: int
    """Of these: further letters of an event that is redriven once."""
    groups: dict[str, int]
    skipped: tuple[SkippedLetter, ...]


class Rejections(msgspec.Struct, frozen=True, kw_only=True):
    """The newest rejections."""

    rejections: tuple[RejectionRow, ...]


class PerformanceAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Closed tasks by template version; durations in ms."""

    templates: tuple[PerformanceRow, ...]


class Bottlenecks(msgspec.Struct, frozen=True, kw_only=True):
    """Ended attempts by step; durations in ms."""

    steps: tuple[BottleneckRow, ...]
