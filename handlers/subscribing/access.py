"""`safe_get`: one value from an event's payload, whatever the payload is.

A path is names joined by dots; a number is a position in a list. Payloads are decoded JSON or typed models; a model is
asked for its attributes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar, overload

from .event import DomainEvent

__all__ = ["lookup", "safe_get"]

T = TypeVar("T")


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()
"""What `lookup` gives where there is nothing; None is a value."""


@overload
def safe_get(event: DomainEvent[Any], path: str) -> Any: ...
@overload
def safe_get(event: DomainEvent[Any], path: str, default: T) -> Any | T: ...
def safe_get(event: DomainEvent[Any], path: str, default: Any = None) -> Any:
    """The value at `path` of the payload (`card.country`, `items.0.sku`), or `default`. Never raises."""
    found = lookup(event.payload, path)
    return default if found is MISSING else found


def lookup(value: Any, path: str) -> Any:
    """The value at the path, or MISSING."""
    for name in path.split("."):
        value = _below(value, name)
        if value is MISSING:
            return MISSING
    return value


def _below(value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        return value.get(name, MISSING)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        is_position = name.isascii() and name.isdigit() and len(name) < 10
        return value[int(name)] if is_position and int(name) < len(value) else MISSING
    if name.startswith("_") or isinstance(value, str | bytes | int | float | None):
        return MISSING
    found = getattr(value, name, MISSING)
    return MISSING if callable(found) else found
