"""Figures for Prometheus, made from the projection when they are asked for. No id ever becomes a label.

They are gauges of the whole system, so one process exports them; what single roles do they export themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from tasker_kafka import __version__
from tasker_kafka.schemas.errors import TaskerError
from tasker_kafka.schemas.words import TaskStatus
from tasker_kafka.streams.projection import StepLoad, TaskQuery

from .backend import Backend

__all__ = ["CONTENT_TYPE", "exposition"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class _Seen(NamedTuple):
    """What the figures are made of; None: could not be read."""

    is_reachable: bool
    is_readable: bool
    records_behind: int | None
    seconds_behind: float | None
    listeners: int
    counts: Mapping[TaskStatus, int] | None
    loads: Iterable[StepLoad]
    pending: int | None
    faults: int | None


async def exposition(backend: Backend) -> bytes:
    """The text. What cannot be read now is left out, and `tasker_projection_readable` says so."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_System(await _see(backend)))
    return generate_latest(registry)


async def _see(backend: Backend) -> _Seen:
    reach = backend.reach
    counts: Mapping[TaskStatus, int] | None = None
    loads: tuple[StepLoad, ...] = ()
    pending: int | None = None
    faults: int | None = None
    try:
        counts = await backend.counts(TaskQuery())
        loads = await backend.step_loads()
        pending = await backend.pending()
        faults = len(await backend.faults())
    except TaskerError:
        pass
    return _Seen(
        is_reachable=reach.broker.is_reachable,
        is_readable=reach.store.is_readable,
        records_behind=reach.store.records_behind,
        seconds_behind=reach.store.seconds_behind,
        listeners=backend.listeners,
        counts=counts,
        loads=loads,
        pending=pending,
        faults=faults,
    )


class _System(Collector):
    """One look at the system."""

    def __init__(self, seen: _Seen) -> None:
        self._seen = seen

    def collect(self) -> Iterator[GaugeMetricFamily | InfoMetricFamily]:
        """The figures."""
        seen = self._seen
        yield InfoMetricFamily("tasker_console", "This process", value={"version": __version__})
        yield _gauge("tasker_broker_reachable", "Whether the broker answers", seen.is_reachable)
        yield _gauge("tasker_projection_readable", "Whether the projection can be read", seen.is_readable)
        yield _gauge("tasker_change_listeners", "Pages and streams that follow changes", seen.listeners)
        optional = (
            ("tasker_projection_behind_records", "Records not projected yet", seen.records_behind),
            ("tasker_projection_behind_seconds", "Age of the oldest of them", seen.seconds_behind),
            ("tasker_stale_tasks", "Pending entries of the ledger of tasks for a person", seen.pending),
            ("tasker_projection_faults", "Records that could not be projected (counted to 100)", seen.faults),
        )
        for name, text, value in optional:
            if value is not None:
                yield _gauge(name, text, value)
        yield from self._tasks()
        yield from self._steps()

    def _tasks(self) -> Iterator[GaugeMetricFamily]:
        if self._seen.counts is None:
            return
        tasks = GaugeMetricFamily("tasker_tasks", "Tasks by state", labels=["state"])
        for state in TaskStatus:
            tasks.add_metric([state.value], self._seen.counts.get(state, 0))
        yield tasks

    def _steps(self) -> Iterator[GaugeMetricFamily]:
        labels = ["queue", "handler", "state"]
        steps = GaugeMetricFamily("tasker_steps", "Steps with or before a handler, by state", labels=labels)
        for load in self._seen.loads:
            for state in ("enqueued", "in_progress", "waiting_for_retry"):
                steps.add_metric([load.queue, load.handler, state], getattr(load, state))
        yield steps


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=float(value))
