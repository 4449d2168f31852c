"""Assembles the projection's role, and finds its store: what `tasker projection` and `tasker console` share."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tasker_kafka.schemas.errors import ConfigurationError, LogError
from tasker_kafka.schemas.settings import Settings
from tasker_kafka.topics.crash_points import NO_CRASH_POINTS, CrashPoints
from tasker_kafka.topics.garbage import settle_garbage
from tasker_kafka.topics.log import Log
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.process import on_stop_signal, run_on_uvloop

if TYPE_CHECKING:
    from tasker_kafka.streams.projection import DelayRow, FaultRow, ProjectorSettings, Rebuilt
    from tasker_kafka.streams.projection.crash_points import ProjectionCrashPoint

__all__ = [
    "ProjectionStatus",
    "default_path",
    "projector_settings",
    "read_status",
    "rebuild_store",
    "require_console_extra",
    "run_projection_role",
    "store_place",
]

_logger = logging.getLogger("tasker.projection")
_START_SECONDS = 1.0
_HOUR_MS = 3_600_000


def require_console_extra() -> None:
    """ConfigurationError unless the libraries of the read side are installed."""
    if importlib.util.find_spec("sqlalchemy") is None:
        raise ConfigurationError(
            "the projection needs SQLAlchemy, which is not installed",
            next_step="pip install 'tasker-kafka[console]' (and [postgres] for PostgreSQL)",
        )


def default_path(prefix: str) -> Path:
    """Where a system's store is unless projection.url says otherwise: the user's state folder."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base, "tasker-kafka", prefix, "projection.sqlite")


def store_place(settings: Settings) -> str:
    """Path or URL of the store."""
    return settings.projection.url or str(default_path(settings.prefix))


def projector_settings(settings: Settings) -> ProjectorSettings:
    """What a projector takes, from the settings."""
    require_console_extra()
    from tasker_kafka.streams.projection import ProjectorSettings

    wanted = settings.projection
    return ProjectorSettings(
        batch_records=wanted.batch_records,
        retention_ms=round(wanted.retention_hours * _HOUR_MS),
        events=wanted.events,
    )


def run_projection_role(
    connect: Callable[[], Log],
    settings: Settings,
    *,
    crash_points: CrashPoints[ProjectionCrashPoint] = NO_CRASH_POINTS,
) -> None:
    """Project until told to stop. A broker that is away is waited for; the store is made if it is not there."""
    require_console_extra()
    wanted = msgspec.structs.replace(projector_settings(settings), crash_points=crash_points)
    run_on_uvloop(_project(connect, settings, wanted))


async def _project(connect: Callable[[], Log], settings: Settings, wanted: ProjectorSettings) -> None:
    from tasker_kafka.streams.projection import Projector, Store

    place = store_place(settings)
    stopping = asyncio.Event()
    async with contextlib.AsyncExitStack() as opened:
        store = await asyncio.to_thread(Store.open, place, prefix=settings.prefix, create=True)
        opened.callback(store.close)

        async def stop() -> None:
            stopping.set()
            if projectors:
                await projectors[0].stop()

        projectors: list[Projector] = []
        on_stop_signal(stop)
        log = await _connected(connect, stopping)
        if log is None:
            return
        opened.push_async_callback(log.close)
        names = TopicNames(settings.prefix)
        projectors.append(Projector(log, names, store, settings=wanted))
        _logger.info("projection of %s into %s", settings.prefix, store.place)
        settle_garbage()
        if not stopping.is_set():  # told to stop while the broker was being reached
            await projectors[0].run()


async def _connected(connect: Callable[[], Log], stopping: asyncio.Event) -> Log | None:
    """A started log, however long the broker is away; None: told to stop meanwhile."""
    told = False
    while not stopping.is_set():
        log = connect()
        try:
            await log.start()
            return log
        except LogError as error:
            await log.close()
            if not told:
                _logger.warning("the projection waits for the broker: %s", error.message)
                told = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_START_SECONDS):
                await stopping.wait()
    return None


@dataclass(frozen=True)
class ProjectionStatus:
    """How far the projection is."""

    place: str
    delays: tuple[DelayRow, ...] | None
    """None: the log does not answer."""
    failure: str | None
    """Why it does not."""
    faults: tuple[FaultRow, ...]

    @property
    def records(self) -> int:
        """Records behind, over all partitions."""
        return sum(each.records for each in self.delays or ())

    @property
    def seconds(self) -> float:
        """Age of the oldest record that is missing."""
        return max((each.seconds for each in self.delays or ()), default=0.0)


async def read_status(
    connect: Callable[[], Log], settings: Settings, *, faults: int = 20
) -> ProjectionStatus:
    """Ask the store, and the log how far it has come since. ConfigurationError when there is no store."""
    require_console_extra()
    from tasker_kafka.streams.projection import Reads, Store, measure

    store = await asyncio.to_thread(Store.open, store_place(settings), prefix=settings.prefix)
    log = connect()
    try:
        reads = Reads(store)
        positions = await reads.positions()
        found = await reads.faults(limit=faults)
        try:
            await log.start()
            delays = await measure(log, TopicNames(settings.prefix), positions)
            return ProjectionStatus(store.place, delays, None, found)
        except LogError as error:
            return ProjectionStatus(store.place, None, error.message, found)
    finally:
        await log.close()
        await asyncio.to_thread(store.close)


async def rebuild_store(
    log: Log, settings: Settings, *, in_place: bool, progress: Callable[[int, int], None] | None
) -> Rebuilt:
    """Make the store anew from the log."""
    require_console_extra()
    from tasker_kafka.streams.projection import rebuild

    return await rebuild(
        log,
        TopicNames(settings.prefix),
        store_place(settings),
        settings=projector_settings(settings),
        in_place=in_place,
        progress=progress,
    )
