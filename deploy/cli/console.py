"""What commands print: tables for people, JSON for programs on standard output; notes and errors on standard error.

Rich is loaded when something is printed with it, not before.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from tasker_kafka.schemas.errors import TaskerError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["console", "note", "print_error", "print_json", "print_table", "print_text", "table_of"]

PIPED_WIDTH = 200
"""Columns of a table that goes into a file or a pipe, where no terminal says its width."""


def print_json(value: Any) -> None:
    """One JSON document, indented."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def print_text(text: str) -> None:
    """Text as it is, without markup."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str | None = None, empty: str = "none"
) -> None:
    """A table; `empty` instead when there are no rows."""
    held = [tuple(row) for row in rows]
    if not held:
        print_text(empty)
        return
    console().print(table_of(columns, held, title=title))


def table_of(columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str | None = None) -> Table:
    """A rich table of plain texts. The first column (ids and names) is never broken."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for position, column in enumerate(columns):
        table.add_column(column, no_wrap=position == 0, overflow="fold")
    for row in rows:
        table.add_row(*(Text(each) for each in row))
    return table


def console() -> Console:
    """A console on the present standard output."""
    from rich.console import Console

    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(file=sys.stdout, width=PIPED_WIDTH, highlight=False)


def note(text: str) -> None:
    """A remark for a person; programs that read standard output do not see it."""
    sys.stderr.write(text + "\n")


def print_error(error: TaskerError) -> None:
    """An error's text: the fault, the place, and after an arrow what to do."""
    sys.stderr.write(f"error: {error}\n")
