"""The ordinary success, straight: nearly every command of a busy engine is one.

A dispatched attempt of a running task succeeds at the first word of its worker, and nothing else is the matter: no
retry, failure, cancellation, limit or timer anywhere in the task. The general rules (`results`, `draft`, `evolve`,
`finalize`) decide that, too, and are its specification; they take five times as long, because they ask what cannot be
here. Whatever is not ordinary is theirs. A property test holds both ways to the same decision, and whoever changes a
rule has to look here only if it concerns this case.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import (
    NO_LIFE,
    AttemptEnded,
    AttemptGranted,
    AttemptTaken,
    StepResult,
    Transition,
    Transitions,
)
from tasker_kafka.schemas.state import StepState, Stub, TaskState
from tasker_kafka.schemas.words import Cause, Outcome, StepStatus, TaskStatus, TransitionEvent

from .decision import Decision, Moment
from .results import METADATA_BYTES, known_worker
from .retention import stub_of

__all__ = ["decide_success"]

_SUCCESS: Final = Outcome.SUCCESS
_RESULT: Final = Cause.RESULT
_EVALUATION: Final = Cause.EVALUATION
_PENDING: Final = StepStatus.PENDING
_ENQUEUED: Final = StepStatus.ENQUEUED
_IN_PROGRESS: Final = StepStatus.IN_PROGRESS
_COMPLETE: Final = StepStatus.COMPLETE
_TASK_IN_PROGRESS: Final = TaskStatus.IN_PROGRESS
_TASK_COMPLETE: Final = TaskStatus.COMPLETE
_TAKE: Final = TransitionEvent.EXECUTION_REQUESTED
_COMPLETED: Final = TransitionEvent.COMPLETED
_ENQUEUE: Final = TransitionEvent.ENQUEUE_REQUESTED
_ALL_DONE: Final = TransitionEvent.ALL_STEPS_DONE


def decide_success(state: TaskState, body: StepResult, moment: Moment) -> Decision | None:
    """The decision of an ordinary success; None: it is not one, ask the general rules."""
    plan = moment.plan
    if plan is None or body.outcome is not _SUCCESS or not _is_ordinary(state, plan):
        return None
    position = plan.index.get(body.step)
    if position is None or body.life != state.life:
        return None
    step = state.steps[position]
    if not _is_expected(step, body, plan):
        return None
    now = moment.timestamp if moment.timestamp > state.now else state.now
    transitions: list[Transition] = []
    steps = list(state.steps)
    steps[position] = _succeed(step, body, now, transitions)
    granted = _grant(plan.children[position], steps, now, transitions)
    enqueued = state.enqueued - 1 + granted
    if not enqueued:
        if state.pending != granted:
            return None
        transitions.append(Transition(None, _ALL_DONE, _TASK_IN_PROGRESS, _TASK_COMPLETE, now, _EVALUATION))
    record = Transitions(
        life=state.life,
        seq=state.seq + 1,
        command_offset=moment.offset,
        at=now,
        transitions=tuple(transitions),
    )
    if not enqueued:
        return Decision(record, _closed(state, now, plan))
    after = replace(
        state,
        seq=record.seq,
        now=now,
        pending=state.pending - granted,
        enqueued=enqueued,
        complete=state.complete + 1,
        steps=tuple(steps),
    )
    return Decision(record, after)


def _is_ordinary(state: TaskState, plan: Plan) -> bool:
    """A task in progress on its own plan, without anything that waits, runs reported, is held back or went wrong."""
    return (
        state.state is _TASK_IN_PROGRESS
        and not (state.in_progress or state.waiting_for_retry or state.failed or state.cancelled)
        and not state.ready
        and state.next_due is None
        and plan.is_untimed
        and plan.max_parallel_steps is None
        and plan.hash == state.plan_hash
        and state.life != NO_LIFE
    )


def _is_expected(step: StepState, body: StepResult, plan: Plan) -> bool:
    """The result of the attempt that is out, with nothing that is too large to be recorded as it is."""
    attempt, result, metadata = step.attempt, body.result, body.metadata
    return (
        step.state is _ENQUEUED
        and not step.reported
        and body.attempt == attempt
        and attempt > 0
        and (not isinstance(result, bytes) or len(result) <= plan.inline_limit)
        and (metadata is None or len(metadata) <= METADATA_BYTES)
    )


def _succeed(step: StepState, body: StepResult, now: int, transitions: list[Transition]) -> StepState:
    """Taken and completed at once; a worker's times lie within [dispatch, now]."""
    name, attempt, worker_id = step.name, body.attempt, known_worker(body.worker_id)
    started, finished, dispatched = body.started_at, body.finished_at, step.dispatched_at
    if dispatched is not None and started < dispatched:
        started = dispatched
    elif started > now:
        started = now
    if finished < started:
        finished = started
    elif finished > now:
        finished = now
    taken = AttemptTaken(attempt, worker_id, started)
    transitions.append(Transition(name, _TAKE, _ENQUEUED, _IN_PROGRESS, now, _RESULT, taken))
    ended = AttemptEnded(
        attempt=attempt,
        outcome=_SUCCESS,
        worker_id=worker_id,
        started_at=started,
        finished_at=finished,
        result=body.result,
        metadata=body.metadata,
    )
    transitions.append(Transition(name, _COMPLETED, _IN_PROGRESS, _COMPLETE, now, _RESULT, ended))
    return replace(
        step,
        state=_COMPLETE,
        started_at=started,
        worker_id=worker_id,
        result=body.result,
        completed_at=finished,
        next_retry_at=None,
        reported=False,
        answered=True,
    )


def _grant(children: tuple[int, ...], steps: list[StepState], now: int, transitions: list[Transition]) -> int:
    """Count the children down; who has no parent to wait for any more is dispatched. How many were."""
    granted = 0
    for position in children:
        step = steps[position]
        left = step.pending_parents - 1
        if left or step.state is not _PENDING:
            steps[position] = replace(step, pending_parents=left)
            continue
        granted += 1
        attempt = step.attempt + 1
        transitions.append(
            Transition(
                step.name, _ENQUEUE, _PENDING, _ENQUEUED, now, _EVALUATION, AttemptGranted(attempt, step.base)
            )
        )
        steps[position] = replace(
            step,
            pending_parents=0,
            state=_ENQUEUED,
            attempt=attempt,
            dispatched_at=now,
            started_at=None,
            reported=False,
            next_retry_at=None,
            requested_delay_ms=None,
            worker_id=None,
            answered=False,
        )
    return granted


def _closed(state: TaskState, now: int, plan: Plan) -> Stub:
    return stub_of(replace(state, state=_TASK_COMPLETE, closed_at=now, now=now), plan)
