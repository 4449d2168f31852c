"""Publishing domain events: from step handlers, by declaration alone, and from any other business code."""

from .errors import EventError
from .publisher import EventPublisher
from .publishers import EventDraft, event_publisher

__all__ = ["EventDraft", "EventError", "EventPublisher", "event_publisher"]
