"""When a delivery is tried again, and when its event is a dead letter: pure, so every case can be tabled."""

from __future__ import annotations

import msgspec

__all__ = ["DeliveryPolicy"]


class DeliveryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How a subscription's failed deliveries are treated. Times are in seconds."""

    max_attempts: int = 3
    """Deliveries in all before the dead letter queue; the first counts."""
    delays: tuple[float, ...] = (1.0, 30.0, 300.0)
    """Before the second, third, … delivery; the last one repeats."""
    in_place_seconds: float = 2.0
    """Delays up to this are waited out in memory; longer ones go through a retry topic and survive a crash."""
    timeout_seconds: float = 30.0
    """What one delivery may take."""
    max_age_seconds: float | None = None
    """Since the event was fired; older ones are dead letters (`expired`). None: no limit."""
    dlq_enabled: bool = True
    """False: after the last attempt the lane stops and alerts, and nothing is skipped."""
    breaker_failures: int = 5
    """Failures in a row of a subscription that open its circuit breaker. 0: never."""
    breaker_seconds: float = 30.0
    """How long an open breaker delays deliveries; then one is tried."""
