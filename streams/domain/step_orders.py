"""Operator commands about steps: retry, resolve, complete, cancel, set max_attempts.

What each may do is read off the table of edges. A retry takes what has failed or was cancelled, with a new budget;
a step that waits for its retry is retried by its timer. Resolve and complete are allowed in every state that
does not run, so they are also how to skip a step; a running one is cancelled first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from tasker_kafka.schemas.records import Answer
from tasker_kafka.schemas.state import StepState
from tasker_kafka.schemas.words import (
    CLOSED_TASK_STATES,
    GRANTED_STEP_STATES,
    STOPPED_STEP_STATES,
    AnswerCode,
    Cause,
    OperatorAction,
    StepStatus,
    TaskStatus,
    TransitionEvent,
)

from .order import Order
from .retry import attempts_used
from .transitions import STEP_EDGES, STEP_NOTES

__all__ = ["STEP_ORDERS", "STEP_SOURCES", "retry_failed"]


def _sources(event: TransitionEvent) -> frozenset[StepStatus]:
    return frozenset(before for before, each, _ in STEP_EDGES if each is event and before is not None)


STEP_SOURCES: Final[Mapping[OperatorAction, frozenset[StepStatus]]] = {
    OperatorAction.RETRY_STEP: STOPPED_STEP_STATES,
    OperatorAction.RESOLVE_STEP: _sources(TransitionEvent.RESOLVED_MANUALLY),
    OperatorAction.COMPLETE_STEP: _sources(TransitionEvent.COMPLETED_MANUALLY),
    OperatorAction.CANCEL_STEP: _sources(TransitionEvent.CANCELLED),
    OperatorAction.SET_MAX_ATTEMPTS: frozenset(
        state for state, event in STEP_NOTES if event is TransitionEvent.CHANGED
    ),
}
"""Action → the states of a step in which it changes something."""
_EDGES: Final[Mapping[OperatorAction, tuple[TransitionEvent, StepStatus]]] = {
    OperatorAction.RETRY_STEP: (TransitionEvent.RETRY_REQUESTED, StepStatus.PENDING),
    OperatorAction.RESOLVE_STEP: (TransitionEvent.RESOLVED_MANUALLY, StepStatus.RESOLVED_MANUALLY),
    OperatorAction.COMPLETE_STEP: (TransitionEvent.COMPLETED_MANUALLY, StepStatus.COMPLETE),
    OperatorAction.CANCEL_STEP: (TransitionEvent.CANCELLED, StepStatus.CANCELLED),
}
"""Action → its event, and where it leads."""


def retry_failed(order: Order) -> int:
    """Retry every step that has failed or was cancelled by somebody; how many. What fail_fast cancelled returns
    by itself, with the budget it had."""
    draft = order.draft
    chosen = [
        at for at, step in enumerate(draft.steps) if step.state in STOPPED_STEP_STATES and not step.marked
    ]
    if chosen:
        _retry(order, chosen)
    return len(chosen)


def _retry(order: Order, positions: list[int]) -> None:
    draft = order.draft
    order.reopen()
    for position in positions:
        audit = order.audit(base=draft.steps[position].attempt)
        draft.step(position, TransitionEvent.RETRY_REQUESTED, StepStatus.PENDING, Cause.OPERATOR, audit)


def _retry_step(order: Order) -> Answer:
    if not order.body.steps:
        count = retry_failed(order)
        if count:
            return order.accepted(f"{count} steps are retried")
        return order.forbidden("no step is in error or cancelled: there is nothing to retry")
    chosen = _choose(order)
    if isinstance(chosen, Answer):
        return chosen
    _retry(order, chosen)
    return order.accepted(_said(order, chosen, "retried"))


def _take_over(order: Order) -> Answer:
    """resolve_step, complete_step."""
    draft, body = order.draft, order.body
    result = body.result if body.action is OperatorAction.COMPLETE_STEP else None
    if isinstance(result, bytes) and len(result) > draft.planned.inline_limit:
        limit = draft.planned.inline_limit
        return order.refused(
            AnswerCode.INVALID, f"an inline result may have {limit} bytes; larger ones go to payloads"
        )
    chosen = _choose(order)
    if isinstance(chosen, Answer):
        return chosen
    order.resume()
    event, to = _EDGES[body.action]
    for position in chosen:
        draft.step(position, event, to, Cause.OPERATOR, order.audit(result=result))
    return order.accepted(_said(order, chosen, str(to)))


def _cancel_step(order: Order) -> Answer:
    draft = order.draft
    chosen = _choose(order)
    if draft.status in CLOSED_TASK_STATES and not _is_unknown(chosen):
        return order.forbidden(f"the task is {draft.status}; allowed: {order.ways_out}")
    if isinstance(chosen, Answer):
        return chosen
    draft.wake()
    for position in chosen:
        draft.step(position, TransitionEvent.CANCELLED, StepStatus.CANCELLED, Cause.OPERATOR, order.audit())
    dealt_with = not draft.counts[StepStatus.ERROR] and any(step.marked for step in draft.steps)
    if dealt_with and draft.status is TaskStatus.BLOCKED_BY_FAILURES:
        order.resume()
    return order.accepted(_said(order, chosen, "cancelled"))


def _set_max_attempts(order: Order) -> Answer:
    draft, wanted = order.draft, order.body.max_attempts
    changeable = STEP_SOURCES[OperatorAction.SET_MAX_ATTEMPTS]
    positions = _positions(order)
    if draft.status in CLOSED_TASK_STATES and not _is_unknown(positions):
        return order.forbidden(f"the task is {draft.status}; allowed: {order.ways_out}")
    if isinstance(positions, Answer):
        return positions
    if not order.body.steps:
        positions = [at for at, step in enumerate(draft.steps) if step.state in changeable]
    for position in positions:
        step = draft.steps[position]
        if step.state not in changeable:
            return order.forbidden(f"step {step.name!r} is {step.state}: it has no attempts to come")
        if wanted is not None and wanted < (least := _promised(step)):
            return order.forbidden(
                f"step {step.name!r} is {step.state} and has been granted attempt {least} of its budget; "
                f"allowed: max_attempts from {least} on, or cancel_step"
            )
    for position in positions:
        audit = order.audit(max_attempts=wanted)
        state = draft.steps[position].state
        draft.step(position, TransitionEvent.CHANGED, state, Cause.OPERATOR, audit)
    return order.accepted(_said(order, positions, f"given max_attempts {wanted}"))


def _promised(step: StepState) -> int:
    """Attempts of the budget that are granted or will be without another decision: no less may be allowed."""
    if step.state in GRANTED_STEP_STATES:
        return attempts_used(step)
    return 0 if step.state in STOPPED_STEP_STATES and not step.marked else attempts_used(step) + 1


def _positions(order: Order) -> list[int] | Answer:
    """The named steps' positions, each once, in the plan's order."""
    found: set[int] = set()
    for name in order.body.steps:
        position = order.draft.index.get(name)
        if position is None:
            known = ", ".join(list(order.draft.index)[:20]) or "none"
            text = f"the task has no step {name[:100]!r}; its steps are: {known}"
            return order.refused(AnswerCode.UNKNOWN_STEP, text)
        found.add(position)
    return sorted(found)


def _is_unknown(found: list[int] | Answer) -> bool:
    """Whether a name is no step's: who misspells it should hear that first, whatever the task's state."""
    return isinstance(found, Answer) and found.code == AnswerCode.UNKNOWN_STEP


def _choose(order: Order) -> list[int] | Answer:
    """The steps that the action changes; an answer when one of them forbids it, or all are there already."""
    positions = _positions(order)
    if isinstance(positions, Answer):
        return positions
    steps = order.draft.steps
    action = order.body.action
    (_, target), sources = _EDGES[action], STEP_SOURCES[action]
    for position in positions:
        step = steps[position]
        if step.state not in sources and step.state is not target:
            return order.forbidden(f"step {step.name!r} is {step.state}; allowed: {_allowed(step.state)}")
    chosen = [position for position in positions if steps[position].state in sources]
    if not chosen:
        return order.already(target, f"{_names(order, positions)}: already {target}")
    return chosen


def _allowed(state: StepStatus) -> str:
    actions = [str(action) for action in _EDGES if state in STEP_SOURCES[action]]
    if state in GRANTED_STEP_STATES:
        return f"{', '.join(actions)} (then resolve_step or complete_step)"
    return ", ".join(actions) or "nothing, it is done"


def _said(order: Order, positions: list[int], what: str) -> str:
    return f"{_names(order, positions)}: {what}"


def _names(order: Order, positions: list[int]) -> str:
    names = [order.draft.steps[position].name for position in positions]
    shown = ", ".join(names[:10])
    return shown if len(names) <= 10 else f"{shown} and {len(names) - 10} more"


STEP_ORDERS: Final[Mapping[OperatorAction, Callable[[Order], Answer]]] = {
    OperatorAction.RETRY_STEP: _retry_step,
    OperatorAction.RESOLVE_STEP: _take_over,
    OperatorAction.COMPLETE_STEP: _take_over,
    OperatorAction.CANCEL_STEP: _cancel_step,
    OperatorAction.SET_MAX_ATTEMPTS: _set_max_attempts,
}
