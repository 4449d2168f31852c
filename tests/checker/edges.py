"""The states a task and a step can rest in and the edges between them, as the specification lists them.

Three events are no moves but notes on the spot: `changed` (an operator changed a limit, a reason, labels),
`stale_reported` (staleness fired into the ledger) and `redispatched` (the same attempt was sent again).
"""

from __future__ import annotations

from typing import Final

from .wire import Datum

__all__ = [
    "CLOSED_TASK",
    "DONE_STEP",
    "FINAL_TASK",
    "WAITING_TASK",
    "fault_of",
]

FINAL_TASK: Final = frozenset({"complete", "cancelled", "resolved_manually"})
CLOSED_TASK: Final = FINAL_TASK | {"error"}
WAITING_TASK: Final = frozenset({"waiting_for_dependencies", "waiting_for_retry", "blocked_by_failures"})
DONE_STEP: Final = frozenset({"complete", "resolved_manually"})

_OPEN: Final = WAITING_TASK | {"pending", "in_progress"}
_REOPENABLE: Final = frozenset({"blocked_by_failures", "error"})
_NOTES: Final = frozenset({"changed", "stale_reported", "redispatched"})


def _edges(
    *rows: tuple[str, frozenset[str] | set[str | None] | None, str],
) -> frozenset[tuple[str, str | None, str]]:
    return frozenset((event, origin, to) for event, origins, to in rows for origin in origins or {None})


_TASK: Final = _edges(
    ("initialize_requested", None, "pending"),
    ("start_requested", {"pending"}, "in_progress"),
    ("all_steps_done", {"in_progress"}, "complete"),
    ("awaiting_dependencies", {"in_progress"}, "waiting_for_dependencies"),
    ("retry_backoff_started", {"in_progress"}, "waiting_for_retry"),
    ("blocked", {"in_progress"}, "blocked_by_failures"),
    ("steps_ready", {"waiting_for_dependencies", "waiting_for_retry"}, "in_progress"),
    ("give_up", {"blocked_by_failures"}, "error"),
    ("retry_requested", _REOPENABLE, "pending"),
    ("resumed", _REOPENABLE, "in_progress"),
    ("resolved_manually", _REOPENABLE, "resolved_manually"),
    ("cancelled", _OPEN | {"error"}, "cancelled"),
    ("deadline_exceeded", _OPEN, "error"),
    ("stale", _OPEN, "error"),
    ("quarantined", _OPEN, "error"),
)
_STEP: Final = _edges(
    ("initialize_requested", None, "pending"),
    ("enqueue_requested", {"pending"}, "enqueued"),
    ("bypassed", {"pending"}, "complete"),
    ("execution_requested", {"enqueued"}, "in_progress"),
    ("timed_out", {"enqueued"}, "waiting_for_retry"),
    ("timed_out", {"enqueued"}, "error"),
    ("returned", {"enqueued"}, "waiting_for_retry"),
    ("completed", {"pending", "in_progress", "waiting_for_retry"}, "complete"),
    ("retry_backoff_started", {"in_progress"}, "waiting_for_retry"),
    ("failed", {"in_progress"}, "error"),
    ("lost", {"in_progress"}, "pending"),
    ("lost", {"in_progress"}, "error"),
    ("retry_requested", {"waiting_for_retry", "error", "cancelled"}, "pending"),
    ("resolved_manually", {"pending", "waiting_for_retry", "error", "cancelled"}, "resolved_manually"),
    ("completed_manually", {"pending", "waiting_for_retry", "error", "cancelled"}, "complete"),
    ("cancelled", {"pending", "enqueued", "in_progress", "waiting_for_retry", "error"}, "cancelled"),
)


def fault_of(transition: Datum, current: str | None) -> str | None:
    """Why this edge cannot be taken from where the task or step rests; None when it can."""
    event, origin, to = transition["event"], transition["from_state"], transition["to_state"]
    what = "the task" if transition["step"] is None else f"step {transition['step']}"
    if origin != current:
        return f"{event} takes {what} from {origin}, but it rests in {current}"
    if event in _NOTES:
        return None if origin == to else f"{event} moves {what} from {origin} to {to}"
    if (event, origin, to) not in (_TASK if transition["step"] is None else _STEP):
        return f"{what} has no edge {event} from {origin} to {to}"
    return None
