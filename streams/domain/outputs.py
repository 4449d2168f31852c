"""What a decision sends beside its record: dispatches, cancellations, domain events, ledger entries, rejections.

A pure function of the task before and after, the command and the record. A new owner calls it again for what is
recorded and must get the same bytes, so it reads no clock and decides nothing.
"""

from __future__ import annotations

from typing import Final

import msgspec

from tasker_kafka.schemas.event_envelopes import step_event
from tasker_kafka.schemas.limits import EVENT_KEY_BYTES, NAME_LENGTH, RESULT_WITH_EVENTS_BYTES
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import (
    AttemptEnded,
    Audit,
    Cancellation,
    Command,
    Dispatch,
    DlqEntry,
    DomainEvent,
    EventCandidate,
    StartTask,
    StepInput,
    StepResult,
    Transition,
    Transitions,
)
from tasker_kafka.schemas.state import Stub, TaskState
from tasker_kafka.schemas.words import (
    Delivery,
    EventCondition,
    Outcome,
    StepStatus,
    TaskStatus,
    TransitionEvent,
)

from .ledger import entries
from .retry import is_last_attempt

__all__ = ["Outputs", "RefusedRequest", "outputs"]

_ENQUEUED: Final = TransitionEvent.ENQUEUE_REQUESTED
_REDISPATCHED: Final = TransitionEvent.REDISPATCHED
_CANCELLED: Final = TransitionEvent.CANCELLED
_SENDING: Final = frozenset({_ENQUEUED, _REDISPATCHED, _CANCELLED})
_RUNNING: Final = frozenset({StepStatus.ENQUEUED, StepStatus.IN_PROGRESS})
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


NOTHING: Final = Outputs()


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
        refused = RefusedRequest(
            code=record.answer.code,
            message=record.answer.message,
            task_id=command.task_id,
            request_id=body.request_id,
            at=record.at,
        )
        return Outputs(rejections=(refused,))
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
    events: tuple[DomainEvent, ...] = ()
    if type(body) is StepResult and body.events and isinstance(before, TaskState) and plan is not None:
        events = _domain_events(before, body, record, plan)
    ledger = entries(before, after, record, plan)
    if not (dispatches or cancellations or events or ledger):
        return NOTHING
    return Outputs(
        dispatches=tuple(dispatches),
        cancellations=tuple(cancellations),
        domain_events=events,
        dlq_entries=ledger,
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
    return transition.step is not None and transition.from_state in _RUNNING


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


def _domain_events(
    before: TaskState, body: StepResult, record: Transitions, plan: Plan
) -> tuple[DomainEvent, ...]:
    """The candidates of an accepted result whose condition fits what the decision made of it.

    Only declared ones: the topic of others need not exist, and an output that cannot be written would stop the
    partition for ever. For the same reason none that is larger than a worker may make it.
    """
    ended = next(
        (
            each
            for each in record.transitions
            if isinstance(each.data, AttemptEnded) and each.step == body.step
        ),
        None,
    )
    if ended is None or body.outcome not in _UNREPEATED:
        return ()
    fitting = _conditions(ended)
    declared = {each.name for each in plan.steps[plan.index[body.step]].publishes_events}
    return tuple(
        step_event(
            candidate,
            plan,
            task_id=before.task_id,
            life=before.life,
            step=body.step,
            attempt=body.attempt,
            correlation_id=before.correlation_id,
            at=record.at,
        )
        for candidate in body.events
        if candidate.condition in fitting
        and candidate.delivery is not Delivery.FIRE_AND_FORGET
        and candidate.name in declared
        and _is_writable(candidate)
    )


def _is_writable(candidate: EventCandidate) -> bool:
    """Whether the event's record will be taken by its topic."""
    return (
        len(candidate.payload) <= RESULT_WITH_EVENTS_BYTES.maximum
        and len(candidate.key.encode()) <= EVENT_KEY_BYTES.maximum
        and len(candidate.version) <= NAME_LENGTH.maximum
    )


def _conditions(ended: Transition) -> frozenset[EventCondition]:
    if ended.to_state is StepStatus.COMPLETE:
        return frozenset({EventCondition.SUCCESS, EventCondition.ALWAYS})
    retried = ended.to_state is StepStatus.WAITING_FOR_RETRY
    kind = EventCondition.RETRYABLE_FAILURE if retried else EventCondition.PERMANENT_FAILURE
    return frozenset({EventCondition.FAILURE, EventCondition.ALWAYS, kind})
