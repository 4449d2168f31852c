"""What commands print: tables for people, JSON for programs on standard output; notes and errors on standard error.

Rich is loaded when something is printed with it, not before.
"""

from __future__ import annotations

import codecs
import json
import sys
from collections.abc import Iterable, Sequence
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, Final

from tasker_kafka.schemas.errors import TaskerError

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "console",
    "counted",
    "moment",
    "note",
    "print_error",
    "print_json",
    "print_table",
    "print_text",
    "take_any_terminal",
]

PIPED_WIDTH = 100_000
"""Columns in a file or a pipe, where no terminal says its width: a row is one line."""


PLAIN: Final = {"→": "->", "…": "...", "×": "x", "·": "-", "└": "`", "├": "+", "│": "|", "–": "-", "─": "-"}
"""What is said for letters that a terminal without Unicode does not have; "-" for the others of theirs."""


def plain_letters(error: UnicodeError) -> tuple[str, int]:
    """An error handler of encoders: letters of ours as plain ones, those of others as question marks."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    return "".join(PLAIN.get(each, "?") for each in letters), error.end


def take_any_terminal() -> None:
    """Let standard output and standard error say what they can, instead of failing at a letter they do not have."""
    codecs.register_error("tasker-plain", plain_letters)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="tasker-plain")


def print_json(value: Any) -> None:
    """One JSON document, indented."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def print_text(text: str) -> None:
    """Text as it is, without markup."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str | None = None, empty: str = "none"
) -> None:
    """A table; `empty` instead when there are no rows. A title is said above it."""
    from .tables import table_of

    held = [tuple(row) for row in rows]
    if not held:
        print_text(empty)
        return
    if title is not None:
        print_text(title)
    screen = console()
    with screen.capture() as drawn:
        screen.print(table_of(columns, held, width=screen.width if screen.is_terminal else None))
    print_text(drawn.get())


def console() -> Console:
    """A console on the present standard output."""
    from rich.console import Console

    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(file=sys.stdout, width=PIPED_WIDTH, highlight=False)


def counted(count: int, what: str) -> str:
    """`1 task`, `2 tasks`."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def moment(at: int | None) -> str:
    """A time in UTC with its zone, as `--since` takes it; a dash for none."""
    from tasker_kafka.deploy.reading import time_text

    # A blank, not a T: there a narrow table may break it.
    return "–" if at is None else time_text(at).replace("T", " ")


def note(text: str) -> None:
    """A remark for a person; programs that read standard output do not see it."""
    sys.stderr.write(text + "\n")


def print_error(error: TaskerError) -> None:
    """An error's text: the fault, the place, and after an arrow what to do."""
    sys.stderr.write(f"error: {error}\n")
