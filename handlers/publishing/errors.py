"""What publishing an event may raise."""

from __future__ import annotations

from tasker_kafka.handlers.errors import PermanentError

__all__ = ["EventError"]


class EventError(PermanentError):
    """A domain event cannot be published as it is; trying again cannot help.

    `code`: undeclared_event, invalid_event, json_too_deep, event_key_too_long, too_many_events,
    result_with_events_too_large, handler_ended.
    Raised where `publish` is called; a step handler that lets it pass fails for good.
    """

    default_code = "invalid_event"

    def __init__(
        self, message: str | None = None, *, code: str | None = None, next_step: str | None = None
    ) -> None:
        super().__init__(message, code=code)
        if next_step is not None:
            self.next_step = next_step
