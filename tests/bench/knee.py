"""How much can arrive before the tasks begin to wait: the search for it, and what a stretch of arrivals says. Pure.

Latency counts from when a task was meant to be requested, not from when it was: a load generator that is held up would
otherwise leave out the very tasks that waited longest (coordinated omission).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from tests.bench.figures import percentile

__all__ = ["Arrivals", "KneeSearch", "Overload", "arrivals_of", "overload_of", "schedule"]


class KneeSearch:
    """Raises the rate by a factor until one does not hold, then narrows it down; ask, try, note, ask again."""

    def __init__(self, first: float, *, growth: float, precision: float) -> None:
        """first: tasks per second. growth, precision: above 1; done when failed ≤ precision × held."""
        if first <= 0 or growth <= 1 or precision <= 1:
            raise ValueError(f"not above 0, 1 and 1: first {first}, growth {growth}, precision {precision}")
        self._next = first
        self._growth = growth
        self._precision = precision
        self._failed: float | None = None
        self.knee: float | None = None
        """The highest rate that held; None: none did."""

    def next_rate(self) -> float | None:
        """The next rate to try; None: done, or not even one task per second held."""
        if self.knee is None or self._failed is None:
            return self._next if self._next >= 1 else None
        return None if self._failed <= self._precision * self.knee else math.sqrt(self.knee * self._failed)

    def note(self, rate: float, *, holds: bool) -> None:
        """What came of the rate that was asked for. A rate that holds above one that failed is not believed."""
        if not holds:
            self._failed = rate if self._failed is None else min(rate, self._failed)
            self._next = self._failed / self._growth
        elif self._failed is None or rate < self._failed:
            self.knee = rate if self.knee is None else max(rate, self.knee)
            self._next = rate * self._growth


def schedule(rate: float, seconds: float, random: Random) -> list[float]:
    """Arrival times in seconds from the beginning: independent of each other (Poisson), `rate` per second."""
    times: list[float] = []
    at = random.expovariate(rate)
    while at < seconds:
        times.append(at)
        at += random.expovariate(rate)
    return times


@dataclass(frozen=True, kw_only=True)
class Arrivals:
    """One stretch at one rate."""

    offered: float
    """Tasks per second."""
    closed: float
    """Tasks per second that closed in the same stretch."""
    p50_ms: float
    p95_ms: float
    p99_ms: float
    backlog: int
    """Tasks due and not closed at its end."""
    sender_late_ms: float
    """The most that a request left after its time."""
    cpu_ms_per_step: float
    """All processes but the load."""
    holds: bool


def arrivals_of(
    due: Mapping[bytes, float],
    closed: Mapping[bytes, float],
    *,
    seconds: float,
    bound_ms: float,
    sender_late_ms: float,
    cpu_ms_per_step: float,
) -> Arrivals:
    """What a stretch says; due and closed in ms, from its beginning. It holds when p99 is within the bound."""
    latencies = [closed[task] - at for task, at in due.items()]
    done = sum(at <= seconds * 1000 for at in closed.values())
    p99 = percentile(latencies, 0.99)
    return Arrivals(
        offered=len(due) / seconds,
        closed=done / seconds,
        p50_ms=percentile(latencies, 0.5),
        p95_ms=percentile(latencies, 0.95),
        p99_ms=p99,
        backlog=len(due) - done,
        sender_late_ms=sender_late_ms,
        cpu_ms_per_step=cpu_ms_per_step,
        holds=p99 <= bound_ms,
    )


@dataclass(frozen=True, kw_only=True)
class Overload:
    """A stretch at too high a rate, then one at a low one."""

    offered: float
    closed: float
    """Tasks per second that closed while too many arrived, its first second left out."""
    backlog: int
    """Tasks due and not closed when it ended."""
    worst_ms: float
    drained_seconds: float | None
    """From the end of the overload until tasks that become due are within the bound again; None: never."""
    p99_after_ms: float | None
    """Of the tasks due after that."""


def overload_of(
    due: Mapping[bytes, float],
    closed: Mapping[bytes, float],
    *,
    seconds: float,
    bound_ms: float,
    quiet_seconds: float,
) -> Overload:
    """What an overload of `seconds` says, with the low rate after it; due and closed in ms, from its beginning.

    Recovered is who stays within the bound (99 of 100) from some moment on, at least for `quiet_seconds`.
    """
    end_ms = seconds * 1000
    times = sorted(closed.values())
    done = bisect_right(times, end_ms)
    early = bisect_right(times, 1000)
    after = sorted((at, closed[task] - at) for task, at in due.items() if at > end_ms)
    begin = _within_from([latency for _, latency in after], bound_ms)
    calm = after[begin:]
    recovered = bool(calm) and calm[-1][0] - calm[0][0] >= quiet_seconds * 1000
    return Overload(
        offered=sum(at <= end_ms for at in due.values()) / seconds,
        closed=(done - early) / max(seconds - 1, 0.001),
        backlog=sum(at <= end_ms for at in due.values()) - done,
        worst_ms=max(closed[task] - at for task, at in due.items()),
        drained_seconds=(calm[0][0] - end_ms) / 1000 if recovered else None,
        p99_after_ms=percentile([latency for _, latency in calm], 0.99) if recovered else None,
    )


def _within_from(latencies: Sequence[float], bound_ms: float) -> int:
    """From which position on at least 99 of 100 are within the bound, that one included; the length if from none."""
    beyond, begin = 0, len(latencies)
    for position in range(len(latencies) - 1, -1, -1):
        beyond += latencies[position] > bound_ms
        if beyond * 100 <= len(latencies) - position and latencies[position] <= bound_ms:
            begin = position
    return begin
