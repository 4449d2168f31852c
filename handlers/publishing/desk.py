"""Everything about domain events that one worker has once, for all its attempts."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor

import msgspec

from tasker_kafka.handlers.event_metrics import DELIVERY_BUCKETS, EventMetrics
from tasker_kafka.schemas.codec import Codec
from tasker_kafka.schemas.records import Dispatch, EventCandidate
from tasker_kafka.topics.log import Log
from tasker_kafka.topics.names import TopicNames

from .attempt import AttemptEvents
from .buffer import EventBuffer, Overflow
from .declared import StepEvents
from .figures import PublishingFigures
from .running import PublisherRunner

__all__ = ["EventDesk", "EventDeskSettings"]


class EventDeskSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a worker publishes."""

    buffer_size: int = 1_000
    """Fire-and-forget events that may wait to be sent."""
    overflow: Overflow = "drop_oldest"
    """What happens when the buffer is full."""
    is_measured: bool = True
    """Whether fire-and-forget events are counted by OpenTelemetry, too."""
    publisher_seconds: float = 5.0
    """What one call of a registered publisher may take."""


class EventDesk:
    """Opens the events of attempts, and sends the fire-and-forget ones of acknowledged answers."""

    def __init__(
        self,
        log: Log,
        names: TopicNames,
        codec: Codec,
        settings: EventDeskSettings,
        *,
        figures: PublishingFigures,
        client_id: str,
        threads: Executor,
        on_room: Callable[[], None],
    ) -> None:
        self._figures = figures
        self._log = log
        self._runner = PublisherRunner(threads, self._figures, seconds=settings.publisher_seconds)
        self._buffer = EventBuffer(
            log,
            names,
            codec,
            self._figures,
            client_id=f"{client_id}-events",
            size=settings.buffer_size,
            overflow=settings.overflow,
            on_room=on_room,
            metrics=EventMetrics(buckets=DELIVERY_BUCKETS if settings.is_measured else None),
        )

    @property
    def is_blocking(self) -> bool:
        """No handler is to start until there is room for its events."""
        return self._buffer.is_blocking

    def open(self, events: StepEvents, dispatch: Dispatch) -> AttemptEvents:
        """The events of one attempt."""
        return AttemptEvents(events, dispatch, self._runner, self._figures)

    def release_of(
        self, events: AttemptEvents, lossy: tuple[EventCandidate, ...]
    ) -> Callable[[], None] | None:
        """What to do once the attempt's answer is acknowledged: send these. None: nothing."""
        if not lossy:
            return None

        def release() -> None:
            at = self._log.now_ms()
            for candidate in lossy:
                self._buffer.put(events.envelope(candidate, at), events.traceparent)

        return release

    async def close(self, seconds: float) -> None:
        """Send what waits, for at most `seconds`."""
        await self._buffer.close(seconds)
