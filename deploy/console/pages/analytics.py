"""/console/analytics: how long tasks and steps take, how often they fail, and where the time goes."""

from __future__ import annotations

from typing import Final

from nicegui import ui

from tasker_kafka.streams.projection import PerformanceQuery

from . import context
from .analytics_view import bottleneck_table, performance_table
from .live import LiveHtml
from .markup import Markup, tag
from .ops_parts import Field, Section, filter_form, now_ms, subject
from .shell import frame

__all__: list[str] = []

PATH: Final = "/console/analytics"
READ_SECONDS: Final = 10.0
"""Percentiles are read from every attempt of the time that is asked for."""
_HOUR_MS: Final = 3_600_000
_SPANS: Final[dict[str, tuple[str, int | None]]] = {
    "": ("the last hour", 1),
    "24h": ("the last 24 hours", 24),
    "7d": ("the last 7 days", 168),
    "all": ("all that is kept", None),
}
_NOTE: Final = (
    "Percentiles of every attempt and every closed task in the projection, not of samples. Half took at most p50, "
    "99 of 100 at most p99."
)


@ui.page(PATH)
def page() -> None:
    """Tasks by template, steps by the time that they take."""
    values = dict(ui.context.client.request.query_params)
    fields = (
        Field("span", "Ended in", [(key, text) for key, (text, _) in _SPANS.items()]),
        Field("namespace", "Namespace"),
        Field("template", "Template"),
    )
    with frame("Analytics", active=PATH):
        LiveHtml(subject("Analytics"))
        LiveHtml(tag("p", _NOTE, class_="note")).style("margin-bottom: 14px")
        LiveHtml(filter_form(fields, values))

        async def read() -> Markup:
            return await _read(values)

        Section(read, every_seconds=READ_SECONDS)


async def _read(values: dict[str, str]) -> Markup:
    hours = _SPANS.get(values.get("span", ""), _SPANS[""])[1]
    query = PerformanceQuery(
        namespace=values.get("namespace") or None,
        template=values.get("template") or None,
        ended_from=None if hours is None else now_ms() - hours * _HOUR_MS,
    )
    backend = context.backend()
    tasks, steps = await backend.performance(query), await backend.bottlenecks(query)
    return tag(
        "div",
        tag("section", tag("h2", "Tasks, by template"), performance_table(tasks), class_="panel"),
        tag("section", tag("h2", "Steps, the slowest first"), bottleneck_table(steps), class_="panel"),
        class_="stack",
    )
