"""What goes into a decision and what comes out of it."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import Transitions
from tasker_kafka.schemas.state import Stub, TaskState

__all__ = ["Decision", "Ignored", "IgnoredReason", "Moment"]


class Moment(msgspec.Struct, frozen=True):
    """Where and when the command lies in the log, and what else a decision may consult.

    `timestamp`: the broker's, ms. `plan`: the one that the task, or the StartTask, names; None: nobody knows it.
    `horizon`: the partition's forget horizon, ms (-1: nothing was ever forgotten).
    """

    partition: int
    offset: int
    timestamp: int
    plan: Plan | None
    horizon: int = -1


class IgnoredReason(StrEnum):
    """Why a command changed nothing: the label under which it is counted."""

    UNKNOWN_TASK = "unknown_task"
    FINAL_TASK = "final_task"
    CLOSED_TASK = "closed_task"
    OTHER_LIFE = "other_life"
    UNKNOWN_STEP = "unknown_step"
    REDELIVERED = "redelivered"
    """A StartTask of the same request again."""
    NEVER_GRANTED = "never_granted"
    DUPLICATE = "duplicate"
    LATE = "late"
    NOT_DUE = "not_due"
    """A timer that does not fit any more, or not yet."""
    NOTHING_TO_DO = "nothing_to_do"
    NOT_DECIDED = "not_decided"
    """Heartbeat and Forget: the owner's, not a task's."""
    INTERNAL = "internal"


class Ignored(msgspec.Struct, frozen=True):
    """The command changes nothing, not even `now`: its offset is listed, no record is written."""

    reason: IgnoredReason
    fault: BaseException | None = None
    """For `internal`: what was raised."""


class Decision(msgspec.Struct, frozen=True):
    """One record and the task after it. `fold(before, record, plan) == state`, always."""

    record: Transitions
    state: TaskState | Stub | None
    fault: BaseException | None = None
    """What was raised when the rules failed and the task was quarantined (or the command refused) instead."""
