"""The one error hierarchy.

Every error that leaves a public function is a :class:`TaskerError`. Its text names the fault, the place
and the way out; `retryable` tells a caller whether the same call may succeed later.
"""

from __future__ import annotations

__all__ = [
    "BrokerUnavailable",
    "CommandRejected",
    "ConfigurationError",
    "DecodeError",
    "EncodeError",
    "FencedError",
    "LogError",
    "NotFoundError",
    "PartitionLost",
    "PlanUnknown",
    "RecordTooLarge",
    "RequestRejected",
    "SchemaUnknown",
    "TaskFailed",
    "TaskerError",
    "TemplateError",
    "TopicsDrifted",
    "WaitTimeout",
]


class TaskerError(Exception):
    """Something went wrong in Tasker."""

    retryable: bool = False
    next_step: str | None = None

    def __init__(self, message: str | None = None, *, next_step: str | None = None) -> None:
        text = message or (type(self).__doc__ or "").strip().splitlines()[0]
        self.message = text
        if next_step is not None:
            self.next_step = next_step
        super().__init__(text if self.next_step is None else f"{text}\n  → {self.next_step}")


class ConfigurationError(TaskerError):
    """A setting is missing or invalid."""


class TemplateError(TaskerError):
    """A template is invalid."""


class DecodeError(TaskerError):
    """A record's bytes do not decode under the schema they name."""


class SchemaUnknown(DecodeError):
    """A record names a schema this release does not know; `fingerprint` is the schema's (8 bytes)."""

    def __init__(
        self, message: str | None = None, *, fingerprint: bytes = b"", next_step: str | None = None
    ) -> None:
        self.fingerprint = fingerprint
        super().__init__(message, next_step=next_step)


class EncodeError(TaskerError):
    """A value does not fit its schema."""


class RecordTooLarge(TaskerError):
    """A record is larger than its topic accepts."""


class LogError(TaskerError):
    """Reading from or writing to the log failed."""

    retryable = True


class BrokerUnavailable(LogError):
    """No broker answered at the given address."""


class FencedError(LogError):
    """A newer owner has taken over; this one must stop."""

    retryable = False


class PartitionLost(LogError):
    """A partition can no longer be owned by this process."""

    retryable = False


class TopicsDrifted(TaskerError):
    """A topic is missing or differs from its declaration."""


class PlanUnknown(TaskerError):
    """No published template has this plan hash."""


class NotFoundError(TaskerError):
    """Nothing of that name or id exists."""


class RequestRejected(TaskerError):
    """A task request was rejected; `code` is the rejection's code."""

    def __init__(self, message: str, *, code: str, next_step: str | None = None) -> None:
        self.code = code
        super().__init__(message, next_step=next_step)


class CommandRejected(TaskerError):
    """An operator command was refused; `code` is the answer's code."""

    def __init__(self, message: str, *, code: str, next_step: str | None = None) -> None:
        self.code = code
        super().__init__(message, next_step=next_step)


class TaskFailed(TaskerError):
    """A task that was waited for ended in another state than `complete`; `code` says why, if its end has a cause."""

    def __init__(
        self, message: str, *, state: str, code: str | None = None, next_step: str | None = None
    ) -> None:
        self.state = state
        self.code = code
        super().__init__(message, next_step=next_step)


class WaitTimeout(TaskerError):
    """What was waited for did not happen in the given time."""

    retryable = True
