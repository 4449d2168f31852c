"""/console/dlq/QUEUE/PARTITION:OFFSET: one dead letter with its journey; its payload can be mended."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

from nicegui import ui
from nicegui.element import Element

from tasker_kafka.deploy.reading.dead_letters import LetterReport
from tasker_kafka.handlers.delivery.letters import LetterFilter, LetterState, parse_place
from tasker_kafka.schemas.errors import TaskerError
from tasker_kafka.schemas.settings.console import Role

from . import context
from .dialogs import parse_json
from .letters_acts import act_buttons, offer_purge, offer_redrive
from .letters_edit import Change, UnclearEdit, changes_between
from .letters_view import (
    act_table,
    change_table,
    header_table,
    letter_facts,
    letter_state,
    original_link,
    payload_block,
)
from .live import LiveHtml
from .markup import EMPTY, Markup, join, json_block, tag
from .ops_parts import Section, fault, now_ms, subject
from .shell import frame

__all__: list[str] = []

LIST: Final = "/console/dlq"


@ui.page("/console/dlq/{queue}/{where}")
async def page(queue: str, where: str) -> None:
    """The letter."""
    place = f"{queue}/{where}"
    with frame(f"Dead letter {place}", active=LIST):
        LiveHtml(tag("p", tag("a", "Dead letters", href=LIST), f" / {place}", class_="crumbs"))
        try:
            report = await context.backend().dead_letter(place)
        except TaskerError as error:
            LiveHtml(join((subject("Dead letter"), fault(error))))
            return
        _Letter(place, report).draw()


class _Letter:
    """The page of one letter. Its state is read again and again; its payload never changes."""

    def __init__(self, place: str, report: LetterReport) -> None:
        self._report = report
        self._wanted = LetterFilter(places=frozenset({parse_place(place)}), states=frozenset(LetterState))
        self._place = place

    def draw(self) -> None:
        """Everything, from the state to the way to the original's bytes."""
        report = self._report
        name = report.letter.event or "(unknown event)"
        head = LiveHtml(subject(name, tag("span", class_="grow"), act_buttons()))
        head.on_act(self._act)
        with Element("div").classes("stack"):
            self._state = Section(self._read_state)
            LiveHtml(
                tag(
                    "section",
                    tag("h2", "What happened"),
                    letter_facts(report, now_ms()),
                    class_="panel stack",
                )
            )
            with Element("div").classes("panel stack"):
                LiveHtml(
                    tag("div", tag("h2", "Payload, secrets hidden"), payload_block(report), class_="stack")
                )
                if report.problem is None and context.may_operate():
                    _Editor(report.payload, self._offer_edited).draw()
            LiveHtml(self._details())

    async def _offer_edited(self, changes: tuple[Change, ...]) -> None:
        await offer_redrive(self._wanted, self._state.ask, changes=changes, warning=self._warning())

    async def _act(self, what: str, _: str) -> None:
        offer = offer_purge if what == "purge" else offer_redrive
        await offer(self._wanted, self._state.ask, warning=self._warning())

    def _warning(self) -> str:
        """What to think of before acting on it once more."""
        state = self._report.letter.state
        return "" if state is LetterState.OPEN else f"This letter is {state.value} already."

    async def _read_state(self) -> Markup:
        self._report = report = await context.backend().dead_letter(self._place)
        return tag(
            "section",
            tag("h2", "State ", letter_state(report.letter.state)),
            act_table(report.acts, now_ms()),
            class_="panel",
        )

    def _original(self) -> Markup:
        return original_link(self._place, is_allowed=context.may(Role.ADMIN))

    def _details(self) -> Markup:
        report = self._report
        parts = [tag("h2", "The record"), header_table(report.headers), self._original()]
        more = []
        if report.metadata is not None:
            more.append(_folded("Envelope", json_block(report.metadata, "Envelope")))
        if report.stack is not None:
            trace = tag("pre", report.stack, class_="json", tabindex=0, role="region", aria_label="Traceback")
            more.append(_folded("Traceback of the last failure", trace))
        return join(
            (
                tag("section", *parts, class_="panel"),
                tag("section", *more, class_="panel stack", style="margin-top: 14px") if more else EMPTY,
            )
        )


def _folded(title: str, content: Markup) -> Markup:
    return tag("details", tag("summary", title), content)


class _Editor:
    """The payload as text, and below it what the text changes. Nothing is sent before that was shown."""

    def __init__(self, payload: Any, offer: Callable[[tuple[Change, ...]], Awaitable[None]]) -> None:
        self._payload = payload
        self._send = offer
        self._changes: tuple[Change, ...] = ()

    def draw(self) -> None:
        """Folded away: most letters are redriven as they are."""
        with Element("details").props("id=edit"):
            LiveHtml(Markup("Edit the payload, then redrive"), tag="summary")
            with Element("div").classes("stack"):
                self._field = ui.textarea(
                    "Payload as JSON",
                    value=json.dumps(self._payload, ensure_ascii=False, indent=2),
                    on_change=self._look,
                )
                self._field.props(
                    "outlined dense stack-label spellcheck=false input-class=json-input autogrow"
                )
                self._field.classes("field-q")
                note = "Hidden values stay as they are in the queue: only what you change is sent."
                LiveHtml(tag("p", note, class_="note"))
                self._shown = LiveHtml(change_table(())).props("aria-live=polite")
                self._button = ui.button("Redrive with these changes…", on_click=self._offer, color=None)
                self._button.props("no-caps unelevated").classes("btn btn-primary").set_enabled(False)

    def _look(self) -> None:
        self._changes = ()
        try:
            self._changes = changes_between(self._payload, parse_json(self._field.value or ""))
        except UnclearEdit as error:
            self._shown.show(tag("div", str(error), class_="alert tone-failed"))
        except ValueError as error:
            self._shown.show(tag("div", str(error), class_="alert tone-retry"))
        else:
            self._shown.show(change_table(self._changes))
        self._button.set_enabled(bool(self._changes))

    async def _offer(self) -> None:
        await self._send(self._changes)
