"""/console/workers: who serves which queue, and what waits for nobody."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from nicegui import ui

from tasker_kafka.deploy.console.backend.shapes import HandlerRow
from tasker_kafka.deploy.reading import WorkerRow

from . import context
from .live import LiveHtml
from .markup import EMPTY, Markup, Number, join, prose, table, tag, when
from .ops_parts import Section, mark, now_ms, subject
from .shell import frame

__all__ = ["handler_table", "unserved", "worker_table"]

PATH: Final = "/console/workers"
MANY_HANDLERS: Final = 8
"""Of one worker that are shown before the rest is folded away."""


@ui.page(PATH)
def page() -> None:
    """Workers and queues."""
    with frame("Workers", active=PATH):
        LiveHtml(subject("Workers and queues"))
        Section(_read).html.classes("stack")


async def _read() -> Markup:
    backend, now = context.backend(), now_ms()
    handlers = await backend.handlers()
    workers = await backend.workers()
    parts = (
        last_known(is_away=not backend.reach.broker.is_reachable),
        unserved(handlers),
        tag("section", tag("h2", "Queues and handlers"), handler_table(handlers, now), class_="panel"),
        tag("section", tag("h2", "Workers"), worker_table(workers, now), class_="panel"),
    )
    return tag("div", *parts, class_="stack")


def last_known(*, is_away: bool) -> Markup:
    """That the tables are not of now; nothing when they are."""
    if not is_away:
        return EMPTY
    text = "The broker is away: these workers were alive when they were last heard of."
    return tag("div", tag("p", text), class_="alert tone-waiting", role="alert")


def unserved(handlers: Iterable[HandlerRow]) -> Markup:
    """What waits and will not move by itself; nothing when all is served."""
    waiting = [each for each in handlers if each.message is not None]
    if not waiting:
        return EMPTY
    items = (
        tag(
            "li",
            mark("failed", "!", "nobody"),
            tag("span", tag("code", f"{each.queue} · {each.handler}"), " waits ", prose(each.message or "")),
        )
        for each in waiting
    )
    return tag(
        "section",
        tag("h2", "Waits for nobody"),
        tag("ul", *items, class_="waits"),
        class_="panel",
        role="alert",
    )


def handler_table(handlers: Iterable[HandlerRow], now: int) -> Markup:
    """Every handler of every queue."""
    rows = (
        tag(
            "tr",
            tag("td", tag("code", each.queue)),
            tag("td", tag("code", each.handler)),
            tag("td", _served(each)),
            tag("td", f"{each.enqueued:,}", class_="number"),
            tag("td", when(each.oldest_dispatched_at, now), class_="number nowrap"),
            tag("td", f"{each.in_progress:,}", class_="number"),
            tag("td", f"{each.waiting_for_retry:,}", class_="number"),
            tag("td", ", ".join(each.templates) or "–", class_="wide muted"),
        )
        for each in handlers
    )
    counts = map(Number, ("Enqueued", "Since", "Running", "Retrying"))
    return table(
        "Queues and handlers",
        ("Queue", "Handler", "Served by", *counts, "Used by"),
        rows,
        empty="No template is published, and no step is open.",
    )


def _served(row: HandlerRow) -> Markup:
    if not row.workers:
        return mark("failed" if row.message is not None else "waiting", "!" if row.message else "○", "nobody")
    count = len(row.workers)
    text = "1 worker" if count == 1 else f"{count} workers"
    return tag("span", mark("done", "✓", text), title=", ".join(row.workers))


def worker_table(workers: Iterable[WorkerRow], now: int) -> Markup:
    """Every worker that has announced itself and not signed off."""
    rows = (
        tag(
            "tr",
            tag("td", tag("code", each.worker_id), class_="nowrap"),
            tag("td", mark("done", "✓", "alive") if each.is_alive else mark("failed", "✕", "silent")),
            tag("td", when(each.seen_at, now), class_="nowrap"),
            tag("td", *_listed(each.queues)),
            tag("td", *_listed(each.handlers), class_="wide"),
            tag("td", each.version),
            tag("td", f"{each.host} · {each.pid}", class_="nowrap"),
            tag("td", when(each.started_at, now), class_="nowrap"),
        )
        for each in workers
    )
    return table(
        "Workers",
        ("Worker", "State", "Heard of", "Queues", "Handlers", "Version", "Host · process", "Started"),
        rows,
        empty="No worker has announced itself: start one with `tasker worker -m MODULE`.",
    )


def _listed(names: tuple[str, ...]) -> tuple[Markup, ...]:
    shown = join(tag("div", tag("code", each)) for each in names[:MANY_HANDLERS])
    rest = names[MANY_HANDLERS:]
    if not rest:
        return (shown,)
    more = join(tag("div", tag("code", each)) for each in rest)
    return (shown, tag("details", tag("summary", f"{len(rest)} more"), more))
