"""What a step handler raises to say how its attempt ended, and what it is told when it should stop.

Any other exception is a retryable failure: its class is the error type and the error code.
"""

from __future__ import annotations

from tasker_kafka.schemas.errors import TaskerError

__all__ = ["InputError", "PermanentError", "ResultError", "RetryableError", "StepCancelled", "StepError"]


class StepError(TaskerError):
    """The attempt failed."""

    default_code = "step_error"

    def __init__(
        self,
        message: str | None = None,
        *,
        code: str | None = None,
        metadata: dict[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code or self.default_code
        self.metadata = metadata


class PermanentError(StepError):
    """The attempt failed, and trying again cannot help: the step goes to `error` at once.

    `code` (default `permanent_error`) is what templates, events and alerts can refer to.
    """

    default_code = "permanent_error"


class RetryableError(StepError):
    """The attempt failed, and a later one may succeed.

    `retry_after` seconds, if given, replace the template's backoff for the next attempt only (at most 3,600).
    """

    retryable = True
    default_code = "retryable_error"

    def __init__(
        self,
        message: str | None = None,
        *,
        retry_after: float | None = None,
        code: str | None = None,
        metadata: dict[str, object] | None = None,
    ) -> None:
        super().__init__(message, code=code, metadata=metadata)
        self.retry_after = retry_after


class InputError(PermanentError):
    """A handler's parameter does not accept what the task holds."""

    default_code = "invalid_input"


class ResultError(PermanentError):
    """A handler returned what cannot be kept as a result."""

    default_code = "invalid_result"


class StepCancelled(StepError):
    """The attempt is to stop: the task or step was cancelled, or its time is up."""

    retryable = True
    default_code = "cancelled"
