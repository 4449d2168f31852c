"""The closed vocabularies of the records: states, transition events, outcomes, codes.

They are the symbols of the Avro enums (each of which also has `UNKNOWN` as its default for readers).
Which edges exist between states is said in `streams.domain.transitions`, nowhere else.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

__all__ = [
    "CLOSED_TASK_STATES",
    "DONE_STEP_STATES",
    "FINAL_TASK_STATES",
    "GRANTED_STEP_STATES",
    "RESERVED_EVENT_PREFIXES",
    "STOPPED_STEP_STATES",
    "STUCK_TASK_STATES",
    "AnswerCode",
    "Cause",
    "DeadLetterAction",
    "Delivery",
    "EventCondition",
    "Identity",
    "OperatorAction",
    "Outcome",
    "ReceiptOutcome",
    "RejectionCode",
    "StepStatus",
    "TaskStatus",
    "TimerKind",
    "TransitionEvent",
    "is_obeyed",
]


class TaskStatus(StrEnum):
    """Where a task rests between two records."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    WAITING_FOR_DEPENDENCIES = "waiting_for_dependencies"
    WAITING_FOR_RETRY = "waiting_for_retry"
    BLOCKED_BY_FAILURES = "blocked_by_failures"
    COMPLETE = "complete"
    ERROR = "error"
    CANCELLED = "cancelled"
    RESOLVED_MANUALLY = "resolved_manually"


class StepStatus(StrEnum):
    """Where a step rests between two records."""

    PENDING = "pending"
    ENQUEUED = "enqueued"
    IN_PROGRESS = "in_progress"
    WAITING_FOR_RETRY = "waiting_for_retry"
    COMPLETE = "complete"
    ERROR = "error"
    CANCELLED = "cancelled"
    RESOLVED_MANUALLY = "resolved_manually"


FINAL_TASK_STATES: Final = frozenset(
    {TaskStatus.COMPLETE, TaskStatus.CANCELLED, TaskStatus.RESOLVED_MANUALLY}
)
CLOSED_TASK_STATES: Final = FINAL_TASK_STATES | {TaskStatus.ERROR}
STUCK_TASK_STATES: Final = frozenset({TaskStatus.BLOCKED_BY_FAILURES, TaskStatus.ERROR})
"""Something has failed: the task as a whole can be retried or resolved."""
DONE_STEP_STATES: Final = frozenset({StepStatus.COMPLETE, StepStatus.RESOLVED_MANUALLY})
GRANTED_STEP_STATES: Final = frozenset({StepStatus.ENQUEUED, StepStatus.IN_PROGRESS})
"""An attempt is granted and has not ended."""
STOPPED_STEP_STATES: Final = frozenset({StepStatus.ERROR, StepStatus.CANCELLED})
"""It will not run again by itself."""


class TransitionEvent(StrEnum):
    """The name of an edge; task and step edges share the vocabulary."""

    INITIALIZE_REQUESTED = "initialize_requested"
    START_REQUESTED = "start_requested"
    ALL_STEPS_DONE = "all_steps_done"
    AWAITING_DEPENDENCIES = "awaiting_dependencies"
    RETRY_BACKOFF_STARTED = "retry_backoff_started"
    BLOCKED = "blocked"
    STEPS_READY = "steps_ready"
    GIVE_UP = "give_up"
    RETRY_REQUESTED = "retry_requested"
    RESUMED = "resumed"
    RESOLVED_MANUALLY = "resolved_manually"
    CANCELLED = "cancelled"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    STALE = "stale"
    QUARANTINED = "quarantined"
    ENQUEUE_REQUESTED = "enqueue_requested"
    BYPASSED = "bypassed"
    COMPLETED = "completed"
    EXECUTION_REQUESTED = "execution_requested"
    TIMED_OUT = "timed_out"
    RETURNED = "returned"
    FAILED = "failed"
    LOST = "lost"
    COMPLETED_MANUALLY = "completed_manually"
    # no edge: from == to
    CHANGED = "changed"
    STALE_REPORTED = "stale_reported"
    REDISPATCHED = "redispatched"


class Cause(StrEnum):
    """Which kind of command made a transition."""

    REQUEST = "request"
    EVALUATION = "evaluation"
    RESULT = "result"
    STARTED = "started"
    TIMER = "timer"
    OPERATOR = "operator"
    FAIL_FAST = "fail_fast"
    RECONCILER = "reconciler"
    INTERNAL = "internal"


class Outcome(StrEnum):
    """How a delivery of an attempt ended, as the worker says."""

    SUCCESS = "success"
    FAILURE = "failure"
    RETURNED = "returned"
    """The worker does not know the handler: uncounted, again after 10 s."""
    GIVEN_BACK = "given_back"
    """A worker that stops gives back a started attempt: uncounted, the next at once."""
    WORKER_LOST = "worker_lost"
    """The third delivery also killed its worker: final."""


class TimerKind(StrEnum):
    """What a due time is for."""

    NOT_BEFORE = "not_before"
    RETRY = "retry"
    QUEUE_TIMEOUT = "queue_timeout"
    RUN_TIMEOUT = "run_timeout"
    HEARTBEAT = "heartbeat"
    DEADLINE = "deadline"
    STALENESS = "staleness"


class OperatorAction(StrEnum):
    """What an operator asks for."""

    CANCEL_TASK = "cancel_task"
    RETRY_TASK = "retry_task"
    RESOLVE_TASK = "resolve_task"
    RETRY_STEP = "retry_step"
    RESOLVE_STEP = "resolve_step"
    COMPLETE_STEP = "complete_step"
    CANCEL_STEP = "cancel_step"
    SET_MAX_ATTEMPTS = "set_max_attempts"
    SET_REASON = "set_reason"
    SET_TAGS = "set_tags"


class Identity(StrEnum):
    """How a request's task id is computed."""

    ALWAYS_UNIQUE = "always_unique"
    CALLER_PROVIDED = "caller_provided"
    CONTEXT_HASH = "context_hash"


class Delivery(StrEnum):
    """What is promised for a domain event."""

    FIRE_AND_FORGET = "fire_and_forget"
    DURABLE = "durable"
    ACKNOWLEDGED = "acknowledged"


class ReceiptOutcome(StrEnum):
    """What became of an acknowledged event."""

    HANDLED = "handled"
    FILTERED = "filtered"
    """The subscription's own filters said that it is none of its business: acknowledged, too."""
    DEAD = "dead"
    """It is in the dead letter queue."""
    MISSING = "missing"
    """Nobody acknowledged it before its deadline."""


class DeadLetterAction(StrEnum):
    """What was done about a dead letter."""

    REDRIVEN = "redriven"
    PURGED = "purged"
    ACKNOWLEDGED = "acknowledged"
    """Its receipt came after all."""


class EventCondition(StrEnum):
    """When a declared domain event is published."""

    SUCCESS = "success"
    FAILURE = "failure"
    RETRYABLE_FAILURE = "retryable_failure"
    PERMANENT_FAILURE = "permanent_failure"
    ALWAYS = "always"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    BLOCKED = "blocked"
    RESOLVED_MANUALLY = "resolved_manually"


RESERVED_EVENT_PREFIXES: Final = ("step", "system", "task", "workflow")
"""First segments of system events, which are telemetry: no domain event may have one."""


class RejectionCode(StrEnum):
    """Why a request or a command record was not accepted."""

    UNDECODABLE = "undecodable"
    INVALID_REQUEST = "invalid_request"
    UNKNOWN_TEMPLATE = "unknown_template"
    UNKNOWN_QUEUE = "unknown_queue"
    INVALID_CONTEXT = "invalid_context"
    MISSING_IDEMPOTENCY_KEY = "missing_idempotency_key"
    UNKNOWN_BYPASS_STEP = "unknown_bypass_step"
    DUPLICATE = "duplicate"
    EXPIRED = "expired"
    MISROUTED = "misrouted"
    OVER_LIMIT = "over_limit"
    INTERNAL = "internal"


class AnswerCode(StrEnum):
    """What became of a command that asked for an answer.

    `already_<state>` codes are text, not members: see `Answer.code`.
    """

    ACCEPTED = "accepted"
    REPEATED = "repeated"
    UNKNOWN_TASK = "unknown_task"
    UNKNOWN_STEP = "unknown_step"
    FINAL_TASK = "final_task"
    FORBIDDEN = "forbidden"
    SEQ_MISMATCH = "seq_mismatch"
    INVALID = "invalid"
    DUPLICATE = "duplicate"
    EXPIRED = "expired"
    INTERNAL = "internal"


def is_obeyed(code: str) -> bool:
    """Whether an answer's code says that what was asked for holds now: accepted, repeated or `already_<state>`."""
    return code in _OBEYED or code.startswith("already_")


_OBEYED: Final = frozenset({AnswerCode.ACCEPTED, AnswerCode.REPEATED})
