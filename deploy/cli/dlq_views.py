"""Dead letters as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .console import moment, print_json, print_text

if TYPE_CHECKING:
    from tasker_kafka.deploy.reading.dead_letters import LetterReport, LetterRow

__all__ = ["COLUMNS", "columns", "error_text", "print_letter", "visible"]

_LONGEST = 200


def visible(text: str) -> str:
    """Text of strangers without what would drive a terminal."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def error_text(row: LetterRow) -> str:
    """What went wrong, in one line."""
    text = ": ".join(part for part in (row.error_type, row.message) if part)
    return visible(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…")


COLUMNS = ("place", "died", "group", "event", "key", "class", "error", "")


def columns(row: LetterRow) -> tuple[str, ...]:
    """A letter's line in the table."""
    return (
        row.place,
        moment(row.died_at),
        f"{row.group}/{row.subscription}" if row.subscription else row.group,
        visible(row.event or "–"),
        visible(row.key or "–"),
        row.failure_class or "–",
        error_text(row),
        row.state.value if row.state.value != "open" else "",
    )


def print_letter(report: LetterReport) -> None:
    """The letter, its event, the stack, and what was done about it."""
    from tasker_kafka.deploy.reading import jsonable

    row = jsonable(report.letter)
    lines = [f"{row['place']}  {row['state']}", error_text(report.letter)]
    lines += [
        f"{label:<13}{visible(str(row[name]))}"
        for label, name in LABELS.items()
        if row[name] not in (None, "")
    ]
    lines += [f"{'header':<13}{visible(name)}: {visible(value)}" for name, value in report.headers]
    print_text("\n".join(lines))
    if report.payload is not None:
        print_text("payload")
        print_json(jsonable(report.payload))
    if report.problem is not None:
        print_text(f"no payload   {visible(report.problem)}")
    if report.stack:
        print_text("stack\n" + "\n".join(map(visible, report.stack.splitlines())))
    for act in jsonable(report.acts):
        print_text(act_text(act))
    if report.original is not None:
        print_text("original")
        print_json(jsonable(report.original))


LABELS = {
    "event": "event",
    "event id": "event_id",
    "task": "task_id",
    "key": "key",
    "group": "group",
    "subscription": "subscription",
    "class": "failure_class",
    "attempts": "attempts",
    "redriven": "redrive_count",
    "source": "source",
    "bytes": "size",
    "published": "published_at",
    "first failed": "first_failed_at",
    "last failed": "last_failed_at",
    "died": "died_at",
}


def act_text(act: dict[str, object]) -> str:
    """One act in one line."""
    changes = act["changes"]
    edited = f", changed {', '.join(map(str, changes))}" if isinstance(changes, list) and changes else ""
    why = f": {act['reason']}" if act["reason"] else ""
    return visible(f"{act['action']} {act['at']} by {act['actor']}{edited}{why}")
