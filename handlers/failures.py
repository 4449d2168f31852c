"""From an exception to the failure that travels: type, code, message and a redacted, bounded traceback."""

from __future__ import annotations

import math
from types import TracebackType

import msgspec
from pydantic_core import to_json

from tasker_kafka.schemas.limits import RETRY_AFTER_SECONDS, TRACEBACK_BYTES
from tasker_kafka.schemas.records import Failure
from tasker_kafka.schemas.redaction import redact_text

from .errors import RetryableError, StepError
from .results import MAX_METADATA_BYTES, Failed
from .tracebacks import shown_traceback

__all__ = ["MAX_TRACEBACK_BYTES", "bounded", "end_of_error"]

MAX_TRACEBACK_BYTES = TRACEBACK_BYTES.maximum
MAX_MESSAGE_BYTES = 2 * 1024
MAX_NAME_BYTES = 128
"""Type and code together fit the 256 bytes that a state keeps of a failure."""
_OWN = "tasker_kafka.handlers"
_PLAIN = frozenset({"builtins", f"{_OWN}.errors"})
"""Modules that a failure's type does not name."""


def end_of_error(error: BaseException) -> Failed:
    """How a call ended that raised `error`. Never raises."""
    kind = type(error)
    metadata = None
    if isinstance(error, StepError):
        code, retryable, message = error.code, error.retryable, error.message
        metadata = _metadata(error)
    else:
        code, retryable, message = kind.__name__, True, _text(error)
    found = Failure(
        type=kind.__qualname__ if kind.__module__ in _PLAIN else f"{kind.__module__}.{kind.__qualname__}",
        code=code,
        message=message,
        traceback="",
        retryable=retryable,
        retry_after_ms=_retry_after_ms(error),
    )
    shown = shown_traceback(error, _handler_part(error.__traceback__))
    return Failed(
        msgspec.structs.replace(bounded(found), traceback=_tail(shown, MAX_TRACEBACK_BYTES)), metadata
    )


def bounded(failure: Failure) -> Failure:
    """The failure redacted and cut to what a record may hold; the end of a traceback is what is kept."""
    return msgspec.structs.replace(
        failure,
        type=_head(failure.type, MAX_NAME_BYTES),
        code=_head(failure.code, MAX_NAME_BYTES),
        message=_head(redact_text(failure.message), MAX_MESSAGE_BYTES),
        traceback=_tail(redact_text(failure.traceback), MAX_TRACEBACK_BYTES),
    )


def _retry_after_ms(error: BaseException) -> int | None:
    """What was asked for, as far as it is a number."""
    asked: object = error.retry_after if isinstance(error, RetryableError) else None
    if not isinstance(asked, int | float) or math.isnan(asked):
        return None
    return round(min(max(0, asked), RETRY_AFTER_SECONDS.maximum) * 1000)


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "(the exception's own text could not be made)"


def _metadata(error: StepError) -> bytes | None:
    if error.metadata is None:
        return None
    try:
        data = to_json(error.metadata)
    except ValueError:
        return None
    return data if len(data) <= MAX_METADATA_BYTES else None


def _handler_part(place: TracebackType | None) -> TracebackType | None:
    """The traceback without the frames that led into the handler."""
    while place is not None and place.tb_frame.f_globals.get("__name__", "").startswith(_OWN):
        place = place.tb_next
    return place


def _head(text: str, limit: int) -> str:
    data = text.encode("utf-8", "replace")  # what is no character cannot be written
    return (data if len(data) <= limit else data[: limit - 3]).decode("utf-8", "ignore") + _cut(data, limit)


def _tail(text: str, limit: int) -> str:
    data = text.encode("utf-8", "replace")
    return _cut(data, limit) + (data if len(data) <= limit else data[3 - limit :]).decode("utf-8", "ignore")


def _cut(data: bytes, limit: int) -> str:
    return "…" if len(data) > limit else ""
