"""What `--help` says below the options: how a command is used."""

from __future__ import annotations

__all__ = ["examples"]


def examples(*lines: str) -> str:
    """The epilog of a command; each line as it is typed, never wrapped."""
    return "\b\n" + "\n".join(("Examples:", *(f"  {line}" for line in lines)))
