"""Lanes of subscriptions whose breaker is open: they wait until one delivery may be tried."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .jobs import Job, Lane
from .prepared import Prepared

__all__ = ["Suspension"]


class Suspension:
    """Of one member. `wake`: called when lanes can go on."""

    def __init__(self, now_ms: Callable[[], int], wake: Callable[[], None]) -> None:
        self.lanes: dict[int, dict[Lane, None]] = {}
        """By the subscription's place."""
        self._now_ms = now_ms
        self._wake = wake
        self._loop = asyncio.get_running_loop()

    def add(self, job: Job, prepared: Prepared) -> None:
        """It was started and the breaker is open: its lane waits."""
        job.lane.owner.put_back(job)
        waiting = self.lanes.setdefault(prepared.index, {})
        if not waiting:
            self._plan(prepared)
        waiting[job.lane] = None

    def look(self, prepared: Prepared) -> None:
        """After a delivery that was tried: the others go on, or wait for the next try."""
        if prepared.index in self.lanes:
            if prepared.breaker.retry_at is None:
                self._release(prepared)
            else:
                self._plan(prepared)

    def _plan(self, prepared: Prepared) -> None:
        retry_at = prepared.breaker.retry_at
        if retry_at is not None:
            delay = max(0, retry_at - self._now_ms()) / 1_000
            self._loop.call_later(delay, self._release, prepared)

    def _release(self, prepared: Prepared) -> None:
        """Let the lanes of a subscription try again."""
        waiting = self.lanes.pop(prepared.index, {})
        for lane in waiting:
            lane.owner.reschedule(lane)
        if waiting:
            self._wake()
