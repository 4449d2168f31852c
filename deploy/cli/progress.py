"""A progress bar on standard error, where that is a terminal; elsewhere nothing, so that logs stay clean."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

__all__ = ["Progress"]


class Progress(AbstractContextManager["Progress"]):
    """Bars by name: `show("tasks", 3, 10)`. Rich is loaded only where a bar is drawn; with --json none is."""

    def __init__(self, *, is_wanted: bool = True) -> None:
        self._is_wanted = is_wanted
        self._drawn: RichProgress | None = None
        self._bars: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        if self._is_wanted and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress as Drawn

            self._drawn = Drawn(console=Console(stderr=True), transient=True)
            self._drawn.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._drawn is not None:
            self._drawn.stop()

    @property
    def is_drawn(self) -> bool:
        """Whether anybody sees it."""
        return self._drawn is not None

    def show(self, name: str, done: int, whole: int | None) -> None:
        """How far the work of this name is; `whole` None: nobody knows how much it is."""
        if self._drawn is None:
            return
        if name not in self._bars:
            self._bars[name] = self._drawn.add_task(name, total=whole)
        # Without an end there is no bar to read how far it is: the number says it.
        told = name if whole is not None else f"{name} {done}"
        self._drawn.update(self._bars[name], completed=done, total=whole, description=told)

    def by_partition(self, what: str) -> Callable[[int, int, int], None]:
        """A bar for each partition, as readers of the log tell of their work: (partition, done, of how many)."""
        return lambda number, done, whole: self.show(f"{what} {number}", done, whole)
