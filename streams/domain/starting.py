"""How a task comes to be: `StartTask`.

The same request again is a redelivery and ignored; another request for the same task is a duplicate; a request
that is not after the partition's horizon could be of a task that was forgotten, and is expired. Bypassed steps
are completed at once, their parents ignored.
"""

from __future__ import annotations

from typing import Final

from tasker_kafka.schemas.identity import format_id
from tasker_kafka.schemas.limits import KIB
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import StartTask, TaskCreated
from tasker_kafka.schemas.state import Stub, TaskState
from tasker_kafka.schemas.words import (
    AnswerCode,
    Cause,
    RejectionCode,
    StepStatus,
    TaskStatus,
    TransitionEvent,
)

from .decision import IgnoredReason, Moment
from .draft import Draft
from .finalize import evaluate, start
from .retention import is_expired

__all__ = ["create", "refusal"]

MOST_TEXT_BYTES: Final = 128 * KIB
"""Twice what intake lets through: this is for commands that did not come from there. States must stay writable."""


def refusal(
    state: TaskState | Stub | None, task_id: bytes, body: StartTask, moment: Moment
) -> tuple[str, str] | IgnoredReason | None:
    """Why the task is not created: (code, message) of a rejection, or a reason to ignore it. None: it is."""
    if state is not None:
        if state.request_id == body.request_id:
            return IgnoredReason.REDELIVERED
        rests = state.outcome if isinstance(state, Stub) else state.state
        return AnswerCode.DUPLICATE, f"task {format_id(task_id)} exists and is {rests}"
    if is_expired(body.request.timestamp, moment.horizon):
        return (
            AnswerCode.EXPIRED,
            f"the request (logged at {body.request.timestamp} ms) is not after the forget horizon of its partition "
            f"({moment.horizon} ms): its task may have been forgotten already; send the request again",
        )
    if moment.plan is None or moment.plan.hash != body.plan_hash:
        return (
            RejectionCode.UNKNOWN_TEMPLATE,
            f"no published template has the plan hash {body.plan_hash.hex()}",
        )
    if isinstance(body.context, bytes) and len(body.context) > moment.plan.inline_limit:
        limit = moment.plan.inline_limit
        return (
            RejectionCode.OVER_LIMIT,
            f"an inline context may have {limit} bytes; larger ones go to payloads",
        )
    if (size := _text_size(body)) > MOST_TEXT_BYTES:
        return RejectionCode.OVER_LIMIT, f"the texts of the request: {size} bytes; at most {MOST_TEXT_BYTES}"
    for name in body.bypass_steps:
        if name not in moment.plan.index:
            known = ", ".join(list(moment.plan.index)[:20]) or "none"
            return (
                RejectionCode.UNKNOWN_BYPASS_STEP,
                f"bypass_steps names {name[:100]!r}; the steps are: {known}",
            )
    return None


def _text_size(body: StartTask) -> int:
    """Bytes of what every state of the task will carry along, as intake counts them."""
    optional = (body.idempotency_key, body.correlation_id, body.traceparent)
    texts = [body.initiator, body.source_system, body.reason, *body.tags, *body.bypass_steps]
    texts += [each for each in optional if each is not None]
    return sum(len(each.encode()) for each in texts) + 2 * len(texts)


def create(draft: Draft, body: StartTask) -> None:
    """Create the task with all its steps; start it unless its not_before is still to come."""
    plan = draft.planned
    created = _created(draft.task_id, body, plan)
    draft.task(TransitionEvent.INITIALIZE_REQUESTED, TaskStatus.PENDING, Cause.REQUEST, created)
    for position in range(len(plan.steps)):
        draft.create_step(position)
    for name in dict.fromkeys(body.bypass_steps):
        draft.step(plan.index[name], TransitionEvent.BYPASSED, StepStatus.COMPLETE, Cause.REQUEST)
    if body.not_before is None or body.not_before <= draft.now:
        start(draft, Cause.REQUEST)
        evaluate(draft)


def _created(task_id: bytes, body: StartTask, plan: Plan) -> TaskCreated:
    return TaskCreated(
        plan_hash=body.plan_hash,
        namespace=plan.namespace,
        name=plan.name,
        version=plan.version,
        request_id=body.request_id,
        task_id=task_id,
        request=body.request,
        context=body.context,
        identity=body.identity,
        initiator=body.initiator,
        source_system=body.source_system,
        reason=body.reason,
        tags=body.tags,
        correlation_id=format_id(task_id) if body.correlation_id is None else body.correlation_id,
        idempotency_key=body.idempotency_key,
        requested_at=body.requested_at,
        not_before=body.not_before,
        traceparent=body.traceparent,
    )
