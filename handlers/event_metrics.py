"""What publishing and delivery of domain events tell OpenTelemetry, through whatever the process has set up.

| instrument | kind, unit | counts |
|---|---|---|
| `tasker.events.published.total` | counter, {event} | events that left this process and are acknowledged |
| `tasker.events.delivered.total` | counter, {delivery} | deliveries that succeeded |
| `tasker.events.retried.total` | counter, {delivery} | deliveries that are tried again |
| `tasker.events.dropped.total` | counter, {event} | fire-and-forget events given up, by who publishes or who takes |
| `tasker.events.dead_lettered.total` | counter, {event} | records written to dead letter topics |
| `tasker.events.delivery.duration` | histogram, s | from fired to handled, retries included |

Attributes are namespace, event, mode and group, as far as they are known (a publisher has no group, a record that is no
event has no name). Ids are never attributes, and names come from topics that strangers may write to: beyond some
hundred sets of values in a process the rest is `other`. Without a set-up SDK nothing is recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

from opentelemetry import metrics
from opentelemetry.metrics import Meter

from tasker_kafka.schemas.words import Delivery

__all__ = ["DELIVERY_BUCKETS", "MOST_LABELS", "EventMetrics"]

DELIVERY_BUCKETS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0)
MOST_LABELS: Final = 500
"""Sets of attribute values of one group or publisher; what comes after them is counted as `other`."""
_METER: Final = "tasker_kafka.events"
_OTHER: Final = "other"

_Labels = dict[str, str]


class _Named(Protocol):
    """An event, in the form that is published or in the one that is handled."""

    @property
    def namespace(self) -> Any: ...

    @property
    def name(self) -> Any: ...


class EventMetrics:
    """Of one group, or of one publisher (`group` empty).

    buckets: upper bounds of the histogram, in seconds; None: nothing is measured
    meter: None: the process's own
    """

    def __init__(
        self,
        group: str = "",
        *,
        buckets: Sequence[float] | None = DELIVERY_BUCKETS,
        meter: Meter | None = None,
    ) -> None:
        if buckets is None:
            meter = metrics.NoOpMeter(_METER)
        elif meter is None:
            meter = metrics.get_meter(_METER)
        self._base: _Labels = {"group": group} if group else {}
        self._known: dict[tuple[str, str, str], _Labels] = {}
        self._published = meter.create_counter("tasker.events.published.total", "{event}")
        self._delivered = meter.create_counter("tasker.events.delivered.total", "{delivery}")
        self._retried = meter.create_counter("tasker.events.retried.total", "{delivery}")
        self._dropped = meter.create_counter("tasker.events.dropped.total", "{event}")
        self._dead = meter.create_counter("tasker.events.dead_lettered.total", "{event}")
        self._duration = meter.create_histogram(
            "tasker.events.delivery.duration",
            "s",
            "From fired to handled.",
            explicit_bucket_boundaries_advisory=list(buckets or ()),
        )

    def published(self, event: _Named, mode: Delivery) -> None:
        """It is acknowledged."""
        self._published.add(1, self._labels(event, mode))

    def delivered(self, event: _Named, mode: Delivery, seconds: float) -> None:
        """It was handled so long after it was fired; by the clocks of two machines, so never below 0."""
        labels = self._labels(event, mode)
        self._delivered.add(1, labels)
        self._duration.record(max(0.0, seconds), labels)

    def retried(self, event: _Named | None, mode: Delivery | None) -> None:
        """It is delivered again."""
        self._retried.add(1, self._labels(event, mode))

    def dropped(self, event: _Named | None, count: int = 1) -> None:
        """Fire-and-forget events were given up; None: of various names."""
        if count:
            self._dropped.add(count, self._labels(event, Delivery.FIRE_AND_FORGET))

    def dead_lettered(self, event: _Named | None, mode: Delivery | None) -> None:
        """A record became a dead letter; None: it is no event."""
        self._dead.add(1, self._labels(event, mode))

    def _labels(self, event: _Named | None, mode: Delivery | None) -> _Labels:
        mode_text = "" if mode is None else mode.value
        key = ("", "", mode_text) if event is None else (event.namespace, event.name, mode_text)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= MOST_LABELS:
                key = (_OTHER, _OTHER, mode_text)
            named = zip(("namespace", "event", "mode"), key, strict=True)
            found = self._known[key] = {**self._base, **{what: value for what, value in named if value}}
        return found
