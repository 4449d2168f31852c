"""/console/health: what can be reached from here, how far the projection is behind, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from nicegui import ui

from tasker_kafka.deploy.console.backend.shapes import Component, HealthReport, Level
from tasker_kafka.streams.projection import FaultRow, PositionRow
from tasker_kafka.topics.log import MemberDescription

from . import context
from .live import LiveHtml
from .markup import EMPTY, Markup, Number, chip, facts, join, prose, table, tag, when
from .ops_parts import Section, mark, now_ms, subject
from .shell import frame

__all__ = ["component_table", "fault_table", "level_mark", "orchestrator_table", "overview", "position_table"]

PATH: Final = "/console/health"
READ_SECONDS: Final = 2.0
MOST_FAULTS: Final = 50
_LEVELS: Final[Mapping[str, tuple[str, str, str]]] = {
    Level.OK: ("done", "✓", "ok"),
    Level.DEGRADED: ("retry", "!", "needs a look"),
    Level.DOWN: ("failed", "✕", "down"),
}
_PAGES: Final[Mapping[str, tuple[str, str]]] = {
    "queues": ("/console/workers", "Workers and queues"),
    "stale tasks": ("/console/stale", "Stale tasks"),
}


@ui.page(PATH)
def page() -> None:
    """Everything that can be said of the system from here."""
    with frame("Health", active=PATH):
        LiveHtml(subject("Health"))
        Section(_read_report, every_seconds=READ_SECONDS)
        Section(_read_orchestrators, every_seconds=READ_SECONDS).html.style("margin-top: 14px")
        Section(_read_projection, every_seconds=READ_SECONDS).html.style("margin-top: 14px")


async def _read_report() -> Markup:
    report = await context.backend().health()
    return tag(
        "div",
        overview(report),
        tag("section", tag("h2", "Parts"), component_table(report.components), class_="panel"),
        class_="stack",
    )


async def _read_orchestrators() -> Markup:
    backend = context.backend()
    members = await backend.broker.use(
        lambda live: live.log.admin().group_members(backend.names.engine_group)
    )
    return tag("section", tag("h2", "Orchestrators"), orchestrator_table(members), class_="panel")


async def _read_projection() -> Markup:
    reach = context.backend().reach
    positions = await reach.read(lambda reads: reads.positions())
    faults = await reach.read(lambda reads: reads.faults(limit=MOST_FAULTS))
    now = now_ms()
    parts = (
        tag("section", tag("h2", "Partitions"), position_table(positions, now), class_="panel"),
        tag("section", tag("h2", "Records that were passed"), fault_table(faults, now), class_="panel"),
    )
    return tag("div", *parts, class_="stack")


def level_mark(level: str) -> Markup:
    """How a part is."""
    tone, sign, text = _LEVELS.get(level, ("waiting", "?", level))
    return mark(tone, sign, text)


def overview(report: HealthReport) -> Markup:
    """The system in a few lines."""
    store = report.store
    behind = "not known"
    if store.seconds_behind is not None:
        records = "" if store.records_behind is None else f", {store.records_behind:,} records"
        behind = f"{store.seconds_behind:.1f} s{records}"
    tasks = join(
        tag("a", chip(state, f"{count:,} {state.replace('_', ' ')}"), href=f"/console?state={state}")
        for state, count in sorted(report.tasks.items())
        if count
    )
    return tag(
        "section",
        facts(
            (
                ("System", level_mark(report.level)),
                ("Kafka", level_mark(Level.OK if report.broker.is_reachable else Level.DOWN)),
                ("Projection is behind", behind if store.is_readable else level_mark(Level.DOWN)),
                ("Release", report.version),
                ("Prefix of the topics", tag("code", report.prefix)),
                ("As of", when(report.at)),
            )
        ),
        tag("div", tasks, class_="line", style="margin-top: 12px") if tasks else EMPTY,
        class_="panel",
    )


def component_table(components: Iterable[Component]) -> Markup:
    """Each part, and what to do about it."""
    rows = (
        tag(
            "tr",
            tag("td", tag("b", each.name), class_="nowrap"),
            tag("td", level_mark(each.level), class_="nowrap"),
            tag("td", prose(each.message), class_="wide"),
            tag("td", _way(each), class_="wide"),
        )
        for each in components
    )
    return table("Parts", ("Part", "Level", "What is known", "What to do"), rows, empty="Nothing is known.")


def _way(component: Component) -> Markup:
    """What to do: on the page that shows more of it, where there is one."""
    if component.level == Level.OK or component.name not in _PAGES:
        return prose(component.next_step or "–")
    path, text = _PAGES[component.name]
    return tag("a", text, href=path)


def orchestrator_table(members: Iterable[MemberDescription]) -> Markup:
    """Who runs the engine, as the broker has it."""
    rows = (
        tag(
            "tr",
            tag("td", tag("code", each.client_id), class_="nowrap"),
            tag("td", each.host),
            tag("td", ", ".join(map(str, sorted({place.partition for place in each.partitions}))) or "none"),
        )
        for each in sorted(members, key=lambda member: member.client_id)
    )
    nobody = "No orchestrator is running: nothing moves until one is. Start `tasker orchestrator`."
    return table("Orchestrators", ("Member", "Host", "Partitions"), rows, empty=nobody)


def position_table(positions: Iterable[PositionRow], now: int) -> Markup:
    """How far each partition is projected."""
    rows = (
        tag(
            "tr",
            tag("td", tag("code", f"{each.topic}/{each.partition}"), class_="nowrap"),
            tag("td", f"{each.next_offset:,}", class_="number"),
            tag("td", when(each.record_at, now), class_="nowrap"),
            tag("td", when(each.updated_at, now), class_="nowrap"),
        )
        for each in positions
    )
    heads = ("Partition", Number("Projected below offset"), "Its last record", "Looked at")
    return table("Partitions", heads, rows, empty="Nothing is projected yet.")


def fault_table(faults: Iterable[FaultRow], now: int) -> Markup:
    """Records that could not be projected; the partition went on."""
    rows = (
        tag(
            "tr",
            tag("td", when(each.at, now), class_="nowrap"),
            tag("td", tag("code", f"{each.topic}/{each.partition}:{each.offset}"), class_="nowrap"),
            tag("td", each.message, class_="wide"),
        )
        for each in faults
    )
    return table("Records that were passed", ("When", "Record", "Why"), rows, empty="None.")
