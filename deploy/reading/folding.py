"""Folds the accepted records of one life of a task into its report. Pure: records and plan in, report out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from tasker_kafka.schemas.output import evaluate_output
from tasker_kafka.schemas.plan import Plan, PlanStep
from tasker_kafka.schemas.records import (
    AttemptEnded,
    AttemptGranted,
    AttemptTaken,
    Audit,
    Failure,
    PayloadRef,
    TaskClosed,
    TaskCreated,
    Transition,
    Value,
)
from tasker_kafka.schemas.redaction import redact
from tasker_kafka.schemas.state import StepState, TaskState
from tasker_kafka.schemas.words import (
    DONE_STEP_STATES,
    TaskStatus,
    TransitionEvent,
)
from tasker_kafka.streams.domain.evolve import Fold
from tasker_kafka.streams.domain.readiness import StepReadiness
from tasker_kafka.streams.domain.views import (
    coarse_step_status,
    coarse_task_status,
    execution_context,
    step_readiness,
)

from .history import AcceptedRecord
from .report import AnswerReport, AttemptReport, ErrorReport, StepReport, TaskReport, TransitionReport

__all__ = ["answer_reports", "fold_life", "report_of", "transition_reports", "values_of"]

ReadValue = Callable[[Value], Any]
"""Decoded JSON of a value; None for an absent one."""

_WITH_OUTPUT = frozenset({TaskStatus.COMPLETE, TaskStatus.RESOLVED_MANUALLY})


def fold_life(records: Sequence[AcceptedRecord], plan: Plan) -> TaskState:
    """The whole state after the last record, also of a task that is final (whose engine keeps a stub only)."""
    working = Fold(None, plan)
    for each in records:
        for transition in each.record.transitions:
            working.apply(transition)
    last = records[-1].record
    return working.freeze(life=last.life, seq=last.seq, now=last.at, command_ids=())


def values_of(records: Sequence[AcceptedRecord]) -> Iterator[PayloadRef]:
    """Every reference to the payloads topic in these records: what to fetch before a report is made."""
    for transition in _transitions(records):
        data = transition.data
        value: Value = None
        if isinstance(data, TaskCreated):
            value = data.context
        elif isinstance(data, AttemptEnded | Audit):
            value = data.result
        if isinstance(value, PayloadRef):
            yield value


def report_of(
    task_id: bytes,
    partition: int,
    records: Sequence[AcceptedRecord],
    plan: Plan,
    *,
    payloads: Mapping[PayloadRef, bytes],
    now: int,
) -> TaskReport:
    """The report of one life as it is at `now` (ms); `waiting` is left empty (see `waiting.find_waits`).

    What people look at is redacted: results before the output is made of them, so that no new name uncovers one.
    """
    state = fold_life(records, plan)

    def read(value: Value) -> Any:
        found = payloads.get(value) if isinstance(value, PayloadRef) else value
        return None if found is None else _shown(found)

    attempts = _attempts(records)
    steps = tuple(
        _step_report(step, planned, row, attempts.get(step.name, ()), read)
        for step, planned, row in zip(state.steps, plan.steps, step_readiness(state, plan, now), strict=True)
    )
    return TaskReport(
        **_of_state(state),
        partition=partition,
        task_id=task_id,
        context=read(state.context),
        output=evaluate_output(plan, {step.name: step.result for step in steps})
        if state.state in _WITH_OUTPUT
        else None,
        error=_task_error(records) if state.state is TaskStatus.ERROR else None,
        steps=steps,
        transitions=tuple(transition_reports(records)),
        answers=tuple(answer_reports(records)),
        waiting=(),
    )


def _shown(data: bytes) -> Any:
    """A value as people may see it. A worker of another make may have sent what is no JSON: then its size is."""
    try:
        return redact(json.loads(data))
    except (ValueError, RecursionError):
        return f"({len(data)} bytes that are no JSON)"


def _of_state(state: TaskState) -> dict[str, Any]:
    """The fields that the state alone gives."""
    context = execution_context(state)
    return {
        "life": state.life,
        "namespace": state.namespace,
        "template": state.name,
        "version": state.version,
        "plan_hash": state.plan_hash,
        "seq": state.seq,
        "state": state.state,
        "status": coarse_task_status(state.state),
        "execution_status": context.execution_status,
        "recommended_action": context.recommended_action,
        "completion_percentage": context.completion_percentage,
        "health_status": context.health_status,
        "created_at": state.created_at,
        "started_at": state.started_at,
        "closed_at": state.closed_at,
        "next_due_at": state.next_due,
        "identity": state.identity,
        "initiator": state.initiator,
        "source_system": state.source_system,
        "reason": state.reason,
        "tags": state.tags,
        "correlation_id": state.correlation_id,
    }


# -------------------------------------------------------------------------------------------------- steps


def _step_report(
    step: StepState,
    planned: PlanStep,
    row: StepReadiness,
    history: Sequence[AttemptReport],
    read: ReadValue,
) -> StepReport:
    failed = next((each.error for each in reversed(history) if each.error is not None), None)
    return StepReport(
        name=step.name,
        state=step.state,
        status=coarse_step_status(step.state),
        handler=planned.handler,
        queue=planned.queue,
        parents=planned.parents,
        attempts=step.attempt,
        max_attempts=row.max_attempts,
        started_at=history[-1].started_at if history else None,
        completed_at=step.completed_at if step.state in DONE_STEP_STATES else None,
        next_retry_at=step.next_retry_at,
        blocking_reason=row.blocking_reason,
        worker_id=step.worker_id,
        result=read(step.result),
        error=None if step.state in DONE_STEP_STATES else failed,
        history=tuple(history),
    )


def _attempts(records: Sequence[AcceptedRecord]) -> dict[str, list[AttemptReport]]:
    """Every attempt of every step, oldest first."""
    found: dict[str, dict[int, AttemptReport]] = {}
    for transition in _transitions(records):
        if transition.step is None:
            continue
        held = found.setdefault(transition.step, {})
        data = transition.data
        if isinstance(data, AttemptGranted):
            held[data.attempt] = AttemptReport(attempt=data.attempt, granted_at=transition.at)
        elif isinstance(data, AttemptTaken):
            held[data.attempt] = replace(
                held[data.attempt], worker_id=data.worker_id, started_at=data.started_at
            )
        elif isinstance(data, AttemptEnded):
            held[data.attempt] = _ended(held[data.attempt], transition, data)
        elif transition.event is TransitionEvent.CANCELLED and held:
            last = held[max(held)]
            if last.outcome is None:
                held[last.attempt] = replace(last, outcome="cancelled", finished_at=transition.at)
    return {step: list(held.values()) for step, held in found.items()}


def _ended(attempt: AttemptReport, transition: Transition, data: AttemptEnded) -> AttemptReport:
    return replace(
        attempt,
        outcome=str(data.outcome),
        worker_id=data.worker_id or attempt.worker_id,
        started_at=attempt.started_at if data.started_at is None else data.started_at,
        finished_at=transition.at if data.finished_at is None else data.finished_at,
        counted=data.counted,
        late=data.late,
        error=attempt.error if data.failure is None else _error(data.failure),
        next_retry_at=data.next_retry_at,
        metadata=None if data.metadata is None else _shown(data.metadata),
    )


def _error(failure: Failure) -> ErrorReport:
    return ErrorReport(
        type=failure.type,
        code=failure.code,
        message=failure.message,
        retryable=failure.retryable,
        traceback=failure.traceback,
    )


# --------------------------------------------------------------------------------------------- the task


def _task_error(records: Sequence[AcceptedRecord]) -> ErrorReport | None:
    for transition in reversed(list(_transitions(records))):
        data = transition.data
        if isinstance(data, TaskClosed):
            return ErrorReport(
                type=None, code=data.error_code, message=data.error_message, failed_steps=data.failed_steps
            )
    return None


def transition_reports(records: Sequence[AcceptedRecord]) -> Iterator[TransitionReport]:
    """Every edge that these records took, in order."""
    for each in records:
        for transition in each.record.transitions:
            audit = transition.data if isinstance(transition.data, Audit) else None
            yield TransitionReport(
                seq=each.record.seq,
                offset=each.offset,
                entity="task" if transition.step is None else f"step:{transition.step}",
                from_state=transition.from_state,
                to_state=transition.to_state,
                event=transition.event,
                at=transition.at,
                cause=transition.cause,
                actor=None if audit is None else audit.actor,
                reason=None if audit is None else audit.reason,
            )


def answer_reports(records: Sequence[AcceptedRecord]) -> Iterator[AnswerReport]:
    """Every answer in these records, in order."""
    for each in records:
        answer = each.record.answer
        if answer is not None:
            yield AnswerReport(
                command_id=answer.command_id, code=answer.code, message=answer.message, at=each.record.at
            )


def _transitions(records: Sequence[AcceptedRecord]) -> Iterator[Transition]:
    return (transition for each in records for transition in each.record.transitions)
