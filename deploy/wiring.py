"""From settings to what topics and workers take; `topics.kafka.configured` and `streams.runtime.config` do the rest.

No logic beyond naming: the parts below read no settings and no environment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasker_kafka.schemas.redaction import Redactor, use_redactor
from tasker_kafka.schemas.settings import Settings
from tasker_kafka.topics.configured import configured_partitions, topic_plan, use_configured_registry

if TYPE_CHECKING:
    from tasker_kafka.handlers.worker import WorkerSettings

__all__ = ["apply_to_process", "configured_partitions", "replication_factor", "topic_plan", "worker_settings"]

BROKERS_OWN = -1
"""Asks the broker for its own default replication factor."""


def replication_factor(settings: Settings) -> int:
    """Copies of each record."""
    return settings.topics.replication_factor or BROKERS_OWN


def apply_to_process(settings: Settings) -> None:
    """What holds for the whole process, before it does anything: which secrets it hides, how it frames records."""
    wanted = settings.redaction
    use_redactor(Redactor(wanted.filter_parameters, wanted.filter_mask))
    use_configured_registry(settings)


def worker_settings(settings: Settings) -> WorkerSettings:
    """One worker process."""
    from tasker_kafka.handlers.publishing.desk import EventDeskSettings
    from tasker_kafka.handlers.worker import WorkerSettings

    wanted, lossy = settings.worker, settings.events.fire_and_forget
    return WorkerSettings(
        concurrency=wanted.concurrency,
        queued=wanted.queued,
        processes=wanted.processes,
        start_report_seconds=wanted.start_report_seconds,
        heartbeat_seconds=wanted.heartbeat_seconds,
        cancel_grace_seconds=wanted.cancel_grace_seconds,
        shutdown_seconds=wanted.shutdown_seconds,
        revoke_seconds=wanted.revoke_seconds,
        commit_seconds=wanted.commit_seconds,
        lookahead=wanted.lookahead,
        answer_cache_bytes=wanted.cache_bytes,
        announce_seconds=wanted.announce_seconds,
        session_timeout_ms=wanted.session_timeout_ms,
        heartbeat_ms=wanted.heartbeat_ms,
        instance_id=wanted.instance_id,
        events=EventDeskSettings(
            buffer_size=lossy.buffer_size,
            overflow=lossy.overflow_strategy,
            is_measured=settings.events.metrics.enabled,
        ),
    )
