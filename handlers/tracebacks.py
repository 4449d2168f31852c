"""Tracebacks as text, secrets hidden, at a price that does not grow with how often the same place fails.

Python reads and compiles the source line of each frame each time, and looking for secrets reads all of it again: 0.2 ms
for three frames. But a place in the code always gives the same text. So the text of each place is kept, and that of the
whole way once more, without its secrets. What the exception itself says is made and searched each time.
"""

from __future__ import annotations

import traceback
from functools import lru_cache
from types import CodeType, TracebackType
from typing import Final

from tasker_kafka.schemas.redaction import Redactor, current_redactor

__all__ = ["shown_traceback"]

_PLACES: Final = 1_024
_WAYS: Final = 256
_LONGEST_WAY: Final = 32
"""Frames; Python shortens the text of longer ones, where a function calls itself."""
_HEAD: Final = "Traceback (most recent call last):\n"

_places: dict[tuple[CodeType, int], str] = {}


def shown_traceback(error: BaseException, place: TracebackType | None) -> str:
    """As `traceback.format_exception` makes it, from this frame on, secrets hidden; "" if it cannot be made."""
    try:
        redactor = current_redactor()
        way = None if _has_more(error) else _way(place)
        if way is None:
            whole = "".join(traceback.format_exception(type(error), error, place))
            return redactor.redact_text(whole)
        last = "".join(traceback.format_exception_only(type(error), error))
        return _shown_way(redactor, way) + redactor.redact_text(last)
    except Exception:
        return ""


def _has_more(error: BaseException) -> bool:
    """Whether there is more than the way and a line: other exceptions, or hints that Python finds in the frames."""
    return (
        error.__cause__ is not None
        or (error.__context__ is not None and not error.__suppress_context__)
        or isinstance(error, BaseExceptionGroup | NameError | SyntaxError)
    )


def _way(place: TracebackType | None) -> str | None:
    """The frames as text; None: too many to be kept."""
    found: list[str] = []
    while place is not None:
        if len(found) == _LONGEST_WAY:
            return None
        found.append(_text_of(place))
        place = place.tb_next
    return _HEAD + "".join(found) if found else ""


def _text_of(place: TracebackType) -> str:
    key = (place.tb_frame.f_code, place.tb_lasti)
    text = _places.get(key)
    if text is None:
        text = "".join(traceback.format_tb(place, 1))
        if len(_places) >= _PLACES:
            _places.clear()
        _places[key] = text
    return text


@lru_cache(maxsize=_WAYS)
def _shown_way(redactor: Redactor, way: str) -> str:
    return redactor.redact_text(way)
