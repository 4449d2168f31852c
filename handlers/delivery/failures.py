"""From what went wrong in a delivery to the failure that verdicts are made of: typed, bounded, redacted."""

from __future__ import annotations

from typing import Final

import msgspec
from pydantic import ValidationError

from tasker_kafka.handlers.errors import PermanentError
from tasker_kafka.handlers.failures import bounded, end_of_error
from tasker_kafka.schemas.errors import DecodeError, TaskerError
from tasker_kafka.schemas.records import Failure

from .journey import FailureClass

__all__ = [
    "DeliveryFailure",
    "expired",
    "failure_of",
    "failure_of_end",
    "misfit",
    "process_lost",
    "timed_out",
    "undecodable",
    "unread",
]

_FAULTS_SHOWN: Final = 5


class DeliveryFailure(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery that failed, or that could not begin. Text is redacted and bounded (as a step's failure)."""

    failure_class: FailureClass
    error_type: str
    message: str
    stack: str = ""
    is_retryable: bool = True
    """False: no further delivery can help."""
    retry_after_seconds: float | None = None
    """What the handler asked for instead of the policy's delay."""

    @property
    def is_outage_sign(self) -> bool:
        """Whether it counts for the circuit breaker: it may be what the handler talks to, not the event."""
        return self.is_retryable


def failure_of(error: BaseException) -> DeliveryFailure:
    """The failure of a handler that raised. Never raises.

    PermanentError: no retry. RetryableError: its `retry_after` is kept. Anything else is worth another try, also
    SystemExit: which exceptions help no retry can know only the handler.
    """
    found = end_of_error(error).failure
    return _made(FailureClass.HANDLER, found, is_retryable=not isinstance(error, PermanentError))


def failure_of_end(failure: Failure) -> DeliveryFailure:
    """The failure of a handler in a child process, as it came over the pipe."""
    return _made(FailureClass.HANDLER, bounded(failure), is_retryable=failure.retryable)


def timed_out(seconds: float) -> DeliveryFailure:
    """A handler that did not end in time."""
    return DeliveryFailure(
        failure_class=FailureClass.TIMEOUT,
        error_type="TimeoutError",
        message=f"the handler did not end within {seconds:g} s",
    )


def undecodable(error: TaskerError) -> DeliveryFailure:
    """A record that is no event."""
    return _before(FailureClass.DECODE, type(error).__name__, str(error))


def unread(error: Exception) -> DeliveryFailure:
    """A record that is no event, whatever reading it raised."""
    if isinstance(error, TaskerError):
        return undecodable(error)
    return undecodable(DecodeError(f"the record cannot be read: {type(error).__name__}: {error}"))


def misfit(error: BaseException) -> DeliveryFailure:
    """A payload that does not fit the subscription's model. A value of it is never in the text, only its path."""
    if not isinstance(error, ValidationError):
        return _before(FailureClass.SCHEMA, type(error).__name__, str(error))
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    shown = [f"{'.'.join(map(str, fault['loc'])) or '$'}: {fault['msg']}" for fault in faults[:_FAULTS_SHOWN]]
    if len(faults) > _FAULTS_SHOWN:
        shown.append(f"and {len(faults) - _FAULTS_SHOWN} more")
    return _before(FailureClass.SCHEMA, "ValidationError", "; ".join(shown))


def process_lost() -> DeliveryFailure:
    """An event that was being delivered, with nothing beside it, each time its process was lost."""
    text = (
        "each time this event was delivered its process was lost, twice while nothing else ran in it; "
        'it is not tried again: give the subscription isolation="process", '
        "which a subscriber survives, and redrive the event"
    )
    return DeliveryFailure(
        failure_class=FailureClass.HANDLER, error_type="ProcessLost", message=text, is_retryable=False
    )


def expired(
    end_ms: int, now_ms: int, *, is_blocked: bool = False, after: DeliveryFailure | None = None
) -> DeliveryFailure:
    """An event that is, or will be, older than its limit when it can be delivered; `after`: its last failure."""
    late = f"{(now_ms - end_ms) / 1_000:g} s after its age limit"
    if after is not None:
        text = (
            f"its next delivery would be {late}; the last one failed with {after.error_type}: {after.message}"
        )
    elif is_blocked:
        text = f"{late} it still waited for an earlier event of its key"
    else:
        text = f"it came {late}"
    found = _before(FailureClass.BLOCKED_BY_KEY if is_blocked else FailureClass.EXPIRED, "Expired", text)
    return found if after is None else msgspec.structs.replace(found, stack=after.stack)


def _before(kind: FailureClass, error_type: str, message: str) -> DeliveryFailure:
    """A failure of no delivery: nothing was called, and nothing that is called later can differ."""
    found = Failure(
        type=error_type,
        code=kind.value,
        message=message,
        traceback="",
        retryable=False,
        retry_after_ms=None,
    )
    return _made(kind, bounded(found), is_retryable=False)


def _made(kind: FailureClass, found: Failure, *, is_retryable: bool) -> DeliveryFailure:
    delay = found.retry_after_ms
    return DeliveryFailure(
        failure_class=kind,
        error_type=found.type,
        message=found.message,
        stack=found.traceback,
        is_retryable=is_retryable,
        retry_after_seconds=None if delay is None else delay / 1_000,
    )
