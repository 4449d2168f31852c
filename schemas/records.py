"""Every record that travels, as immutable typed values. `schemas.codec` turns them into Avro and back.

The `.avsc` files under `schemas/avro/` are the public form; a test holds both to the same fields. Field
rules: times are `int` milliseconds since 1970 UTC (Avro `timestamp-millis`), ids are 16 bytes, plan hashes 32
bytes; JSON payloads are UTF-8 bytes. A `Value` is None (absent), inline JSON bytes, or a `PayloadRef` to the
payloads topic (claim check).
"""

from __future__ import annotations

from .commands import (
    Body,
    Command,
    EventCandidate,
    Failure,
    Forget,
    Heartbeat,
    OperatorCommand,
    Reconcile,
    StartTask,
    StepResult,
    StepStarted,
    TimerDue,
)
from .deliveries import (
    Cancellation,
    Dispatch,
    DlqEntry,
    DomainEvent,
    StepInput,
    WorkerAnnouncement,
)
from .history import (
    CHECKPOINT_KEY,
    FORGOTTEN_KEY,
    NO_LIFE,
    OWNER_KEY,
    Answer,
    AttemptEnded,
    AttemptGranted,
    AttemptTaken,
    Audit,
    Checkpoint,
    Forgotten,
    IgnoredRange,
    OwnerMarker,
    TaskClosed,
    TaskCreated,
    Transition,
    TransitionData,
    Transitions,
)
from .requests import (
    Rejection,
    RequestPlace,
    TaskRequest,
)
from .subscriptions import (
    DeadLetterAct,
    GroupSubscription,
    Receipt,
    SubscriberGroup,
)
from .values import (
    PayloadRef,
    Value,
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
    "DeadLetterAct",
    "Dispatch",
    "DlqEntry",
    "DomainEvent",
    "EventCandidate",
    "Failure",
    "Forget",
    "Forgotten",
    "GroupSubscription",
    "Heartbeat",
    "IgnoredRange",
    "OperatorCommand",
    "OwnerMarker",
    "PayloadRef",
    "Receipt",
    "Reconcile",
    "Rejection",
    "RequestPlace",
    "StartTask",
    "StepInput",
    "StepResult",
    "StepStarted",
    "SubscriberGroup",
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
