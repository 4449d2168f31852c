"""What can be wrong with an edge or a history. `decide` never lets these out; `fold` and the checks do."""

from __future__ import annotations

from tasker_kafka.schemas.errors import TaskerError

__all__ = ["HistoryIncomplete", "IllegalEdge"]


class IllegalEdge(TaskerError):
    """The rules have no such edge: a decision that took it would be a fault of the rules."""


class HistoryIncomplete(TaskerError):
    """A record cannot be folded: what it builds on was not folded before it."""
