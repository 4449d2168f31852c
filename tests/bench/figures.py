"""What a load's measurements say. Pure: no clock, no broker."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.bench.checkpoints import Saved

__all__ = ["Figures", "Measured", "Spread", "Steady", "figures_of", "percentile", "spread", "steady"]

LOAD = "load"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One load of one shape, as it was observed. Times in the unit of the name."""

    load: str
    shape: str
    steps_per_task: int
    requested: Mapping[bytes, int]
    """Task → broker time of its request's record, ms."""
    closed: Mapping[bytes, int]
    """Task → time of its terminal record, ms. The same tasks."""
    cpu_seconds: Mapping[str, float]
    """By kind of process, from before the first request to after the last task."""
    waited_seconds: Mapping[str, float]
    """In the same time: ready to run, but the processors were busy with something else."""
    records: int
    """On all topics, control records left out."""
    payload_bytes: int
    """Keys, values and headers of these records."""
    in_flight: int = 0
    """Tasks that were kept open; 0: the load was of another kind."""
    disk_bytes: Mapping[str, int] | None = None
    """By which each topic has grown on disk; None: the broker's folder is not known."""
    checkpoints: Sequence[Saved] = ()
    client_ms: Sequence[float] = ()
    """Per task: what a waiting client saw; empty where nobody waited."""


@dataclass(frozen=True)
class Spread:
    """How something is distributed."""

    p50: float
    p99: float
    most: float


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
    client_ms: Spread | None
    cpu_ms_per_step: Mapping[str, float]
    cpu_ms_per_step_all: float
    """Without the load."""
    crowding: float
    """CPU time and waiting for it, by CPU time: 1.0 when no process ever waited for a processor."""
    records_per_step: float
    bytes_per_step: float
    disk_bytes_per_step: float | None
    disk_bytes_by_topic: Mapping[str, float] = field(default_factory=dict[str, float])
    """Per step."""
    checkpoint_ms: Spread | None = None
    checkpoint_age_ms: Spread | None = None

    def as_json(self) -> dict[str, Any]:
        """For `--json`: rounded, `None` for what was not measured."""
        return {name: _plain(getattr(self, name)) for name in self.__dataclass_fields__}


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least `share` (above 0, at most 1) of all do not exceed; ValueError without any."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values: nothing was measured")
    if not 0 < share <= 1:
        raise ValueError(f"a share is above 0 and at most 1, not {share}")
    return ordered[math.ceil(share * len(ordered)) - 1]


def spread(values: Sequence[float]) -> Spread | None:
    """Median, 99th percentile and maximum; None of nothing."""
    return Spread(percentile(values, 0.5), percentile(values, 0.99), max(values)) if values else None


@dataclass(frozen=True)
class Steady:
    """The part of a load in which its rate is meant: how long, and which tasks closed in it."""

    seconds: float
    tasks: Sequence[bytes]


def steady(requested: Mapping[bytes, int], closed: Mapping[bytes, int], in_flight: int) -> Steady:
    """Where the load was what its name says.

    With so many tasks kept open: from when as many have closed as were begun with, to the last request, so that
    neither filling nor emptying counts. Otherwise, or where nothing is left of that: all of it.
    """
    times = sorted(closed.values())
    if 0 < in_flight < len(times):
        begin, end = times[in_flight - 1], max(requested.values())
        within = [task for task, at in closed.items() if begin < at <= end]
        if within:
            return Steady((end - begin) / 1000, within)
    return Steady(max(times[-1] - min(requested.values()), 1) / 1000, [*closed])


def figures_of(measured: Measured) -> Figures:
    """Rates and latencies of the steady part, CPU and log per step of all of it."""
    steps = len(measured.closed) * measured.steps_per_task
    part = steady(measured.requested, measured.closed, measured.in_flight)
    latencies = [measured.closed[task] - measured.requested[task] for task in part.tasks]
    rate = len(part.tasks) / part.seconds
    cpu = {name: 1000 * seconds / steps for name, seconds in measured.cpu_seconds.items()}
    disk = measured.disk_bytes
    return Figures(
        load=measured.load,
        shape=measured.shape,
        tasks=len(measured.closed),
        steps=steps,
        tasks_per_second=rate,
        steps_per_second=rate * measured.steps_per_task,
        p50_ms=percentile(latencies, 0.50),
        p95_ms=percentile(latencies, 0.95),
        p99_ms=percentile(latencies, 0.99),
        client_ms=spread(measured.client_ms),
        cpu_ms_per_step=cpu,
        cpu_ms_per_step_all=sum(value for name, value in cpu.items() if name != LOAD),
        crowding=_crowding(measured),
        records_per_step=measured.records / steps,
        bytes_per_step=measured.payload_bytes / steps,
        disk_bytes_per_step=None if disk is None else sum(disk.values()) / steps,
        disk_bytes_by_topic={}
        if disk is None
        else {topic: size / steps for topic, size in disk.items() if size},
        checkpoint_ms=spread([each.took_ms for each in measured.checkpoints]),
        checkpoint_age_ms=spread([each.age_ms for each in measured.checkpoints]),
    )


def _crowding(measured: Measured) -> float:
    used = sum(measured.cpu_seconds.values())
    return 1.0 if not used else 1 + sum(measured.waited_seconds.values()) / used


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, Spread):
        return {name: round(getattr(value, name), 3) for name in value.__dataclass_fields__}
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in sorted(value.items())}
    return value
