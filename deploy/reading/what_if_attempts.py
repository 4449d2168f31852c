"""How each attempt of a recorded task went, and how it would have gone under other limits. Pure.

A course is what was heard of one attempt, as delays from its grant, so that it can be heard again after another one. A
limit of the changed plan that is below what was recorded ends the attempt there, as a worker or the engine would have.
An attempt that a limit has ended, and which would have had longer, has no known outcome: it is assumed.
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Final

import msgspec
from msgspec.structs import replace

from tasker_kafka.schemas.plan import PlanStep
from tasker_kafka.schemas.records import Failure, StepResult, StepStarted, TimerDue
from tasker_kafka.schemas.schema_check import schema_for
from tasker_kafka.schemas.words import Outcome, TimerKind

__all__ = ["Assume", "Course", "Heard", "assumed", "moved", "under_limits"]

TIMEOUT: Final = "timeout"
QUEUE_TIMEOUT: Final = "queue_timeout"
NOT_RECORDED: Final = 1 << 62
"""Order of what was not recorded: after everything that was, at the same time."""


class Assume(StrEnum):
    """How an attempt ends of which nothing is recorded."""

    SUCCESS = "success"
    FAILURE = "failure"


class Heard(msgspec.Struct, frozen=True):
    """One command about an attempt. Times in `body` are those recorded."""

    delay: int
    """ms from the grant to the decision."""
    order: int
    """Offset of the command."""
    body: StepResult | StepStarted | TimerDue
    is_assumed: bool = False


class Course(msgspec.Struct, frozen=True):
    """All that was heard of one attempt. Nothing: it was under way, or cancelled, when the record ends."""

    step: str
    attempt: int
    granted_at: int
    heard: tuple[Heard, ...] = ()

    @property
    def end(self) -> Heard | None:
        """What ended it; a success that came later than its time-out is not it."""
        return next((each for each in self.heard if not isinstance(each.body, StepStarted)), None)

    @property
    def started_after(self) -> int | None:
        """ms from the grant to the start of the handler; None: not known, or it never started."""
        for each in self.heard:
            body = each.body
            if isinstance(body, StepStarted):
                return max(0, body.started_at - self.granted_at)
            if isinstance(body, StepResult) and not _is_unrun(body):
                return max(0, body.started_at - self.granted_at)
        return None


def moved(heard: Heard, shift: int) -> Heard:
    """The same, heard of a grant that is `shift` ms later."""
    body = heard.body
    if not shift or isinstance(body, TimerDue):
        return heard
    if isinstance(body, StepStarted):
        return replace(heard, body=replace(body, started_at=body.started_at + shift))
    times = {"started_at": body.started_at + shift, "finished_at": body.finished_at + shift}
    return replace(heard, body=replace(body, **times))


def assumed(step: str, attempt: int, granted_at: int, assume: Assume, *, delay: int, life: int) -> Heard:
    """An end that nobody has recorded: no result, `delay` ms after the grant."""
    is_success = assume is Assume.SUCCESS
    body = StepResult(
        life=life,
        step=step,
        attempt=attempt,
        outcome=Outcome.SUCCESS if is_success else Outcome.FAILURE,
        worker_id="",
        started_at=granted_at,
        finished_at=granted_at + delay,
        failure=None
        if is_success
        else Failure(type="Assumed", code="assumed", message="nothing is recorded; failure is assumed"),
    )
    return Heard(delay, NOT_RECORDED, body, is_assumed=True)


def under_limits(
    course: Course, old: PlanStep, new: PlanStep, assume: Assume, *, life: int
) -> tuple[Heard, ...] | None:
    """What would have been heard under the changed step; None: the same.

    Compared are queue_timeout, timeout, heartbeat_timeout (lengthened only) and result_schema.
    """
    end = course.end
    if _is_shorter(new.queue_timeout_ms, old.queue_timeout_ms) and new.queue_timeout_ms is not None:
        waited = _first(course.started_after, None if end is None else end.delay)
        if waited is None or waited > new.queue_timeout_ms:
            timer = TimerDue(
                life=life,
                kind=TimerKind.QUEUE_TIMEOUT,
                due_at=course.granted_at + new.queue_timeout_ms,
                step=course.step,
                attempt=course.attempt,
            )
            return (Heard(new.queue_timeout_ms, NOT_RECORDED, timer),)
    if new.timeout_ms < old.timeout_ms and (cut := _cut_short(course, new, life)) is not None:
        return cut
    if end is None:
        return None
    if _was_lengthened(end, old, new):
        found = assumed(course.step, course.attempt, course.granted_at, assume, delay=end.delay, life=life)
        before = tuple(each for each in course.heard if isinstance(each.body, StepStarted))
        return (*before, found)
    return _judged(course, old, new)


def _cut_short(course: Course, new: PlanStep, life: int) -> tuple[Heard, ...] | None:
    """The worker's answer at the shorter timeout, if the handler ran longer."""
    started, end = course.started_after, course.end
    if started is None:
        return None
    ran = None
    if end is not None and isinstance(end.body, StepResult):
        ran = end.body.finished_at - course.granted_at - started
    elif end is not None:
        ran = end.delay - started
    if ran is not None and ran <= new.timeout_ms:
        return None
    at = started + new.timeout_ms
    text = f"the handler ran longer than {new.timeout_ms / 1000:g} s and was stopped"
    worker = next((each.body.worker_id for each in course.heard if not isinstance(each.body, TimerDue)), "")
    body = StepResult(
        life=life,
        step=course.step,
        attempt=course.attempt,
        outcome=Outcome.FAILURE,
        worker_id=worker,
        started_at=course.granted_at + started,
        finished_at=course.granted_at + at,
        failure=Failure(type="Timeout", code=TIMEOUT, message=text),
    )
    before = tuple(each for each in course.heard if isinstance(each.body, StepStarted) and each.delay <= at)
    return (*before, Heard(at, NOT_RECORDED, body))


def _was_lengthened(end: Heard, old: PlanStep, new: PlanStep) -> bool:
    """Whether a limit ended the attempt that would now come later."""
    body = end.body
    if isinstance(body, TimerDue):
        kind = body.kind
        if kind is TimerKind.QUEUE_TIMEOUT:
            return _is_shorter(old.queue_timeout_ms, new.queue_timeout_ms)
        if kind is TimerKind.HEARTBEAT:
            return new.heartbeat_timeout_ms > old.heartbeat_timeout_ms
        return new.timeout_ms > old.timeout_ms
    code = body.failure.code if isinstance(body, StepResult) and body.failure is not None else None
    if code == TIMEOUT:
        return new.timeout_ms > old.timeout_ms
    return code == QUEUE_TIMEOUT and _is_shorter(old.queue_timeout_ms, new.queue_timeout_ms)


def _judged(course: Course, old: PlanStep, new: PlanStep) -> tuple[Heard, ...] | None:
    """The worker's answer where a result violates the changed `result_schema`."""
    if new.result_schema is None or new.result_schema == old.result_schema:
        return None
    end = course.end
    body = None if end is None else end.body
    if end is None or not isinstance(body, StepResult) or body.outcome is not Outcome.SUCCESS:
        return None
    if not isinstance(body.result, bytes):
        return None
    violations = schema_for(new.result_schema).violations(json.loads(body.result), root="result")
    if not violations:
        return None
    text = f"the result violates the step's result_schema: {violations[0]}"
    failure = Failure(type="ResultSchemaViolation", code="invalid_result", message=text, retryable=False)
    other = replace(body, outcome=Outcome.FAILURE, result=None, failure=failure)
    before = tuple(each for each in course.heard if isinstance(each.body, StepStarted))
    return (*before, Heard(end.delay, end.order, other))


def _is_unrun(body: StepResult) -> bool:
    """Whether the dispatch was answered without running the handler."""
    if body.outcome is Outcome.RETURNED:
        return True
    return body.failure is not None and body.failure.code == QUEUE_TIMEOUT


def _is_shorter(one: int | None, other: int | None) -> bool:
    """Of two limits, None being none."""
    return one is not None and (other is None or one < other)


def _first(*values: int | None) -> int | None:
    return next((each for each in values if each is not None), None)
