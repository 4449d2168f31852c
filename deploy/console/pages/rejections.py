"""/console/rejections: what was not accepted, and why."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from nicegui import ui

from tasker_kafka.deploy.reading import RejectionRow
from tasker_kafka.schemas.errors import TaskerError
from tasker_kafka.schemas.identity import format_id

from . import context
from .live import LiveHtml
from .markup import Markup, cut, facts, join, json_block, prose, table, tag, when
from .ops_parts import Field, Section, fault, filter_form, mark, now_ms, subject
from .shell import frame

__all__ = ["rejection_page", "rejection_table"]

PATH: Final = "/console/rejections"
MOST: Final = 200
_NOTE: Final = "Requests and commands that were refused. Each is kept with its original bytes and the reason."


@ui.page(PATH)
def page() -> None:
    """The list."""
    values = dict(ui.context.client.request.query_params)
    with frame("Rejections", active=PATH):
        LiveHtml(subject("Rejections"))
        LiveHtml(tag("p", _NOTE, class_="note")).style("margin-bottom: 14px")
        LiveHtml(filter_form((Field("code", "Code", hint="unknown_template"),), values))
        code = values.get("code") or None

        async def read() -> Markup:
            return rejection_table(await context.backend().rejections(limit=MOST, code=code), now_ms())

        Section(read)


@ui.page(PATH + "/{place}")
async def page_of_one(place: str) -> None:
    """One of them."""
    with frame(f"Rejection {place}", active=PATH):
        LiveHtml(tag("p", tag("a", "Rejections", href=PATH), f" / {place}", class_="crumbs"))
        try:
            found = await context.backend().rejection(place)
        except TaskerError as error:
            LiveHtml(join((subject("Rejection"), fault(error))))
            return
        LiveHtml(rejection_page(found, now_ms())).classes("stack")


def rejection_table(rows: Iterable[RejectionRow], now: int) -> Markup:
    """The newest first."""
    return table(
        "Rejections",
        ("When", "Code", "Message", "Path", "Template", "Place"),
        (_row(each, now) for each in rows),
        empty="Nothing was rejected.",
    )


def _row(row: RejectionRow, now: int) -> Markup:
    link = tag("a", tag("code", row.place), href=f"{PATH}/{row.place}")
    return tag(
        "tr",
        tag("td", when(row.rejected_at, now), class_="nowrap"),
        tag("td", mark("failed", "✕", row.code)),
        tag("td", prose(cut(row.message, 300)), class_="wide"),
        tag("td", tag("code", row.path) if row.path else "–"),
        tag("td", row.template or "–"),
        tag("td", link, class_="nowrap"),
    )


def rejection_page(row: RejectionRow, now: int) -> Markup:
    """One in full."""
    task = None
    if row.task_id is not None:
        text = format_id(row.task_id)
        task = tag("a", tag("code", text), href=f"/console/tasks/{text}")
    parts = [
        subject("Rejection", mark("failed", "✕", row.code)),
        tag("p", prose(row.message), class_="alert tone-failed"),
        tag(
            "section",
            facts(
                (
                    ("Rejected", when(row.rejected_at, now)),
                    ("Where in the request", tag("code", row.path) if row.path else None),
                    ("Template", row.template),
                    ("Task", task),
                    (
                        "Request id",
                        None if row.request_id is None else tag("code", format_id(row.request_id)),
                    ),
                    ("Original at", tag("code", row.source)),
                    ("Place", tag("code", row.place)),
                )
            ),
            class_="panel",
        ),
    ]
    if row.request is not None:
        block = json_block(_readable(row.request), "The request")
        parts.append(tag("section", tag("h2", "The request, secrets hidden"), block, class_="panel"))
    else:
        told = f"The original is no request that can be read. `tasker rejections show {row.place} --raw` has its bytes."
        parts.append(tag("p", told, class_="note"))
    return tag("div", *parts, class_="stack")


def _readable(value: object) -> object:
    """Ids as people write them."""
    if isinstance(value, dict):
        return {name: _readable(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_readable(each) for each in value]
    return value.hex() if isinstance(value, bytes) else value
