"""One timer for many waits: thousands of short handlers must not cost a timer of the loop each."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from typing import Protocol

__all__ = ["Deadlines", "Watched"]

_SWEEP_SECONDS = 0.05


class Watched(Protocol):
    """Something that wants to be woken."""

    @property
    def is_over(self) -> bool:
        """It needs no waking any more."""
        ...

    def wake(self, now: float) -> float | None:
        """Do what is due at `now` (loop time); when to be woken next, if at all."""
        ...


class Deadlines:
    """Wakes each watched thing at its time, on the running loop's clock."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._fresh: list[tuple[float, Watched]] = []
        """What is new: most of it is over by the next sweep, and never has to be put in order or kept."""
        self._sweep_at = 0.0
        self._sweeper: asyncio.TimerHandle | None = None
        self._waiting: list[tuple[float, int, Watched]] = []
        self._order = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._fires_at = 0.0
        """When the timer fires. Asking it is no good: uvloop's handle of a time that is past cannot tell."""

    def add(self, when: float, watched: Watched) -> None:
        """Wake `watched` at `when`."""
        if not self._fresh:
            self._sweep_at = self._loop.time() + _SWEEP_SECONDS
            self._sweeper = self._loop.call_at(self._sweep_at, self._sweep)
        if when > self._sweep_at:
            self._fresh.append((when, watched))
        else:
            self._push(when, watched)

    def close(self) -> None:
        """Wake nobody any more."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._fresh.clear()
        self._waiting.clear()
        self._arm()

    def _push(self, when: float, watched: Watched) -> None:
        heapq.heappush(self._waiting, (when, next(self._order), watched))
        if self._timer is None or when < self._fires_at:
            self._arm()

    def _sweep(self) -> None:
        fresh, self._fresh = self._fresh, []
        for when, watched in fresh:
            if not watched.is_over:
                self._push(when, watched)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting and self._waiting[0][2].is_over:
            heapq.heappop(self._waiting)
        if self._waiting:
            self._fires_at = self._waiting[0][0]
            self._timer = self._loop.call_at(self._fires_at, self._fire)

    def _fire(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._waiting and self._waiting[0][0] <= now:
            watched = heapq.heappop(self._waiting)[2]
            following = None if watched.is_over else watched.wake(now)
            if following is not None:
                heapq.heappush(self._waiting, (following, next(self._order), watched))
        self._arm()
