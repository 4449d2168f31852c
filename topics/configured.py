"""What the settings say of topics."""

from __future__ import annotations

from tasker_kafka.schemas.settings import Settings

from .declarations import TopicPlan

__all__ = ["configured_partitions", "topic_plan"]


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
