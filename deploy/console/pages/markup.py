"""HTML and SVG as values in which text can only be text.

Pages write tables and graphs of a thousand rows as one piece of markup, which a browser draws in a few milliseconds
where a thousand widgets take seconds. What comes from tasks goes in as an argument and is escaped here, nowhere else:
a `str` is data, a `Markup` is markup, and only literals of this package become `Markup`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from markupsafe import Markup, escape

from tasker_kafka.deploy.reading import time_text
from tasker_kafka.deploy.reading.waiting import duration_text

from .theme import sign_of, state_class

__all__ = [
    "EMPTY",
    "Markup",
    "Number",
    "chip",
    "cut",
    "facts",
    "join",
    "json_block",
    "moment",
    "prose",
    "switches",
    "table",
    "tag",
    "took_text",
    "when",
    "words",
]

EMPTY: Final = Markup("")
NOTHING: Final = Markup('<span class="nothing">–</span>')
SHOWN_JSON: Final = 200_000
"""Characters of one value that a page shows; the API gives it whole."""


class Number(str):
    """The head of a column of numbers: it stands over their last digits."""

    __slots__ = ()


def tag(name: str, /, *children: object, **attributes: object) -> Markup:
    """An element. Attribute names: `class_` is class, `aria_label` is aria-label; None and False leave one out."""
    parts = [f"<{name}"]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        shown = key.rstrip("_").replace("_", "-")
        parts.append(f" {shown}" if value is True else f' {shown}="{escape(value)}"')
    parts.append(">")
    return Markup("".join((*parts, join(children), f"</{name}>")))


def join(parts: Iterable[object]) -> Markup:
    """Parts one after the other: text is escaped, None is nothing."""
    return Markup("".join(escape(each) for each in parts if each is not None))


def chip(state: str, text: str | None = None) -> Markup:
    """A state with its sign, its name and its colour."""
    sign = tag("span", sign_of(state), class_="sign", aria_hidden="true")
    return tag("span", sign, words(state) if text is None else text, class_=f"chip {state_class(state)}")


def switches(
    found: Mapping[Any, int],
    states: Iterable[str],
    pressed: Collection[str],
    *,
    act: str,
    ids: str,
    label: str,
    lead: Markup | None = None,
) -> Markup:
    """How many are in each of the `states`; each is a switch of a filter, and those that are `pressed` are on.

    act: what `LiveHtml.on_act` gets, with the state as its value; ids: what the switches' ids begin with; lead: stands
    before them.
    """
    return tag(
        "div",
        lead,
        *(
            tag(
                "button",
                tag("span", sign_of(state), class_="sign", aria_hidden="true"),
                words(state),
                " ",
                tag("b", f"{found.get(state, 0):,}"),
                type="button",
                id=f"{ids}-{state}",
                class_=f"count {state_class(state)}{'' if found.get(state) else ' is-none'}",
                data_act=act,
                data_value=state,
                aria_pressed="true" if state in pressed else "false",
            )
            for state in states
        ),
        class_="count-row line",
        role="group",
        aria_label=label,
    )


def prose(text: str) -> Markup:
    """A sentence in which `what is between backticks` is code; an odd number of them is data."""
    if text.count("`") % 2:
        return escape(text)
    return join(tag("code", part) if number % 2 else part for number, part in enumerate(text.split("`")))


def words(name: str) -> str:
    """`waiting_for_retry` as people read it."""
    return name.replace("_", " ")


def cut(text: str, length: int) -> str:
    """The text, or its beginning and an ellipsis: `length` characters at most."""
    return text if len(text) <= length else text[: length - 1] + "…"


def moment(at: int | None) -> str:
    """A time in UTC to the second, or a dash: `2026-01-31 09:30:00`."""
    return "–" if at is None else time_text(at).replace("T", " ").removesuffix("Z").partition(".")[0]


def when(at: int | None, now: int | None = None, *, is_exact: bool = False) -> Markup:
    """A time as an element that tells it exactly to machines and on hovering; with `now`, how long ago it was.

    `is_exact`: to the millisecond, where neighbours share their second.
    """
    if at is None:
        return NOTHING
    exact = time_text(at)
    shown = moment(at) if now is None else _ago(at, now)
    if is_exact:
        shown = exact.replace("T", " ").removesuffix("Z")
    return tag("time", shown, datetime=exact, title=exact, class_="when")


def took_text(start: int | None, end: int | None) -> str:
    """How long something took: `45 ms`, `1.25 s`, `4 min`; a dash where that is not known."""
    if start is None or end is None:
        return "–"
    milliseconds = max(0, end - start)
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    return f"{milliseconds / 1000:.3g} s" if milliseconds < 60_000 else duration_text(milliseconds)


def facts(pairs: Iterable[tuple[str, object]], class_: str = "facts") -> Markup:
    """A list of names and values; a None is shown as a dash."""
    return tag(
        "dl",
        *(
            tag("div", tag("dt", name), tag("dd", NOTHING if value is None or value == "" else value))
            for name, value in pairs
        ),
        class_=class_,
    )


def table(
    caption: str, columns: Iterable[str], rows: Iterable[Markup], *, empty: str, body_id: str | None = None
) -> Markup:
    """A table that scrolls in a frame of its own. `caption` is read out, not drawn; `rows` are `<tr>` elements.

    On a narrow screen each row is a card whose lines are labelled with their columns' heads, by the style sheet alone:
    the frame carries the heads as CSS strings (`--head-1`, …), so that a row that is sent again needs none.
    """
    body, named = [*rows], [*columns]
    heads = [
        tag("th", each, scope="col", class_="number" if isinstance(each, Number) else None) for each in named
    ]
    if not body:
        body = [tag("tr", tag("td", empty, colspan=len(heads), class_="empty"))]
    drawn = tag(
        "table",
        tag("caption", caption),
        tag("thead", tag("tr", *heads)),
        tag("tbody", *body, id=body_id),
    )
    labels = ";".join(f"--head-{number}:{_css_string(each)}" for number, each in enumerate(named, 1))
    return tag(
        "div", drawn, class_="table-frame", style=labels, tabindex=0, role="region", aria_label=caption
    )


def _css_string(text: str) -> str:
    """A text as a string of a style sheet; what is no letter, digit or space is written as its number there."""
    return '"' + "".join(c if c.isalnum() or c == " " else f"\\{ord(c):x} " for c in text) + '"'


def json_block(value: Any, label: str) -> Markup:
    """A JSON value, indented, in a frame that scrolls and can be focused to be scrolled by keys."""
    text = json.dumps(value, ensure_ascii=False, indent=2, default=str)
    more = EMPTY
    if len(text) > SHOWN_JSON:
        text, more = text[:SHOWN_JSON], tag("p", "Cut here; the API gives it whole.", class_="note")
    return join((tag("pre", text, class_="json", tabindex=0, role="region", aria_label=label), more))


def _ago(at: int, now: int) -> str:
    distance = duration_text(abs(now - at))
    return f"{distance} ago" if at <= now else f"in {distance}"
