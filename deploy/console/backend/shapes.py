"""What the backend answers: the shapes that the API prints as JSON and the pages draw.

Times are ms since 1970 UTC, ids raw bytes; `deploy.reading.jsonable` turns both into text.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from tasker_kafka.deploy.reading import StepReport, TaskReport
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.words import StepStatus, TaskStatus
from tasker_kafka.streams.domain.readiness import StepReadiness
from tasker_kafka.streams.domain.views import StepRelations, TaskSummary

__all__ = [
    "BrokerReach",
    "Component",
    "HandlerRow",
    "HealthReport",
    "Level",
    "Outcome",
    "Source",
    "StoreReach",
    "Submitted",
    "TaskDetails",
    "TaskMoment",
    "TemplateDetails",
    "TemplateRow",
    "TemplateStep",
    "WrittenAt",
]


class Source(StrEnum):
    """Where an answer was read."""

    PROJECTION = "projection"
    LOG = "log"


class WrittenAt(msgspec.Struct, frozen=True):
    """Where a record lies that was written for a request."""

    topic: str
    partition: int
    offset: int


class TaskMoment(msgspec.Struct, frozen=True, kw_only=True):
    """The record up to which a task is shown."""

    partition: int
    offset: int
    seq: int
    recorded_at: int


class TaskDetails(msgspec.Struct, frozen=True, kw_only=True):
    """One life of a task with its four views, as of a record of its history."""

    report: TaskReport
    plan: Plan
    summary: TaskSummary
    readiness: tuple[StepReadiness, ...]
    """One row per step, in the plan's order, as of now (or of the time that was asked for)."""
    dag: tuple[StepRelations, ...]
    """One row per step, in the plan's order."""
    lives: tuple[int, ...]
    """Every life that is known, the oldest first."""
    moment: TaskMoment
    """The newest record that is in it."""
    is_from: Source
    is_newest: bool
    """False: an earlier life, or an earlier time, was asked for."""
    behind_seconds: float
    """How far the projection was behind when it was read; 0 for what comes from the log."""
    allowed: tuple[str, ...]
    """Operator actions on the whole task that it would accept now; with no step named."""
    notes: tuple[str, ...] = ()
    """What could not be read, in sentences."""

    def step(self, name: str) -> StepReport | None:
        """The step of this name."""
        return next((each for each in self.report.steps if each.name == name), None)

    def states(self) -> dict[str, StepStatus]:
        """Each step's state by its name, as graphs take them."""
        return {each.name: each.state for each in self.report.steps}


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an operator's command. A refused one is raised as `CommandRefused`, never returned."""

    task_id: bytes
    command_id: bytes
    """Names it in the log. Whoever sends a key, or this id from the command line, again sends the same command."""
    written: WrittenAt | None
    """Where the command lies."""
    code: str | None
    """`accepted`, `repeated`, `already_<state>`; None: not answered yet."""
    message: str


class Submitted(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a task request."""

    task_id: bytes
    request_id: bytes
    """Send it again and it is the same request."""
    written: WrittenAt | None
    """Where the request lies; None for a repeat, which writes nothing."""
    state: TaskStatus | None
    """As far as it was waited for; None: not accepted yet."""
    output: Any = None
    """The task's own output, secrets hidden, once it is complete and was waited for."""
    is_repeat: bool = False
    """The same request had been sent before."""


class BrokerReach(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the broker answers."""

    is_reachable: bool
    since_at: int
    """Since when it is so."""
    error: str | None = None
    """Why it is not reachable."""


class StoreReach(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the projection can be read, and how far it is behind the log."""

    is_readable: bool
    since_at: int
    error: str | None = None
    records_behind: int | None = None
    """None: not known, because broker or store is away."""
    seconds_behind: float | None = None
    """How long ago the oldest record was written that is not in it yet, at most; 0: it has everything."""


class Level(StrEnum):
    """How a part is; the whole is as its worst part."""

    OK = "ok"
    DEGRADED = "degraded"
    DOWN = "down"


class Component(msgspec.Struct, frozen=True, kw_only=True):
    """One part of the system."""

    name: str
    level: Level
    message: str
    next_step: str | None = None


class HealthReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that can be said of the system from here."""

    level: Level
    version: str
    prefix: str
    broker: BrokerReach
    store: StoreReach
    components: tuple[Component, ...]
    tasks: dict[str, int]
    """Number of tasks by state."""
    at: int


class HandlerRow(msgspec.Struct, frozen=True, kw_only=True):
    """One handler on one queue: who serves it, and what waits."""

    queue: str
    handler: str
    templates: tuple[str, ...]
    """`namespace/name@version` of those that use it, latest versions only."""
    workers: tuple[str, ...]
    """Ids of the live workers that consume the queue and know the handler."""
    enqueued: int
    in_progress: int
    waiting_for_retry: int
    oldest_dispatched_at: int | None
    """Of the steps that are enqueued."""
    message: str | None
    """Why what is enqueued does not move, and what to do; None: nothing waits, or a worker will take it."""


class TemplateRow(msgspec.Struct, frozen=True, kw_only=True):
    """One published version of a template."""

    namespace: str
    name: str
    version: str
    plan_hash: bytes
    description: str
    steps: int
    is_latest: bool


class TemplateStep(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a template and its place in the graph."""

    name: str
    handler: str
    queue: str
    parents: tuple[str, ...]
    children: tuple[str, ...]
    min_depth_from_root: int
    dependency_level: int
    max_attempts: int
    timeout_seconds: float
    run_seconds: float | None
    """Median of the attempts that the projection holds; None: none has ended yet."""


class TemplateDetails(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a template with its graph."""

    template: TemplateRow
    versions: tuple[str, ...]
    """Every published version, lowest first."""
    plan: Any
    """The whole plan as JSON."""
    steps: tuple[TemplateStep, ...]
    levels: tuple[tuple[str, ...], ...]
    """Step names by dependency level: those of one level may run beside each other."""
    critical_path: tuple[str, ...]
    """The path that takes longest by `run_seconds`; by number of steps where nothing was measured."""
    critical_path_seconds: float | None
    mermaid: str
