"""Whose turn it is among suspects: dispatches that may have ended their worker run one at a time in a worker.

In the whole worker, not in each partition: else the crash that one causes would be counted against another.
"""

from __future__ import annotations

from collections.abc import Callable

from .partition import PartitionWork, QueueDelivery

__all__ = ["SuspectTurn"]


class SuspectTurn:
    """Held by one delivery at most; `on_free` is called when it can be taken again."""

    def __init__(self, on_free: Callable[[], None]) -> None:
        self._holder: QueueDelivery | None = None
        self._on_free = on_free

    @property
    def is_free(self) -> bool:
        """No suspect runs."""
        return self._holder is None

    def take(self, delivery: QueueDelivery) -> None:
        """This suspect runs now."""
        self._holder = delivery

    def end(self, delivery: QueueDelivery) -> None:
        """This record is finished; of consequence if it has the turn."""
        if self._holder is delivery:
            self._holder = None
            self._on_free()

    def forget(self, work: PartitionWork) -> None:
        """This partition is gone, and its suspect with it."""
        if self._holder is not None and self._holder.work is work:
            self.end(self._holder)
