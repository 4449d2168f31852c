"""Figures as Markdown tables, and a document in which marked places are filled with them.

A place is what stands between `<!-- bench:NAME -->` and `<!-- /bench:NAME -->`; so the words around the figures are a
person's, and the figures are never typed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tests.bench.figures import Figures, Spread

__all__ = ["COST_COLUMNS", "SPEED_COLUMNS", "aligned", "cost_table", "described", "filled", "speed_table"]

_NONE = "–"

Column = tuple[str, Callable[[Figures], str]]


def _number(form: str, read: Callable[[Figures], float | None]) -> Callable[[Figures], str]:
    def cell(row: Figures) -> str:
        value = read(row)
        return _NONE if value is None else format(value, form)

    return cell


def _spread(read: Callable[[Figures], Spread | None]) -> Callable[[Figures], str]:
    def cell(row: Figures) -> str:
        found = read(row)
        return _NONE if found is None else f"{found.p50:,.0f} / {found.p99:,.0f} / {found.most:,.0f}"

    return cell


def _cpu(kind: str) -> Column:
    return kind, _number(".3f", lambda row: row.cpu_ms_per_step.get(kind))


_NAMES: tuple[Column, ...] = (("load", lambda row: row.load), ("shape", lambda row: row.shape))
_SPEED: tuple[Column, ...] = (
    ("tasks", _number(",", lambda row: row.tasks)),
    ("tasks/s", _number(",.0f", lambda row: row.tasks_per_second)),
    ("steps/s", _number(",.0f", lambda row: row.steps_per_second)),
    ("p50 ms", _number(",.0f", lambda row: row.p50_ms)),
    ("p95 ms", _number(",.0f", lambda row: row.p95_ms)),
    ("p99 ms", _number(",.0f", lambda row: row.p99_ms)),
    ("client p50 / p99 / max ms", _spread(lambda row: row.client_ms)),
    ("CPU ms/step", _number(".3f", lambda row: row.cpu_ms_per_step_all)),
    ("crowding", _number(".1f", lambda row: row.crowding)),
)
_COST: tuple[Column, ...] = (
    _cpu("orchestrator"),
    _cpu("worker"),
    _cpu("broker"),
    _cpu("load"),
    ("records/step", _number(".2f", lambda row: row.records_per_step)),
    ("bytes/step", _number(",.0f", lambda row: row.bytes_per_step)),
    ("on disk", _number(",.0f", lambda row: row.disk_bytes_per_step)),
    ("checkpoint ms", _spread(lambda row: row.checkpoint_ms)),
    ("its age ms", _spread(lambda row: row.checkpoint_age_ms)),
)
SPEED_COLUMNS = tuple(name for name, _ in (*_NAMES, *_SPEED))
COST_COLUMNS = tuple(name for name, _ in (*_NAMES, *_COST))


def speed_table(rows: Iterable[Figures]) -> str:
    """How fast."""
    return _table((*_NAMES, *_SPEED), rows)


def cost_table(rows: Iterable[Figures]) -> str:
    """At what price: CPU ms per step by kind of process, what a step leaves in the log, checkpoints."""
    return _table((*_NAMES, *_COST), rows)


def _table(columns: Sequence[Column], rows: Iterable[Figures]) -> str:
    lines = [[cell(row) for _, cell in columns] for row in rows]
    return aligned([name for name, _ in columns], lines, text_columns=len(_NAMES))


def aligned(head: Sequence[str], lines: Iterable[Sequence[str]], *, text_columns: int = 1) -> str:
    """A Markdown table whose columns line up in a terminal, too; those after the first `text_columns` are numbers."""
    cells = [list(head), *map(list, lines)]
    widths = [max(3, *(len(line[column]) for line in cells)) for column in range(len(head))]

    def line(values: Sequence[str]) -> str:
        padded = (
            value.ljust(width) if column < text_columns else value.rjust(width)
            for column, (value, width) in enumerate(zip(values, widths, strict=True))
        )
        return f"| {' | '.join(padded)} |"

    rule = [
        "-" * width if column < text_columns else "-" * (width - 1) + ":"
        for column, width in enumerate(widths)
    ]
    return "\n".join([line(cells[0]), line(rule), *map(line, cells[1:])])


def described(head: Mapping[str, Any]) -> str:
    """On what something was measured: a line per entry."""
    lines = []
    for name, value in head.items():
        text = (
            ", ".join(f"{key} {each}" for key, each in value.items()) if isinstance(value, Mapping) else value
        )
        lines.append(f"- {name}: {text}")
    return "\n".join(lines)


def filled(document: str, blocks: Mapping[str, str]) -> str:
    """The document with these blocks in their places. ValueError names a place that is not there, or is there twice."""
    for name, text in blocks.items():
        begin, end = f"<!-- bench:{name} -->", f"<!-- /bench:{name} -->"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        if (count := len(pattern.findall(document))) != 1:
            raise ValueError(
                f"{count} places for the block {name!r}: the document needs `{begin}` and `{end}`, once"
            )
        before, after = pattern.split(document)
        document = f"{before}{begin}\n\n{text}\n\n{end}{after}"
    return document
