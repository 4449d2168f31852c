"""How a task looks in a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from .console import console, moment, print_table, print_text

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

    from tasker_kafka.deploy.reading import StepReport, TaskReport, TaskRow

__all__ = ["LIST_COLUMNS", "Screen", "list_row", "print_report"]

LIST_COLUMNS = ("task", "template", "version", "state", "steps", "created", "closed")
STEP_COLUMNS = ("step", "state", "attempts", "started", "took", "result or error")
TRANSITION_COLUMNS = ("offset", "seq", "at", "entity", "change", "event", "cause", "by")
ACT_COLUMNS = ("at", "by", "what", "of", "reason")
SHOWN = 60
"""Characters of a value in a table."""


def list_row(row: TaskRow) -> tuple[str, ...]:
    """One row of `task list`."""
    from tasker_kafka.schemas.identity import format_id

    done = "–" if row.completed_steps is None else str(row.completed_steps)
    return (
        format_id(row.task_id),
        f"{row.namespace}/{row.template}",
        row.version,
        str(row.state),
        f"{done}/{'–' if row.total_steps is None else row.total_steps}",
        moment(row.created_at),
        moment(row.closed_at),
    )


def print_report(report: TaskReport, *, with_transitions: bool) -> None:
    """The whole report."""
    print_text("\n".join(head_lines(report)))
    print_table(STEP_COLUMNS, [step_row(step) for step in report.steps], title="", empty="no steps")
    if report.waiting:
        print_text("\n" + "\n".join(waiting_lines(report)))
    retried = [step for step in report.steps if len(step.history) > 1]
    for step in retried:
        rows = [
            (
                str(each.attempt),
                each.outcome or "running",
                each.worker_id or "–",
                moment(each.started_at),
                "" if each.counted else "not counted",
                "" if each.error is None else f"{each.error.code}: {each.error.message}",
            )
            for each in step.history
        ]
        columns = ("attempt", "outcome", "worker", "started", "", "error")
        print_table(columns, rows, title=f"\nattempts of {step.name}")
    if acts := act_rows(report):
        print_table(ACT_COLUMNS, acts, title="\nwhat operators did")
    if with_transitions:
        print_table(TRANSITION_COLUMNS, transition_rows(report), title="\ntransitions")


def head_lines(report: TaskReport) -> Iterator[str]:
    """The lines above the steps."""
    from tasker_kafka.schemas.identity import format_id

    yield f"task      {format_id(report.task_id)}  (life {report.life}, partition {report.partition})"
    yield f"template  {report.namespace}/{report.template}@{report.version}"
    yield f"state     {report.state}  ({report.completion_percentage:g} % of {len(report.steps)} steps)"
    yield f"created   {moment(report.created_at)}  closed {moment(report.closed_at)}  by {report.initiator}"
    yield f"context   {shortened(report.context)}"
    if report.output is not None:
        yield f"output    {shortened(report.output)}"
    if report.error is not None:
        yield f"error     {report.error.code}: {report.error.message}"


def waiting_lines(report: TaskReport) -> Iterator[str]:
    """What waits for whom."""
    for each in report.waiting:
        yield f"  {each.step or 'task'}: {each.message}"


def step_row(step: StepReport) -> tuple[str, ...]:
    """One row of the steps."""
    error = "" if step.error is None else f"{step.error.code}: {step.error.message}"
    took = "–"
    # What an operator completed or resolved has not run until then.
    last = step.history[-1] if step.history else None
    if last is not None and last.outcome == "success" and None not in (last.started_at, last.finished_at):
        took = f"{max(0, (last.finished_at or 0) - (last.started_at or 0)) / 1000:g} s"
    return (
        step.name,
        str(step.state),
        f"{step.attempts}/{step.max_attempts}",
        moment(step.started_at),
        took,
        error or ("" if step.result is None else shortened(step.result)),
    )


def transition_rows(report: TaskReport) -> Iterator[tuple[str, ...]]:
    """One row per edge."""
    for each in report.transitions:
        by = "" if each.actor is None else f"{each.actor}: {each.reason}"
        yield (
            str(each.offset),
            str(each.seq),
            moment(each.at),
            each.entity,
            f"{each.from_state or '–'} → {each.to_state}",
            str(each.event),
            str(each.cause),
            by,
        )


def act_rows(report: TaskReport) -> list[tuple[str, ...]]:
    """What operators did, one row per thing that they asked for."""
    return [
        (moment(each.at), each.actor, str(each.event), each.entity, each.reason or "")
        for each in report.transitions
        if each.actor is not None
    ]


def shortened(value: Any) -> str:
    """A value as JSON, cut to what a line holds."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


class Screen(AbstractContextManager["Screen"]):
    """Shows a task that changes: redrawn in a terminal, a line per change elsewhere."""

    def __init__(self, *, is_live: bool) -> None:
        self._is_live = is_live
        self._last: tuple[str, ...] = ()
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self._is_live and console().is_terminal:
            from rich.live import Live

            self._live = Live(console=console(), auto_refresh=False)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, report: TaskReport) -> None:
        """Show the task as it is now."""
        if self._live is not None:
            self._live.update(self._drawn(report), refresh=True)
        elif self._is_live:
            now = (f"task {report.state}", *(f"{step.name} {step.state}" for step in report.steps))
            for line in now:
                if line not in self._last:
                    print_text(line)
            self._last = now

    def _drawn(self, report: TaskReport) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        from .tables import table_of

        head = Text("\n".join(head_lines(report)))
        waits = Text("\n".join(waiting_lines(report)))
        steps = table_of(STEP_COLUMNS, [step_row(step) for step in report.steps], width=console().width)
        return Group(head, "", steps, waits)
