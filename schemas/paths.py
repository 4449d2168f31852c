"""Paths into JSON values, as `$.charge.items[0].id`: for a task's output, an event's key and the like.

A small, total subset of JSONPath: names, quoted names and positions, one value at most. No wildcards, filters
or scripts, so that evaluation is linear and a path can be checked when the template loads.
"""

from __future__ import annotations

import re
from typing import Any, Final

__all__ = ["MISSING", "PathError", "PathSteps", "follow", "parse_path"]

PathSteps = tuple[str | int, ...]

_STEP: Final = re.compile(
    r"""\.(?P<name>[A-Za-z_][A-Za-z0-9_-]*)   # .name
      | \[(?P<position>0|[1-9][0-9]{0,8})\]   # [0]
      | \[(?P<quote>["'])(?P<quoted>[^"'\\]+)(?P=quote)\]   # ["odd name"]
    """,
    re.VERBOSE,
)
_LONGEST: Final = 512


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()
"""What `follow` gives where there is nothing; None is a value."""


class PathError(ValueError):
    """The text is no path; the message says from which character on."""


def parse_path(text: str) -> PathSteps:
    """The steps of a path: `$.a["b c"][0]` gives `("a", "b c", 0)`. PathError says where it goes wrong."""
    if not text.startswith("$"):
        raise PathError(f"a path begins with `$.`, as `$.{text.lstrip('.') or 'name'}`")
    if len(text) > _LONGEST:
        raise PathError(f"a path has at most {_LONGEST} characters")
    steps: list[str | int] = []
    position = 1
    while position < len(text):
        found = _STEP.match(text, position)
        if found is None:
            raise PathError(
                f"cannot read it from `{text[position : position + 20]}` on; a path is made of `.name`, "
                '`["odd name"]` and `[0]`'
            )
        steps.append(int(found["position"]) if found["position"] else found["name"] or found["quoted"])
        position = found.end()
    return tuple(steps)


def follow(steps: PathSteps, value: Any) -> Any:
    """The value at the end of the path, or MISSING."""
    for step in steps:
        if isinstance(step, int):
            if not isinstance(value, list) or step >= len(value):
                return MISSING
            value = value[step]
        elif isinstance(value, dict) and step in value:
            value = value[step]
        else:
            return MISSING
    return value
