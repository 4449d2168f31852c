"""What an orchestrator process needs to know, all of it resolved (no environment is read below this point)."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field

from faust.auth import SASLCredentials, SSLCredentials

from tasker_kafka.streams.lane.settings import LaneSettings

__all__ = ["Credentials", "OrchestratorConfig"]

Credentials = SASLCredentials | SSLCredentials


@dataclass(frozen=True, kw_only=True)
class OrchestratorConfig:
    """Resolved settings of one orchestrator process. Times are in the unit of the name."""

    bootstrap: str
    prefix: str = "tasker"
    partitions: int = 8
    """Partition count of the four co-partitioned topics."""
    ordinal: int | None = None
    """Number among the orchestrators of this host; None: the first free one."""
    session_timeout_ms: int = 6_000
    heartbeat_ms: int = 500
    rebalance_timeout_ms: int = 30_000
    max_poll_bytes: int = 4 * 1024 * 1024
    """Most bytes fetched of one partition at once."""
    template_paths: tuple[str, ...] = ()
    """Templates published at start."""
    credentials: Credentials | None = None
    ssl_context: ssl.SSLContext | None = None
    lanes: LaneSettings = field(default_factory=LaneSettings)
    log_level: str = "WARNING"
