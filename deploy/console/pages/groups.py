"""/console/subscribers: how far subscriber groups are, in records and seconds, and what they could not take."""

from __future__ import annotations

from typing import Final

from nicegui import ui

from tasker_kafka.deploy.console.backend.hiding import hidden
from tasker_kafka.handlers.delivery.receipt_query import ReceiptRow, list_receipts
from tasker_kafka.schemas.words import ReceiptOutcome

from . import context
from .groups_view import group_page, group_table, missing_panel
from .live import LiveHtml
from .markup import Markup, join, tag
from .ops_parts import Section, now_ms, subject
from .shell import frame

__all__: list[str] = []

PATH: Final = "/console/subscribers"
MOST_RECEIPTS: Final = 50
READ_SECONDS: Final = 5.0
"""Reading a group asks the broker for every partition of it."""


@ui.page(PATH)
def page() -> None:
    """All groups."""
    with frame("Subscribers", active=PATH):
        LiveHtml(subject("Subscriber groups"))
        Section(_read_all, every_seconds=READ_SECONDS, waiting="Asking the broker…")


@ui.page(PATH + "/{group}")
def page_of_one(group: str) -> None:
    """One group."""

    async def read() -> Markup:
        report = await context.backend().group(group)
        missing = await _missing_receipts(group)
        now = now_ms()
        return join((group_page(report, now), missing_panel(missing, now)))

    with frame(f"Group {group}", active=PATH):
        LiveHtml(tag("p", tag("a", "Subscriber groups", href=PATH), f" / {group}", class_="crumbs"))
        LiveHtml(subject(group))
        Section(read, every_seconds=READ_SECONDS, waiting="Asking the broker…")


async def _read_all() -> Markup:
    return group_table(await context.backend().groups(with_dead_letters=True), now_ms())


async def _missing_receipts(group: str) -> list[ReceiptRow]:
    backend = context.backend()
    rows = await backend.broker.use(
        lambda live: list_receipts(
            live.log, backend.names, limit=MOST_RECEIPTS, group=group, outcome=ReceiptOutcome.MISSING
        )
    )
    return hidden(rows)
