"""What a member counts. Counters only grow; gauges say what is now."""

from __future__ import annotations

import msgspec

__all__ = ["Figures"]


class Figures(msgspec.Struct, kw_only=True):
    """Of one member since it was made."""

    delivered: int = 0
    """Deliveries that succeeded."""
    failed: int = 0
    """Deliveries that failed, each attempt counted."""
    retried: int = 0
    """Deliveries that were tried again, or will be."""
    parked: int = 0
    """Records written to retry topics."""
    renewed: int = 0
    """Of `parked`: records written again because their topic would not have kept them much longer."""
    dead: int = 0
    """Records written to dead letter topics."""
    left_out: int = 0
    """Of `dead`: those that hold the original's place instead of its bytes, which their topic does not take."""
    undecodable: int = 0
    """Of `dead`: those that were no event."""
    duplicates: int = 0
    """Events that were handled or acknowledged already and were not delivered again."""
    skipped: int = 0
    """Records that no subscription takes."""
    filtered: int = 0
    """Events that a subscription takes and its filters did not."""
    dropped: int = 0
    """Fire and forget: events that found no room for too long, or that were not done when their partition went."""
    abandoned: int = 0
    """Handlers that did not end when they had to; their places were taken anew."""
    stopped: int = 0
    """Lanes that stand still because there is no dead letter queue."""
    receipts: int = 0
    """Receipts written."""
    in_flight: int = 0
    """Gauge: jobs that run, or whose end is being written."""
    waiting: int = 0
    """Gauge: jobs in memory that do not run."""
    lateness_ms: int = 0
    """The longest that a retry has started after its due time."""
