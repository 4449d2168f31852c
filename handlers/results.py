"""What a handler returns, and how it becomes the JSON bytes of a result.

A handler returns any value that JSON can carry (pydantic models and dataclasses included), or `success(…)` to
add metadata, or `failure(…)` to fail without raising.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from pydantic_core import PydanticSerializationError, to_json

from tasker_kafka.schemas.limits import RESULT_BYTES
from tasker_kafka.schemas.records import Failure

from .errors import ResultError

__all__ = [
    "MAX_METADATA_BYTES",
    "MAX_RESULT_BYTES",
    "CallEnd",
    "Completed",
    "Failed",
    "StepFailure",
    "Success",
    "end_of_value",
    "failure",
    "success",
]

MAX_RESULT_BYTES = RESULT_BYTES.maximum
"""A larger result is a permanent failure."""
MAX_METADATA_BYTES = 16 * 1024
"""Larger metadata are a permanent failure."""


@dataclass(frozen=True, slots=True)
class Success:
    """A result with metadata beside it; made by `success`."""

    result: Any = None
    metadata: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class StepFailure:
    """A failure that was returned, not raised; made by `failure`."""

    message: str
    error_type: str = "StepFailure"
    error_code: str = "step_failure"
    retryable: bool = True
    retry_after_seconds: float | None = None
    metadata: Mapping[str, Any] | None = None


def success(result: object = None, metadata: Mapping[str, Any] | None = None) -> Success:
    """A result, with metadata that are kept with the attempt but not given to other steps.

    Result ≤ 256 KiB, metadata ≤ 16 KiB, as JSON.
    """
    return Success(result, metadata)


def failure(
    message: str,
    *,
    error_type: str = "StepFailure",
    error_code: str = "step_failure",
    retryable: bool = True,
    retry_after_seconds: float | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> StepFailure:
    """A failed attempt. `retryable` False ends the step; `retry_after_seconds` as in `RetryableError`."""
    return StepFailure(message, error_type, error_code, retryable, retry_after_seconds, metadata)


class Completed(msgspec.Struct, frozen=True, tag=True):
    """A handler's call succeeded: the result and its metadata as JSON bytes."""

    result: bytes
    metadata: bytes | None = None


class Failed(msgspec.Struct, frozen=True, tag=True):
    """A handler's call failed; `metadata` as JSON bytes."""

    failure: Failure
    metadata: bytes | None = None


CallEnd = Completed | Failed


def end_of_value(value: object) -> CallEnd:
    """How a call ended that returned `value`. ResultError if the value cannot be a result."""
    if isinstance(value, Success):
        return Completed(_result_json(value.result), _metadata_json(value.metadata))
    if isinstance(value, StepFailure):
        delay = value.retry_after_seconds
        found = Failure(
            type=value.error_type,
            code=value.error_code,
            message=value.message,
            retryable=value.retryable,
            retry_after_ms=None if delay is None else round(delay * 1000),
        )
        return Failed(found, _metadata_json(value.metadata))
    return Completed(_result_json(value))


def _result_json(value: object) -> bytes:
    data = b"null" if value is None else _json(value, "result")
    if len(data) > MAX_RESULT_BYTES:
        raise ResultError(
            f"the result has {len(data):,} bytes as JSON, at most {MAX_RESULT_BYTES:,} are kept: "
            "store the data elsewhere and return where it lies",
            code="result_too_large",
        )
    return data


def _metadata_json(value: Mapping[str, Any] | None) -> bytes | None:
    if value is None:
        return None
    data = _json(dict(value), "metadata")
    if len(data) > MAX_METADATA_BYTES:
        raise ResultError(
            f"the metadata have {len(data):,} bytes as JSON, at most {MAX_METADATA_BYTES:,} are kept"
        )
    return data


def _json(value: object, what: str) -> bytes:
    try:
        data = to_json(value)
        if b"NaN" in data or b"Infinity" in data:
            msgspec.json.decode(data)  # the words may stand in a text; as numbers they are no JSON
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise ResultError(f"the {what} of type {type(value).__name__} cannot be JSON: {error}") from None
    return data
