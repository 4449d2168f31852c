"""The domain events that leave with a decision: forwarded from a result, or made by the engine.

A worker makes the events of attempts that it ran to their end; they come with the result and are forwarded if their
condition fits what the decision makes of it. The engine makes the others: of attempts that ended without a result
(`attempt_ends` says which), and of the task when it comes to rest in complete, error, cancelled, blocked_by_failures
or resolved_manually.

What the engine makes it makes of the record alone, with an id that holds the record's seq: a repeat is the same event.
No fault in here changes a task: an event that cannot be made or written is dropped, and said so.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from tasker_kafka.schemas.event_envelopes import failure_payload, step_event, task_event
from tasker_kafka.schemas.event_validators import DeclaredEvent, declared_events
from tasker_kafka.schemas.identity import decided_event_id, format_id
from tasker_kafka.schemas.limits import (
    EVENT_KEY_BYTES,
    EVENTS_PER_ANSWER,
    NAME_LENGTH,
    RESULT_WITH_EVENTS_BYTES,
)
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import (
    Command,
    DomainEvent,
    EventCandidate,
    StepResult,
    TaskClosed,
    TaskCreated,
    Transition,
    Transitions,
)
from tasker_kafka.schemas.state import TaskState
from tasker_kafka.schemas.words import (
    Delivery,
    EventCondition,
    StepStatus,
    TaskStatus,
    TransitionEvent,
)

from .attempt_ends import FailedAttempt, StepEnds, audit_text, failed_attempt, step_ends

__all__ = ["DomainEvents", "domain_events"]

_C = EventCondition
_OF_TASK: Final = {
    TaskStatus.COMPLETE: _C.COMPLETED,
    TaskStatus.ERROR: _C.FAILED,
    TaskStatus.CANCELLED: _C.CANCELLED,
    TaskStatus.BLOCKED_BY_FAILURES: _C.BLOCKED,
    TaskStatus.RESOLVED_MANUALLY: _C.RESOLVED_MANUALLY,
}
_LATEST_MS: Final = 253_402_300_799_999


class DomainEvents(msgspec.Struct):
    """What leaves, in order; and for each event that should and cannot, a text that says which and why."""

    events: list[DomainEvent] = []
    dropped: list[str] = []


class _Story(msgspec.Struct, frozen=True):
    """What all events of one decision say of their task."""

    before: TaskState | None
    record: Transitions
    plan: Plan
    ends: dict[str, StepEnds]
    task_id: bytes
    correlation_id: str


def domain_events(
    before: TaskState | None, command: Command, record: Transitions, plan: Plan
) -> DomainEvents:
    """The events of a decision, for a plan that declares some (`Plan.has_events`). Total and pure."""
    found = DomainEvents()
    story = _story(before, command, record, plan)
    if story is None:
        return found
    for make in (_forwarded, _of_steps, _of_task):
        try:
            for each in make(story, command):
                if isinstance(each, str):
                    found.dropped.append(each)
                else:
                    found.events.append(each)
        except Exception as fault:
            found.dropped.append(f"{make.__name__.strip('_')}: {type(fault).__name__}")
    return found


def _story(before: TaskState | None, command: Command, record: Transitions, plan: Plan) -> _Story | None:
    if not record.transitions:
        return None
    if before is not None:
        return _Story(before, record, plan, step_ends(record), before.task_id, before.correlation_id)
    created = record.transitions[0].data
    if not isinstance(created, TaskCreated):
        return None
    return _Story(None, record, plan, {}, created.task_id, created.correlation_id)


# -------------------------------------------------------------------------------------------- forwarded


def _forwarded(story: _Story, command: Command) -> Iterator[DomainEvent | str]:
    """The candidates of an accepted result whose condition fits what the decision made of it.

    Only declared ones: the topic of others need not exist, and an output that cannot be written would stop the
    partition for ever. For the same reason none that is larger than a worker may make it.
    """
    body = command.body
    if type(body) is not StepResult or not body.events:
        return
    ends = story.ends.get(body.step)
    if ends is None or not ends.is_told_by(body):
        return
    fitting = ends.conditions()
    declared = declared_events(story.plan, body.step)
    for number, candidate in enumerate(body.events):
        if candidate.condition not in fitting or candidate.delivery is Delivery.FIRE_AND_FORGET:
            continue
        name = candidate.name
        if number >= EVENTS_PER_ANSWER or name not in declared or not _is_writable(candidate):
            yield f"step {body.step}: the event {name[:128]!r} of its result is undeclared, too large or too many"
            continue
        yield step_event(
            candidate,
            story.plan,
            task_id=story.task_id,
            life=story.record.life,
            step=body.step,
            attempt=body.attempt,
            correlation_id=story.correlation_id,
            at=story.record.at,
        )


def _is_writable(candidate: EventCandidate) -> bool:
    """Whether the event's record will be taken by its topic."""
    return (
        len(candidate.payload) <= RESULT_WITH_EVENTS_BYTES.maximum
        and len(candidate.key.encode()) <= EVENT_KEY_BYTES.maximum
        and len(candidate.version) <= NAME_LENGTH.maximum
    )


# ------------------------------------------------------------------------------------- made, of steps


def _of_steps(story: _Story, command: Command) -> Iterator[DomainEvent | str]:
    """Failures that no worker tells of."""
    before, plan, body = story.before, story.plan, command.body
    if before is None:
        return
    for step, ends in story.ends.items():
        position = plan.index.get(step)
        if position is None or not plan.steps[position].publishes_events:
            continue
        if type(body) is StepResult and body.step == step and ends.is_told_by(body):
            continue
        failed = failed_attempt(before.steps[position], ends, story.record)
        if failed is not None:
            yield from _made_of_step(story, step, failed)


def _made_of_step(story: _Story, step: str, failed: FailedAttempt) -> Iterator[DomainEvent | str]:
    payload = failure_payload(failed.failure, failed.attempt)
    for name, event in declared_events(story.plan, step).items():
        if event.declaration.condition not in failed.conditions:
            continue
        found = event.made(payload, default_key=format_id(story.task_id))
        if found is None:
            yield f"step {step}: {_unfit(name)}"
            continue
        data, key = found
        declaration = event.declaration
        candidate = EventCandidate(
            name=name,
            condition=declaration.condition,
            delivery=declaration.delivery,
            version=declaration.version,
            key=key,
            payload=data,
            position=0,
        )
        record = story.record
        yield step_event(
            candidate,
            story.plan,
            task_id=story.task_id,
            life=record.life,
            step=step,
            attempt=failed.attempt,
            correlation_id=story.correlation_id,
            at=record.at,
            id_=decided_event_id(story.task_id, record.life, record.seq, step, name),
        )


# -------------------------------------------------------------------------------------- made, of the task


def _of_task(story: _Story, command: Command) -> Iterator[DomainEvent | str]:
    """The task's own events: what it rests in is its last transition."""
    if not story.plan.publishes_events:
        return
    last = story.record.transitions[-1]
    if last.step is not None or last.from_state == last.to_state or not isinstance(last.to_state, TaskStatus):
        return
    condition = _OF_TASK.get(last.to_state)
    if condition is None:
        return
    payload: dict[str, Any] | None = None
    for name, event in declared_events(story.plan).items():
        if event.declaration.condition is not condition:
            continue
        payload = payload or _task_payload(story, last)
        found = event.made(payload, default_key=format_id(story.task_id))
        yield f"the task: {_unfit(name)}" if found is None else _task_event(story, name, event, *found)


def _task_event(story: _Story, name: str, event: DeclaredEvent, data: bytes, key: str) -> DomainEvent:
    record = story.record
    return task_event(
        event.declaration,
        story.plan,
        id_=decided_event_id(story.task_id, record.life, record.seq, None, name),
        task_id=story.task_id,
        key=key,
        payload=data,
        correlation_id=story.correlation_id,
        at=record.at,
    )


def _task_payload(story: _Story, last: Transition) -> dict[str, Any]:
    started = _started_at(story)
    is_over = last.to_state is not TaskStatus.BLOCKED_BY_FAILURES
    closed = last.data
    if isinstance(closed, TaskClosed):
        failed = list(closed.failed_steps)
        error: dict[str, str] | None = {"code": closed.error_code, "message": closed.error_message}
    else:
        steps = () if story.before is None else story.before.steps
        failed = [step.name for step in steps if step.state is StepStatus.ERROR]
        cancelled = last.to_state is TaskStatus.CANCELLED
        error = {"code": "cancelled", "message": audit_text(closed) or ""} if cancelled else None
    return {
        "task_id": format_id(story.task_id),
        "state": last.to_state.value,
        "started_at": None if started is None else _iso(started),
        "completed_at": _iso(last.at) if is_over else None,
        "duration": None if started is None or not is_over else (last.at - started) / 1000,
        "failed_steps": failed,
        "error": error,
    }


def _started_at(story: _Story) -> int | None:
    if story.before is not None and story.before.started_at is not None:
        return story.before.started_at
    started = TransitionEvent.START_REQUESTED
    return next(
        (each.at for each in story.record.transitions if each.step is None and each.event is started), None
    )


def _iso(ms: int) -> str:
    """Broker time for people: ISO 8601 in UTC, milliseconds. Total: what no calendar has is cut."""
    whole, rest = divmod(min(max(ms, 0), _LATEST_MS), 1000)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03}Z"


def _unfit(name: str) -> str:
    return f"the event {name!r} is not made: its schema does not fit what the engine knows"
