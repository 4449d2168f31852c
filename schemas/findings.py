"""What is wrong with a text that a person wrote: where, what, and what to do instead.

Templates and settings report every fault at once, each with file, line and path, because a person who mends one
fault per run gives up before the last.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec

from .errors import TemplateError

__all__ = ["MOST_FAULTS", "Fault", "Finding", "InvalidTemplate", "Path", "Severity", "path_text"]

Severity = Literal["error", "warning"]
"""error: the template is refused. warning: it is accepted, and somebody should look."""

Path = tuple[str | int, ...]
"""Keys and positions from the document's root."""

MOST_FAULTS: Final = 200
"""Checks stop after so many: naming what was meant costs time, and hostile text has a fault per line."""
_MOST_SHOWN: Final = 50


class Fault(msgspec.Struct, frozen=True):
    """What a single check found, before it is known in which file and line that is."""

    path: Path
    code: str
    message: str
    severity: Severity = "error"

    def below(self, prefix: Path) -> Fault:
        """The same fault of a value that stands at `prefix`."""
        return Fault((*prefix, *self.path), self.code, self.message, self.severity)


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One fault or oddity. `str()` gives `file:line: path: message`."""

    code: str
    """Stable name, as `unknown_key` or `too_many_steps`."""
    path: str
    """As `steps[2].retry.backof`; empty for the whole document."""
    message: str
    source: str = "template"
    line: int | None = None
    severity: Severity = "error"

    def __str__(self) -> str:
        place = self.source if self.line is None else f"{self.source}:{self.line}"
        return f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"


class InvalidTemplate(TemplateError):
    """A template is refused; `findings` holds what was found, at most about 200 faults."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        shown = [str(each) for each in self.findings[:_MOST_SHOWN]]
        if len(self.findings) > len(shown):
            shown.append(f"… and {len(self.findings) - len(shown)} more")
        if len(self.findings) > 1:
            shown.insert(0, f"{self.findings[0].source}: {len(self.findings)} faults")
        super().__init__("\n".join(shown))


def path_text(path: Sequence[str | int]) -> str:
    """`("steps", 2, "retry")` as `steps[2].retry`; a key that is no plain word is quoted."""
    text = ""
    for item in path:
        if isinstance(item, int):
            text += f"[{item}]"
        elif _is_plain(item):
            text += f".{item}" if text else item
        else:
            text += f"[{_shortened(item)!r}]"
    return text


def _is_plain(key: str) -> bool:
    return 0 < len(key) <= 64 and all(each.isalnum() or each in "_-$" for each in key)


def _shortened(key: str) -> str:
    return key if len(key) <= 64 else f"{key[:63]}…"
