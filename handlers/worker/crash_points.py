"""The places in a step worker where a crash is interesting (`topics.crash_points`)."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["WorkerCrashPoint"]


class WorkerCrashPoint(StrEnum):
    """Where a worker may die, in the order in which a dispatch passes them."""

    ASSIGNED = "worker.assigned"
    """A partition's place is known; nothing says yet that it is in use."""
    COMMIT_BEGUN = "worker.commit_begun"
    COMMITTED = "worker.committed"
    SUSPECT_COUNTED = "worker.suspect_counted"
    """The deliveries of suspects are counted and committed; none of them has run."""
    HANDLER_BEGUN = "worker.handler_begun"
    REPORT_SENT = "worker.report_sent"
    REPORT_ACKNOWLEDGED = "worker.report_acknowledged"
    """The engine watches the attempt; its dispatch is not finished yet."""
    HANDLER_ENDED = "worker.handler_ended"
    PAYLOAD_STORED = "worker.payload_stored"
    """A large result is in `payloads`; the answer that refers to it is not sent."""
    ANSWER_SENT = "worker.answer_sent"
    ANSWER_ACKNOWLEDGED = "worker.answer_acknowledged"
    """The answer is in the log; its dispatch is not finished yet."""
    ANSWER_REPEATED = "worker.answer_repeated"
    """A dispatch was delivered again, and its answer sent again."""
    SENT_AGAIN = "worker.sent_again"
    """What the log had not taken was sent again and acknowledged."""
    LOSS_ANSWERED = "worker.loss_answered"
    """A dispatch that was lost with each of its workers is answered."""
    GIVEN_BACK = "worker.given_back"
    """A worker that stops has answered for a handler that it cannot wait for."""
    REVOKED = "worker.revoked"
    """What is finished is committed and the partition closed; it is not left yet."""
