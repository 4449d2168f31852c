"""`failure_policy: fail_fast`: while a step is in `error`, nothing new begins.

When a step ends in error, pending and waiting steps are cancelled in that decision, and so is any step that would
run again while one is in error; they are marked. Enqueued and running steps finish. When an operator has dealt
with the last step in error, the marked ones return to pending with the budget they had. A step that an operator
retries himself runs, whatever else has failed.
"""

from __future__ import annotations

from typing import Final

from tasker_kafka.schemas.words import Cause, StepStatus, TransitionEvent

from .draft import Draft

__all__ = ["hold_back", "release", "stop_others"]

_HELD: Final = frozenset({StepStatus.PENDING, StepStatus.WAITING_FOR_RETRY})


def stop_others(draft: Draft) -> None:
    """A step has ended in error: cancel and mark what has not begun."""
    if draft.planned.failure_policy != "fail_fast":
        return
    for position, step in enumerate(draft.steps):
        if step.state in _HELD:
            draft.step(position, TransitionEvent.CANCELLED, StepStatus.CANCELLED, Cause.FAIL_FAST)


def hold_back(draft: Draft, position: int) -> bool:
    """Cancel and mark a step that would run again while another one is in error; whether it was."""
    if draft.planned.failure_policy != "fail_fast" or not draft.counts[StepStatus.ERROR]:
        return False
    draft.step(position, TransitionEvent.CANCELLED, StepStatus.CANCELLED, Cause.FAIL_FAST)
    return True


def release(draft: Draft) -> None:
    """Bring the marked steps back when no step is in error any more."""
    if draft.planned.failure_policy != "fail_fast" or draft.counts[StepStatus.ERROR]:
        return
    for position, step in enumerate(draft.steps):
        if step.marked:
            draft.step(position, TransitionEvent.RETRY_REQUESTED, StepStatus.PENDING, Cause.FAIL_FAST)
