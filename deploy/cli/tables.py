"""Tables for people, at any width.

A word of a cell is never cut in two while the table can be had without: columns give way to each other first, widest
first, then their texts are wrapped between words. Where even that does not fit, each row becomes a few lines of its
own, led by its first cell. In a file or a pipe a row is one line, however long, so that `grep` finds it whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["table_of"]

GAP: Final = 2
"""Blanks between two columns."""
WORD: Final = 32
"""Characters of a word that may not be cut; a longer one may."""
INDENT: Final = "  "
SHORT: Final = 20
"""Letters of a first cell that shares its line with the next ones."""

Row = tuple[str, ...]


def table_of(columns: Sequence[str], rows: Iterable[Sequence[str]], *, width: int | None) -> RenderableType:
    """What rich prints of plain texts. `width`: columns of the screen; None: as many as it takes."""
    from rich.console import Group
    from rich.text import Text

    held = [tuple(row) for row in rows]
    natural = [_longest(texts, "\n") for texts in _texts(columns, held)]
    least = [min(_longest(texts, None), WORD) for texts in _texts(columns, held)]
    # The first column holds ids and names: it is copied from.
    least[0] = natural[0]
    room = None if width is None else width - GAP * (len(columns) - 1)
    widths = natural if room is None else _fitted(natural, least, room)
    if widths is not None:
        return _drawn(columns, held, widths)
    assert width is not None, "without one everything fits"
    return Group(*(Text(line) for row in held for line in _told(columns, row, width)))


def _texts(columns: Sequence[str], rows: Sequence[Row]) -> list[Row]:
    """Header and cells of each column."""
    return [(name, *(row[place] for row in rows)) for place, name in enumerate(columns)]


def _longest(texts: Row, separator: str | None) -> int:
    """Cells of the longest part, by lines or (None) by words."""
    from rich.cells import cell_len

    return max((cell_len(part) for text in texts for part in text.split(separator)), default=0)


def _fitted(natural: Sequence[int], least: Sequence[int], room: int) -> list[int] | None:
    """Widths that fill `room` at most, the widest column giving way first; None when words would be cut."""
    if sum(least) > room:
        return None
    widths = [max(few, min(many, room)) for many, few in zip(natural, least, strict=True)]
    while sum(widths) > room:
        _, place = max(
            (wide, place) for place, (wide, few) in enumerate(zip(widths, least, strict=True)) if wide > few
        )
        widths[place] -= 1
    return widths


def _drawn(columns: Sequence[str], rows: Sequence[Row], widths: Sequence[int]) -> RenderableType:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, GAP - 1, 0, 0), pad_edge=False)
    for column, width in zip(columns, widths, strict=True):
        table.add_column(column, width=width, overflow="fold")
    for row in rows:
        table.add_row(*(Text(each) for each in row))
    return table


def _told(columns: Sequence[str], row: Row, width: int) -> list[str]:
    """A row as lines: its first cell, then names and values, as many on a line as there is room for."""
    is_short = len(row[0]) <= SHORT
    parts = [
        f"{name} {value}" if name else value
        for name, value in zip(columns[1:], row[1:], strict=True)
        if value not in ("", "–")
    ]
    lines = [f"{columns[0]} {row[0]}" if is_short else row[0]]
    for part in parts:
        if (len(lines) > 1 or is_short) and len(lines[-1]) + GAP + len(part) <= width:
            lines[-1] += " " * GAP + part
        else:
            lines.append(INDENT + part)
    return [shown for each in lines for shown in _wrapped(each, width)]


def _wrapped(line: str, width: int) -> list[str]:
    import textwrap

    return textwrap.wrap(
        line, max(width, SHORT), subsequent_indent=INDENT * 2, break_long_words=False, break_on_hyphens=False
    )
