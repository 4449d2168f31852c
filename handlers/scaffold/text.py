"""Making the text of a file: a frame from `files/` with its places filled in, and lines that fit.

Frames are files that can be read as what they become. Places are written `{{name}}`, which none of the languages
involved uses; a place without a value, or a value without a place, is a defect and told as such.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

__all__ = ["WIDTH", "filled", "names_list", "wrapped"]

WIDTH: Final = 88
"""Columns of generated code: the default of the usual formatters."""
_FRAMES: Final = Path(__file__).parent / "files"
_PLACE: Final = re.compile(r"\{\{(\w+)\}\}")


def filled(frame: str, *, is_partial: bool = False, **values: str) -> str:
    """The text of `files/<frame>` with every `{{name}}` replaced. `is_partial`: not every value needs a place."""
    text = (_FRAMES / frame).read_text(encoding="utf-8")
    places = set(_PLACE.findall(text))
    if not places <= values.keys() or (places != values.keys() and not is_partial):
        wrong = ", ".join(sorted(places ^ values.keys()))
        raise AssertionError(f"frame {frame} and its values differ in: {wrong}")
    return _PLACE.sub(lambda found: values[found[1]], text)


def wrapped(head: str, items: Iterable[str], tail: str, *, indent: int = 0, after: int = 0) -> str:
    """`head` + items + `tail` on one line if it fits, else one item a line, as formatters write it.

    indent: the columns in which it stands; the first line has none of its own, its place in the frame has them.
    after: characters that follow on the same line.
    """
    parts = list(items)
    line = f"{head}{', '.join(parts)}{tail}"
    if indent + len(line) + after <= WIDTH and "\n" not in line:
        return line
    inner = " " * (indent + 4)
    return "\n".join([head, *(f"{inner}{part}," for part in parts), f"{' ' * indent}{tail}"])


def names_list(target: str, names: Iterable[str]) -> str:
    """`target = ["a", "b"]`, sorted."""
    return wrapped(f"{target} = [", (f'"{name}"' for name in sorted(names)), "]")
