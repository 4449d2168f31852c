"""A circuit breaker: after some failures in a row a subscription is left alone for a while, then tried once.

```
            failures in a row            seconds have passed: one ticket
  closed ─────────────────────▶ open ─────────────────────────────────▶ half-open
     ▲                            ▲                                        │   │
     │                            └────────────── it failed ───────────────┘   │
     └────────────────────────────────── it succeeded ─────────────────────────┘
```

Times are given, none is read, so every course can be played. A delivery that began before the breaker opened says
nothing about now: each delivery holds the ticket with which it began, and an old ticket's end is ignored.
"""

from __future__ import annotations

from enum import StrEnum

from .policy import delay_ms

__all__ = ["BreakerState", "CircuitBreaker", "Ticket"]

Ticket = int
"""Says in which period of the breaker a delivery began."""


class BreakerState(StrEnum):
    """Whether deliveries may begin."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class CircuitBreaker:
    """One subscription's breaker in one process.

    `failures` in a row open it for `seconds`; 0 failures: it never opens.
    """

    def __init__(self, failures: int, seconds: float) -> None:
        self._failures = failures
        self._pause_ms = delay_ms(seconds)
        self._period: Ticket = 0
        self._in_a_row = 0
        self._reopens_at: int | None = None
        self._is_probing = False
        self.times_opened = 0

    def state(self, now_ms: int) -> BreakerState:
        """Whether deliveries may begin now."""
        if self._reopens_at is None:
            return BreakerState.CLOSED
        is_due = now_ms >= self._reopens_at
        return BreakerState.HALF_OPEN if is_due or self._is_probing else BreakerState.OPEN

    @property
    def retry_at(self) -> int | None:
        """When one delivery may be tried (ms); None when closed, or while one is being tried."""
        return None if self._is_probing else self._reopens_at

    def admit(self, now_ms: int) -> Ticket | None:
        """Let a delivery begin. None: not now; ask again at `retry_at`, or when the one that is tried has ended.

        Whoever gets a ticket gives it back by `succeeded`, `failed` or `abandoned`.
        """
        if self._reopens_at is None:
            return self._period
        if self._is_probing or now_ms < self._reopens_at:
            return None
        self._is_probing = True
        return self._period

    def succeeded(self, ticket: Ticket) -> None:
        """A delivery succeeded."""
        if ticket != self._period:
            return
        self._in_a_row = 0
        if self._is_probing:
            self._period += 1
            self._reopens_at, self._is_probing = None, False

    def failed(self, ticket: Ticket, now_ms: int) -> None:
        """A delivery failed in a way that may be an outage (`DeliveryFailure.is_outage_sign`)."""
        if ticket != self._period:
            return
        self._in_a_row += 1
        if self._is_probing or 0 < self._failures <= self._in_a_row:
            self._period += 1
            self._in_a_row = 0
            self._reopens_at, self._is_probing = now_ms + self._pause_ms, False
            self.times_opened += 1

    def abandoned(self, ticket: Ticket) -> None:
        """A delivery ended and says nothing: its partition was taken away, or the event itself was at fault."""
        if ticket == self._period:
            self._is_probing = False
