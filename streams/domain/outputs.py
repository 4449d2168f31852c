"""What a decision sends beside its record: dispatches, cancellations, domain events, ledger entries, rejections.

A pure function of the task before and after, the command and the record. A new owner calls it again for what is
recorded and must get the same bytes, so it reads no clock and decides nothing.
"""

from __future__ import annotations

from typing import Final

import msgspec

from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import (
    Answer,
    Audit,
    Cancellation,
    Command,
    Dispatch,
    DlqEntry,
    DomainEvent,
    StartTask,
    StepInput,
    Transition,
    Transitions,
)
from tasker_kafka.schemas.state import Stub, TaskState
from tasker_kafka.schemas.words import GRANTED_STEP_STATES, Outcome, TaskStatus, TransitionEvent

from .events import DomainEvents, domain_events
from .ledger import entries
from .retry import is_last_attempt

__all__ = ["Outputs", "RefusedRequest", "outputs"]

_ENQUEUED: Final = TransitionEvent.ENQUEUE_REQUESTED
_REDISPATCHED: Final = TransitionEvent.REDISPATCHED
_CANCELLED: Final = TransitionEvent.CANCELLED
_SENDING: Final = frozenset({_ENQUEUED, _REDISPATCHED, _CANCELLED})
_UNREPEATED: Final = frozenset({Outcome.SUCCESS, Outcome.FAILURE})
_ERROR: Final = TaskStatus.ERROR


class RefusedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A StartTask that was refused: what the rejections topic is to say. The owner adds topic and place."""

    code: str
    message: str
    task_id: bytes
    request_id: bytes
    at: int
    """Broker time of the decision, ms."""
    path: str | None = None


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that goes out beside one transitions record, in the order of its transitions."""

    dispatches: tuple[Dispatch, ...] = ()
    cancellations: tuple[Cancellation, ...] = ()
    domain_events: tuple[DomainEvent, ...] = ()
    dlq_entries: tuple[DlqEntry, ...] = ()
    rejections: tuple[RefusedRequest, ...] = ()
    dropped_events: tuple[str, ...] = ()
    """For each domain event that should leave and cannot: which, and why. To be counted and logged."""


NOTHING: Final = Outputs()
_NO_EVENTS: Final = DomainEvents()


def outputs(
    before: TaskState | Stub | None,
    after: TaskState | Stub | None,
    command: Command,
    record: Transitions,
    plan: Plan | None,
) -> Outputs:
    """The outputs of a decision, or of a recorded one. `plan`: the one that the task names."""
    body = command.body
    if isinstance(body, StartTask) and record.answer is not None:
        return Outputs(rejections=(_refused(command, body, record.answer, record.at),))
    dispatches: list[Dispatch] = []
    cancellations: list[Cancellation] = []
    for transition in record.transitions:
        event = transition.event
        if event not in _SENDING:
            continue
        if event is not _CANCELLED:
            if isinstance(after, TaskState) and plan is not None:
                dispatches.append(_dispatch(after, transition, plan))
        elif isinstance(before, TaskState) and _was_dispatched(transition):
            cancellations.append(_cancellation(before, transition, record, plan))
    ledger = entries(before, after, record, plan)
    found = _NO_EVENTS
    if plan is not None and plan.has_events:
        found = domain_events(before if isinstance(before, TaskState) else None, command, record, plan)
    if not (dispatches or cancellations or ledger or found.events or found.dropped):
        return NOTHING
    return Outputs(
        dispatches=tuple(dispatches),
        cancellations=tuple(cancellations),
        domain_events=tuple(found.events),
        dlq_entries=ledger,
        dropped_events=tuple(found.dropped),
    )


def _refused(command: Command, body: StartTask, answer: Answer, at: int) -> RefusedRequest:
    return RefusedRequest(
        code=answer.code, message=answer.message, task_id=command.task_id, request_id=body.request_id, at=at
    )


def _dispatch(task: TaskState, transition: Transition, plan: Plan) -> Dispatch:
    name = transition.step or ""
    position = plan.index[name]
    step, planned = task.steps[position], plan.steps[position]
    limit = planned.queue_timeout_ms
    steps = task.steps
    return Dispatch(
        task_id=task.task_id,
        life=task.life,
        step=name,
        attempt=step.attempt,
        last_attempt=is_last_attempt(planned.retry, step),
        plan_hash=task.plan_hash,
        handler=planned.handler,
        context=task.context,
        inputs=tuple([StepInput(steps[at].name, steps[at].result) for at in plan.parents[position]]),
        dispatched_at=transition.at,
        queue_deadline=None if limit is None else transition.at + limit,
        correlation_id=task.correlation_id,
        traceparent=task.traceparent,
    )


def _was_dispatched(transition: Transition) -> bool:
    return transition.step is not None and transition.from_state in GRANTED_STEP_STATES


def _cancellation(
    before: TaskState, transition: Transition, record: Transitions, plan: Plan | None
) -> Cancellation:
    """Tell the handler that runs, or will, to stop: this attempt only, since a later one may be wanted."""
    name = transition.step or ""
    position = plan.index[name] if plan is not None else [step.name for step in before.steps].index(name)
    data = transition.data
    if isinstance(data, Audit):
        reason = f"{data.action} by {data.actor}: {data.reason}"
    else:
        last = record.transitions[-1]
        reason = str(last.event) if last.to_state is _ERROR else str(transition.cause)
    attempt = before.steps[position].attempt
    return Cancellation(life=before.life, step=name, attempt=attempt, reason=reason, at=transition.at)
