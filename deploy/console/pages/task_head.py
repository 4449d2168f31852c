"""The top of a task's page: how it stands, what it needs, whom it waits for, and how fresh that is. Pure."""

from __future__ import annotations

from typing import Final

from tasker_kafka.deploy.console.backend.shapes import Source, TaskDetails
from tasker_kafka.deploy.reading import WaitReport
from tasker_kafka.schemas.identity import format_id
from tasker_kafka.schemas.words import StepStatus, TaskStatus

from .markup import EMPTY, Markup, chip, cut, facts, join, prose, tag, took_text, when, words
from .theme import state_class

__all__ = ["freshness", "head", "overview", "progress", "waits"]

UNKNOWN: Final = "unknown"
"""What a request says that gave no reason."""
SHOWN_WAITS: Final = 12
"""Reasons in sight; a task of a thousand steps has as many, behind "all"."""

_HEALTH_STATE: Final = {
    "healthy": StepStatus.COMPLETE,
    "recovering": StepStatus.WAITING_FOR_RETRY,
    "blocked": StepStatus.ERROR,
}
_PARTS: Final = (
    ("completed_steps", StepStatus.COMPLETE, "done"),
    ("in_progress_steps", StepStatus.IN_PROGRESS, "enqueued or running"),
    ("retrying_steps", StepStatus.WAITING_FOR_RETRY, "waiting for retry"),
    ("failed_steps", StepStatus.ERROR, "failed"),
    ("cancelled_steps", StepStatus.CANCELLED, "cancelled"),
    ("pending_steps", StepStatus.PENDING, "pending"),
)


def head(details: TaskDetails) -> Markup:
    """Template, id, state and progress in one line."""
    report = details.report
    template = f"/console/templates/{report.namespace}/{report.template}/{report.version}"
    return join(
        (
            tag(
                "p",
                tag("a", "Tasks", href="/console"),
                " / ",
                tag("a", f"{report.namespace}/{report.template}@{report.version}", href=template),
                class_="crumbs",
            ),
            tag(
                "div",
                tag("h1", report.template),
                chip(report.state),
                chip(_HEALTH_STATE.get(report.health_status, StepStatus.PENDING), report.health_status),
                tag("code", format_id(report.task_id), class_="muted", id="task-id"),
                class_="line",
            ),
        )
    )


def progress(details: TaskDetails) -> Markup:
    """A bar with a part per kind of state, and the same in words."""
    context = details.summary.context
    total = max(1, context.total_steps)
    counts = [(getattr(context, field), state, text) for field, state, text in _PARTS]
    bar = tag(
        "div",
        *(
            tag("i", class_=state_class(state), style=f"width:{100 * count / total:.3f}%")
            for count, state, _ in counts
            if count
        ),
        class_="bar",
        aria_hidden="true",
    )
    told = ", ".join(f"{count} {text}" for count, _, text in counts if count)
    said = f"{context.completion_percentage:g} % of {context.total_steps} steps" + (
        f": {told}" if told else ""
    )
    return tag("div", bar, tag("p", said, class_="note"), class_="stack tight", id="progress")


def overview(details: TaskDetails, now: int) -> Markup:
    """What is known of the task beside its steps."""
    report, summary = details.report, details.summary
    end = report.closed_at if report.closed_at is not None else now
    first: list[tuple[str, object]] = [
        ("Recommended action", words(report.recommended_action)),
        ("Execution", words(report.execution_status)),
        ("Ready now", ", ".join(summary.next_executable_steps[:6]) or None),
        ("Created", when(report.created_at)),
        ("Took" if report.closed_at else "Since", took_text(report.created_at, end)),
        ("Reason", None if report.reason == UNKNOWN else cut(report.reason, 400)),
    ]
    more: list[tuple[str, object]] = [
        ("Started", when(report.started_at)),
        ("Closed", when(report.closed_at)),
        ("Next timer", None if report.next_due_at is None else when(report.next_due_at, now)),
        (
            "Tags",
            Markup(" ").join(tag("span", each, class_="tag", title=each) for each in report.tags) or None,
        ),
        ("Initiator", f"{report.initiator} · {report.source_system}"),
        ("Correlation id", tag("code", report.correlation_id)),
        ("Identity", words(report.identity)),
        ("Place", f"partition {report.partition}, seq {report.seq}, life {report.life}"),
        ("Parallelism", f"{words(summary.processing_strategy)}, {words(summary.parallelism_potential)}"),
        ("Efficiency", words(summary.workflow_efficiency)),
        ("Levels", summary.max_dependency_level + 1 if report.steps else 0),
        ("Roots", cut(", ".join(summary.root_step_names), 200) or None),
    ]
    rest = tag("details", tag("summary", "More"), facts(more))
    return tag("div", _error(details), facts(first), rest, class_="stack")


def waits(details: TaskDetails) -> Markup:
    """What waits for whom, in sentences that say what to do; those that need somebody first."""
    every = sorted(details.report.waiting, key=_urgency)
    if not every:
        return EMPTY
    others = [_wait(details, each) for each in every if each.waits_for != "parents"]
    lines = others or [_wait(details, each) for each in every]
    rest = lines[SHOWN_WAITS:] + [_wait(details, each) for each in every[len(lines) :]]
    more = (
        tag("details", tag("summary", f"{len(rest)} more"), tag("ul", *rest, class_="waits"))
        if rest
        else None
    )
    shown = tag("ul", *lines[:SHOWN_WAITS], class_="waits")
    return tag("section", tag("h2", "What waits for whom"), shown, more, class_="panel")


def freshness(details: TaskDetails) -> Markup:
    """Where this was read, up to which record, and what is missing."""
    moment = details.moment
    source = "the projection" if details.is_from is Source.PROJECTION else "the log itself"
    late = f", which is {details.behind_seconds:.0f} s behind" if details.behind_seconds >= 2 else ""
    said = tag(
        "p",
        f"Read from {source}{late}; newest record: seq {moment.seq}, offset {moment.partition}:{moment.offset}, ",
        when(moment.recorded_at),
        ".",
        class_="note",
    )
    notes = (tag("p", f"{each}.", class_="alert tone-retry") for each in details.notes)
    return tag("div", said, *notes, id="freshness", class_="stack tight")


def _error(details: TaskDetails) -> Markup | None:
    error = details.report.error
    if error is None or details.report.state is not TaskStatus.ERROR:
        return None
    steps = f". Failed steps: {', '.join(error.failed_steps)}." if error.failed_steps else ""
    return tag("p", tag("b", error.code), ": ", error.message, steps, class_="alert tone-failed")


def _urgency(wait: WaitReport) -> int:
    order = ("operator", "worker", "handler", "limit", "retry", "not_before", "parents")
    return order.index(wait.waits_for) if wait.waits_for in order else len(order)


def _wait(details: TaskDetails, wait: WaitReport) -> Markup:
    if wait.step is None:
        return tag("li", tag("b", "task"), tag("span", prose(wait.message)))
    step = details.step(wait.step)
    name = tag("a", wait.step, href=f"?step={wait.step}", data_act="step", data_value=wait.step)
    return tag("li", None if step is None else chip(step.state), name, tag("span", prose(wait.message)))
