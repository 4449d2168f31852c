"""Templates as markup: the list, and one version with its levels, critical path and what it took so far. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from tasker_kafka.deploy.console.backend import TemplateDetails, TemplateRow, TemplateStep
from tasker_kafka.streams.projection import BottleneckRow, PerformanceRow, Spread

from .markup import Markup, cut, facts, json_block, table, tag

__all__ = [
    "STEP_COLUMNS",
    "levels",
    "milliseconds",
    "path_of",
    "performance",
    "plan_facts",
    "plan_json",
    "step_table",
    "template_table",
]

STEP_COLUMNS: Final = (
    "Step", "Level", "Handler", "After", "Attempts", "Timeout", "Ran p50 / p95 / p99", "Waited p95",
    "Failed", "Retried",
)  # fmt: skip


def path_of(row: TemplateRow) -> str:
    """The address of a version's page."""
    return f"/console/templates/{row.namespace}/{row.name}/{row.version}"


def template_table(rows: Sequence[TemplateRow], text: str) -> Markup:
    """Every version whose name fits the text; latest ones say so."""
    wanted = text.casefold().strip()
    shown = [each for each in rows if wanted in f"{each.namespace}/{each.name} {each.description}".casefold()]
    empty = "No template fits." if rows else "No template is published: `tasker template publish`."
    return table("Templates", ("Template", "Version", "Steps", "Description"), map(_row, shown), empty=empty)


def plan_facts(details: TemplateDetails) -> Markup:
    """What the version says of itself."""
    row, plan = details.template, details.plan
    lifecycle: Mapping[str, object] = plan.get("lifecycle", {})
    seconds = details.critical_path_seconds
    pairs: list[tuple[str, object]] = [
        ("Steps", row.steps),
        ("Levels", len(details.levels)),
        ("Identity", plan.get("identity", "always_unique")),
        ("Failure policy", plan.get("failure_policy", "continue")),
        ("Most steps at once", plan.get("max_parallel_steps") or "no limit"),
        ("When blocked", lifecycle.get("on_blocked", "fail")),
        ("Critical path", " → ".join(details.critical_path) or None),
        ("It takes", "not measured yet" if seconds is None else f"{seconds:g} s (medians)"),
        ("Plan", tag("code", cut(row.plan_hash.hex(), 17))),
    ]
    return facts(pairs)


def levels(details: TemplateDetails) -> Markup:
    """The steps by level: those of one level may run beside each other."""
    return table(
        "Levels",
        ("Level", "Steps", "Names"),
        (
            tag(
                "tr",
                tag("td", number),
                tag("td", len(names)),
                tag("td", cut(", ".join(names), 2000), class_="wide"),
            )
            for number, names in enumerate(details.levels)
        ),
        empty="No steps.",
    )


def step_table(details: TemplateDetails, measured: Iterable[BottleneckRow]) -> Markup:
    """The steps with their rules, and how long they took in the tasks that the projection holds."""
    known = {each.step: each for each in measured}
    critical = {*details.critical_path}
    return table(
        "Steps",
        STEP_COLUMNS,
        (_step(each, known.get(each.name), is_critical=each.name in critical) for each in details.steps),
        empty="No steps.",
    )


def performance(rows: Sequence[PerformanceRow]) -> Markup:
    """Closed tasks by version."""
    return table(
        "Closed tasks by version",
        (
            "Version",
            "Tasks",
            "Complete",
            "Failed",
            "Cancelled",
            "Resolved",
            "Took p50",
            "Took p95",
            "Took p99",
            "Longest",
        ),
        map(_performance, rows),
        empty="No task of this template has been closed in the time that the projection keeps.",
    )


def plan_json(details: TemplateDetails) -> Markup:
    """The whole compiled plan."""
    return tag("details", tag("summary", "The compiled plan"), json_block(details.plan, "Plan"))


def _row(row: TemplateRow) -> Markup:
    return tag(
        "tr",
        tag("td", tag("a", f"{row.namespace}/{row.name}", href=path_of(row)), class_="name-cell"),
        tag(
            "td",
            row.version,
            tag("span", " latest", class_="tag") if row.is_latest else None,
            class_="nowrap",
        ),
        tag("td", row.steps),
        tag("td", row.description, class_="wide"),
    )


def _step(step: TemplateStep, measured: BottleneckRow | None, *, is_critical: bool) -> Markup:
    mark = tag("span", "critical path", class_="tag") if is_critical else None
    queue = tag("div", f"queue {step.queue}", class_="muted")
    ran = waited = failed = retried = "–"
    if measured is not None:
        spread = measured.run_time
        ran = " / ".join(map(milliseconds, (spread.p50, spread.p95, spread.p99)))
        waited = milliseconds(measured.queue_time.p95)
        failed, retried = f"{measured.failure_rate:.1%}", f"{measured.retry_rate:.1%}"
    return tag(
        "tr",
        tag("td", step.name, " ", mark, class_="name-cell"),
        tag("td", step.dependency_level),
        tag("td", tag("code", step.handler), queue, class_="break-cell"),
        tag("td", cut(", ".join(step.parents), 120), class_="wide"),
        tag("td", step.max_attempts),
        tag("td", f"{step.timeout_seconds:g} s", class_="nowrap"),
        tag("td", ran, class_="nowrap"),
        tag("td", waited, class_="nowrap"),
        tag("td", failed),
        tag("td", retried),
        id=f"step-{step.name}",
    )


def _performance(row: PerformanceRow) -> Markup:
    spread: Spread = row.duration
    times = (spread.p50, spread.p95, spread.p99, spread.longest)
    return tag(
        "tr",
        tag("td", row.version),
        tag("td", f"{row.tasks:,}"),
        tag("td", f"{row.completed:,}"),
        tag("td", f"{row.failed:,} ({row.failure_rate:.1%})"),
        tag("td", f"{row.cancelled:,}"),
        tag("td", f"{row.resolved:,}"),
        *(tag("td", milliseconds(each), class_="nowrap") for each in times),
    )


def milliseconds(value: int | None) -> str:
    """`45 ms`, `1.25 s`, `12 min`; a dash for none."""
    if value is None:
        return "–"
    if value < 1000:
        return f"{value} ms"
    return f"{value / 1000:.3g} s" if value < 120_000 else f"{value / 60_000:.3g} min"
