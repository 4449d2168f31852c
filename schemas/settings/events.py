"""Settings of domain events. Their keys are those of the first Tasker, so files can be taken over."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from .roles import check_buckets
from .section import Section, setting

__all__ = [
    "AcknowledgedSettings",
    "DurableSettings",
    "EventSettings",
    "FireAndForgetSettings",
    "MetricSettings",
]


class FireAndForgetSettings(Section):
    """Events that may be lost and never slow a task."""

    buffer_size: int = setting(1_000, "Events that may wait to be sent.", zero="refused", ge=1)
    overflow_strategy: Literal["drop_oldest", "drop_newest", "block"] = setting(
        "drop_oldest", "What happens when the buffer is full."
    )


class DurableSettings(Section):
    """Events that reach every subscriber group, or its dead letter queue."""

    visibility_timeout: float = setting(
        30.0,
        "Seconds that one attempt of a subscriber may take.",
        zero="refused: no attempt could succeed",
        gt=0,
    )
    max_delivery_attempts: int = setting(
        3, "Attempts before the dead letter queue.", zero="refused", ge=1, le=100
    )
    dlq_enabled: bool = setting(
        True, "false: after the last attempt the lane stops and alerts, and nothing is skipped."
    )
    dlq_retention_days: int = setting(7, "Days that dead letters are kept.", zero="refused", ge=1)


class AcknowledgedSettings(Section):
    """Durable events of which every group that takes them leaves a receipt."""

    receipt_deadline_seconds: float = setting(
        300.0,
        "Seconds after which a missing receipt is an alert and a dead letter.",
        zero="refused: every event would be missing at once",
        gt=0,
    )
    dedup_ttl_seconds: float = setting(
        86_400.0,
        "Seconds in which a repeat of an acknowledged event is not handled again; receipts are kept as long as events.",
        zero="refused",
        gt=0,
    )


class MetricSettings(Section):
    """Metrics of delivery."""

    enabled: bool = setting(True, "Whether delivery is measured.")
    histogram_buckets: tuple[float, ...] = setting(
        (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0), "Upper bounds of the delivery histograms, in seconds."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_buckets(self.histogram_buckets)
        return self


class EventSettings(Section):
    """Domain events."""

    enabled: bool = setting(
        True, "false: templates may not declare events, which is said when they are loaded."
    )
    default_delivery: Literal["fire_and_forget", "durable", "acknowledged"] = setting(
        "fire_and_forget", "Promise of events whose declaration states none; becomes part of the plan."
    )
    fire_and_forget: FireAndForgetSettings = FireAndForgetSettings()
    durable: DurableSettings = DurableSettings()
    acknowledged: AcknowledgedSettings = AcknowledgedSettings()
    metrics: MetricSettings = MetricSettings()
