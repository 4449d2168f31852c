"""What the settings say of topics, and of how the schema of a record is named."""

from __future__ import annotations

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.settings import Settings

from .declarations import TopicPlan

__all__ = ["configured_partitions", "topic_plan", "use_configured_registry"]


def configured_partitions(settings: Settings) -> int | None:
    """The partition count where somebody has set it; None: as the system that is there has it."""
    is_set = settings.origin("topics.partitions") != "default"
    return settings.topics.partitions if is_set else None


def topic_plan(settings: Settings, partitions: int) -> TopicPlan:
    """What the settings say of topics, with this partition count."""
    wanted = settings.topics
    return TopicPlan(
        partitions=partitions,
        queue_partitions=wanted.queue_partitions,
        transitions_days=wanted.transitions_retention_days or None,
        requests_days=wanted.requests_retention_days,
        payloads_days=wanted.payloads_retention_days,
        events_days=wanted.events_retention_days,
        events_dlq_days=settings.events.durable.dlq_retention_days,
    )


def use_configured_registry(settings: Settings) -> None:
    """Make the process's codec write and read the frames of the settings' schema registry, if they name one.

    LogError when it does not answer, ConfigurationError when it refuses.
    """
    wanted = settings.broker.schema_registry
    if wanted.url is None:
        return
    from .registry import HttpSchemaRegistry

    credentials = None
    if wanted.username is not None and wanted.password is not None:
        credentials = (wanted.username, wanted.password.read())
    timeout = settings.broker.connect_timeout_seconds
    codec.use_registry(HttpSchemaRegistry(wanted.url, credentials=credentials, timeout=timeout))
