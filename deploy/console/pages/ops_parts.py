"""What the pages about the running system share: marks of levels, errors in words, filters, parts that read again."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final

from nicegui import ui

from tasker_kafka.deploy.console.auth import Principal
from tasker_kafka.deploy.console.backend import Forbidden
from tasker_kafka.schemas.errors import TaskerError
from tasker_kafka.schemas.settings.console import Role

from .live import LiveHtml, Refresher
from .markup import EMPTY, Markup, join, moment, prose, tag

__all__ = [
    "Field",
    "Section",
    "fault",
    "filter_form",
    "mark",
    "now_ms",
    "require",
    "seconds_text",
    "subject",
]

_LOGGER: Final = logging.getLogger("tasker.console")
READ_SECONDS: Final = 3.0
"""How often a page about the running system reads again."""


def require(role: Role) -> None:
    """Forbidden unless who looks may do what this role may. Call it where something is done, not where it is drawn."""
    principal = ui.context.client.request.scope.get("user")
    if not isinstance(principal, Principal):
        raise Forbidden("Nobody is known to be asking.", next_step="Load the page again.")
    principal.require(role)


def now_ms() -> int:
    """This machine's clock: ages on pages are for people."""
    return time.time_ns() // 1_000_000


def mark(tone: str, sign: str, text: str) -> Markup:
    """A word with a sign and a colour, as states have."""
    return tag("span", tag("span", sign, class_="sign", aria_hidden="true"), text, class_=f"chip tone-{tone}")


def subject(title: str, *parts: object) -> Markup:
    """A page's first line: its heading, and what belongs beside it."""
    return tag("div", tag("h1", title), *parts, class_="page-head")


def fault(error: TaskerError) -> Markup:
    """An error in words, with what to do."""
    parts = [tag("p", prose(error.message))]
    if error.next_step:
        parts.append(tag("p", prose(error.next_step), class_="note"))
    return tag("div", *parts, class_="alert tone-failed", role="alert")


def seconds_text(milliseconds: int | None) -> str:
    """A duration for a table: `0 ms`, `45 ms`, `1.25 s`, `3.4 min`, `2.1 h`; a dash for None."""
    if milliseconds is None:
        return "–"
    if milliseconds < 1_000:
        return f"{milliseconds} ms"
    for size, unit in ((3_600_000, "h"), (60_000, "min"), (1_000, "s")):
        if milliseconds >= size:
            return f"{milliseconds / size:.3g} {unit}"
    raise AssertionError("unreachable: a second is the least")


# ------------------------------------------------------------------------------------------ filters


class Field:
    """One entry of a filter. `choices`: the values there are, with the text of each; empty: any text."""

    def __init__(
        self, name: str, label: str, choices: Sequence[tuple[str, str]] = (), hint: str = ""
    ) -> None:
        self.name = name
        self.label = label
        self.choices = choices
        self.hint = hint

    def draw(self, value: str) -> Markup:
        """With its label."""
        id_ = f"filter-{self.name}"
        if self.choices:
            options = (tag("option", text, value=key, selected=key == value) for key, text in self.choices)
            control = tag("select", *options, id=id_, name=self.name)
        else:
            control = tag(
                "input",
                id=id_,
                name=self.name,
                value=value,
                placeholder=self.hint or None,
                autocomplete="off",
                spellcheck="false",
                maxlength=200,
            )
        return tag("div", tag("label", self.label, for_=id_), control, class_="field")


def filter_form(fields: Iterable[Field], values: Mapping[str, str], *, verb: str = "Show") -> Markup:
    """A form that asks for the same page with other filters: what is shown has an address that can be passed on."""
    drawn = [each.draw(values.get(each.name, "")) for each in fields]
    button = tag("button", verb, type="submit", class_="btn")
    return tag(
        "form",
        *drawn,
        tag("div", tag("span", Markup("&nbsp;"), class_="label", aria_hidden="true"), button, class_="field"),
        method="get",
        class_="filters",
        style="grid-template-columns: repeat(auto-fill, minmax(140px, 1fr))",
        role="search",
    )


# ----------------------------------------------------------------------------------- parts that read


class Section:
    """A part of a page that reads again every few seconds.

    What cannot be read now is said above what was shown before, with its time; reading goes on, so the part recovers
    by itself.
    """

    def __init__(
        self,
        read: Callable[[], Awaitable[Markup]],
        *,
        every_seconds: float | None = READ_SECONDS,
        waiting: str = "Reading…",
    ) -> None:
        self._read = read
        self._content = tag("p", waiting, class_="note")
        self._read_at: int | None = None
        self._shown = self._content
        self.html = LiveHtml(self._content)
        self._refresher = Refresher(self.refresh)
        self._refresher.start()
        self._refresher.ask()
        if every_seconds is not None:
            ui.timer(every_seconds, self._refresher.ask, immediate=False)

    def ask(self) -> None:
        """Read again soon."""
        self._refresher.ask()

    async def refresh(self) -> None:
        """Read, and show it. Never raises."""
        note = EMPTY
        try:
            self._content = await self._read()
            self._read_at = now_ms()
        except TaskerError as error:
            note = self._late(fault(error))
        except Exception:  # a page must outlive a defect of one of its parts
            _LOGGER.exception("a part of a page could not be read")
            said = TaskerError("This part could not be read; the console's log says why.")
            note = self._late(fault(said))
        drawn = join((note, self._content if self._read_at is not None else EMPTY))
        if drawn != self._shown:
            self._shown = drawn
            self.html.show(drawn)

    def _late(self, said: Markup) -> Markup:
        if self._read_at is None:
            return said
        since = tag("p", f"Below is what was there at {moment(self._read_at)} UTC.", class_="note")
        return tag("div", said, since, class_="stack")
