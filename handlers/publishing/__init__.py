"""Publishing domain events: from step handlers, by declaration alone, and from any other business code."""

from typing import TYPE_CHECKING

from .errors import EventError
from .publishers import EventDraft, event_publisher

if TYPE_CHECKING:
    from .publisher import EventPublisher
else:

    def __getattr__(name: str) -> object:
        """Load the publisher when it is asked for: with it come the codec and the log, which no handler needs."""
        if name != "EventPublisher":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from .publisher import EventPublisher

        return EventPublisher


__all__ = ["EventDraft", "EventError", "EventPublisher", "event_publisher"]
