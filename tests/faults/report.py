"""The report of a run: as text for people, as JSON for machines."""

from __future__ import annotations

import os
import platform
from collections import defaultdict
from typing import Any

import msgspec

from tests.faults.injection import all_points
from tests.faults.measures import Injected, percentile

__all__ = ["FaultRow", "Report", "machine", "rows"]


class FaultRow(msgspec.Struct, frozen=True):
    """All faults of a kind."""

    kind: str
    count: int
    bit: int
    recovery_ms: tuple[int | None, int | None, int | None]
    """p50, p95, most: to the first new accepted record of each partition taken, or the first start of its queue."""
    samples: int


class Report(msgspec.Struct, kw_only=True):
    """What a run was and what it has shown. It passes when `failures` is empty."""

    seed: int
    seconds: float
    settings: dict[str, Any]
    machine: dict[str, Any]
    load: dict[str, Any] = {}
    faults: list[FaultRow] = []
    log: list[dict[str, Any]] = []
    """Every fault in order, with its proof."""
    points_hit: list[str] = []
    points_missed: list[str] = []
    repeats: dict[str, Any] = {}
    ends: dict[str, int] = {}
    """Processes by exit code."""
    refused_records: dict[str, int] = {}
    settle: dict[str, Any] = {}
    checker: dict[str, int] = {}
    violations: dict[str, int] = {}
    failures: list[str] = []
    """Why the run does not pass."""

    @property
    def has_passed(self) -> bool:
        """Whether nothing went wrong."""
        return not self.failures

    def text(self) -> str:
        """Tables for people."""
        lines = [
            f"seed {self.seed}, {self.seconds:.0f} s, {_inline(self.settings)}",
            f"machine: {_inline(self.machine)}",
            f"load: {_inline(self.load)}",
            "",
            f"{'fault':24}{'count':>6}{'bit':>6}{'p50 ms':>9}{'p95 ms':>9}{'max ms':>9}{'samples':>9}",
        ]
        for row in self.faults:
            times = "".join(f"{'–' if each is None else each:>9}" for each in row.recovery_ms)
            lines.append(f"{row.kind:24}{row.count:>6}{row.bit:>6}{times}{row.samples:>9}")
        total = sum(row.count for row in self.faults)
        lines += [
            f"{'all':24}{total:>6}{sum(row.bit for row in self.faults):>6}",
            "",
            f"crash points hit: {len(self.points_hit)} of {len(all_points())}",
            *([f"  not hit: {', '.join(self.points_missed)}"] if self.points_missed else []),
            f"repeated steps: {_inline(self.repeats)}",
            f"processes by exit: {_inline(self.ends)}",
            f"records that do not count: {_inline(self.refused_records)}",
            f"settle: {_inline(self.settle)}",
            f"checker: {_inline(self.checker)}",
            f"violations: {_inline(self.violations) if self.violations else 0}",
        ]
        lines += [f"FAILED: {each}" for each in self.failures] or ["passed"]
        return "\n".join(lines)


def rows(faults: list[Injected], recovered: dict[str, list[int]]) -> list[FaultRow]:
    """One row per kind, in the order of first appearance."""
    kinds: dict[str, list[Injected]] = defaultdict(list)
    for each in faults:
        kinds[each.kind].append(each)
    found = []
    for kind, injected in kinds.items():
        times = recovered.get(kind, [])
        figures = percentile(times, 0.5), percentile(times, 0.95), max(times, default=None)
        bit = sum(each.outcome.bit for each in injected)
        found.append(FaultRow(kind, len(injected), bit, figures, len(times)))
    return found


def machine() -> dict[str, Any]:
    """What the run had: processors, memory, load of the last minute at its start, versions."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpus": os.cpu_count(),
        "memory_gb": round(pages / 2**30, 1),
        "load_1min": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
    }


def _inline(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items()) or "–"
