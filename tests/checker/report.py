"""What the checker found: violations with their places, and figures."""

from __future__ import annotations

from collections import Counter
from typing import Final, TypeAlias
from uuid import UUID

import msgspec

__all__ = ["Findings", "Place", "Report", "Violation", "place_of"]

Place: TypeAlias = str | tuple[str, int, int | None, bytes | None]
"""A text, or what `place_of` makes one of: put together only if it is needed."""

KEPT_PER_INVARIANT: Final = 100
"""Violations of one invariant that are kept; the others are counted only."""


class Violation(msgspec.Struct, frozen=True):
    """One broken invariant."""

    invariant: str
    """Its number in the list of invariants, e.g. `I4`; `raw` when a record cannot be read at all."""
    place: str
    """Topic, partition and offset, and the task's id where there is one."""
    text: str
    """What is wrong."""

    def __str__(self) -> str:
        return f"{self.invariant} {self.place}: {self.text}"


class Report(msgspec.Struct, frozen=True):
    """Every violation (the first hundred of an invariant), and what was counted."""

    violations: tuple[Violation, ...]
    figures: dict[str, int]
    """`violations_<invariant>` counts all of one, those that are not kept included."""

    def __str__(self) -> str:
        width = max(map(len, self.figures), default=0)
        lines = [f"{name:{width}}  {count:,}" for name, count in self.figures.items()]
        lines += [str(each) for each in self.violations]
        total = sum(count for name, count in self.figures.items() if name.startswith("violations_"))
        return "\n".join([*lines, f"violations: {total:,}"])


class Findings:
    """Collects violations and figures while the log is walked."""

    def __init__(self) -> None:
        self.figures: Counter[str] = Counter()
        self._violations: list[Violation] = []
        self._found: Counter[str] = Counter()

    def add(self, invariant: str, place: Place, text: str) -> None:
        """A violation."""
        self._found[invariant] += 1
        if self._found[invariant] <= KEPT_PER_INVARIANT:
            where = place if isinstance(place, str) else place_of(*place)
            self._violations.append(Violation(invariant, where, text))

    def count(self, figure: str, by: int = 1) -> None:
        """Add to a figure."""
        self.figures[figure] += by

    def peak(self, figure: str, value: int) -> None:
        """Keep the highest value of a figure."""
        self.figures[figure] = max(self.figures[figure], value)

    def report(self) -> Report:
        """Everything found, by invariant."""
        figures = dict(sorted(self.figures.items()))
        figures |= {f"violations_{name}": count for name, count in sorted(self._found.items())}
        return Report(tuple(sorted(self._violations, key=lambda each: each.invariant)), figures)


def place_of(topic: str, partition: int, offset: int | None = None, task_id: bytes | None = None) -> str:
    """Where something is, for people: `topic/partition@offset task <uuid>`."""
    where = f"{topic}/{partition}" if offset is None else f"{topic}/{partition}@{offset}"
    if task_id is None:
        return where
    return f"{where} task {UUID(bytes=task_id) if len(task_id) == 16 else task_id.hex()}"
