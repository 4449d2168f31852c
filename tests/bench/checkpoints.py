"""Checkpoints as the orchestrator's log tells of them (`tests.bench.role`): how long they took, how old they grew."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["LogTail", "Saved", "saved_in"]

_LINE = re.compile(r"saved up to command \d+, (\d+) states in ([\d.]+) ms, age ([\d.]+) ms")


@dataclass(frozen=True)
class Saved:
    """One checkpoint of one partition."""

    states: int
    took_ms: float
    """From asking where the log ends to the commit's answer."""
    age_ms: float
    """How old the cut was that held until now: as much would have been repeated after a crash at the worst moment."""


def saved_in(lines: Iterable[str]) -> list[Saved]:
    """The checkpoints of these lines."""
    found = (_LINE.search(line) for line in lines)
    return [Saved(int(each[1]), float(each[2]), float(each[3])) for each in found if each]


class LogTail:
    """What roles have written to their logs since this was made."""

    def __init__(self, files: Iterable[Path]) -> None:
        self._from = {file: file.stat().st_size for file in files}

    def lines(self) -> list[str]:
        """All of it, role by role."""
        found: list[str] = []
        for file, size in self._from.items():
            with file.open("rb") as stream:
                stream.seek(size)
                found += stream.read().decode(errors="replace").splitlines()
        return found
