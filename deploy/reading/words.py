"""The coarse status for people: few words, as the first Tasker had them."""

from __future__ import annotations

from tasker_kafka.schemas.words import StepStatus, TaskStatus

__all__ = ["coarse_step", "coarse_task"]

_TASK = {
    TaskStatus.WAITING_FOR_DEPENDENCIES: TaskStatus.IN_PROGRESS,
    TaskStatus.WAITING_FOR_RETRY: TaskStatus.IN_PROGRESS,
    TaskStatus.BLOCKED_BY_FAILURES: TaskStatus.IN_PROGRESS,
}
_STEP = {StepStatus.ENQUEUED: StepStatus.PENDING, StepStatus.WAITING_FOR_RETRY: StepStatus.ERROR}


def coarse_task(state: TaskStatus) -> str:
    """pending, in_progress, complete, error, cancelled or resolved_manually."""
    return str(_TASK.get(state, state))


def coarse_step(state: StepStatus) -> str:
    """pending, in_progress, complete, error, cancelled or resolved_manually."""
    return str(_STEP.get(state, state))
