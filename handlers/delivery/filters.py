"""A subscription's filters on headers and fields: the member asks them, and so does whoever watches its receipts."""

from __future__ import annotations

from collections.abc import Mapping

from tasker_kafka.handlers.subscribing.access import lookup

__all__ = ["EventFilter"]


class EventFilter:
    """Which of the events that fit its patterns a subscription takes.

    `fields`: path in the payload (`a.b`, `items.0.sku`) → the value, as decoded JSON, that must be there; None is a
    value, what is missing is none.
    """

    def __init__(self, headers: Mapping[str, bytes], fields: Mapping[str, object]) -> None:
        self._headers = dict(headers)
        self._fields = tuple(fields.items())
        self.is_open = not (self._headers or self._fields)
        """It takes every event."""

    def takes_headers(self, headers: Mapping[str, bytes]) -> bool:
        """Whether the record carries every header that is asked for."""
        return all(headers.get(name) == value for name, value in self._headers.items())

    def takes_fields(self, payload: object) -> bool:
        """Whether the payload holds every value that is asked for."""
        return all(lookup(payload, path) == value for path, value in self._fields)
