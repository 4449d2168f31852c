"""Figures for Prometheus, made from the projection when they are asked for. No id ever becomes a label.

They are gauges of the whole system, so one process exports them; what single roles do they export themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from tasker_kafka import __version__
from tasker_kafka.schemas.words import TaskStatus

from .backend import Backend, Overview, Reach

__all__ = ["CONTENT_TYPE", "exposition"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


async def exposition(backend: Backend) -> bytes:
    """The text. What cannot be read now is left out, and `tasker_projection_readable` says so."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_System(backend.reach, await backend.overview(), backend.listeners))
    return generate_latest(registry)


class _System(Collector):
    """One look at the system."""

    def __init__(self, reach: Reach, seen: Overview, listeners: int) -> None:
        self._reach = reach
        self._seen = seen
        self._listeners = listeners

    def collect(self) -> Iterator[GaugeMetricFamily | InfoMetricFamily]:
        """The figures."""
        seen, broker, store = self._seen, self._reach.broker, self._reach.store
        yield InfoMetricFamily("tasker_console", "This process", value={"version": __version__})
        yield _gauge("tasker_broker_reachable", "Whether the broker answers", broker.is_reachable)
        yield _gauge("tasker_projection_readable", "Whether the projection can be read", store.is_readable)
        yield _gauge("tasker_change_listeners", "Pages and streams that follow changes", self._listeners)
        faults = None if seen.faults is None else len(seen.faults)
        optional = (
            ("tasker_projection_behind_records", "Records not projected yet", store.records_behind),
            ("tasker_projection_behind_seconds", "Age of the oldest of them", store.seconds_behind),
            ("tasker_stale_tasks", "Pending entries of the ledger of tasks for a person", seen.pending),
            ("tasker_projection_faults", "Records that could not be projected (counted to 100)", faults),
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
        for load in self._seen.loads or ():
            for state in ("enqueued", "in_progress", "waiting_for_retry"):
                steps.add_metric([load.queue, load.handler, state], getattr(load, state))
        yield steps


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=float(value))
