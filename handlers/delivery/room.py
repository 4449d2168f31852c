"""When fire-and-forget events that find no room are dropped. Pure: times are given.

They are finished before their handlers run, so nothing but this bounds them in memory. A burst that the handlers can
work off is no reason to lose anything: it stays in the log, and reading pauses. But handlers that take long must not
hold up what else the group takes from the same partitions, nor make events ever staler: after `patience_seconds`
reading goes on, and what finds no room is dropped, until half the room is free again.
"""

from __future__ import annotations

__all__ = ["LooseRoom"]


class LooseRoom:
    """Of one member: `limit` events may wait or run."""

    def __init__(self, limit: int, patience_seconds: float) -> None:
        self._limit = limit
        self._patience = patience_seconds
        self._full_since: float | None = None
        self._left = 0
        self.is_waiting = False
        """Reading is to pause."""

    @property
    def low(self) -> int:
        """So few must be left before there is room again."""
        return self._limit // 2

    def look(self, waiting: int, now: float) -> None:
        """Say how many there are now (`now`: monotonic, seconds), before reading on."""
        if waiting >= self._limit and self._full_since is None:
            self._full_since = now
        elif waiting <= self.low:
            self._full_since = None
        is_over = self._full_since is not None and now - self._full_since >= self._patience
        self.is_waiting = self._full_since is not None and not is_over
        self._left = self._limit - waiting if is_over else 0

    def take(self) -> bool:
        """Whether one more may be taken: within the patience always, so that nothing that was read is lost."""
        if self._full_since is None or self.is_waiting:
            return True
        self._left -= 1
        return self._left >= 0
