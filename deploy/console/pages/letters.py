"""/console/dlq: dead letters, counted, filtered, and redriven or purged as many."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

from nicegui import ui

from tasker_kafka.handlers.delivery.journey import FailureClass
from tasker_kafka.handlers.delivery.letters import LetterFilter, LetterState
from tasker_kafka.schemas.errors import TaskerError
from tasker_kafka.schemas.event_patterns import EventPatterns, parse_pattern

from . import context, letters_one
from .letters_acts import act_buttons, offer_purge, offer_redrive
from .letters_view import counts_panel, letter_table
from .live import LiveHtml
from .markup import EMPTY, Markup, join, tag
from .ops_parts import Field, Section, fault, filter_form, now_ms, subject
from .shell import frame

__all__ = ["letter_filter"]

PATH: Final = "/console/dlq"
PAGE_LETTERS: Final = 50
_HOUR_MS: Final = 3_600_000
_SINCE: Final[Mapping[str, int]] = {"1h": 1, "24h": 24, "7d": 168}
_ALL: Final = "all"

assert letters_one is not None, "imported for its page"


def _fields() -> tuple[Field, ...]:
    return (
        Field("state", "State", [(each, each) for each in (*LetterState, _ALL)]),
        Field("group", "Group"),
        Field("class", "Why", [("", "any"), *((each, each.replace("_", " ")) for each in FailureClass)]),
        Field("event", "Event", hint="order.placed or order.*"),
        Field("key", "Key"),
        Field("task", "Task id"),
        Field("since", "Died", [("", "any time"), *((each, f"in the last {each}") for each in _SINCE)]),
    )


def letter_filter(values: Mapping[str, str], now: int) -> LetterFilter:
    """The filter that the page's address asks for. TaskerError for what is none."""
    state = values.get("state") or LetterState.OPEN
    kind = values.get("class") or None
    event = values.get("event") or None
    since = _SINCE.get(values.get("since", ""))
    try:
        states = frozenset(LetterState) if state == _ALL else frozenset({LetterState(state)})
        failure_class = None if kind is None else FailureClass(kind)
    except ValueError as error:
        raise TaskerError(f"{error}.", next_step="Choose one of those in the list.") from None
    key = values.get("key") or None
    return LetterFilter(
        group=values.get("group") or None,
        failure_class=failure_class,
        events=None if event is None else EventPatterns((parse_pattern(event),)),
        key=None if key is None else key.encode(),
        task_id=values.get("task") or None,
        since=None if since is None else now - since * _HOUR_MS,
        states=states,
    )


@ui.page(PATH)
def page() -> None:
    """The list."""
    values = dict(ui.context.client.request.query_params)
    with frame("Dead letters", active=PATH):
        head = LiveHtml(subject("Dead letters", tag("span", class_="grow"), act_buttons()))
        note = "Events that a subscriber could not take. Nothing is lost: each can be mended and handed over again."
        LiveHtml(tag("p", note, class_="note")).style("margin-bottom: 14px")
        LiveHtml(filter_form(_fields(), values))
        try:
            wanted = letter_filter(values, now_ms())
        except TaskerError as error:
            LiveHtml(fault(error))
            return
        section = Section(lambda: _read(wanted, values), waiting="Reading the queues…")
        section.html.classes("stack")

        async def act(what: str, _: str) -> None:
            await (offer_purge if what == "purge" else offer_redrive)(wanted, section.ask)

        head.on_act(act)


async def _read(wanted: LetterFilter, values: Mapping[str, str]) -> Markup:
    backend, now = context.backend(), now_ms()
    page_ = await backend.dead_letters(wanted, limit=PAGE_LETTERS, before=values.get("before"))
    counts = await backend.letter_counts()
    more = EMPTY
    if page_.next is not None:
        query = urlencode({**values, "before": page_.next})
        more = tag("p", tag("a", "Older letters", href=f"{PATH}?{query}", rel="next"))
    parts = (counts_panel(counts, now), letter_table(page_, now), more)
    return join(tag("div", part) for part in parts if part)
