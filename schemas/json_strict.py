"""JSON as strangers send it, read without surprises.

The standard decoder takes NaN, lets the last of two equal keys win, turns 1e999 into infinity, accepts broken
surrogates that later cannot be encoded, and recurses as deep as the sender likes. Each of those is refused
here, with the path of the offending value, before anything else looks at the value.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any, Final

from .errors import DecodeError
from .findings import path_text
from .limits import JSON_DEPTH, Limit

__all__ = ["InvalidJson", "JsonObject", "JsonValue", "decode_json", "decode_json_object"]

JsonValue = Any
"""None, bool, int, float, str, list or dict with str keys; nothing else, nested at most 64 levels."""
JsonObject = dict[str, Any]

_UNUSUAL_NUMBER: Final = re.compile(r"\d{19}|[eE]\+?\d{3}")
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")
_MIN_INT: Final = -(2**63)
_MAX_INT: Final = 2**64 - 1
_MAX_DIGITS: Final = 20


class InvalidJson(DecodeError):
    """Not a JSON value as accepted here; `code` names the fault, `path` the place (None: the whole text)."""

    def __init__(
        self, message: str, *, code: str, path: str | None = None, next_step: str | None = None
    ) -> None:
        self.code = code
        self.path = path
        super().__init__(f"{path}: {message}" if path else message, next_step=next_step)


class _Fault:
    """Stands in the decoded value for what must not be there, so that its path can be found."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message


def decode_json(data: bytes | str, *, max_bytes: int, what: str = "JSON") -> JsonValue:
    """The value of strict JSON text.

    max_bytes: accepted size of the UTF-8 text, checked before anything is decoded.
    what: names the text in messages, as "context".
    Refused with InvalidJson: larger or deeper (64) text, broken UTF-8, duplicate keys, NaN and Infinity, numbers
    beyond 64 bits or a double, lone surrogates.
    """
    text = _decode_text(data, max_bytes, what)
    faults: list[_Fault] = []
    value = _parse(text, what, faults)
    if faults:
        fault, path = next(_find_faults(value))
        raise InvalidJson(fault.message, code=fault.code, path=_place(what, path))
    _check_depth(value, what)
    if _SURROGATE.search(text):
        _check_surrogates(value, what)
    return value


def decode_json_object(data: bytes | str, *, max_bytes: int, what: str = "JSON") -> JsonObject:
    """As `decode_json`, for text that must be an object."""
    value = decode_json(data, max_bytes=max_bytes, what=what)
    if not isinstance(value, dict):
        raise InvalidJson(f"{what} must be a JSON object, it is {_kind(value)}", code="not_an_object")
    return value


def _decode_text(data: bytes | str, max_bytes: int, what: str) -> str:
    limit = Limit("json_too_large", what, max_bytes, "bytes", "send less")
    if limit.is_exceeded(len(data)):
        raise InvalidJson(limit.message(len(data)), code=limit.error, next_step=limit.way_out)
    try:
        raw = data.encode() if isinstance(data, str) else data
        text = raw.decode("utf-8")
    except UnicodeError as error:
        raise InvalidJson(
            f"{what} is not UTF-8: {error}", code="not_utf8", next_step="encode it as UTF-8"
        ) from None
    if limit.is_exceeded(len(raw)):
        raise InvalidJson(limit.message(len(raw)), code=limit.error, next_step=limit.way_out)
    return text


def _parse(text: str, what: str, faults: list[_Fault]) -> JsonValue:
    def refuse(code: str, message: str) -> _Fault:
        faults.append(_Fault(code, message))
        return faults[-1]

    def pairs(items: list[tuple[str, Any]]) -> JsonObject:
        found = dict(items)
        if len(found) != len(items):
            found[_first_repeated(items)] = refuse("duplicate_key", "the key is there twice")
        return found

    def constant(name: str) -> _Fault:
        return refuse("not_a_number", f"{name} is not JSON")

    def integer(digits: str) -> int | _Fault:
        if len(digits) <= _MAX_DIGITS and _MIN_INT <= int(digits) <= _MAX_INT:
            return int(digits)
        return refuse("number_too_large", "the integer does not fit into 64 bits; send it as text")

    def real(digits: str) -> float | _Fault:
        value = float(digits)
        return value if math.isfinite(value) else refuse("number_too_large", "the number is beyond a double")

    unusual = _UNUSUAL_NUMBER.search(text) is not None
    try:
        return json.loads(
            text,
            object_pairs_hook=pairs,
            parse_constant=constant,
            parse_int=integer if unusual else None,
            parse_float=real if unusual else None,
        )
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise InvalidJson(f"{what} is not JSON: {error.msg} ({place})", code="not_json") from None
    except RecursionError:
        raise _too_deep(what) from None


def _first_repeated(items: list[tuple[str, Any]]) -> str:
    seen: set[str] = set()
    for key, _ in items:
        if key in seen:
            return key
        seen.add(key)
    raise AssertionError("called for items without a repeated key")


def _check_depth(value: JsonValue, what: str) -> None:
    """Breadth first, level by level: no recursion, and flat values cost one pass."""
    level: list[Any] = [value] if isinstance(value, (dict, list)) else []
    depth = 0
    while level:
        depth += 1
        if JSON_DEPTH.is_exceeded(depth):
            raise _too_deep(what)
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, (dict, list))
        ]


def _too_deep(what: str) -> InvalidJson:
    message = f"{what} is nested deeper than {JSON_DEPTH.maximum} levels ({JSON_DEPTH.error})"
    return InvalidJson(message, code=JSON_DEPTH.error, next_step=JSON_DEPTH.way_out)


def _check_surrogates(value: JsonValue, what: str) -> None:
    for path, text in _texts(value, ()):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InvalidJson(
                "half of a surrogate pair is no character", code="lone_surrogate", path=_place(what, path)
            ) from None


def _texts(value: JsonValue, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, child in value.items():
            yield path, key
            yield from _texts(child, (*path, key))
    elif isinstance(value, list):
        for position, child in enumerate(value):
            yield from _texts(child, (*path, position))


def _find_faults(root: JsonValue) -> Iterator[tuple[_Fault, tuple[str | int, ...]]]:
    stack: list[tuple[Any, tuple[str | int, ...]]] = [(root, ())]
    while stack:
        value, path = stack.pop()
        if isinstance(value, _Fault):
            yield value, path
        elif isinstance(value, dict):
            stack.extend((child, (*path, key)) for key, child in reversed(value.items()))
        elif isinstance(value, list):
            stack.extend((child, (*path, position)) for position, child in reversed([*enumerate(value)]))


def _place(what: str, path: tuple[str | int, ...]) -> str:
    return path_text((what, *path))


def _kind(value: JsonValue) -> str:
    kinds = {
        type(None): "null",
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "text",
        list: "an array",
    }
    return kinds.get(type(value), "an object")
