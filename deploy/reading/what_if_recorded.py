"""One life of a task as it was recorded, read for being replayed: what was said, and how each attempt went. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import msgspec

from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import (
    AttemptEnded,
    AttemptGranted,
    OperatorCommand,
    StepResult,
    StepStarted,
    TaskCreated,
    TimerDue,
    Transitions,
)
from tasker_kafka.schemas.state import TaskState
from tasker_kafka.schemas.words import Cause, TimerKind
from tasker_kafka.streams.domain.fold import fold_whole

from .what_if_attempts import Course, Heard
from .what_if_commands import Said, what_was_said

__all__ = ["RecordedLife", "created_of", "orders_of", "read_life"]

_OF_AN_ATTEMPT = frozenset({TimerKind.QUEUE_TIMEOUT, TimerKind.RUN_TIMEOUT, TimerKind.HEARTBEAT})

Attempt = tuple[str, int]


class RecordedLife(msgspec.Struct, frozen=True, kw_only=True):
    """What one life's records say. `said[i]` is the command of `records[i]`; None for the first, and for none."""

    task_id: bytes
    plan: Plan
    records: tuple[Transitions, ...]
    said: tuple[Said | None, ...]
    courses: dict[Attempt, Course]
    lateness: dict[Attempt, int]
    """How late, in ms, the timer was that ended the wait after an attempt."""
    final: TaskState
    not_replayable: str | None = None
    """Why it cannot be replayed: it was quarantined."""
    refused_orders: int = 0
    """Operator commands that were refused: what they asked for is not in the log."""


def read_life(task_id: bytes, records: Sequence[Transitions], plan: Plan) -> RecordedLife:
    """Read one life's accepted records, from the first on. HistoryIncomplete when one is missing."""
    said: list[Said | None] = [None]
    heard: dict[Attempt, list[Heard]] = defaultdict(list)
    granted: dict[Attempt, int] = {}
    due: dict[Attempt, int] = {}
    lateness: dict[Attempt, int] = {}
    state: TaskState | None = None
    refused = 0
    quarantined = False
    for record in records:
        if state is not None:
            each = what_was_said(record, state, plan)
            said.append(each)
            refused += each is None and record.answer is not None
            quarantined |= any(told.cause is Cause.INTERNAL for told in record.transitions)
            _hear(each, granted, heard, due, lateness)
        _note(record, granted, due)
        state = fold_whole(state, record, plan)
    assert state is not None, "a life has a first record"
    courses = {key: Course(*key, at, tuple(heard[key])) for key, at in granted.items()}
    return RecordedLife(
        task_id=task_id,
        plan=plan,
        records=tuple(records),
        said=tuple(said),
        courses=courses,
        lateness=lateness,
        final=state,
        not_replayable="the engine's rules failed and it was quarantined" if quarantined else None,
        refused_orders=refused,
    )


def _hear(
    said: Said | None,
    granted: dict[Attempt, int],
    heard: dict[Attempt, list[Heard]],
    due: dict[Attempt, int],
    lateness: dict[Attempt, int],
) -> None:
    """Note a command with the attempt that it is about."""
    body = None if said is None else said.body
    if said is None or not isinstance(body, StepResult | StepStarted | TimerDue) or body.step is None:
        return
    key = (body.step, body.attempt)
    if not isinstance(body, TimerDue) or body.kind in _OF_AN_ATTEMPT:
        heard[key].append(Heard(said.at - granted[key], said.order, body))
    elif key in due:
        lateness[key] = max(0, said.at - due[key])


def _note(record: Transitions, granted: dict[Attempt, int], due: dict[Attempt, int]) -> None:
    """Note what the record grants, and when it lets a step be tried again."""
    for each in record.transitions:
        data = each.data
        if isinstance(data, AttemptGranted) and each.step is not None:
            granted[each.step, data.attempt] = each.at
        elif isinstance(data, AttemptEnded) and each.step is not None and data.next_retry_at is not None:
            due[each.step, data.attempt] = data.next_retry_at


def orders_of(life: RecordedLife, first: int) -> tuple[Said, ...]:
    """The operator commands from record `first` on."""
    found = (each for each in life.said[first:] if each is not None)
    return tuple(each for each in found if isinstance(each.body, OperatorCommand))


def created_of(life: RecordedLife) -> TaskCreated:
    """What the first record says of the request."""
    data = life.records[0].transitions[0].data
    assert isinstance(data, TaskCreated), "the first record creates the task"
    return data
