"""`decide`: one command, one decision. Pure, total, and the only way into the log.

It gathers what the command's rules say into a draft, evaluates the task in the same decision, and returns one
record with the task after it; or says why the command changes nothing. It never raises: if the rules fail, the
task is quarantined (→ error, its running steps cancelled) and the partition goes on; without a task, or with a
closed one, what can be answered is answered as `internal` and the rest ignored.
"""

from __future__ import annotations

from typing import Final

from tasker_kafka.schemas.records import (
    NO_LIFE,
    Answer,
    Command,
    OperatorCommand,
    Reconcile,
    StartTask,
    StepResult,
    StepStarted,
    TimerDue,
    Transitions,
)
from tasker_kafka.schemas.state import Stub, TaskState
from tasker_kafka.schemas.words import CLOSED_TASK_STATES, AnswerCode

from .decision import Decision, Ignored, IgnoredReason, Moment
from .draft import Draft
from .errors import HistoryIncomplete
from .finalize import evaluate
from .fold import fold, settle
from .operators import answer_about, answer_closed, obey
from .quarantine import quarantine
from .reconcile import look_again
from .results import take_result, take_started
from .starting import create, refusal
from .straight import decide_success
from .waking import wake_up

__all__ = ["by_rules", "decide"]

_Report = StepStarted | StepResult | TimerDue | Reconcile
_REPORTS: Final = (StepResult, StepStarted, TimerDue, Reconcile)


def decide(state: TaskState | Stub | None, command: Command, moment: Moment) -> Decision | Ignored:
    """What a command makes of a task. Never raises."""
    body = command.body
    if isinstance(body, StepResult) and isinstance(state, TaskState):
        try:
            decision = decide_success(state, body, moment)
        except Exception as fault:
            return _failed(state, command, moment, fault)
        if decision is not None:
            return decision
    return by_rules(state, command, moment)


def by_rules(state: TaskState | Stub | None, command: Command, moment: Moment) -> Decision | Ignored:
    """As `decide`, always the general way."""
    try:
        body = command.body
        if isinstance(body, _REPORTS):
            return _report(state, command.task_id, body, moment)
        if isinstance(body, OperatorCommand):
            return _operate(state, command.task_id, body, moment)
        if isinstance(body, StartTask):
            return _start(state, command.task_id, body, moment)
        return Ignored(IgnoredReason.NOT_DECIDED)
    except Exception as fault:
        return _failed(state, command, moment, fault)


def _report(
    state: TaskState | Stub | None, task_id: bytes, body: _Report, moment: Moment
) -> Decision | Ignored:
    """What a worker, a timer or the reconciler says about a step or a task."""
    if not isinstance(state, TaskState):
        return Ignored(IgnoredReason.UNKNOWN_TASK if state is None else IgnoredReason.FINAL_TASK)
    if body.life != state.life:
        return Ignored(IgnoredReason.OTHER_LIFE)
    if state.state in CLOSED_TASK_STATES:
        return Ignored(IgnoredReason.CLOSED_TASK)
    draft = _draft(state, task_id, moment)
    reason = _take(draft, body)
    if reason is not None:
        return Ignored(reason)
    evaluate(draft)
    return _decided(draft, moment)


def _take(draft: Draft, body: _Report) -> IgnoredReason | None:
    if isinstance(body, StepResult):
        return take_result(draft, body)
    if isinstance(body, StepStarted):
        return take_started(draft, body)
    return wake_up(draft, body) if isinstance(body, TimerDue) else look_again(draft, body)


def _operate(
    state: TaskState | Stub | None, task_id: bytes, body: OperatorCommand, moment: Moment
) -> Decision:
    """What an operator asks for is always answered."""
    if not isinstance(state, TaskState):
        return _answered(state, answer_closed(state, task_id, body), moment)
    if (answer := answer_about(state, body)) is not None:
        return _answered(state, answer, moment)
    draft = _draft(state, task_id, moment)
    answer = obey(draft, body)
    if draft.transitions:
        evaluate(draft)
    return _decided(draft, moment, answer)


def _start(
    state: TaskState | Stub | None, task_id: bytes, body: StartTask, moment: Moment
) -> Decision | Ignored:
    refused = refusal(state, task_id, body, moment)
    if isinstance(refused, IgnoredReason):
        return Ignored(refused)
    if refused is not None:
        code, message = refused
        return _answered(state, Answer(body.request_id, code, message), moment)
    draft = _draft(None, task_id, moment)
    create(draft, body)
    return _decided(draft, moment)


def _draft(state: TaskState | None, task_id: bytes, moment: Moment) -> Draft:
    plan = moment.plan
    if plan is None or (state is not None and plan.hash != state.plan_hash):
        raise HistoryIncomplete("the plan that the task runs on is not at hand")
    now = moment.timestamp if state is None else max(state.now, moment.timestamp)
    return Draft(state, plan, task_id=task_id, now=now)


def _decided(draft: Draft, moment: Moment, answer: Answer | None = None) -> Decision:
    before = None if draft.origin is None or draft.origin.life == NO_LIFE else draft.origin
    record = Transitions(
        life=moment.offset if before is None else before.life,
        seq=1 if before is None else before.seq + 1,
        command_offset=moment.offset,
        at=draft.now,
        transitions=tuple(draft.transitions),
        answer=answer,
    )
    return Decision(record, settle(draft, record))


def _answered(
    state: TaskState | Stub | None, answer: Answer, moment: Moment, fault: BaseException | None = None
) -> Decision:
    """A record that holds nothing but an answer."""
    seq, at = 0, moment.timestamp
    if isinstance(state, TaskState):
        seq, at = state.seq + 1, max(state.now, moment.timestamp)
    life = NO_LIFE if state is None else state.life
    record = Transitions(
        life=life, seq=seq, command_offset=moment.offset, at=at, transitions=(), answer=answer
    )
    return Decision(record, fold(state, record, None), fault)


def _failed(
    state: TaskState | Stub | None, command: Command, moment: Moment, fault: Exception
) -> Decision | Ignored:
    """The rules failed. Quarantine, answer or ignore; ignoring cannot fail."""
    try:
        if isinstance(state, TaskState) and state.state not in CLOSED_TASK_STATES:
            return quarantine(state, command, moment, fault)
        text = f"the engine's rules failed with {type(fault).__name__}; its log says more"
        body = command.body
        if isinstance(body, OperatorCommand):
            return _answered(state, Answer(body.command_id, AnswerCode.INTERNAL, text), moment, fault)
        if isinstance(body, StartTask):
            return _answered(state, Answer(body.request_id, AnswerCode.INTERNAL, text), moment, fault)
    except Exception as second:
        return Ignored(IgnoredReason.INTERNAL, second)
    return Ignored(IgnoredReason.INTERNAL, fault)
