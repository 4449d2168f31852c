"""How figures look: percentiles as numbers with a bar that compares them down the table. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tasker_kafka.streams.projection import BottleneckRow, PerformanceRow, Spread

from .markup import EMPTY, Markup, Number, table, tag
from .ops_parts import seconds_text

__all__ = ["bottleneck_table", "percent", "performance_table"]

MOST_STEPS = 100
_WAITS = ("Wait p50", "Wait p95", "Wait p99")


def performance_table(rows: Iterable[PerformanceRow]) -> Markup:
    """One line for each template version with closed tasks."""
    found = sorted(rows, key=lambda row: (-row.tasks, row.namespace, row.template, row.version))
    longest = max((row.duration.p95 or 0 for row in found), default=0)
    drawn = (
        tag(
            "tr",
            tag("td", _template_link(row), class_="name-cell"),
            tag("td", f"{row.tasks:,}", class_="number"),
            tag("td", f"{row.completed:,}", class_="number"),
            tag("td", f"{row.failed:,}", class_="number"),
            tag("td", f"{row.cancelled + row.resolved:,}", class_="number"),
            tag("td", percent(row.failure_rate), class_="number"),
            *_spread(row.duration, longest),
        )
        for row in found
    )
    heads = ("Closed", "Complete", "Failed", "Stopped", "Failure rate", "p50", "p95", "p99", "Longest")
    return table(
        "Tasks by template",
        ("Template", *map(Number, heads)),
        drawn,
        empty="No task ended in this time.",
    )


def bottleneck_table(rows: Iterable[BottleneckRow]) -> Markup:
    """One line for each step with ended attempts, those whose attempts took the most time in all first."""
    found = sorted(rows, key=_weight, reverse=True)[:MOST_STEPS]
    longest = max((row.run_time.p95 or 0 for row in found), default=0)
    waited = max((row.queue_time.p95 or 0 for row in found), default=0)
    drawn = (
        tag(
            "tr",
            _step_cell(row),
            tag(
                "td",
                tag("code", row.handler),
                tag("div", f"queue {row.queue}", class_="muted"),
                class_="break-cell",
            ),
            tag("td", f"{row.attempts:,}", class_="number"),
            tag("td", percent(row.failure_rate), class_="number"),
            tag("td", percent(row.retry_rate), class_="number"),
            *_spread(row.run_time, longest)[:3],
            *_spread(row.queue_time, waited)[:3],
        )
        for row in found
    )
    heads = ("Attempts", "Failed", "Retries", "Run p50", "Run p95", "Run p99", *_WAITS)
    columns = ("Step", "Handler", *map(Number, heads))
    return table("Steps by time", columns, drawn, empty="No attempt ended in this time.")


def percent(rate: float) -> str:
    """`0 %`, `0.4 %`, `12 %`."""
    value = rate * 100
    return f"{value:.1f} %" if 0 < value < 10 else f"{value:.0f} %"


def _weight(row: BottleneckRow) -> int:
    return row.attempts * ((row.run_time.p50 or 0) + (row.queue_time.p50 or 0))


def _step_cell(row: BottleneckRow) -> Markup:
    template = tag("div", f"{row.namespace}/{row.template}", class_="muted")
    return tag("td", tag("b", row.step), template, class_="name-cell")


def _template_link(row: PerformanceRow) -> Markup:
    place = f"{row.namespace}/{row.template}/{row.version}"
    return tag("a", f"{row.namespace}/{row.template}@{row.version}", href=f"/console/templates/{place}")


def _spread(spread: Spread, longest: int) -> Sequence[Markup]:
    """Four cells; the second with a bar as long as its share of the table's longest."""
    bar = EMPTY
    if spread.p95 is not None and longest:
        width = max(2, round(100 * spread.p95 / longest))
        bar = tag("div", tag("i", style=f"width: {width}%"), class_="bar tone-running", aria_hidden="true")
    return (
        tag("td", seconds_text(spread.p50), class_="number nowrap"),
        tag("td", seconds_text(spread.p95), bar, class_="number nowrap"),
        tag("td", seconds_text(spread.p99), class_="number nowrap"),
        tag("td", seconds_text(spread.longest), class_="number nowrap"),
    )
