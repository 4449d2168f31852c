"""The places in a group's member where a crash is interesting (`topics.crash_points`)."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["DeliveryCrashPoint"]


class DeliveryCrashPoint(StrEnum):
    """Where a member may die, in the order in which an event passes them."""

    ASSIGNED = "delivery.assigned"
    """The places of a partition are known; nothing of it has been read."""
    LOADED = "delivery.loaded"
    """What waits in retry topics is known; the sources are about to be read."""
    HANDLER_BEGUN = "delivery.handler_begun"
    HANDLER_ENDED = "delivery.handler_ended"
    """The handler has returned or raised; nothing tells so yet."""
    RETRY_BEGUN = "delivery.retry_begun"
    """A record is about to be written to a retry topic."""
    RETRY_WRITTEN = "delivery.retry_written"
    """It is acknowledged; the record before it is not finished yet."""
    DLQ_BEGUN = "delivery.dlq_begun"
    DLQ_WRITTEN = "delivery.dlq_written"
    """The dead letter is acknowledged; its record is not finished yet."""
    RECEIPT_BEGUN = "delivery.receipt_begun"
    RECEIPT_WRITTEN = "delivery.receipt_written"
    """The receipt is acknowledged; its record is not finished yet."""
    COMMIT_BEGUN = "delivery.commit_begun"
    COMMITTED = "delivery.committed"
    REVOKED = "delivery.revoked"
    """What is finished is committed; the partition is not left yet."""
