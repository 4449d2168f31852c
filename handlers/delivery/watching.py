"""What a watcher of receipts is told, what it counts, and where it may die."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.settings.events import EventSettings

__all__ = ["WatcherCrashPoint", "WatcherFigures", "WatcherSettings", "watcher_settings"]


class WatcherSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Times and bounds of one watcher. ConfigurationError when one is not positive."""

    deadline_seconds: float = 300.0
    """A receipt that is not there so long after its event is missing."""
    late_seconds: float = 86_400.0
    """A receipt that comes so long after it was found missing still closes its dead letter."""
    buffered: int = 1_000
    """Events of a partition that wait in memory for their deadline; what is behind them waits in the log."""
    batch: int = 100
    """Missing receipts that are written in one transaction."""
    discover_seconds: float = 30.0
    """How often topics of events are looked for."""
    retry_seconds: float = 0.5
    """How long it waits after the log has failed."""
    session_timeout_ms: int = 10_000
    heartbeat_ms: int = 1_000

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if not getattr(self, name) > 0:
                raise ConfigurationError(
                    f"watcher setting {name} is {getattr(self, name)}",
                    next_step=f"set {name} to a number above 0",
                )


def watcher_settings(settings: EventSettings) -> WatcherSettings:
    """What the settings say of watching."""
    wanted = settings.acknowledged
    return WatcherSettings(
        deadline_seconds=wanted.receipt_deadline_seconds, late_seconds=wanted.dedup_ttl_seconds
    )


class WatcherFigures(msgspec.Struct, kw_only=True):
    """Counted since the watcher began."""

    settled: int = 0
    """Events whose deadline has passed and of which every receipt is there, or was found missing."""
    owed: int = 0
    """Receipts that were looked for."""
    missing: int = 0
    """Of these not there: each is an alert and a dead letter."""
    late: int = 0
    """Missing ones that came after all, and whose dead letter was closed."""
    unreadable: int = 0
    """Records that are no event; the groups that take them make dead letters of them."""
    waiting: int = 0
    """Events in memory whose deadline has not passed."""


class WatcherCrashPoint(StrEnum):
    """Where a watcher may die, in the order in which an event passes them."""

    DUE = "watcher.due"
    """Deadlines have passed; nothing is looked up yet."""
    FENCED = "watcher.fenced"
    """Receipts are missing, and whoever watched the partition before can report nothing more."""
    REPORTED = "watcher.reported"
    """Dead letters and marks are committed; the group's offset is not."""
    COMMITTED = "watcher.committed"
    CLOSED = "watcher.closed"
    """The dead letter of a receipt that came late is closed."""
