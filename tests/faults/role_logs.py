"""What the roles have printed and how they ended: whatever nobody planned is a finding."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from tasker_kafka.schemas.exits import ExitCode
from tests.checker import Ledger
from tests.faults.fleet import End
from tests.faults.injection import CRASH_POINT_FAULT, KILLER_FAULT

__all__ = ["count_ends", "unplanned_ends", "unplanned_words"]

_WORDS: Final = re.compile(
    r"^.*(Traceback \(most recent call last\)|was never retrieved|was never awaited|Unclosed |stopping: ).*$",
    re.MULTILINE,
)
_CONTEXT_LINES: Final = 12
_MOST: Final = 5
_YOUNG_SECONDS: Final = 10.0
_OF_OTHERS: Final = frozenset({ExitCode.BROKER, ExitCode.PARTITION_LOST})
"""What a fault of something else may end a role with."""


def unplanned_words(folder: Path) -> list[str]:
    """Tracebacks and the like, with what stands around them; at most some per role."""
    found = []
    for path in sorted(folder.glob("*.log")):
        text = path.read_text(errors="replace")
        for match in list(_WORDS.finditer(text))[:_MOST]:
            lines = text[match.start() :].splitlines()[:_CONTEXT_LINES]
            found.append(f"{path.name}: " + "\n    ".join(lines))
    return found


def unplanned_ends(ends: Iterable[End], ledger: Ledger) -> list[str]:
    """Ends with an exit code that neither the run nor a fault explains."""
    explained = {
        each.detail.get("pid") for each in ledger.faults if each.fault in (CRASH_POINT_FAULT, KILLER_FAULT)
    }
    found = []
    for end in ends:
        is_own_kill = end.code == -signal.SIGKILL and (end.wanted == "kill" or end.pid in explained)
        is_clean = end.code == 0 and end.wanted in ("term", "crash")
        # SIGTERM before it could ask for it: nothing had begun.
        is_clean |= end.code == -signal.SIGTERM and end.wanted == "term" and end.lived < _YOUNG_SECONDS
        is_fenced = end.code == ExitCode.FENCED and end.was_away
        if not (is_own_kill or is_clean or is_fenced or end.code in _OF_OTHERS):
            found.append(f"{end.name} ({end.pid}) ended with {end.code}, wanted: {end.wanted or 'nothing'}")
    return found


def count_ends(ends: Iterable[End]) -> Mapping[str, int]:
    """How many processes ended with each exit code."""
    counts: dict[str, int] = {}
    for end in ends:
        name = "killed" if end.code == -signal.SIGKILL else str(end.code)
        counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items()))
