"""How the system is, as seen from here: each part with its level, in a sentence, and what to do. Pure.

Down is what stops somebody's work for certain; degraded is what somebody should look at. A part of which nothing can be
known says so, and is not called down for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tasker_kafka import __version__
from tasker_kafka.deploy.reading import WorkerRow, duration_text
from tasker_kafka.streams.projection import FaultRow

from .overview import Overview
from .reach import Reach
from .shapes import Component, HandlerRow, HealthReport, Level

__all__ = ["component_levels", "health_report"]

_ORDER: Final = (Level.OK, Level.DEGRADED, Level.DOWN)
_LATE_SECONDS: Final = 10.0


def health_report(reach: Reach, seen: Overview, *, prefix: str, now: int) -> HealthReport:
    """The whole."""
    components = component_levels(reach, seen, now=now)
    return HealthReport(
        level=max((each.level for each in components), key=_ORDER.index),
        version=__version__,
        prefix=prefix,
        broker=reach.broker,
        store=reach.store,
        components=components,
        tasks={str(state): count for state, count in (seen.counts or {}).items()},
        at=now,
    )


def component_levels(reach: Reach, seen: Overview, *, now: int) -> tuple[Component, ...]:
    """Each part: broker, projection, its faults, workers, work that waits for nobody, tasks for a person."""
    return (
        _broker(reach, now),
        _projection(reach, now),
        _faults(seen.faults or ()),
        _workers(seen.workers),
        _handlers(seen.handlers or ()),
        _ledger(seen.pending),
    )


def _broker(reach: Reach, now: int) -> Component:
    said = reach.broker
    since = duration_text(now - said.since_at)
    if said.is_reachable:
        return Component(name="broker", level=Level.OK, message=f"answers, for {since}")
    return Component(
        name="broker",
        level=Level.DOWN,
        message=f"away for {since}: {said.error}",
        next_step="`tasker doctor` says what is wrong; reads go on from the projection",
    )


def _projection(reach: Reach, now: int) -> Component:
    said = reach.store
    if not said.is_readable:
        since = duration_text(now - said.since_at)
        return Component(
            name="projection",
            level=Level.DOWN,
            message=f"cannot be read for {since}: {said.error}",
            next_step="`tasker projection status`; single tasks are read from the log meanwhile",
        )
    if said.seconds_behind is None or said.records_behind is None:
        return Component(
            name="projection", level=Level.OK, message="can be read; how far it is behind is not known"
        )
    if said.seconds_behind > _LATE_SECONDS:
        return Component(
            name="projection",
            level=Level.DEGRADED,
            message=f"{said.seconds_behind:.0f} s and {said.records_behind} records behind the log",
            next_step="see that one `tasker projection run` runs; after a rebuild it catches up by itself",
        )
    return Component(name="projection", level=Level.OK, message=f"{said.seconds_behind:.1f} s behind the log")


def _faults(faults: Sequence[FaultRow]) -> Component:
    if not faults:
        return Component(name="records", level=Level.OK, message="every record could be projected")
    first = faults[0]
    return Component(
        name="records",
        level=Level.DEGRADED,
        message=f"{len(faults)} records could not be projected, the newest at {first.topic}-{first.partition}"
        f"@{first.offset}: {first.message}",
        next_step="`tasker verify-rebuild` compares the log with the tables",
    )


def _workers(workers: Sequence[WorkerRow] | None) -> Component:
    if workers is None:
        return Component(name="workers", level=Level.OK, message="not known while the broker is away")
    alive = [each for each in workers if each.is_alive]
    if alive:
        return Component(name="workers", level=Level.OK, message=f"{len(alive)} alive")
    return Component(
        name="workers",
        level=Level.DEGRADED,
        message="no step worker is alive",
        next_step="start one: `tasker worker -m MODULE`",
    )


def _handlers(handlers: Sequence[HandlerRow]) -> Component:
    stuck = [each for each in handlers if each.message is not None]
    if not stuck:
        return Component(name="queues", level=Level.OK, message="nothing waits for nobody")
    return Component(
        name="queues",
        level=Level.DEGRADED,
        message="; ".join(f"{each.handler}: {each.message}" for each in stuck[:5]),
        next_step="GET /handlers lists all of them",
    )


def _ledger(pending: int | None) -> Component:
    if not pending:
        return Component(name="stale tasks", level=Level.OK, message="no task waits for a person")
    return Component(
        name="stale tasks",
        level=Level.DEGRADED,
        message="1 task waits for a person" if pending == 1 else f"{pending} tasks wait for a person",
        next_step="`tasker stale list`, or GET /stale",
    )
