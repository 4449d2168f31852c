"""The owner's time: what the broker's clock must read at least, without asking it.

Timers are compared with broker timestamps by `decide`, so the owner must not use its own wall clock: one that is
wrong by an hour would write timers for an hour in vain. Every command carries the broker's time of its append,
and monotonic time has passed since it was read; the broker's clock is at least their sum. The largest such sum
is the best bound. While a backlog is read the clock lags: `Watch` waits for a command of its owner's own time.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["OwnerClock"]


class OwnerClock:
    """Broker time of one partition, in ms, as a lower bound that never stands still.

    Until the first command is seen it runs on `provisional_ms` (the wall clock), which nothing is decided by. The
    first broker timestamp replaces it, also when that is earlier.
    """

    __slots__ = ("_anchor_ms", "_anchor_seconds", "_is_provisional", "_monotonic")

    def __init__(self, provisional_ms: int, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._anchor_ms = provisional_ms
        self._anchor_seconds = monotonic()
        self._is_provisional = True

    def now_ms(self) -> int:
        """The broker's clock reads at least this."""
        return self._anchor_ms + int((self._monotonic() - self._anchor_seconds) * 1000)

    def observe(self, timestamp_ms: int) -> int:
        """A command with this broker timestamp was read; returns how far it lies behind the clock, in ms."""
        behind = self.now_ms() - timestamp_ms
        if behind < 0 or self._is_provisional:
            self._anchor_ms = timestamp_ms
            self._anchor_seconds = self._monotonic()
            self._is_provisional = False
        return behind
