"""Mending a dead letter's payload without seeing its secrets: what somebody changed, and nothing else, is sent.

A page shows payloads with secrets hidden. If the text that comes back were sent whole, every secret would be replaced
by its mask. So the text is compared with what was shown, and only the differences become assignments; what is hidden
stays as it is in the queue, byte for byte.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec

from tasker_kafka.handlers.delivery.edits import Assignment
from tasker_kafka.handlers.delivery.redrive import Edit
from tasker_kafka.schemas.redaction import redact

__all__ = ["MISSING", "Change", "UnclearEdit", "changes_between", "edit_of", "path_text"]

_PLAIN_FIRST: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_PLAIN: Final = _PLAIN_FIRST | frozenset("0123456789-")

Path = tuple[str | int, ...]


class _Missing:
    def __repr__(self) -> str:
        return "nothing"


MISSING: Final = _Missing()
"""There was nothing at the path."""


class UnclearEdit(ValueError):
    """What was asked cannot be sent without touching hidden values; the text says where."""


class Change(NamedTuple):
    """One place of the payload, before and after; `before` is as it was shown."""

    path: Path
    before: Any
    after: Any


def changes_between(shown: Any, wanted: Any) -> tuple[Change, ...]:
    """The smallest places that must be set so that `shown` becomes `wanted`.

    A list of another length, and an object that lost a name, are set whole. UnclearEdit where such a place, or a new
    value, holds a hidden one.
    """
    found = tuple(_differences((), shown, wanted))
    for each in found:
        if _hides(each.after):
            raise UnclearEdit(
                f"{path_text(each.path)} would be set to a text with a hidden value in it. Leave hidden values where "
                "they are: names can be removed, and lists can grow or shrink, only where nothing is hidden. "
                "`tasker dlq show --save FILE` and `tasker dlq redrive --edit FILE` change the whole payload."
            )
    return found


def edit_of(changes: tuple[Change, ...]) -> Edit | None:
    """The changes as `redrive` takes them; None: there are none."""
    if not changes:
        return None
    if changes[0].path == ():
        return Edit(payload=changes[0].after)
    return Edit(
        assignments=tuple(Assignment(each.path, each.after, path_text(each.path)) for each in changes)
    )


def path_text(path: Path) -> str:
    """As `tasker dlq redrive --set` takes it: `$.customer.mails[0]`."""
    return "$" + "".join(map(_step_text, path))


def _step_text(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    is_plain = step != "" and step[0] in _PLAIN_FIRST and set(step) <= _PLAIN
    return f".{step}" if is_plain else f"[{json.dumps(step, ensure_ascii=False)}]"


def _differences(path: Path, shown: Any, wanted: Any) -> Iterator[Change]:
    if isinstance(shown, dict) and isinstance(wanted, dict) and shown.keys() <= wanted.keys():
        for name, value in wanted.items():
            yield from _differences((*path, name), shown.get(name, MISSING), value)
    elif isinstance(shown, list) and isinstance(wanted, list) and len(shown) == len(wanted):
        for position, (before, after) in enumerate(zip(shown, wanted, strict=True)):
            yield from _differences((*path, position), before, after)
    elif not _is_same(shown, wanted):
        yield Change(path, shown, wanted)


def _is_same(one: Any, other: Any) -> bool:
    """As JSON: 1 is neither true nor 1.0."""
    return one is not MISSING and msgspec.json.encode(one) == msgspec.json.encode(other)


def _hides(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_hides, value.values()))
    if isinstance(value, list):
        return any(map(_hides, value))
    return isinstance(value, str) and _mask() in value


def _mask() -> str:
    """What stands for a hidden value in this process, as its settings say."""
    return str(redact({"password": "x"})["password"])
