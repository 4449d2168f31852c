"""The shapes in which the projection is asked and answers. Nothing here needs a database.

Times are ms since 1970 UTC, ids 16 bytes, plan hashes 32; field names are those of the reports made from the log, so
that one JSON form serves both.
"""

from __future__ import annotations

import msgspec

from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import WorkerAnnouncement
from tasker_kafka.schemas.words import StepStatus, TaskStatus
from tasker_kafka.topics.history import AcceptedRecord

__all__ = [
    "BottleneckRow",
    "ChangedTask",
    "Changes",
    "DelayRow",
    "EventRow",
    "FaultRow",
    "LedgerPage",
    "LedgerRow",
    "LetterOfEvent",
    "PerformanceQuery",
    "PerformanceRow",
    "PositionRow",
    "ReceiptOfEvent",
    "Spread",
    "StepLoad",
    "StepRow",
    "StoredHistory",
    "StoredWorker",
    "TaskPage",
    "TaskQuery",
    "TaskRow",
]


class TaskQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which tasks are meant; None and () are any, and all that is given must hold."""

    namespace: str | None = None
    template: str | None = None
    version: str | None = None
    states: tuple[TaskStatus, ...] = ()
    """One of them."""
    health: str | None = None
    """healthy, recovering or blocked."""
    execution_status: str | None = None
    tags: tuple[str, ...] = ()
    """All of them."""
    text: str | None = None
    """In the redacted context, reason, correlation id or idempotency key; any case, no wildcards."""
    correlation_id: str | None = None
    created_from: int | None = None
    created_to: int | None = None
    """Before, as `closed_to`."""
    closed_from: int | None = None
    closed_to: int | None = None


class TaskRow(msgspec.Struct, frozen=True, kw_only=True):
    """One task in its newest life: TaskExecutionContext, and what lists and searches need."""

    task_id: bytes
    partition: int
    life: int
    lives: int
    """How many lives the store has seen."""
    seq: int
    last_offset: int
    """Of its newest record in the transitions partition: the cursor of `changes`."""
    namespace: str
    template: str
    version: str
    plan_hash: bytes
    state: TaskStatus
    status: str
    """Coarse status, as the first Tasker had it."""
    execution_status: str
    recommended_action: str
    health_status: str
    completion_percentage: float
    total_steps: int
    pending_steps: int
    in_progress_steps: int
    completed_steps: int
    failed_steps: int
    retrying_steps: int
    cancelled_steps: int
    ready_steps: int
    created_at: int
    started_at: int | None
    updated_at: int
    closed_at: int | None
    next_due_at: int | None
    state_since: int
    is_stale: bool
    """Staleness was reported in its present state."""
    identity: str
    request_id: bytes
    initiator: str
    source_system: str
    reason: str
    tags: tuple[str, ...]
    correlation_id: str
    idempotency_key: str | None
    error_code: str | None
    error_message: str | None
    fault: str | None
    """Why the row is not as new as the log (a record that cannot be read or folded); None: it is."""


class TaskPage(msgspec.Struct, frozen=True, kw_only=True):
    """Rows, the newest task first. `next_cursor`: what to ask the next page with; None: there is none."""

    rows: tuple[TaskRow, ...]
    next_cursor: str | None


class StepRow(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a task's newest life."""

    task_id: bytes
    position: int
    step: str
    state: StepStatus
    attempt: int
    queue: str
    handler: str
    dispatched_at: int | None
    started_at: int | None
    completed_at: int | None
    failed_at: int | None
    next_retry_at: int | None
    worker_id: str | None
    error_type: str | None
    error_code: str | None


class StoredHistory(msgspec.Struct, frozen=True, kw_only=True):
    """One life of a task as it lies in the log, whole: what every report is folded from."""

    task_id: bytes
    partition: int
    life: int
    lives: tuple[int, ...]
    """Every life that the store holds, oldest first."""
    plan: Plan
    records: tuple[AcceptedRecord, ...]


class ChangedTask(msgspec.Struct, frozen=True, kw_only=True):
    """A task that has moved, and where it is now."""

    task_id: bytes
    partition: int
    life: int
    seq: int
    last_offset: int
    state: TaskStatus


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What has moved since given positions; ask next time since `positions`."""

    positions: dict[int, int]
    """Transitions partition → offset after the last projected record."""
    tasks: tuple[ChangedTask, ...]
    """By partition and offset."""
    is_cut: bool = False
    """More have moved than were asked for: what is shown must be read anew."""


class PositionRow(msgspec.Struct, frozen=True, kw_only=True):
    """How far one partition is projected."""

    topic: str
    partition: int
    next_offset: int
    owner: int
    command_offset: int
    """With `owner`, the readers' rule (topics.history)."""
    record_at: int | None
    """Time of the last record read."""
    updated_at: int


class DelayRow(msgspec.Struct, frozen=True, kw_only=True):
    """How far the projection of one partition is behind the log."""

    topic: str
    partition: int
    next_offset: int
    end_offset: int
    records: int
    """At most: offsets of control records are counted."""
    seconds: float
    """Age of the oldest record that is not projected; 0: none is missing."""


class FaultRow(msgspec.Struct, frozen=True, kw_only=True):
    """A record that could not be projected, and was passed."""

    topic: str
    partition: int
    offset: int
    task_id: bytes | None
    at: int
    message: str


class StoredWorker(WorkerAnnouncement, frozen=True, kw_only=True):
    """A step worker by its last word of itself; it says one every ten seconds."""

    left_at: int | None
    """When it signed off; None: it has not, and may be dead all the same."""


class ReceiptOfEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an event at one subscription."""

    group: str
    subscription: str
    outcome: str
    """handled, filtered, dead_letter or missing."""
    at: int
    deliveries: int
    was_missing: bool
    """It came, or is still to come, after its deadline."""


class LetterOfEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter of an event."""

    place: str
    """`QUEUE/PARTITION:OFFSET`."""
    group: str
    subscription: str
    failure_class: str | None
    error_type: str | None
    message: str | None
    state: str
    """open, redriven or purged, by the acts projected."""
    died_at: int


class EventRow(msgspec.Struct, frozen=True, kw_only=True):
    """A domain event that names a task, with what became of it."""

    event_id: bytes
    task_id: bytes
    step: str | None
    attempt: int | None
    name: str
    version: str
    namespace: str
    delivery: str
    key: str
    fired_at: int
    topic: str
    partition: int
    offset: int
    receipts: tuple[ReceiptOfEvent, ...] = ()
    letters: tuple[LetterOfEvent, ...] = ()


class LedgerRow(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the task DLQ ledger: a task that needs, or needed, a person."""

    task_id: bytes
    life: int
    reason: str
    status: str
    """pending, resolved, failed or cancelled."""
    at: int
    message: str
    actor: str | None
    snapshot: bytes
    """JSON, as written: redact it at the exit."""
    namespace: str | None
    """Of the task, where its row is in the store; as `template` and `state`."""
    template: str | None
    state: TaskStatus | None


class LedgerPage(msgspec.Struct, frozen=True, kw_only=True):
    """Entries, the newest first."""

    rows: tuple[LedgerRow, ...]
    next_cursor: str | None


class StepLoad(msgspec.Struct, frozen=True, kw_only=True):
    """What lies with one handler of one queue, over all tasks that are not closed."""

    queue: str
    handler: str
    enqueued: int
    in_progress: int
    waiting_for_retry: int
    oldest_dispatched_at: int | None
    """Of the enqueued ones: how long somebody has waited for a worker."""


class PerformanceQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Over which tasks and attempts figures are made; None: any. Times bound the end of the task or attempt."""

    namespace: str | None = None
    template: str | None = None
    ended_from: int | None = None
    ended_to: int | None = None
    """Before."""


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Percentiles (nearest rank) of durations in ms; None without a value."""

    count: int
    p50: int | None
    p95: int | None
    p99: int | None
    longest: int | None


class PerformanceRow(msgspec.Struct, frozen=True, kw_only=True):
    """Closed tasks of one template version."""

    namespace: str
    template: str
    version: str
    tasks: int
    completed: int
    failed: int
    """Closed in `error`."""
    cancelled: int
    resolved: int
    failure_rate: float
    """failed / tasks, 0–1."""
    duration: Spread
    """From creation to the end, of every closed task."""


class BottleneckRow(msgspec.Struct, frozen=True, kw_only=True):
    """Ended attempts of one step of one template."""

    namespace: str
    template: str
    step: str
    handler: str
    queue: str
    attempts: int
    failures: int
    retries: int
    """Attempts that were not the first of their step."""
    failure_rate: float
    retry_rate: float
    queue_time: Spread
    """From grant to start."""
    run_time: Spread
    """From start to end."""
