"""The transitions topic and the checkpoint: what was decided, in order, and up to where it is saved."""

from __future__ import annotations

import msgspec

from .commands import Failure
from .requests import RequestPlace
from .values import Value
from .words import Cause, Identity, OperatorAction, Outcome, StepStatus, TaskStatus, TransitionEvent

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
    "Checkpoint",
    "Forgotten",
    "IgnoredRange",
    "OwnerMarker",
    "TaskClosed",
    "TaskCreated",
    "Transition",
    "TransitionData",
    "Transitions",
]


OWNER_KEY = b"tasker:owner"
"""Key of an OwnerMarker in the transitions topic (task ids are 16 bytes, reserved keys never are)."""
FORGOTTEN_KEY = b"tasker:forget"
"""Key of a Forgotten in the transitions topic and of a Forget in the commands topic."""
CHECKPOINT_KEY = b"tasker:checkpoint"
"""Key of the Checkpoint record in the changelog."""
NO_LIFE = -1
"""`life` of an answer record about a task that does not exist."""


class TaskCreated(msgspec.Struct, frozen=True, kw_only=True):
    """Data of the task's initialize_requested: with the plan it names, all that the fold needs."""

    plan_hash: bytes
    namespace: str
    name: str
    version: str
    request_id: bytes
    task_id: bytes
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
