"""Shows the board while it changes: one table that is redrawn in a terminal, one line per change elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterable
from types import TracebackType
from typing import Final, Self

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tasker_kafka.deploy.reading import SIGNS
from tasker_kafka.schemas.words import StepStatus, TaskStatus

from .board import Board, Change, Row

__all__ = ["STYLES", "Screen", "make_console"]

PIPED_WIDTH: Final = 140
STYLES: Final = {
    StepStatus.PENDING: "dim",
    StepStatus.ENQUEUED: "blue",
    StepStatus.IN_PROGRESS: "bright_blue",
    StepStatus.WAITING_FOR_RETRY: "yellow",
    StepStatus.COMPLETE: "green",
    StepStatus.ERROR: "bold red",
    StepStatus.CANCELLED: "dim",
    StepStatus.RESOLVED_MANUALLY: "green",
}
TASK_STYLES: Final = {
    TaskStatus.COMPLETE: "green",
    TaskStatus.ERROR: "bold red",
    TaskStatus.WAITING_FOR_RETRY: "yellow",
}


def make_console() -> Console:
    """The terminal, or a file or pipe of a fixed width without any control codes."""
    console = Console(highlight=False)
    if console.is_terminal:
        return console
    return Console(highlight=False, width=PIPED_WIDTH, color_system=None)


class Screen:
    """Use as `with`; `say` prints a line at any time, `show` what has changed on a board.

    started: `time.monotonic()` from which `say` counts.
    """

    def __init__(self, console: Console, started: float) -> None:
        self._console = console
        self._live: Live | None = None
        self._started = started

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, text: str) -> None:
        """A line of the demo's own, with the seconds since its start."""
        line = Text.assemble((f"{time.monotonic() - self._started:6.2f} s  ", "dim"), text)
        self._console.print(line, soft_wrap=True)

    def show(self, board: Board, changes: Iterable[Change]) -> None:
        """Show the board as it is after these changes."""
        if self._live is not None:
            self._live.update(_drawn(board), refresh=True)
            return
        for change in changes:
            self.say(f"{change.label:<24} {change.text}")


def _drawn(board: Board) -> Group:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("task", "steps", "state", "time"):
        table.add_column(column, no_wrap=True, justify="right" if column == "time" else "left")
    table.add_column("", overflow="ellipsis", no_wrap=True)
    for row in board.rows.values():
        table.add_row(row.label, _steps(row), _state(row), _seconds(row), Text(row.remark, style="dim"))
    legend = Text("  ".join(f"{sign} {status}" for status, sign in SIGNS.items()), style="dim")
    return Group(table, legend)


def _steps(row: Row) -> Text:
    states = [row.steps.get(step.name, StepStatus.PENDING) for step in row.plan.steps]
    return Text(" ").join(Text(SIGNS[state], style=STYLES[state]) for state in states)


def _state(row: Row) -> Text:
    return Text(str(row.state), style=TASK_STYLES.get(row.state, ""))


def _seconds(row: Row) -> str:
    return f"{(row.changed_at - row.created_at) / 1000:.2f} s"
