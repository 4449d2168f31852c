"""Hides secrets in what people wrote or programs said, before anything leaves the backend.

Contexts, results and payloads are redacted where they are decoded (`deploy.reading`). What is left are texts in our own
structs: reasons, messages, tags. They are told by the names of their fields, so that a shape that gets such a field
later is covered, too.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, TypeVar

import msgspec

from tasker_kafka.schemas.redaction import redact_text

__all__ = ["hidden"]

T = TypeVar("T")

_FREE_TEXT: Final = frozenset(
    {
        "actor",
        "correlation_id",
        "description",
        "error",
        "error_message",
        "idempotency_key",
        "initiator",
        "key",
        "message",
        "notes",
        "reason",
        "source_system",
        "stack",
        "tags",
        "traceback",
    }
)
_PLAIN: Final = (str, int, float, bool, bytes, type(None))


def hidden(value: T) -> T:
    """The same struct, list or tuple of structs, with secrets in free texts replaced."""
    shown: T = _hidden(value, is_text=False)
    return shown


def _hidden(value: Any, *, is_text: bool) -> Any:
    if isinstance(value, str):
        return redact_text(value) if is_text and type(value) is str else value
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, tuple):
        made = [_hidden(each, is_text=is_text) for each in value]
        return value if all(a is b for a, b in zip(made, value, strict=True)) else tuple(made)
    if isinstance(value, list):
        return [_hidden(each, is_text=is_text) for each in value]
    if isinstance(value, msgspec.Struct):
        changed = {}
        for name, text in _fields(type(value)):
            before = getattr(value, name)
            after = _hidden(before, is_text=text)
            if after is not before:
                changed[name] = after
        return msgspec.structs.replace(value, **changed) if changed else value
    return value


@lru_cache(maxsize=256)
def _fields(kind: type[msgspec.Struct]) -> tuple[tuple[str, bool], ...]:
    return tuple((name, name in _FREE_TEXT) for name in kind.__struct_fields__)
