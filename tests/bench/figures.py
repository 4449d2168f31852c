"""What a load's measurements say, and how they are shown. Pure: no clock, no broker."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["COLUMNS", "Figures", "Measured", "figures_of", "percentile", "table"]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One load of one shape, as it was observed. Times in the unit of the name."""

    load: str
    shape: str
    tasks: int
    steps_per_task: int
    first_ms: int
    """Timestamp of the first request's record."""
    last_ms: int
    """Timestamp of the last terminal record."""
    latencies_ms: Sequence[float]
    """Per task: from its request's record to its terminal record."""
    cpu_seconds: Mapping[str, float]
    """Per process, from before the first request to after the last task."""
    waited_seconds: Mapping[str, float]
    """Per process, in the same time: ready to run, but the processors were busy with something else."""
    records: int
    """On all topics, control records left out."""
    payload_bytes: int
    """Keys, values and headers of these records."""
    client_ms: Sequence[float] = field(default=())
    """Per task: what a waiting client saw; empty where nobody waited."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """The figures of one row."""

    load: str
    shape: str
    tasks: int
    steps: int
    tasks_per_second: float
    steps_per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    client_p50_ms: float | None
    client_p99_ms: float | None
    cpu_ms_per_step: Mapping[str, float]
    crowding: float
    """CPU time and waiting for it, by CPU time: 1.0 when no process ever waited for a processor."""
    records_per_step: float
    bytes_per_step: float

    def as_json(self) -> dict[str, Any]:
        """For `--json`: rounded, `None` for what was not measured."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        plain["cpu_ms_per_step"] = {
            name: round(value, 4) for name, value in sorted(self.cpu_ms_per_step.items())
        }
        return {name: round(value, 3) if isinstance(value, float) else value for name, value in plain.items()}


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least `share` (above 0, at most 1) of all do not exceed; ValueError without any."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values: nothing was measured")
    if not 0 < share <= 1:
        raise ValueError(f"a share is above 0 and at most 1, not {share}")
    return ordered[math.ceil(share * len(ordered)) - 1]


def figures_of(measured: Measured) -> Figures:
    """Rates over the span of the records, CPU and log per step."""
    steps = measured.tasks * measured.steps_per_task
    seconds = max(measured.last_ms - measured.first_ms, 1) / 1000
    seen = measured.client_ms
    return Figures(
        load=measured.load,
        shape=measured.shape,
        tasks=measured.tasks,
        steps=steps,
        tasks_per_second=measured.tasks / seconds,
        steps_per_second=steps / seconds,
        p50_ms=percentile(measured.latencies_ms, 0.50),
        p95_ms=percentile(measured.latencies_ms, 0.95),
        p99_ms=percentile(measured.latencies_ms, 0.99),
        client_p50_ms=percentile(seen, 0.50) if seen else None,
        client_p99_ms=percentile(seen, 0.99) if seen else None,
        cpu_ms_per_step={name: 1000 * seconds / steps for name, seconds in measured.cpu_seconds.items()},
        crowding=_crowding(measured),
        records_per_step=measured.records / steps,
        bytes_per_step=measured.payload_bytes / steps,
    )


def _crowding(measured: Measured) -> float:
    used = sum(measured.cpu_seconds.values())
    return 1.0 if not used else 1 + sum(measured.waited_seconds.values()) / used


COLUMNS = (
    "load",
    "shape",
    "tasks",
    "tasks/s",
    "steps/s",
    "p50 ms",
    "p95 ms",
    "p99 ms",
    "client p50 / p99 ms",
    "CPU ms/step: orchestrator",
    "worker",
    "broker",
    "crowding",
    "records/step",
    "bytes/step",
)


def table(rows: Iterable[Figures]) -> str:
    """A Markdown table whose columns line up in a terminal, too."""
    cells = [list(COLUMNS), *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(COLUMNS))]
    left = 2  # the first two columns are text

    def line(values: Sequence[str]) -> str:
        padded = (
            value.ljust(width) if column < left else value.rjust(width)
            for column, (value, width) in enumerate(zip(values, widths, strict=True))
        )
        return f"| {' | '.join(padded)} |"

    rule = ["-" * width if column < left else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    return "\n".join([line(cells[0]), line(rule), *map(line, cells[1:])])


def _cells(row: Figures) -> list[str]:
    def cpu(name: str) -> str:
        value = row.cpu_ms_per_step.get(name)
        return "–" if value is None else f"{value:.3f}"

    seen = "–" if row.client_p50_ms is None else f"{row.client_p50_ms:.1f} / {row.client_p99_ms:.1f}"
    return [
        row.load,
        row.shape,
        f"{row.tasks:,}",
        f"{row.tasks_per_second:,.0f}",
        f"{row.steps_per_second:,.0f}",
        f"{row.p50_ms:,.0f}",
        f"{row.p95_ms:,.0f}",
        f"{row.p99_ms:,.0f}",
        seen,
        cpu("orchestrator"),
        cpu("worker"),
        cpu("broker"),
        f"{row.crowding:.1f}",
        f"{row.records_per_step:.2f}",
        f"{row.bytes_per_step:,.0f}",
    ]
