"""What is explored: a shape, how many commands, and which release each owner runs."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Scope"]


@dataclass(frozen=True, slots=True)
class Scope:
    """The bounds of one exploration."""

    shape: str
    releases: tuple[int, ...]
    """Of each owner, in the order in which they take the partition."""
    commands: int
    """How many commands the owners find that no checkpoint covers at the beginning."""
    prefix: int = 0
    """How many commands before them are history at the beginning: recorded, sent and saved."""

    @property
    def length(self) -> int:
        """Commands in all."""
        return self.prefix + self.commands

    def __str__(self) -> str:
        releases = "".join(map(str, self.releases))
        return f"{self.shape}, commands {self.prefix}+{self.commands}, releases {releases}"
