"""Alerts only when failures pile up: `threshold: {count: 5, per_seconds: 60}`.

Counted by when the events were fired, not by when they came: a backlog that is read late alerts as it would have in
time, and a repeated delivery gets the answer that it got before. The count lives in the process and starts anew with
it; several members of a group each count what their partitions bring.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final

from tasker_kafka.schemas.settings.section import Section, setting

__all__ = ["Threshold", "ThresholdCounter"]

_MOST_SUBJECTS: Final = 1_000
"""Beyond it the subject that was quiet for longest is forgotten."""
_REMEMBERED_ALERTS: Final = 16


class Threshold(Section):
    """How many failures within how long make an alert."""

    count: int = setting(1, "Failures that make one alert.", zero="refused", ge=1, le=10_000)
    per_seconds: float = setting(
        60.0, "Within how long they must have been fired.", zero="refused", gt=0, le=86_400
    )


class ThresholdCounter:
    """Tells of each failure whether it completes an alert's count. Pure over the given times; not thread-safe."""

    def __init__(self, threshold: Threshold) -> None:
        self.threshold = threshold
        self._subjects: OrderedDict[str, _Window] = OrderedDict()

    def is_alert(self, subject: str, event_id: str, at: float) -> bool:
        """Count this failure; True when it is the `count`-th of its subject within `per_seconds`.

        Then counting starts anew. The same event is counted once, and asked again it is the same.
        at: seconds since 1970 when it was fired; may be earlier than that of the call before
        """
        if self.threshold.count == 1:
            return True
        window = self._subjects.setdefault(subject, _Window())
        self._subjects.move_to_end(subject)
        if len(self._subjects) > _MOST_SUBJECTS:
            self._subjects.popitem(last=False)
        return window.is_alert(event_id, at, self.threshold)


class _Window:
    """The failures of one subject that no alert has told of yet: fewer than `count`."""

    def __init__(self) -> None:
        self._failures: dict[str, float] = {}
        self._alerts: deque[str] = deque(maxlen=_REMEMBERED_ALERTS)

    def is_alert(self, event_id: str, at: float, threshold: Threshold) -> bool:
        if event_id in self._alerts:
            return True
        self._failures[event_id] = at
        newest = max(self._failures.values())
        oldest = newest - threshold.per_seconds
        self._failures = {each: when for each, when in self._failures.items() if when > oldest}
        if len(self._failures) < threshold.count:
            return False
        self._failures.clear()
        self._alerts.append(event_id)
        return True
