"""Redriving and purging: always a dry run first, then a dialog that says what it found and asks why."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from nicegui import ui

from tasker_kafka.handlers.delivery.letters import LetterFilter
from tasker_kafka.handlers.delivery.redrive import ActOrder, ActReport
from tasker_kafka.schemas.errors import TaskerError
from tasker_kafka.schemas.settings.console import Role

from . import context
from .dialogs import Order, Said, ask, text_field
from .letters_edit import Change, edit_of
from .letters_view import change_table, report_text
from .markup import EMPTY, Markup, join, tag
from .ops_parts import require

__all__ = ["offer_purge", "offer_redrive"]

_DRY_RUN_REASON: Final = "dry run"
_WHERE: Final = "They go to their own group only, each lane in its original order. The source is not touched."


async def offer_redrive(
    wanted: LetterFilter,
    done: Callable[[], None],
    *,
    changes: tuple[Change, ...] = (),
    warning: str = "",
) -> None:
    """Try it without writing, then ask. `done` is called after letters were redriven."""
    order = ActOrder(actor=context.actor(), reason=_DRY_RUN_REASON, edit=edit_of(changes), is_dry_run=True)
    tried = await _try(Role.OPERATE, context.backend().redrive, wanted, order)
    if tried is None:
        return
    rate = _Rate()

    async def send(confirmed: Order) -> Said:
        require(Role.OPERATE)
        given = msgspec.structs.replace(
            order, reason=confirmed.reason, is_dry_run=False, per_second=rate.per_second()
        )
        report = await context.backend().redrive(wanted, given, progress=confirmed.one_more())
        done()
        return Said(f"{_count(report)} handed to {', '.join(sorted(report.groups)) or 'nobody'} again.")

    explanation = (
        report_text(tried, "redriven", is_dry_run=True),
        tag("p", warning, class_="alert tone-retry") if warning else EMPTY,
        tag("p", _WHERE, class_="note"),
        change_table(changes) if changes else EMPTY,
    )
    ask(
        "Redrive with these changes" if changes else "Redrive",
        tag("div", *explanation, class_="stack"),
        "Redrive",
        send,
        fields=rate.draw if tried.letters > 1 else None,
        is_wide=bool(changes),
        many=tried.letters,
    )


async def offer_purge(wanted: LetterFilter, done: Callable[[], None], *, warning: str = "") -> None:
    """As `offer_redrive`, but they are given up."""
    order = ActOrder(actor=context.actor(), reason=_DRY_RUN_REASON, is_dry_run=True)
    tried = await _try(Role.ADMIN, context.backend().purge, wanted, order)
    if tried is None:
        return

    async def send(confirmed: Order) -> Said:
        require(Role.ADMIN)
        given = msgspec.structs.replace(order, reason=confirmed.reason, is_dry_run=False)
        report = await context.backend().purge(wanted, given, progress=confirmed.one_more())
        done()
        return Said(f"{_count(report)} purged.")

    lost = "Their group never gets them. The bytes stay in the queue until its retention ends."
    note = tag("p", warning, class_="alert tone-retry") if warning else EMPTY
    explanation = join((report_text(tried, "purged", is_dry_run=True), note, tag("p", lost)))
    ask(
        "Purge",
        tag("div", explanation, class_="stack"),
        "Purge",
        send,
        is_danger=True,
        role=Role.ADMIN,
        many=tried.letters,
    )


class _Rate:
    """How fast many letters are handed over."""

    def __init__(self) -> None:
        self._text = ""

    def draw(self) -> None:
        """The input."""
        field = text_field("Letters per second", hint="Empty: as fast as it goes.")
        field.props("inputmode=decimal").bind_value_to(self, "_text")

    def per_second(self) -> float | None:
        """What was entered. TaskerError when it is no rate."""
        text = str(self._text or "").strip()
        if not text:
            return None
        try:
            rate = float(text)
        except ValueError:
            rate = 0.0
        if not 0.001 <= rate <= 1_000_000:
            raise TaskerError(f"{text[:40]!r} is no rate", next_step="Give letters per second, as 5 or 0.5.")
        return rate


async def _try(
    role: Role, act: Callable[..., Awaitable[ActReport]], wanted: LetterFilter, order: ActOrder
) -> ActReport | None:
    """The dry run; None where there is nothing to confirm, which is told."""
    try:
        require(role)
        tried = await act(wanted, order)
    except TaskerError as error:
        told = " ".join(part for part in (error.message, error.next_step) if part)
        ui.notify(told, type="negative", multi_line=True, close_button="Close", timeout=0)
        return None
    if not tried.letters:
        ui.notify("No open letter fits.", type="warning")
        return None
    return tried


def _count(report: ActReport) -> str:
    return "1 letter" if report.letters == 1 else f"{report.letters:,} letters"


def act_buttons() -> Markup:
    """Buttons of a list or a letter, for those who may; `LiveHtml.on_act` gets `redrive` and `purge`."""
    acts = (
        (Role.OPERATE, "redrive", "Redrive…", "btn btn-primary"),
        (Role.ADMIN, "purge", "Purge…", "btn btn-danger"),
    )
    return join(
        tag("button", label, type="button", class_=kind, data_act=act, id=act)
        for role, act, label, kind in acts
        if context.may(role)
    )
