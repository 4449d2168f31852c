"""OpenTelemetry metrics in memory: what was recorded, by instrument and attributes."""

from __future__ import annotations

from typing import Any

from opentelemetry.metrics import Meter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

__all__ = ["RecordedMetrics"]


class RecordedMetrics:
    """A meter, and all that went through it."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        self._points: dict[str, list[Any]] = {}
        self.meter: Meter = MeterProvider(metric_readers=[self._reader]).get_meter("test")

    def points(self, instrument: str) -> list[tuple[dict[str, Any], Any]]:
        """(attributes, data point) of each series."""
        data = self._reader.get_metrics_data()
        if data is not None:  # None: nothing new since the last look
            self._points = {
                metric.name: list(metric.data.data_points)
                for resource in data.resource_metrics
                for scope in resource.scope_metrics
                for metric in scope.metrics
            }
        return [(dict(each.attributes or {}), each) for each in self._points.get(instrument, [])]

    def counts(self, instrument: str) -> dict[tuple[str, ...], int]:
        """A counter's series: values of the attributes, by their sorted names → count."""
        return {
            tuple(str(value) for _, value in sorted(attributes.items())): point.value
            for attributes, point in self.points(instrument)
        }

    def total(self, instrument: str) -> int:
        """Of all series of a counter."""
        return sum(self.counts(instrument).values())
