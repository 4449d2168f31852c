"""Which events were handled a moment ago: spares a durable subscriber most repeats, and promises nothing.

A publisher that repeats writes the same event id again a moment later; the ids in memory recognise that. What must
be recognised after a restart is acknowledged, and its receipt says so (`handlers.delivery.receipts`).
"""

from __future__ import annotations

from collections.abc import Hashable

from .policy import delay_ms

__all__ = ["RecentIds"]


class RecentIds:
    """The newest ids of one partition: at most `capacity`, each for `ttl_seconds`.

    Times are given and may not decrease. An id is added when its event is done with, never before: what fails must
    be delivered again.
    """

    def __init__(self, capacity: int, ttl_seconds: float) -> None:
        self._capacity = capacity
        self._ttl_ms = delay_ms(ttl_seconds)
        self._added: dict[Hashable, int] = {}

    def __len__(self) -> int:
        return len(self._added)

    def is_recent(self, id_: Hashable, now_ms: int) -> bool:
        """Whether the id was added within the time to live and has not been pushed out."""
        added = self._added.get(id_)
        return added is not None and now_ms - added < self._ttl_ms

    def add(self, id_: Hashable, now_ms: int) -> None:
        """Remember the id from now on, as the newest."""
        self._added.pop(id_, None)
        self._added[id_] = now_ms
        self._shed(now_ms)

    def _shed(self, now_ms: int) -> None:
        """Forget from the oldest: what is too much, and what is too old."""
        while self._added:
            oldest = next(iter(self._added))
            if len(self._added) <= self._capacity and now_ms - self._added[oldest] < self._ttl_ms:
                return
            del self._added[oldest]
