"""What the checker found: violations with their places, and figures."""

from __future__ import annotations

import msgspec

__all__ = ["Report", "Violation"]


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
    """Every violation, and what was counted."""

    violations: tuple[Violation, ...]
    figures: dict[str, int]

    def __str__(self) -> str:
        width = max(map(len, self.figures), default=0)
        lines = [f"{name:{width}}  {count:,}" for name, count in self.figures.items()]
        lines += [str(each) for each in self.violations]
        return "\n".join([*lines, f"violations: {len(self.violations)}"])
