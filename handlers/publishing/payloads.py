"""From what a caller publishes to the JSON of a payload, and back: what JSON cannot carry is refused at the call."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from pydantic_core import PydanticSerializationError, to_json

from tasker_kafka.schemas.limits import JSON_DEPTH, RESULT_WITH_EVENTS_BYTES
from tasker_kafka.schemas.schema_walk import nesting

from .errors import EventError

__all__ = ["decoded_payload", "encoded_payload"]

_MOST_BYTES: Final = RESULT_WITH_EVENTS_BYTES.maximum


def encoded_payload(name: str, payload: object) -> bytes:
    """The JSON of a mapping, model, dataclass or other value; None is `{}`. EventError when it has none."""
    if payload is None:
        return b"{}"
    try:
        data = to_json(payload)
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise EventError(
            f"event {name}: the payload of type {type(payload).__name__} cannot be JSON: {error}"
        ) from None
    check_size(name, len(data))
    return data


def check_size(name: str, size: int) -> None:
    """EventError for a payload of more bytes than a step's result and events may have together."""
    if size > _MOST_BYTES:
        text = RESULT_WITH_EVENTS_BYTES.message(size, f"event {name}: the payload")
        raise EventError(f"{text}: {RESULT_WITH_EVENTS_BYTES.way_out}", code=RESULT_WITH_EVENTS_BYTES.error)


def decoded_payload(name: str, data: bytes) -> Any:
    """The value of a payload's JSON. EventError for NaN, Infinity and more than 64 levels."""
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise EventError(f"event {name}: the payload is no JSON: {error}") from None
    depth = nesting(value)
    if JSON_DEPTH.is_exceeded(depth):
        text = JSON_DEPTH.message(depth, f"event {name}: the payload")
        raise EventError(f"{text}: {JSON_DEPTH.way_out}", code=JSON_DEPTH.error)
    return value
