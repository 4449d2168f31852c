"""The shape of what changed, and the comparison of one task at two moments. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import msgspec

from tasker_kafka.schemas.state import StepState, TaskState
from tasker_kafka.schemas.words import CLOSED_TASK_STATES, StepStatus, TaskStatus

from .jsonform import time_text
from .rebuild_difference import field_text, state_fields, step_fields

__all__ = [
    "ChangeKind",
    "FieldChange",
    "StepChange",
    "TaskChange",
    "fields_between",
    "kind_of",
    "steps_between",
]

_BOOKKEEPING = frozenset(
    {"kind", "seq", "now", "next_due", "command_ids", "ready", "life", "state_since", "stale_reported"}
    | {
        "pending",
        "enqueued",
        "in_progress",
        "waiting_for_retry",
        "complete",
        "failed",
        "cancelled",
        "resolved",
    }
)
"""Fields that follow from others, or that every record moves."""
_STEP_BOOKKEEPING = frozenset({"name", "state", "pending_parents", "answered", "marked", "reported", "base"})


class ChangeKind(StrEnum):
    """What became of a task between two moments."""

    CREATED = "created"
    CLOSED = "closed"
    """It was open, and is complete, in error, cancelled or resolved."""
    REOPENED = "reopened"
    MOVED = "moved"
    """Another state, open before and after, or closed before and after."""
    CHANGED = "changed"
    """The same state; its steps or fields differ."""
    FORGOTTEN = "forgotten"
    """Its retention was over."""


class FieldChange(msgspec.Struct, frozen=True):
    """One field as text. What people sent is told by size and digest."""

    field: str
    before: str
    after: str


class StepChange(msgspec.Struct, frozen=True, kw_only=True):
    """One step that differs. `before` None: the task was not there."""

    step: str
    before: StepStatus | None
    after: StepStatus
    attempts: int
    """Attempts granted in between."""
    fields: tuple[FieldChange, ...] = ()


class TaskChange(msgspec.Struct, frozen=True, kw_only=True):
    """One task that differs."""

    task_id: bytes
    partition: int
    life: int
    kind: ChangeKind
    namespace: str
    template: str
    version: str
    before: TaskStatus | None
    after: TaskStatus | None
    """None: it is forgotten."""
    offsets: tuple[int, int] | None = None
    """Of its first and last record in between."""
    records: int = 0
    steps: tuple[StepChange, ...] = ()
    fields: tuple[FieldChange, ...] = ()


def kind_of(before: TaskState | None, after: TaskState) -> ChangeKind:
    """What became of a task."""
    if before is None:
        return ChangeKind.CREATED
    if before.state is after.state:
        return ChangeKind.CHANGED
    was, is_closed = before.state in CLOSED_TASK_STATES, after.state in CLOSED_TASK_STATES
    if was == is_closed:
        return ChangeKind.MOVED
    return ChangeKind.CLOSED if is_closed else ChangeKind.REOPENED


def steps_between(before: TaskState | None, after: TaskState) -> Iterator[StepChange]:
    """The steps that differ."""
    known: dict[str, StepState] = {} if before is None else {step.name: step for step in before.steps}
    for step in after.steps:
        old = known.get(step.name)
        fields = () if old is None else tuple(_differing(old, step))
        if old is not None and old.state is step.state and not fields:
            continue
        yield StepChange(
            step=step.name,
            before=None if old is None else old.state,
            after=step.state,
            attempts=step.attempt - (0 if old is None else old.attempt),
            fields=fields,
        )


def _differing(old: StepState, new: StepState) -> Iterator[FieldChange]:
    for (name, one), (_, other) in zip(step_fields(old), step_fields(new), strict=True):
        if one != other and name not in _STEP_BOOKKEEPING:
            yield FieldChange(name, _text(name, one), _text(name, other))


def fields_between(before: TaskState, after: TaskState) -> Iterator[FieldChange]:
    """The fields of the task itself that differ."""
    ours = dict(state_fields(before))
    for name, value in state_fields(after):
        if name in _BOOKKEEPING or name == "state" or name.startswith("steps["):
            continue
        if ours[name] != value:
            yield FieldChange(name, _text(name, ours[name]), _text(name, value))


def _text(name: str, value: Any) -> str:
    """A field's value in a line; moments as times."""
    is_moment = name.endswith("_at") or name in {"deadline_from", "not_before", "state_since"}
    return time_text(value) if is_moment and isinstance(value, int) else field_text(name, value)
