"""How a step worker behaves. No setting influences what the engine decides."""

from __future__ import annotations

import msgspec

from tasker_kafka.handlers.publishing.desk import EventDeskSettings
from tasker_kafka.schemas.errors import ConfigurationError

__all__ = ["WorkerSettings"]


class WorkerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Limits and times of one worker process."""

    concurrency: int = 100
    """Handlers that run at once, over all queues."""
    queued: int = 400
    """Dispatches of a queue that may wait in memory; above it fetching pauses, below half of it goes on."""
    processes: int = 2
    """Child processes for handlers with `isolation="process"` that run at once."""
    start_report_seconds: float = 2.0
    """A handler that runs longer is reported to the engine, which watches it from then on."""
    heartbeat_seconds: float = 10.0
    """A reported handler's heartbeats are at most this far apart (a third of the step's heartbeat timeout, if less)."""
    progress_seconds: float = 1.0
    """Heartbeats with progress from the handler are at least this far apart; the newest progress wins."""
    cancel_grace_seconds: float = 5.0
    """An async handler that goes on after it was cancelled for this long is given up, and said so."""
    shutdown_seconds: float = 25.0
    """`stop` takes at most about this long: most of it for handlers to end, the rest to give back and to leave."""
    revoke_seconds: float = 2.0
    """How long a rebalance waits for handlers that are neither finished nor reported."""
    commit_seconds: float = 0.25
    """Finished dispatches are committed at least this often."""
    lookahead: int = 400
    """Dispatches of a queue that may be started ahead of a commit, at most: what may run again after a kill, beside
    those in flight. The partitions in hand share it."""
    answer_cache_bytes: int = 64 * 1024 * 1024
    """Answers kept, in bytes, to be sent again when their dispatch is delivered again."""
    events: EventDeskSettings = EventDeskSettings()
    """How domain events are published."""
    announce_seconds: float = 10.0
    """How often the worker says that it is there."""
    retry_seconds: float = 0.2
    """Wait before something that failed on the log is tried again; doubles up to `retry_max_seconds`."""
    retry_max_seconds: float = 5.0
    session_timeout_ms: int = 10_000
    """A worker that is silent for this long has lost its partitions."""
    heartbeat_ms: int = 1_000
    instance_id: str | None = None
    """Makes the worker a static member of its groups: back at once after a restart."""

    def __post_init__(self) -> None:
        counts = {name: getattr(self, name) for name in ("concurrency", "queued", "processes", "lookahead")}
        for name, value in counts.items():
            if value < 1:
                raise ConfigurationError(f"worker setting {name} is {value}; it must be at least 1")
        for name in self.__struct_fields__:
            if name.endswith("_seconds") and getattr(self, name) <= 0:
                raise ConfigurationError(
                    f"worker setting {name} is {getattr(self, name)}; it must be positive"
                )
