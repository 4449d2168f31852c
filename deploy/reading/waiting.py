"""What waits for whom: why a task does not move now, in sentences that say what to do. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.words import (
    DONE_STEP_STATES,
    FINAL_TASK_STATES,
    GRANTED_STEP_STATES,
    STOPPED_STEP_STATES,
    Outcome,
    StepStatus,
    TaskStatus,
)

from .report import StepReport, TaskReport, WaitReport
from .workers import Workforce

__all__ = ["describe_queue", "duration_text", "find_waits"]


def find_waits(
    report: TaskReport, plan: Plan, workforce: Workforce | None, now: int
) -> tuple[WaitReport, ...]:
    """Every reason why something of an open (or failed) task does not move, in the order of its steps.

    workforce: None where the workers of `now` (ms) are not known, because it is past
    """
    if report.state in FINAL_TASK_STATES:
        return ()
    return tuple(_waits(report, plan, workforce, now))


def describe_queue(queue: str, handler: str, workforce: Workforce | None) -> tuple[str, str]:
    """(worker or handler, sentence): whom a dispatch on `queue` for `handler` waits for."""
    if workforce is None:
        return "worker", f"waits for a worker of steps.{queue}; who served it then is not in the log"
    serving = workforce.serving(queue)
    if not serving:
        return "worker", f"nobody consumes steps.{queue}: start `tasker worker` with that queue"
    if not workforce.knowing(queue, handler):
        known = ", ".join(each.worker_id for each in serving)
        return "handler", f"no worker of steps.{queue} knows handler {handler} ({known}): deploy it there"
    return "worker", f"waits for a free worker of steps.{queue} ({len(serving)} serve it)"


def duration_text(milliseconds: int) -> str:
    """`12 s`, `4 min`, `3 h`, `2 d`."""
    seconds = max(0, milliseconds) // 1000
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _waits(report: TaskReport, plan: Plan, workforce: Workforce | None, now: int) -> Iterator[WaitReport]:
    if report.state is TaskStatus.PENDING and report.next_due_at is not None:
        due = duration_text(report.next_due_at - now)
        yield WaitReport(step=None, waits_for="not_before", message=f"starts in {due}, as the request asked")
    steps = {step.name: step for step in report.steps}
    running = sum(step.state in GRANTED_STEP_STATES for step in report.steps)
    is_full = plan.max_parallel_steps is not None and running >= plan.max_parallel_steps
    is_open = report.state is not TaskStatus.ERROR
    for step in report.steps:
        wait = _step_wait(step, steps, workforce, now, is_full=is_full, is_open=is_open)
        if wait is not None:
            yield wait


def _step_wait(
    step: StepReport,
    steps: dict[str, StepReport],
    workforce: Workforce | None,
    now: int,
    *,
    is_full: bool,
    is_open: bool,
) -> WaitReport | None:
    if step.state is StepStatus.ENQUEUED:
        return _enqueued(step, workforce, now)
    if step.state is StepStatus.WAITING_FOR_RETRY:
        return _retrying(step, workforce, now)
    if step.state in STOPPED_STEP_STATES:
        return _stopped(step)
    if step.state is not StepStatus.PENDING:
        return None
    missing = [name for name in step.parents if steps[name].state not in DONE_STEP_STATES]
    if missing:
        return WaitReport(step=step.name, waits_for="parents", message=f"waits for {', '.join(missing)}")
    if is_full and is_open:
        return WaitReport(
            step=step.name, waits_for="limit", message="ready; max_parallel_steps of the template is reached"
        )
    return None


def _enqueued(step: StepReport, workforce: Workforce | None, now: int) -> WaitReport:
    since = step.history[-1].granted_at if step.history else now
    kind, why = describe_queue(step.queue, step.handler, workforce)
    return WaitReport(
        step=step.name,
        waits_for=kind,
        message=f"enqueued {duration_text(now - since)}: {why}",
        since_at=since,
    )


def _retrying(step: StepReport, workforce: Workforce | None, now: int) -> WaitReport:
    due = duration_text((step.next_retry_at or now) - now)
    message = f"attempt {step.attempts + 1} is due in {due}"
    if step.history and step.history[-1].outcome == Outcome.RETURNED:
        kind, why = describe_queue(step.queue, step.handler, workforce)
        return WaitReport(step=step.name, waits_for=kind, message=f"{message}: {why}")
    cause = "" if step.error is None else f" after {step.error.code}"
    return WaitReport(step=step.name, waits_for="retry", message=message + cause)


def _stopped(step: StepReport) -> WaitReport:
    why = "cancelled" if step.state is StepStatus.CANCELLED else "failed"
    code = "" if step.error is None else f" with {step.error.code}"
    return WaitReport(
        step=step.name,
        waits_for="operator",
        message=f"{why}{code}: `tasker step retry`, `resolve` or `complete` it",
    )
