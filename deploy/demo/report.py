"""The end of the demo: each task's DAG with states, attempts and durations, its output, and what went wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tasker_kafka.deploy.reading import SIGNS, Branch, StepReport, TaskReport, branches
from tasker_kafka.schemas.identity import format_id
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.words import TaskStatus

from .screen import STYLES
from .stories import Story, differences

__all__ = ["Ending", "faults", "print_ending"]

INDENT: Final = (0, 0, 0, 2)


@dataclass(frozen=True)
class Ending:
    """How a story's task ended, as the log tells it."""

    story: Story
    report: TaskReport
    plan: Plan


def faults(ending: Ending) -> list[str]:
    """What is not as the story says; empty: it ended as it should."""
    story, report = ending.story, ending.report
    wrong: list[str] = []
    if report.state is not TaskStatus.COMPLETE:
        wrong.append(f"the task is {report.state}, the story says complete")
    else:
        wrong += differences(story.output, report.output)
    for step in report.steps:
        failed = tuple(each.error.code for each in step.history if each.error is not None)
        expected = story.failures.get(step.name, ())
        if failed != expected:
            wrong.append(
                f"failed attempts of {step.name}: {failed or 'none'}, the story says {expected or 'none'}"
            )
    if story.mend is not None and not any(each.actor for each in report.transitions):
        wrong.append("no operator's command is in the history")
    return wrong


def print_ending(console: Console, ending: Ending) -> None:
    """One task: head, steps, output."""
    report = ending.report
    head = Text.assemble(
        (ending.story.name, "bold"),
        f"  {report.namespace}/{report.template}@{report.version}  ",
        (format_id(report.task_id), "dim"),
    )
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("step", "state", "attempts", "took", ""):
        table.add_column(column, header_style="dim", no_wrap=bool(column), overflow="fold")
    steps = {step.name: step for step in report.steps}
    for branch in branches(ending.plan):
        table.add_row(*_row(branch, steps[branch.step.name]))
    console.print()
    console.print(head, soft_wrap=True)
    console.print(Padding(table, INDENT, expand=False))
    for line in _foot(report):
        # A pipe gets each line whole.
        text = Text(f"{' ' * INDENT[3]}{line}") if not console.is_terminal else Padding(Text(line), INDENT)
        console.print(text, soft_wrap=not console.is_terminal)


def _row(branch: Branch, step: StepReport) -> tuple[Text, ...]:
    style = STYLES[step.state]
    name = Text.assemble((branch.lead, "dim"), (SIGNS[step.state], style), f" {step.name}")
    if branch.is_known:
        return name, Text("(see above)", style="dim"), Text(), Text(), Text()
    return (
        name,
        Text(str(step.state), style=style),
        Text(f"{step.attempts} of {step.max_attempts}"),
        Text(_took(step)),
        Text("; ".join(_remarks(branch, step)), style="dim"),
    )


def _took(step: StepReport) -> str:
    """From the first attempt's grant to the step's end: queue, handler, backoff and all."""
    if not step.history or step.completed_at is None:
        return "–"
    return f"{step.completed_at - step.history[0].granted_at:,} ms"


def _remarks(branch: Branch, step: StepReport) -> Iterator[str]:
    others = [name for name in branch.step.parents if name != branch.parent]
    if others:
        yield f"also after {', '.join(others)}"
    for each in step.history:
        if each.error is not None:
            yield f"attempt {each.attempt}: {each.error.code}"


def _foot(report: TaskReport) -> Iterator[str]:
    for each in report.transitions:
        if each.actor is not None and each.entity == "task":
            yield f"{each.actor}: {each.event}, because {each.reason}"
    if report.closed_at is None:
        yield f"{report.state}"
    else:
        yield f"{report.state} {(report.closed_at - report.created_at) / 1000:.2f} s after the request"
    if report.error is not None:
        yield f"{report.error.code}: {report.error.message}"
    yield f"output {json.dumps(report.output, ensure_ascii=False)}"
