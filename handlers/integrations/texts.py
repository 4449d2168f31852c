"""Texts for people: how long something took, an error in 200 characters, JSON of a bounded size."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

from pydantic_core import PydanticSerializationError, to_jsonable_python

__all__ = [
    "ERROR_LENGTH",
    "bounded_json",
    "duration_text",
    "json_bytes",
    "number",
    "one_line",
    "payload_of",
    "shorten",
    "text_or_none",
]

ERROR_LENGTH: Final = 200
"""Characters of an error that chats and pagers show."""


def shorten(text: str, limit: int) -> str:
    """The text, its end replaced by an ellipsis when it has more than `limit` characters."""
    return text if len(text) <= limit else f"{text[: limit - 1].rstrip()}…"


def one_line(text: str, limit: int) -> str:
    """The text with every run of white space as one blank, and at most `limit` characters."""
    return shorten(" ".join(text[: limit * 8].split()), limit)


def duration_text(seconds: float) -> str:
    """`850 ms`, `12.3 s`, `4 min 5 s`, `1 h 2 min`, `2 d 3 h`."""
    if round(seconds * 1000) < 1000:
        return f"{round(seconds * 1000)} ms"
    if round(seconds * 10) < 600:
        return f"{round(seconds * 10) / 10:.1f} s"
    if round(seconds) < 3600:
        return f"{round(seconds) // 60} min {round(seconds) % 60} s"
    minutes = round(seconds / 60)
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24} h"


def number(value: object) -> float | None:
    """A finite number that is not negative, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and value >= 0 else None


def text_or_none(value: object) -> str | None:
    """A text that is not empty, or a number as text; None of anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return str(value) or None


def payload_of(payload: object) -> Any:
    """The payload as JSON values, also where the subscription has made a model of it."""
    if payload is None or isinstance(payload, Mapping | list | str | int | float):
        return payload
    try:
        return to_jsonable_python(payload)
    except (PydanticSerializationError, ValueError):
        return None


def json_bytes(value: Any) -> bytes:
    """Compact JSON in UTF-8."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    return text.encode("utf-8", "replace")


def bounded_json(value: Any, limit: int) -> Any:
    """The value itself if its JSON has at most `limit` bytes, else the beginning of that JSON, as text."""
    data = json_bytes(value)
    if len(data) <= limit:
        return value
    return {"truncated": data[:limit].decode("utf-8", "ignore"), "bytes": len(data)}
