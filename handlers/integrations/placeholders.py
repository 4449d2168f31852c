"""Texts with places to fill: `Order {payload.order_id} has failed: {payload.error.message?}`.

- `{a.b}` is the value at that path of the event (`document`); a missing one is a PermanentError that names the path,
  since a request with a hole in it would do harm quietly. With a question mark, `{a.b?}`, it is nothing instead.
- A text that is one place and nothing else keeps the value's type: `amount: "{payload.amount}"` stays a number.
- `{{` and `}}` are braces. In addresses each value is percent-encoded, so that none can reach another path.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from tasker_kafka.handlers.errors import PermanentError
from tasker_kafka.handlers.subscribing.access import MISSING, lookup
from tasker_kafka.schemas.nearest import did_you_mean
from tasker_kafka.schemas.settings.section import refuse

from .texts import json_bytes

__all__ = ["TextTemplate", "check_value", "fill_value", "parse_template"]

_PIECE: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_PATH: Final = re.compile(r"[A-Za-z_][\w-]*(?:\.[\w-]+)*")
_DEEPEST: Final = 32


@dataclass(frozen=True, slots=True)
class Place:
    """A place to fill."""

    path: str
    is_optional: bool

    def value(self, document: Mapping[str, Any]) -> Any:
        """The value there; None for an optional one that is missing."""
        found = lookup(document, self.path)
        if found is not MISSING and (found is not None or self.is_optional):
            return found
        if self.is_optional:
            return None
        raise PermanentError(
            f"the event has no value at `{self.path}`, which the request needs; "
            f"write {{{self.path}?}} if it may be missing",
            code="missing_value",
        )


@dataclass(frozen=True, slots=True)
class TextTemplate:
    """A parsed text: pieces of text and places, in their order."""

    pieces: tuple[str | Place, ...]

    def fill(self, document: Mapping[str, Any]) -> Any:
        """The text; or, where it is one place only, the value there as it is."""
        if len(self.pieces) == 1 and isinstance(self.pieces[0], Place):
            return self.pieces[0].value(document)
        return "".join(each if isinstance(each, str) else _text(each.value(document)) for each in self.pieces)

    def fill_url(self, document: Mapping[str, Any]) -> str:
        """The text, every value percent-encoded. PermanentError for one that is no single path segment."""
        return "".join(each if isinstance(each, str) else _segment(each, document) for each in self.pieces)


def parse_template(text: str, *, roots: Collection[str]) -> TextTemplate:
    """The parsed text; a pydantic error for a lone brace, a bad path, or one that begins with none of `roots`."""
    pieces: list[str | Place] = []
    position = 0
    for found in _PIECE.finditer(text):
        pieces.append(text[position : found.start()])
        position = found.end()
        pieces.append(found[0][0] if found[0] in {"{{", "}}"} else _place(found[1], found[0], roots))
    pieces.append(text[position:])
    return TextTemplate(tuple(_joined(pieces)))


def _place(inside: str | None, whole: str, roots: Collection[str]) -> Place:
    if inside is None:
        raise refuse("lone_brace", f"a single `{whole}`; write `{whole}{whole}` for the character itself")
    path = inside.removesuffix("?")
    if _PATH.fullmatch(path) is None:
        raise refuse("bad_path", f"`{whole}` is no path; write names joined by dots, as {{payload.order_id}}")
    root = path.partition(".")[0]
    if root not in roots:
        raise refuse(
            "unknown_path", f"`{root}` in `{whole}` is no part of an event; {did_you_mean(root, roots)}"
        )
    return Place(path, inside.endswith("?"))


def _joined(pieces: list[str | Place]) -> list[str | Place]:
    """Neighbouring texts as one, empty ones left out."""
    found: list[str | Place] = []
    for each in pieces:
        if isinstance(each, str) and found and isinstance(found[-1], str):
            found[-1] += each
        elif each != "":
            found.append(each)
    return found or [""]


def check_value(value: Any, *, roots: Collection[str], depth: int = 0) -> Any:
    """The value itself if every text in it is a template; a pydantic error otherwise."""
    if depth > _DEEPEST:
        raise refuse("too_deep", f"is nested deeper than {_DEEPEST}")
    if isinstance(value, str):
        parse_template(value, roots=roots)
    elif isinstance(value, Mapping):
        for each in value.values():
            check_value(each, roots=roots, depth=depth + 1)
    elif isinstance(value, list | tuple):
        for each in value:
            check_value(each, roots=roots, depth=depth + 1)
    return value


def fill_value(value: Any, document: Mapping[str, Any], *, roots: Collection[str]) -> Any:
    """A copy of the value with every text in it filled; keys stay as they are."""
    if isinstance(value, str):
        return parse_template(value, roots=roots).fill(document)
    if isinstance(value, Mapping):
        return {key: fill_value(each, document, roots=roots) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [fill_value(each, document, roots=roots) for each in value]
    return value


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json_bytes(value).decode()


def _segment(place: Place, document: Mapping[str, Any]) -> str:
    value = place.value(document)
    text = _text(value)
    if not text or text in {".", ".."} or isinstance(value, Mapping | list):
        raise PermanentError(
            f"the value at `{place.path}` cannot be a part of an address", code="invalid_address"
        )
    return quote(text, safe="")
