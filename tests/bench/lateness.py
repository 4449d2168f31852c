"""How late timers were, from the records that they left. Pure.

A timer leaves two records: the TimerDue that the owner writes to itself when it thinks that the time has come, and the
transitions that the decision about it yields. Both are compared with when the timer was due. A decision before the due
time would be a timer that fired early; a TimerDue written too early is only ignored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tests.bench.figures import Spread, spread

__all__ = ["Due", "Effect", "Lateness", "lateness_of"]


@dataclass(frozen=True)
class Due:
    """One TimerDue record. Times in ms."""

    kind: str
    due_at: int
    written_at: int
    """The broker's time of the record."""


@dataclass(frozen=True)
class Effect:
    """The transitions that a command led to. Times in ms."""

    decided_at: int
    """Broker time by which it was decided."""
    recorded_at: int
    """Time of the transitions record."""


@dataclass(frozen=True, kw_only=True)
class Lateness:
    """What became of the timers that were due in a stretch of time."""

    fired: Mapping[str, int]
    """By kind."""
    per_second: float
    written_ms: Spread | None
    """TimerDue after due time."""
    recorded_ms: Spread | None
    """Transitions after due time."""
    early: int
    """Decided before they were due."""
    in_vain: int
    """TimerDue records that changed nothing: written too early, or twice."""
    missing: int
    """Expected, and without any effect."""


def lateness_of(
    dues: Mapping[tuple[int, int], Due],
    effects: Mapping[tuple[int, int], Effect],
    *,
    expected: Iterable[int],
    begin: int,
    end: int,
) -> Lateness:
    """Of the timers due in `begin <= due_at < end` (ms); both mappings by (partition, offset) of the command.

    expected: due times of everything that should fire, ms.
    """
    within = {place: due for place, due in dues.items() if begin <= due.due_at < end}
    found = [(due, effects[place]) for place, due in within.items() if place in effects]
    return Lateness(
        fired=_counted(due.kind for due, _ in found),
        per_second=1000 * len(found) / (end - begin),
        written_ms=spread([due.written_at - due.due_at for due, _ in found]),
        recorded_ms=spread([effect.recorded_at - due.due_at for due, effect in found]),
        early=sum(effect.decided_at < due.due_at for due, effect in found),
        in_vain=len(within) - len(found),
        missing=sum(begin <= at < end for at in expected) - len(found),
    )


def _counted(kinds: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(kinds).items()))
