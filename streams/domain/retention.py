"""What is left of a closed task, for how long, and how the partition's horizon moves.

A final task becomes a stub with the record that closes it. A task in `error` keeps everything for
`failed_retention_hours`, so that Friday's failure can be retried on Monday; then `Forget` makes it a stub. Stubs
are dropped by `Forget(until)` for the whole partition. The horizon is the newest broker time of a request whose
task was dropped: a StartTask not after it is rejected as expired, so no task has a second life by accident.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import Forgotten
from tasker_kafka.schemas.state import Stub, TaskState
from tasker_kafka.schemas.words import TaskStatus

__all__ = ["Forgetting", "forget", "is_expired", "retire_at", "retired", "stub_of"]

_HOUR_MS: Final = 3_600_000


class Forgetting(msgspec.Struct, frozen=True, kw_only=True):
    """What one `Forget` command does."""

    record: Forgotten
    dropped: tuple[bytes, ...]
    """Task ids that leave the table, in the order given: tombstones."""
    retired: tuple[Stub, ...]
    """Failed tasks that are stubs from now on."""


def stub_of(state: TaskState, plan: Plan) -> Stub:
    """The stub of a task that is final."""
    closed_at = state.now if state.closed_at is None else state.closed_at
    return _stub(state, closed_at, closed_at + _hours(plan.lifecycle.retention_hours))


def retire_at(state: TaskState, plan: Plan) -> int | None:
    """When a failed task becomes a stub, ms; None: it is not in `error`."""
    if state.state is not TaskStatus.ERROR or state.closed_at is None:
        return None
    return state.closed_at + plan.lifecycle.failed_retention_hours * _HOUR_MS


def retired(state: TaskState, plan: Plan) -> Stub | None:
    """The stub of a failed task, to be forgotten `retention_hours` after it became one."""
    due = retire_at(state, plan)
    if due is None or state.closed_at is None:
        return None
    return _stub(state, state.closed_at, due + _hours(plan.lifecycle.retention_hours))


def forget(
    until: int,
    *,
    now: int,
    command_offset: int,
    horizon: int,
    stubs: Iterable[Stub],
    failed: Iterable[tuple[TaskState, Plan]] = (),
) -> Forgetting:
    """Decide a `Forget`: drop the stubs due by `until`, retire the failed tasks due by it.

    `stubs` and `failed` may hold more than what is due; both times are broker times in ms, and nothing is
    forgotten before its time, whatever `until` says. A task that was due for both is dropped at once.
    Horizon: the newest request time of all that was dropped, never moving back.
    """
    until = min(until, now)
    dropped: list[bytes] = []
    kept: list[Stub] = []
    for stub in stubs:
        if stub.forget_at <= until:
            dropped.append(stub.task_id)
            horizon = max(horizon, stub.created_at)
    for state, plan in failed:
        due, stub_or_none = retire_at(state, plan), retired(state, plan)
        if due is None or stub_or_none is None or due > until:
            continue
        if stub_or_none.forget_at <= until:
            dropped.append(state.task_id)
            horizon = max(horizon, state.created_at)
        else:
            kept.append(stub_or_none)
    record = Forgotten(command_offset=command_offset, at=now, until=until, horizon=horizon)
    return Forgetting(record=record, dropped=tuple(dropped), retired=tuple(kept))


def is_expired(request_time: int, horizon: int) -> bool:
    """Whether a request could be of a task that was forgotten."""
    return request_time <= horizon


def _hours(hours: int) -> int:
    return max(1, hours) * _HOUR_MS


def _stub(state: TaskState, closed_at: int, forget_at: int) -> Stub:
    return Stub(
        task_id=state.task_id,
        request_id=state.request_id,
        life=state.life,
        outcome=state.state,
        created_at=state.created_at,
        closed_at=closed_at,
        forget_at=forget_at,
        plan_hash=state.plan_hash,
    )
