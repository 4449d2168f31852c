"""Every record that travels, as immutable typed values. `schemas.codec` turns them into Avro and back.

The `.avsc` files under `schemas/avro/` are the public form; a test holds both to the same fields. Field
rules: times are `int` milliseconds since 1970 UTC (Avro `timestamp-millis`), ids are 16 bytes, plan hashes 32
bytes; JSON payloads are UTF-8 bytes. A `Value` is None (absent), inline JSON bytes, or a `PayloadRef` to the
payloads topic (claim check).
"""

from __future__ import annotations

import msgspec

from .words import (
    Cause,
    Delivery,
    EventCondition,
    Identity,
    OperatorAction,
    Outcome,
    StepStatus,
    TaskStatus,
    TimerKind,
    TransitionEvent,
)

__all__ = [
    "CHECKPOINT_KEY",
    "FORGOTTEN_KEY",
    "NO_LIFE",
    "OWNER_KEY",
    "Answer",
    "AttemptEnded",
    "AttemptGranted",
    "AttemptTaken",
    "Audit",
    "Body",
    "Cancellation",
    "Checkpoint",
    "Command",
    "Dispatch",
    "DlqEntry",
    "DomainEvent",
    "EventCandidate",
    "Failure",
    "Forget",
    "Forgotten",
    "Heartbeat",
    "IgnoredRange",
    "OperatorCommand",
    "OwnerMarker",
    "PayloadRef",
    "Reconcile",
    "Rejection",
    "RequestPlace",
    "StartTask",
    "StepInput",
    "StepResult",
    "StepStarted",
    "TaskClosed",
    "TaskCreated",
    "TaskRequest",
    "TimerDue",
    "Transition",
    "TransitionData",
    "Transitions",
    "Value",
    "WorkerAnnouncement",
]

OWNER_KEY = b"tasker:owner"
"""Key of an OwnerMarker in the transitions topic (task ids are 16 bytes, reserved keys never are)."""
FORGOTTEN_KEY = b"tasker:forget"
"""Key of a Forgotten in the transitions topic and of a Forget in the commands topic."""
CHECKPOINT_KEY = b"tasker:checkpoint"
"""Key of the Checkpoint record in the changelog."""
NO_LIFE = -1
"""`life` of an answer record about a task that does not exist."""


class PayloadRef(msgspec.Struct, frozen=True):
    """Where a large value lies in the payloads topic."""

    partition: int
    offset: int
    size: int
    sha256: bytes


Value = bytes | PayloadRef | None


# ---------------------------------------------------------------------------------------------- requests


class TaskRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What people produce to `task-requests`. `context` is a JSON object's bytes."""

    name: str
    context: bytes
    namespace: str = "default"
    version: str | None = None
    request_id: bytes | None = None
    initiator: str = "unknown"
    source_system: str = "unknown"
    reason: str = "unknown"
    tags: tuple[str, ...] = ()
    bypass_steps: tuple[str, ...] = ()
    idempotency_key: str | None = None
    correlation_id: str | None = None
    requested_at: int | None = None
    not_before: int | None = None
    traceparent: str | None = None


class RequestPlace(msgspec.Struct, frozen=True):
    """Where and when (broker time) the request was logged."""

    partition: int
    offset: int
    timestamp: int


class Rejection(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request or a command was not accepted; key and original bytes are kept.

    `value` and `headers` are the original's; None when the engine rejects (it names the place only).
    """

    code: str
    message: str
    path: str | None
    topic: str
    partition: int
    offset: int
    rejected_at: int
    task_id: bytes | None = None
    request_id: bytes | None = None
    key: bytes | None = None
    value: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


# ---------------------------------------------------------------------------------------------- commands


class StartTask(msgspec.Struct, frozen=True, kw_only=True):
    """Intake accepted a request: create the task."""

    plan_hash: bytes
    request_id: bytes
    context: Value
    request: RequestPlace
    identity: Identity = Identity.ALWAYS_UNIQUE
    initiator: str = "unknown"
    source_system: str = "unknown"
    reason: str = "unknown"
    tags: tuple[str, ...] = ()
    bypass_steps: tuple[str, ...] = ()
    idempotency_key: str | None = None
    correlation_id: str | None = None
    requested_at: int | None = None
    not_before: int | None = None
    traceparent: str | None = None


class StepStarted(msgspec.Struct, frozen=True, kw_only=True):
    """A handler has been running longer than `start_report_seconds`."""

    life: int
    step: str
    attempt: int
    worker_id: str
    started_at: int


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """A running handler is alive. Kept by the lane, never decided."""

    life: int
    step: str
    attempt: int
    progress: bytes | None = None


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why an attempt failed. In a TaskState without message and traceback."""

    type: str
    code: str
    message: str = ""
    traceback: str = ""
    retryable: bool = True
    retry_after_ms: int | None = None


class EventCandidate(msgspec.Struct, frozen=True, kw_only=True):
    """A domain event that a handler published; the engine forwards it if its condition fits the decision."""

    name: str
    condition: EventCondition
    delivery: Delivery
    version: str
    key: str
    payload: bytes
    position: int


class StepResult(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt ended, with the durable events it published."""

    life: int
    step: str
    attempt: int
    outcome: Outcome
    worker_id: str
    started_at: int
    finished_at: int
    result: Value = None
    failure: Failure | None = None
    metadata: bytes | None = None
    events: tuple[EventCandidate, ...] = ()
    delivery_count: int = 1


class TimerDue(msgspec.Struct, frozen=True, kw_only=True):
    """The owner's word that a due time has come; accepted only if it still fits."""

    life: int
    kind: TimerKind
    due_at: int
    step: str | None = None
    attempt: int = 0


class OperatorCommand(msgspec.Struct, frozen=True, kw_only=True):
    """What a person asks for. `steps` empty means every step that the action fits."""

    command_id: bytes
    action: OperatorAction
    actor: str
    reason: str
    life: int | None = None
    expected_seq: int | None = None
    steps: tuple[str, ...] = ()
    result: Value = None
    max_attempts: int | None = None
    text: str | None = None
    tags: tuple[str, ...] | None = None


class Forget(msgspec.Struct, frozen=True):
    """Drop every stub of the partition that is due by `until` (reserved key)."""

    until: int


class Reconcile(msgspec.Struct, frozen=True, kw_only=True):
    """The reconciler found something that should have moved: look again.

    kind: evaluate (ready but undispatched) or redispatch (the same attempt is sent again).
    """

    life: int
    kind: str
    step: str | None = None
    attempt: int = 0


Body = StartTask | StepStarted | Heartbeat | StepResult | TimerDue | OperatorCommand | Forget | Reconcile


class Command(msgspec.Struct, frozen=True):
    """The one record of the commands topic; key = task_id (FORGOTTEN_KEY for Forget, then task_id is zeros)."""

    task_id: bytes
    body: Body


# ------------------------------------------------------------------------------------------- transitions


class TaskCreated(msgspec.Struct, frozen=True, kw_only=True):
    """Data of the task's initialize_requested: with the plan it names, all that the fold needs."""

    plan_hash: bytes
    namespace: str
    name: str
    version: str
    request_id: bytes
    request: RequestPlace
    context: Value
    identity: Identity
    initiator: str
    source_system: str
    reason: str
    tags: tuple[str, ...]
    correlation_id: str
    idempotency_key: str | None
    requested_at: int | None
    not_before: int | None
    traceparent: str | None


class AttemptGranted(msgspec.Struct, frozen=True):
    """Data of enqueue_requested: this attempt may run. `base`: attempts up to it do not count."""

    attempt: int
    base: int


class AttemptTaken(msgspec.Struct, frozen=True):
    """Data of execution_requested."""

    attempt: int
    worker_id: str
    started_at: int


class AttemptEnded(msgspec.Struct, frozen=True, kw_only=True):
    """Data of completed, failed, retry_backoff_started, timed_out, lost and returned."""

    attempt: int
    outcome: Outcome
    worker_id: str = ""
    started_at: int | None = None
    finished_at: int | None = None
    result: Value = None
    failure: Failure | None = None
    next_retry_at: int | None = None
    """For waiting_for_retry: when the next attempt is due."""
    counted: bool = True
    """False: the attempt burned no budget (worker lost, given back, returned)."""
    late: bool = False
    metadata: bytes | None = None


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """Data of every transition that an operator's command caused directly."""

    command_id: bytes
    action: OperatorAction
    actor: str
    reason: str
    base: int | None = None
    """For retry_requested: attempts up to it do not count any more."""
    result: Value = None
    max_attempts: int | None = None
    text: str | None = None
    tags: tuple[str, ...] | None = None


class TaskClosed(msgspec.Struct, frozen=True, kw_only=True):
    """Data of the task's give_up, deadline_exceeded, stale and quarantined: why."""

    error_code: str
    error_message: str
    failed_steps: tuple[str, ...] = ()


TransitionData = TaskCreated | AttemptGranted | AttemptTaken | AttemptEnded | Audit | TaskClosed


class Transition(msgspec.Struct, frozen=True):
    """One edge taken. `step` None: the task's own. `from_state` None: it was created by this edge."""

    step: str | None
    event: TransitionEvent
    from_state: TaskStatus | StepStatus | None
    to_state: TaskStatus | StepStatus
    at: int
    cause: Cause
    data: TransitionData | None = None


class Answer(msgspec.Struct, frozen=True):
    """What became of a command with a command id; `code` is an AnswerCode or `already_<state>`."""

    command_id: bytes
    code: str
    message: str


class IgnoredRange(msgspec.Struct, frozen=True):
    """Command offsets `first`..`last` (inclusive) that were read and changed nothing."""

    first: int
    last: int


class Transitions(msgspec.Struct, frozen=True, kw_only=True):
    """All that one decision changed: the source of truth. Key = task id.

    `seq` counts a life's records from 1; 0 on answers about tasks without a live state (then `life` is
    NO_LIFE or the stub's).
    """

    life: int
    seq: int
    command_offset: int
    at: int
    transitions: tuple[Transition, ...]
    answer: Answer | None = None
    ignored: tuple[IgnoredRange, ...] = ()


class OwnerMarker(msgspec.Struct, frozen=True):
    """A new owner of the partition begins; the record's own offset is its owner number (reserved key)."""

    at: int
    instance: str
    version: str


class Forgotten(msgspec.Struct, frozen=True):
    """Every stub due by `until` was dropped; requests not after `horizon` are expired (reserved key)."""

    command_offset: int
    at: int
    until: int
    horizon: int
    ignored: tuple[IgnoredRange, ...] = ()


# -------------------------------------------------------------------------------------------- changelog


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Up to where the changelog's states are: the last record of a checkpoint's transaction (reserved key)."""

    next_command: int
    """N: offset of the first command not yet in the states."""
    next_transition: int
    """Offset in the transitions partition from which a new owner reads on."""
    owner: int
    horizon: int
    partition_count: int
    at: int
    ignored: tuple[IgnoredRange, ...] = ()


# --------------------------------------------------------------------------------- to and from workers


class StepInput(msgspec.Struct, frozen=True):
    """A direct parent's result; None when the parent was bypassed or resolved by hand."""

    step: str
    value: Value


class Dispatch(msgspec.Struct, frozen=True, kw_only=True):
    """Grants one attempt to whoever consumes the queue. Key = hash of (task, step)."""

    task_id: bytes
    life: int
    step: str
    attempt: int
    last_attempt: bool
    plan_hash: bytes
    handler: str
    context: Value
    inputs: tuple[StepInput, ...]
    dispatched_at: int
    queue_deadline: int | None
    correlation_id: str
    traceparent: str | None


class Cancellation(msgspec.Struct, frozen=True, kw_only=True):
    """Tells running handlers to stop (control topic). `step` None: every step of the task."""

    life: int
    step: str | None
    attempt: int
    reason: str
    at: int


class WorkerAnnouncement(msgspec.Struct, frozen=True, kw_only=True):
    """A step worker's word of itself (compacted; tombstone on a clean stop)."""

    worker_id: str
    queues: tuple[str, ...]
    handlers: tuple[str, ...]
    version: str
    host: str
    pid: int
    started_at: int
    seen_at: int


class DomainEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The envelope of a domain event; payload is JSON bytes."""

    event_id: bytes
    name: str
    version: str
    namespace: str
    delivery: Delivery
    key: str
    payload: bytes
    fired_at: int
    fired_by: str
    environment: str
    task_id: bytes | None = None
    step_id: bytes | None = None
    step_name: str | None = None
    attempt: int | None = None
    template: str | None = None
    template_version: str | None = None
    correlation_id: str | None = None
    causation_id: str | None = None


class DlqEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the task DLQ ledger; key = task id, so one pending entry per task."""

    task_id: bytes
    life: int
    reason: str
    """staleness_timeout, max_retries_exceeded, quarantined, worker_unavailable or manual."""
    status: str
    """pending, resolved, failed or cancelled."""
    at: int
    message: str
    snapshot: bytes
    actor: str | None = None
