"""Carries a `Forget` out: the rule is `streams.domain.retention`, here is where its candidates come from.

Deciding and replaying are the same two calls: what is due by `until` is the same set in the same table.
"""

from __future__ import annotations

from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.state import Stub, TaskState
from tasker_kafka.streams.domain.retention import Forgetting, forget

from .owned import OwnedPartition
from .plan_desk import PlanDesk

__all__ = ["apply_forgetting", "decide_forget"]


def decide_forget(
    owned: OwnedPartition, desk: PlanDesk, *, until: int, now: int, command_offset: int
) -> Forgetting:
    """What a Forget(until) at broker time `now` does; takes its candidates out of the retention queue."""
    stubs: list[Stub] = []
    failed: list[tuple[TaskState, Plan]] = []
    for task_id in owned.retention.take(min(until, now)):
        state = owned.table.get(task_id)
        if isinstance(state, Stub):
            stubs.append(state)
        elif state is not None and (plan := desk.known(state.plan_hash)) is not None:
            failed.append((state, plan))
    forgetting = forget(
        until, now=now, command_offset=command_offset, horizon=owned.horizon, stubs=stubs, failed=failed
    )
    gone = {*forgetting.dropped, *(each.task_id for each in forgetting.retired)}
    for stub in stubs:
        if stub.task_id not in gone:
            owned.track_retention(stub.task_id, stub, None)
    for state, plan in failed:
        if state.task_id not in gone:
            owned.track_retention(state.task_id, state, plan)
    return forgetting


def apply_forgetting(owned: OwnedPartition, forgetting: Forgetting, *, horizon: int) -> None:
    """Drop and retire what was decided, and move the horizon."""
    table = owned.table
    for task_id in forgetting.dropped:
        owned.replace(task_id, table.get(task_id), None, None)
    for stub in forgetting.retired:
        owned.replace(stub.task_id, table.get(stub.task_id), stub, None)
    owned.horizon = max(owned.horizon, horizon)
    owned.metrics.forgotten += len(forgetting.dropped)
