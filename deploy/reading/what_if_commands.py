"""What was said to a task, told from what was decided: the recorded records turned back into commands.

The transitions hold all that a decision took from outside: the request, how each attempt ended and when, which timer
fired, what an operator asked for. So the commands can be made again from them, long after the commands topic has
forgotten the originals, and the same rules decide the same again. What they do not hold: heartbeats, domain events,
commands that changed nothing or were refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import (
    AttemptEnded,
    AttemptTaken,
    Audit,
    Failure,
    OperatorCommand,
    Reconcile,
    StartTask,
    StepResult,
    StepStarted,
    TaskCreated,
    TimerDue,
    Transition,
    Transitions,
)
from tasker_kafka.schemas.state import StepState, TaskState
from tasker_kafka.schemas.words import Cause, TimerKind, TransitionEvent
from tasker_kafka.streams.domain.allowing import STEP_ACTIONS
from tasker_kafka.streams.domain.reconcile import EVALUATE, REDISPATCH
from tasker_kafka.streams.domain.retry import DEADLINE_EXCEEDED, delay_ms

__all__ = ["Replayable", "Said", "start_of", "what_was_said"]

Replayable = StepResult | StepStarted | TimerDue | OperatorCommand | Reconcile

_E = TransitionEvent
_TASK_TIMERS: Final = {
    _E.START_REQUESTED: TimerKind.NOT_BEFORE,
    _E.DEADLINE_EXCEEDED: TimerKind.DEADLINE,
    _E.STALE: TimerKind.STALENESS,
    _E.STALE_REPORTED: TimerKind.STALENESS,
}
_STEP_TIMERS: Final = {
    _E.RETRY_REQUESTED: TimerKind.RETRY,
    _E.TIMED_OUT: TimerKind.QUEUE_TIMEOUT,
    _E.FAILED: TimerKind.RUN_TIMEOUT,
    _E.RETRY_BACKOFF_STARTED: TimerKind.RUN_TIMEOUT,
    _E.LOST: TimerKind.HEARTBEAT,
}
_PAST_DEADLINE: Final = re.compile(
    r"a retry at (\d+) would be after the task's deadline at \d+; the attempt failed with ([^:]*): (.*)",
    re.DOTALL,
)


class Said(msgspec.Struct, frozen=True):
    """One command, and when it was decided."""

    at: int
    """Broker time, ms."""
    order: int
    """Offset of the command: which came first."""
    body: Replayable


def start_of(record: Transitions, plan_hash: bytes) -> StartTask:
    """The StartTask of a task's first record, for the plan of this hash."""
    created = record.transitions[0].data
    assert isinstance(created, TaskCreated), "the first record creates the task"
    bypassed = [each.step for each in record.transitions if each.event is _E.BYPASSED]
    return StartTask(
        plan_hash=plan_hash,
        request_id=created.request_id,
        context=created.context,
        request=created.request,
        identity=created.identity,
        initiator=created.initiator,
        source_system=created.source_system,
        reason=created.reason,
        tags=created.tags,
        bypass_steps=tuple(name for name in bypassed if name is not None),
        idempotency_key=created.idempotency_key,
        correlation_id=created.correlation_id,
        requested_at=created.requested_at,
        not_before=created.not_before,
        traceparent=created.traceparent,
    )


def what_was_said(record: Transitions, before: TaskState, plan: Plan) -> Said | None:
    """The command of a later record; None when it changed nothing, or was no command (a quarantine).

    before: the task as it was recorded, before the record; plan: the one it ran on
    """
    body = _body(record, before, plan)
    return None if body is None else Said(record.at, record.command_offset, body)


def _body(record: Transitions, before: TaskState, plan: Plan) -> Replayable | None:
    told = record.transitions
    if not told:
        return None
    causes = {each.cause for each in told}
    if Cause.INTERNAL in causes:
        return None
    if Cause.OPERATOR in causes:
        return _order(told)
    if Cause.RESULT in causes:
        return _result(told, before, plan)
    if Cause.STARTED in causes:
        return _started(told, before)
    if Cause.TIMER in causes:
        return _timer(record, before)
    if Cause.RECONCILER in causes:
        each = next(each for each in told if each.cause is Cause.RECONCILER)
        return Reconcile(
            life=before.life, kind=REDISPATCH, step=each.step, attempt=_step(before, plan, each.step).attempt
        )
    return Reconcile(life=before.life, kind=EVALUATE)


def _step(state: TaskState, plan: Plan, name: str | None) -> StepState:
    return state.steps[plan.index[name or ""]]


# ----------------------------------------------------------------------------------------------- workers


def _started(told: Sequence[Transition], before: TaskState) -> StepStarted:
    each = next(each for each in told if each.cause is Cause.STARTED)
    data = each.data
    assert isinstance(data, AttemptTaken), "a reported start says who took it"
    return StepStarted(
        life=before.life,
        step=each.step or "",
        attempt=data.attempt,
        worker_id=data.worker_id,
        started_at=data.started_at,
    )


def _result(told: Sequence[Transition], before: TaskState, plan: Plan) -> StepResult:
    each, data = next(
        (each, each.data)
        for each in told
        if each.cause is Cause.RESULT and isinstance(each.data, AttemptEnded)
    )
    finished = each.at if data.finished_at is None else data.finished_at
    return StepResult(
        life=before.life,
        step=each.step or "",
        attempt=data.attempt,
        outcome=data.outcome,
        worker_id=data.worker_id,
        started_at=finished if data.started_at is None else data.started_at,
        finished_at=finished,
        result=data.result,
        failure=None if data.failure is None else _as_sent(data.failure, finished, before, each.step, plan),
        metadata=data.metadata,
    )


def _as_sent(failure: Failure, finished: int, before: TaskState, name: str | None, plan: Plan) -> Failure:
    """A failure whose retry would have come after the task's deadline was recorded as that: what the worker said.

    The delay that a server asked for is told by when the retry would have been, where the policy gives another one.
    """
    found = _PAST_DEADLINE.fullmatch(failure.message) if failure.code == DEADLINE_EXCEEDED else None
    if found is None:
        return failure
    retry_at, code, message = int(found[1]), found[2], found[3]
    sent = replace(failure, code=code, message=message, retryable=True)
    policy = plan.steps[plan.index[name or ""]].retry
    if retry_at - finished != delay_ms(policy, _step(before, plan, name), sent, before.task_id):
        return replace(sent, retry_after_ms=retry_at - finished)
    return sent


# ---------------------------------------------------------------------------------------- timers, people


def _timer(record: Transitions, before: TaskState) -> TimerDue | None:
    """What was due. The task's own timers end its steps in the same record."""
    fired = [each for each in record.transitions if each.cause is Cause.TIMER]
    for each in fired:
        if each.step is None:
            return TimerDue(life=before.life, kind=_TASK_TIMERS[each.event], due_at=record.at)
    each = fired[0]
    position = next(at for at, step in enumerate(before.steps) if step.name == each.step)
    return TimerDue(
        life=before.life,
        kind=_STEP_TIMERS[each.event],
        due_at=record.at,
        step=each.step,
        attempt=before.steps[position].attempt,
    )


def _order(told: Sequence[Transition]) -> OperatorCommand:
    audits = [(each, each.data) for each in told if isinstance(each.data, Audit)]
    audit = max((data for _, data in audits), key=lambda data: len(data.reason))
    steps = tuple(each.step for each, _ in audits if each.step is not None)
    results = [data.result for _, data in audits if data.result is not None]
    limits = [data.max_attempts for _, data in audits if data.max_attempts is not None]
    return OperatorCommand(
        command_id=audit.command_id,
        action=audit.action,
        actor=audit.actor,
        reason=audit.reason,
        steps=steps if audit.action in STEP_ACTIONS else (),
        result=results[0] if results else None,
        max_attempts=limits[0] if limits else None,
        text=next((data.text for _, data in audits if data.text is not None), None),
        tags=next((data.tags for _, data in audits if data.tags is not None), None),
    )
