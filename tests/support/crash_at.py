"""A lane's process dies where a test says."""

from __future__ import annotations

from collections import Counter

from tasker_kafka.streams.lane import CrashPoint

__all__ = ["Crash", "CrashAt"]


class Crash(BaseException):
    """The process dies here."""


class CrashAt:
    """Dies at the `nth` passage of a point (counted from 1); counts every passage."""

    def __init__(self, point: CrashPoint | None = None, nth: int = 1) -> None:
        self.point = point
        self.nth = nth
        self.passed: Counter[CrashPoint] = Counter()

    def reached(self, point: CrashPoint) -> None:
        """Crash if it is the one."""
        self.passed[point] += 1
        if point is self.point and self.passed[point] == self.nth:
            raise Crash(point)
