"""How dead letters look: a table of many, one with its journey, what would be changed, what was done. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote

from tasker_kafka.deploy.reading.dead_letters import LetterActRow, LetterPage, LetterReport, LetterRow
from tasker_kafka.deploy.reading.subscriber_rows import DeadRow
from tasker_kafka.handlers.delivery.journey import FailureClass
from tasker_kafka.handlers.delivery.redrive import ActReport

from .letters_edit import MISSING, Change, path_text
from .markup import EMPTY, Markup, Number, cut, facts, join, json_block, table, tag, when
from .ops_parts import mark

__all__ = [
    "CLASS_MEANING",
    "act_table",
    "change_table",
    "counts_panel",
    "letter_facts",
    "letter_path",
    "letter_state",
    "letter_table",
    "original_link",
    "report_text",
]

_STATES: Final[Mapping[str, tuple[str, str]]] = {
    "open": ("failed", "✕"),
    "redriven": ("done", "↻"),
    "purged": ("stopped", "⊘"),
    "acknowledged": ("resolved", "✎"),
}
CLASS_MEANING: Final[Mapping[str, str]] = {
    FailureClass.DECODE: "could not be decoded",
    FailureClass.SCHEMA: "payload does not fit",
    FailureClass.HANDLER: "handler failed",
    FailureClass.TIMEOUT: "took too long",
    FailureClass.EXPIRED: "too old",
    FailureClass.BLOCKED_BY_KEY: "behind another of its key",
    FailureClass.UNACKNOWLEDGED: "no receipt came",
}
_MESSAGE_CHARACTERS: Final = 160
_VALUE_CHARACTERS: Final = 400


def letter_state(state: str) -> Markup:
    """A letter's state."""
    tone, sign = _STATES.get(state, ("waiting", "?"))
    return mark(tone, sign, state)


def letter_path(place: str) -> str:
    """The address of a letter's page; `place` as commands name it."""
    return f"/console/dlq/{place}"


def letter_table(page: LetterPage, now: int) -> Markup:
    """One row for each letter, the newest first."""
    return table(
        "Dead letters",
        ("Died", "State", "Event", "Group", "Why", Number("Deliveries"), "Key", "Place"),
        (_row(each, now) for each in page.letters),
        empty="No dead letters fit.",
    )


def _row(letter: LetterRow, now: int) -> Markup:
    kind = letter.failure_class or "unknown"
    why = [tag("div", tag("b", kind.replace("_", " ")))]
    if letter.message:
        said = f"{letter.error_type}: {letter.message}" if letter.error_type else letter.message
        why.append(tag("div", cut(said, _MESSAGE_CHARACTERS), class_="muted"))
    redriven = f", redriven {letter.redrive_count}×" if letter.redrive_count else ""
    return tag(
        "tr",
        tag("td", when(letter.died_at, now), class_="nowrap"),
        tag("td", letter_state(letter.state)),
        tag("td", tag("a", letter.event or "(unknown)", href=letter_path(letter.place)), class_="nowrap"),
        tag("td", letter.group, _below(letter.subscription)),
        tag("td", *why, class_="wide"),
        tag("td", f"{letter.attempts}{redriven}", class_="number"),
        tag("td", cut(letter.key or "–", 60)),
        tag("td", tag("code", letter.place), class_="nowrap"),
    )


def _below(text: str) -> Markup:
    return tag("div", text, class_="muted") if text else EMPTY


def counts_panel(counts: Mapping[str, Mapping[str, DeadRow]], now: int) -> Markup:
    """How many are open, by group and class; each number leads to its letters."""
    if not counts:
        return EMPTY
    classes = sorted({name for of_group in counts.values() for name in of_group})
    heads = [Number(each.replace("_", " ")) for each in classes]
    rows = []
    for group in sorted(counts):
        of_group = counts[group]
        cells = [_count(group, name, of_group.get(name)) for name in classes]
        total = sum(row.letters for row in of_group.values())
        oldest = min(row.oldest_at for row in of_group.values())
        rows.append(
            tag(
                "tr",
                tag("td", tag("a", group, href=f"/console/dlq?group={group}")),
                *cells,
                tag("td", tag("b", f"{total:,}"), class_="number"),
                tag("td", when(oldest, now), class_="nowrap"),
            )
        )
    drawn = table(
        "Open letters by group and class", ("Group", *heads, Number("All"), "Oldest"), rows, empty="None."
    )
    return tag("section", tag("h2", "Open, by group and class"), drawn, class_="panel")


def _count(group: str, kind: str, row: DeadRow | None) -> Markup:
    if row is None:
        return tag("td", tag("span", "–", class_="nothing"), class_="number")
    link = tag("a", f"{row.letters:,}", href=f"/console/dlq?group={group}&class={kind}")
    return tag("td", link, class_="number")


# ---------------------------------------------------------------------------------------- one letter


def letter_facts(report: LetterReport, now: int) -> Markup:
    """What happened to it, from its publication on."""
    letter = report.letter
    kind = letter.failure_class or "unknown"
    task = None
    if letter.task_id is not None:
        task = tag("a", tag("code", letter.task_id), href=f"/console/tasks/{letter.task_id}")
    said = tag("p", letter.message, class_="alert tone-failed") if letter.message else None
    return join(
        (
            said,
            facts(
                (
                    ("Group", letter.group),
                    ("Subscription", letter.subscription),
                    ("Why", CLASS_MEANING.get(kind, kind)),
                    ("Error type", letter.error_type),
                    ("Deliveries", letter.attempts),
                    ("Redriven before", letter.redrive_count or None),
                    ("Published", when(letter.published_at)),
                    ("First failed", when(letter.first_failed_at)),
                    ("Last failed", when(letter.last_failed_at)),
                    ("Died", when(letter.died_at, now)),
                    ("Key", letter.key),
                    ("Event id", None if letter.event_id is None else tag("code", letter.event_id)),
                    ("Task", task),
                    ("Place in the queue", tag("code", letter.place)),
                    ("Original at", tag("code", letter.source)),
                    ("Size", f"{letter.size:,} bytes"),
                )
            ),
        )
    )


def act_table(acts: Iterable[LetterActRow], now: int) -> Markup:
    """What operators did about it, in order."""
    rows = (
        tag(
            "tr",
            tag("td", when(act.at, now), class_="nowrap"),
            tag("td", letter_state(act.action)),
            tag("td", act.actor),
            tag("td", act.reason or "–", class_="wide"),
            tag("td", ", ".join(act.changes) or "–"),
            tag("td", tag("code", act.to) if act.to else "–", class_="nowrap"),
        )
        for act in acts
    )
    return table(
        "What was done about it",
        ("When", "What", "Who", "Reason", "Edited", "To"),
        rows,
        empty="Nobody has done anything about it.",
    )


def header_table(headers: Iterable[tuple[str, str]]) -> Markup:
    """The original's headers, secrets hidden."""
    rows = (
        tag("tr", tag("td", tag("code", name)), tag("td", value, class_="wide")) for name, value in headers
    )
    return table("Headers of the original", ("Name", "Value"), rows, empty="It has no headers.")


def original_link(place: str, *, is_allowed: bool) -> Markup:
    """The way to the record as its producer wrote it, secrets included: the API's answer, for admins only."""
    if not is_allowed:
        note = "Its key, value and headers byte for byte, secrets included, are for the role admin."
        return tag("p", note, class_="note")
    address = f"/dlq/{quote(place, safe='/:')}?raw=true"
    link = tag("a", "Key, value and headers byte for byte", href=address, id="original")
    return tag("p", link, " in hexadecimal, secrets included.", class_="note")


def change_table(changes: Iterable[Change]) -> Markup:
    """What an edit changes, before and after."""
    rows = (
        tag(
            "tr",
            tag("td", tag("code", path_text(each.path)), class_="nowrap"),
            tag("td", _value("−", each.before), class_="wide"),
            tag("td", _value("+", each.after), class_="wide"),
        )
        for each in changes
    )
    return table("What the edit changes", ("Where", "Before", "After"), rows, empty="Nothing is changed.")


def _value(sign: str, value: Any) -> Markup:
    if value is MISSING:
        return tag("span", "nothing", class_="muted")
    tone = "failed" if sign == "−" else "done"
    text = cut(json.dumps(value, ensure_ascii=False), _VALUE_CHARACTERS)
    return tag("span", tag("span", sign), " ", tag("code", text), class_=f"chip-text tone-{tone}")


def payload_block(report: LetterReport) -> Markup:
    """The payload as it may be shown, and why it is no more."""
    parts = []
    if report.problem is not None:
        parts.append(tag("p", report.problem, class_="alert tone-retry"))
    if report.payload is not None:
        parts.append(json_block(report.payload, "Payload, secrets hidden"))
    return join(parts) or tag("p", "It has no payload.", class_="note")


def report_text(report: ActReport, verb: str, *, is_dry_run: bool) -> Markup:
    """What an act did, or would do."""
    would = "would be " if is_dry_run else ""
    groups = ", ".join(f"{name}: {count:,}" for name, count in sorted(report.groups.items()))
    parts = [
        tag("p", tag("b", f"{_letters(report.letters)} {would}{verb}"), f" ({groups})" if groups else "", ".")
    ]
    if report.repeats:
        parts.append(
            tag("p", f"{_letters(report.repeats)} of them repeat an event that is handed over once.")
        )
    if report.skipped:
        states = ", ".join(f"{place} is {state.value}" for place, state in report.skipped[:5])
        parts.append(tag("p", f"Left as they are: {states}.", class_="note"))
    return join(parts)


def _letters(number: int) -> str:
    return "1 letter" if number == 1 else f"{number:,} letters"
