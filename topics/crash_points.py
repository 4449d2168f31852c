"""The seam at which tests make a process die: named places between two effects whose order matters.

Whoever has such places declares them in an enum of its own and calls `reached` at each. In production that does
nothing. A test raises there (the object is then dropped as a killed process would drop it); the fault injector kills
the process. Tests hold each list complete: what is declared is reached, and what is reached is declared.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol, TypeVar

__all__ = ["NO_CRASH_POINTS", "ClientCrashPoint", "CrashPoints", "NoCrashPoints"]

Point_contra = TypeVar("Point_contra", bound=StrEnum, contravariant=True)


class CrashPoints(Protocol[Point_contra]):
    """Told of every crash point that is passed."""

    def reached(self, point: Point_contra, /) -> None:
        """The caller is at this point; raising here is a crash."""
        ...


class NoCrashPoints:
    """The production side: nothing happens."""

    def reached(self, point: StrEnum, /) -> None:
        """Go on."""


NO_CRASH_POINTS = NoCrashPoints()


class ClientCrashPoint(StrEnum):
    """Where a client may die."""

    PAYLOAD_STORED = "client.payload_stored"
    """A large result is in `payloads`; the command that refers to it is not sent."""
    REQUEST_ACKNOWLEDGED = "client.request_acknowledged"
    """The request is in the log; its caller has not been told."""
    COMMAND_ACKNOWLEDGED = "client.command_acknowledged"
    """The command is in the log; its caller has not been told."""
