"""What operators may ask for, in which state, and what they are answered.

Every command is answered in the transitions record, whether it did something or not, and a task remembers its
last 32 command ids: the same id is one command. A command that is accepted is audited on every transition that
it causes; where it makes work possible again the task is resumed. One whose target is already reached answers
`already_<state>`; one that the state forbids says the state and what is allowed. A command about several steps
is done for all of them or refused for all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from tasker_kafka.schemas.identity import format_id
from tasker_kafka.schemas.limits import MAX_ATTEMPTS
from tasker_kafka.schemas.records import Answer, OperatorCommand
from tasker_kafka.schemas.state import Stub, TaskState
from tasker_kafka.schemas.words import (
    CLOSED_TASK_STATES,
    STUCK_TASK_STATES,
    AnswerCode,
    Cause,
    OperatorAction,
    StepStatus,
    TaskStatus,
    TransitionEvent,
)

from .draft import Draft
from .finalize import end_steps
from .order import ACTOR_BYTES, TEXT_BYTES, Order
from .step_orders import STEP_ORDERS, retry_failed

__all__ = ["MAX_TAGS", "answer_about", "answer_closed", "malformed", "obey"]

MAX_TAGS: Final = 100
_TAG_BYTES: Final = 256
_TARGETS: Final[Mapping[OperatorAction, TaskStatus]] = {
    OperatorAction.CANCEL_TASK: TaskStatus.CANCELLED,
    OperatorAction.RESOLVE_TASK: TaskStatus.RESOLVED_MANUALLY,
}
_UNFINISHED: Final = frozenset(
    {StepStatus.PENDING, StepStatus.ENQUEUED, StepStatus.IN_PROGRESS, StepStatus.WAITING_FOR_RETRY}
)


def answer_closed(state: Stub | None, task_id: bytes, body: OperatorCommand) -> Answer:
    """The answer about a task that does not exist (any more) or is final."""
    name = format_id(task_id) if len(task_id) == 16 else task_id.hex()
    if state is None:
        return Answer(body.command_id, AnswerCode.UNKNOWN_TASK, f"there is no task {name}")
    if body.life is not None and body.life != state.life:
        return _other_life(body, state.life)
    if _TARGETS.get(body.action) is state.outcome:
        return Answer(body.command_id, f"already_{state.outcome}", f"task {name} is already {state.outcome}")
    text = f"task {name} is {state.outcome}: nothing may be done to it any more"
    return Answer(body.command_id, AnswerCode.FINAL_TASK, text)


def answer_about(state: TaskState, body: OperatorCommand) -> Answer | None:
    """The answer that needs no rule: repeated, of another life or seq, malformed. None: obey it."""
    if body.command_id in state.command_ids:
        text = "this command was decided before; its first answer holds"
        return Answer(body.command_id, AnswerCode.REPEATED, text)
    if body.life is not None and body.life != state.life:
        return _other_life(body, state.life)
    if body.expected_seq is not None and body.expected_seq != state.seq:
        text = f"the task has moved on: seq is {state.seq}, not {body.expected_seq}; look again"
        return Answer(body.command_id, AnswerCode.SEQ_MISMATCH, text)
    fault = malformed(body)
    return None if fault is None else Answer(body.command_id, AnswerCode.INVALID, fault)


def obey(draft: Draft, body: OperatorCommand) -> Answer:
    """Do what is asked, or say why not."""
    order = Order(draft, body)
    rule = _TASK_ORDERS.get(body.action) or STEP_ORDERS[body.action]
    return rule(order)


def _other_life(body: OperatorCommand, life: int) -> Answer:
    text = f"the command is about life {body.life} of the task, which is over; the task's life is {life}"
    return Answer(body.command_id, AnswerCode.UNKNOWN_TASK, text)


def malformed(body: OperatorCommand) -> str | None:
    """Why no task could obey such a command, whatever its state; None: one could."""
    if len(body.actor.encode()) > ACTOR_BYTES:
        return f"actor may have {ACTOR_BYTES} bytes"
    for what, text in (("reason", body.reason), ("text", body.text)):
        if text is not None and len(text.encode()) > TEXT_BYTES:
            return f"{what} may have {TEXT_BYTES} bytes"
    if body.tags is not None and (
        len(body.tags) > MAX_TAGS or any(len(tag.encode()) > _TAG_BYTES for tag in body.tags)
    ):
        return f"a task may have {MAX_TAGS} tags of {_TAG_BYTES} bytes"
    action = body.action
    if action is OperatorAction.SET_MAX_ATTEMPTS:
        wanted, most = body.max_attempts, MAX_ATTEMPTS.maximum
        return None if wanted is not None and 1 <= wanted <= most else f"max_attempts must be 1 to {most}"
    if action is OperatorAction.SET_REASON and body.text is None:
        return "set_reason needs the new reason in `text`"
    if action is OperatorAction.SET_TAGS and body.tags is None:
        return "set_tags needs `tags`; [] removes them all"
    if action is OperatorAction.COMPLETE_STEP and len(body.steps) != 1:
        return "complete_step takes one step: the result is that step's"
    if action in {OperatorAction.RESOLVE_STEP, OperatorAction.CANCEL_STEP} and not body.steps:
        return f"{action} needs the names of the steps"
    return None


# ------------------------------------------------------------------------------------------- task orders


def _cancel_task(order: Order) -> Answer:
    draft = order.draft
    audit = order.audit()
    for position, step in enumerate(draft.steps):
        if step.state in _UNFINISHED:
            draft.step(
                position, TransitionEvent.CANCELLED, StepStatus.CANCELLED, Cause.OPERATOR, order.audit()
            )
    draft.task(TransitionEvent.CANCELLED, TaskStatus.CANCELLED, Cause.OPERATOR, audit)
    return order.accepted("the task is cancelled")


def _retry_task(order: Order) -> Answer:
    draft = order.draft
    if draft.status in STUCK_TASK_STATES:
        order.reopen()
        count = retry_failed(order)
        return order.accepted(f"the task is reopened; {count} steps are retried")
    count = retry_failed(order)
    if count:
        return order.accepted(f"{count} steps are retried")
    return order.already(draft.status, "nothing of the task has failed")


def _resolve_task(order: Order) -> Answer:
    draft = order.draft
    if draft.status not in STUCK_TASK_STATES:
        return order.forbidden(
            f"the task is {draft.status}; it can be resolved when it is blocked_by_failures or error; "
            "allowed now: cancel_task and step commands"
        )
    end_steps(draft, Cause.OPERATOR)
    draft.task(TransitionEvent.RESOLVED_MANUALLY, TaskStatus.RESOLVED_MANUALLY, Cause.OPERATOR, order.audit())
    return order.accepted("the task is resolved")


def _change_task(order: Order) -> Answer:
    """set_reason, set_tags."""
    draft, body = order.draft, order.body
    if draft.status is None or draft.status in CLOSED_TASK_STATES:
        return order.forbidden(f"the task is {draft.status}; allowed: {order.ways_out}")
    tags = body.tags if body.action is OperatorAction.SET_TAGS else None
    text = body.text if body.action is OperatorAction.SET_REASON else None
    audit = order.audit(text=text, tags=tags)
    draft.task(TransitionEvent.CHANGED, draft.status, Cause.OPERATOR, audit)
    return order.accepted("changed")


_TASK_ORDERS: Final[Mapping[OperatorAction, Callable[[Order], Answer]]] = {
    OperatorAction.CANCEL_TASK: _cancel_task,
    OperatorAction.RETRY_TASK: _retry_task,
    OperatorAction.RESOLVE_TASK: _resolve_task,
    OperatorAction.SET_REASON: _change_task,
    OperatorAction.SET_TAGS: _change_task,
}
