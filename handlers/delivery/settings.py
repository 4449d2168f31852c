"""How a member of a subscriber's group behaves. Nothing here changes what is promised, only times and bounds."""

from __future__ import annotations

from typing import Final

import msgspec

from tasker_kafka.handlers.event_metrics import DELIVERY_BUCKETS
from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.settings.events import EventSettings

from .policy import DeliveryPolicy

__all__ = ["DeliverySettings", "settings_from"]

_MIB: Final = 1024 * 1024
_DAY_SECONDS: Final = 86_400
_COUNTS: Final = ("parked", "parked_bytes", "queued_bytes", "processes", "replication_factor", "retry_days")


class DeliverySettings(msgspec.Struct, frozen=True, kw_only=True):
    """Limits and times of one member in one process. ConfigurationError when one is out of its range."""

    policy: DeliveryPolicy = DeliveryPolicy()
    """Of subscriptions that state none."""
    queued_bytes: int = 64 * _MIB
    """Bytes of records that may wait in memory beside the spec's number of them; above it partitions are paused."""
    loose_seconds: float = 1.0
    """Fire-and-forget events that find no room in memory wait in the log for this long; then they are dropped."""
    parked: int = 10_000
    """Events of one partition that may lie parked; above it the partition's sources are paused."""
    parked_bytes: int = 64 * _MIB
    """Bytes of one partition's parked events; they are kept in memory, too."""
    processes: int = 2
    """Child processes for handlers with `isolation="process"` that run at once."""
    commit_seconds: float = 0.25
    """What is finished is committed at least this often."""
    cancel_grace_seconds: float = 2.0
    """An async handler that goes on after it was cancelled for this long is given up; its place is taken anew."""
    revoke_seconds: float = 5.0
    """How long a rebalance waits for handlers before it cancels them."""
    shutdown_seconds: float = 25.0
    """`stop` takes at most about this long."""
    retry_seconds: float = 0.2
    """Wait before something that failed on the log is tried again; doubles up to `retry_max_seconds`."""
    retry_max_seconds: float = 5.0
    discover_seconds: float = 30.0
    """How often new topics are looked for."""
    dedup_events: int = 10_000
    """Ids of handled events that are remembered for each partition."""
    dedup_seconds: float = 3_600.0
    receipt_days: float = 1.0
    """How long receipts of acknowledged events are remembered, in days."""
    create_topics: bool = True
    """Whether missing retry and dead letter topics may be created; else they are asked for by name."""
    replication_factor: int = 1
    """Of topics that are created."""
    retry_days: int = 7
    """How long a retry topic that is created keeps its records."""
    dlq_days: int = 7
    """How long a dead letter topic that is created keeps its records."""
    session_timeout_ms: int = 10_000
    """A member that is silent for this long has lost its partitions."""
    heartbeat_ms: int = 1_000
    latency_buckets: tuple[float, ...] | None = DELIVERY_BUCKETS
    """Upper bounds of the histogram of deliveries, in seconds; None: deliveries are not measured."""
    instance_id: str | None = None
    """Makes this a static member of its group: back at once after a restart."""

    def __post_init__(self) -> None:
        for name in _COUNTS:
            if getattr(self, name) < 1:
                raise _refusal(name, getattr(self, name), "at least 1")
        for name in self.__struct_fields__:
            if name.endswith("_seconds") and getattr(self, name) <= 0:
                raise _refusal(name, getattr(self, name), "positive")


def settings_from(events: EventSettings) -> DeliverySettings:
    """The settings that a settings file means."""
    durable = events.durable
    policy = DeliveryPolicy(
        max_attempts=durable.max_delivery_attempts,
        timeout_seconds=durable.visibility_timeout,
        dlq_enabled=durable.dlq_enabled,
    )
    return DeliverySettings(
        policy=policy,
        latency_buckets=events.metrics.histogram_buckets if events.metrics.enabled else None,
        dlq_days=durable.dlq_retention_days,
        receipt_days=events.acknowledged.dedup_ttl_seconds / _DAY_SECONDS,
    )


def _refusal(name: str, value: object, wanted: str) -> ConfigurationError:
    return ConfigurationError(
        f"delivery setting {name} is {value}", next_step=f"set {name} to a number that is {wanted}"
    )
