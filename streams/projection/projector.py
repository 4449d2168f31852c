"""The role: reads the log as a consumer group and hands every fetch to the writer, at once.

The positions that count are the store's; those committed to the group are for people to look at. Nothing waits for the
projection, and nothing ends it but what a person must mend: a broker or a database that is away is tried again, a
record that cannot be projected is passed, another projector on the same store is let go first.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from tasker_kafka.schemas.codec import Codec
from tasker_kafka.schemas.codec import codec as default_codec
from tasker_kafka.schemas.errors import ConfigurationError, LogError
from tasker_kafka.topics.crash_points import NO_CRASH_POINTS, CrashPoints
from tasker_kafka.topics.log import Batch, Committed, GroupConsumer, Log, TopicPartition
from tasker_kafka.topics.names import TopicNames

from .crash_points import ProjectionCrashPoint
from .materializing import Materializer
from .store import Store, StoreUnavailable
from .writer import Applied, PositionsMoved

__all__ = ["Progress", "Projector", "ProjectorSettings"]

_LOGGER: Final = logging.getLogger("tasker.projection")
_REMOVE_STEPS: Final = 5
"""Steps of retention before what was fetched has its turn."""
_MOST_SHORT: Final = 5
"""How often a log that ends before our position is looked at again: a new leader may say so for a moment."""


class ProjectorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a projector works. Durations are in seconds."""

    batch_records: int = 2_000
    retention_ms: int = 720 * 3_600_000
    """How long a closed task stays; 0: for ever."""
    events: bool = True
    commit_seconds: float = 1.0
    """Between two commits to the group."""
    look_seconds: float = 5.0
    """Between two looks for topics of new namespaces."""
    retention_seconds: float = 60.0
    """Between two looks for tasks to remove."""
    retry_seconds: float = 1.0
    """After a failure."""
    client_id: str = "tasker-projection"
    crash_points: CrashPoints[ProjectionCrashPoint] = NO_CRASH_POINTS


class Progress(msgspec.Struct, kw_only=True):
    """What a projector has done since it began."""

    records: int = 0
    batches: int = 0
    tasks: int = 0
    """Task rows written."""
    faults: int = 0
    failure: str | None = None
    """What is being tried again now; None: nothing."""


class Projector:
    """Made on the loop that runs it. Use `run` once; `stop` ends it.

    on_progress: called on the loop after every batch, and when something has to be tried again.
    """

    def __init__(
        self,
        log: Log,
        names: TopicNames,
        store: Store,
        *,
        settings: ProjectorSettings = ProjectorSettings(),  # noqa: B008 - immutable
        codec: Codec = default_codec,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self._log = log
        self._names = names
        self._store = store
        self._settings = settings
        self._on_progress = on_progress
        self._rows = Materializer(
            log, names, store, events=settings.events, codec=codec, crash_points=settings.crash_points
        )
        self._writing = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._short = 0
        self._taken = 0
        self._remove_at = 0.0
        self.progress = Progress()

    async def run(self) -> None:
        """Until `stop`. SchemaUnknown for records of a newer release, TopicsDrifted where topics are missing,

        ConfigurationError when the store is of another log: each needs somebody to act.
        """
        while not self._stopping.is_set():
            try:
                await self._rows.start()
                await self._consume()
            except (LogError, StoreUnavailable) as error:
                await self._pause(error)
        await self._rows.stop()

    async def stop(self) -> None:
        """End `run` after the batch at hand."""
        self._stopping.set()

    # ---------------------------------------------------------------------------------------- reading

    async def _consume(self) -> None:
        """One membership of the group: until stopped, until a topic is new, or until it fails."""
        topics = await self._rows.topics()
        group = self._names.projection_group(self._store.store_id)
        consumer = self._log.group(group, client_id=self._settings.client_id)
        loop = asyncio.get_running_loop()
        try:
            await consumer.start(sorted(topics), _Listener(self, consumer))
            commit_at = loop.time() + self._settings.commit_seconds
            look_at = loop.time() + self._settings.look_seconds
            done: dict[TopicPartition, int] = {}
            await self._remove_old()
            while not self._stopping.is_set():
                batches = await consumer.fetch(timeout=0.5, max_records=self._settings.batch_records)
                if batches:
                    done |= await self._project(consumer, batches)
                if loop.time() >= commit_at:
                    await self._commit(consumer, done)
                    commit_at = loop.time() + self._settings.commit_seconds
                if loop.time() >= self._remove_at:
                    await self._remove_old()
                if loop.time() >= look_at:
                    if waiting := self._rows.unhealed():
                        done |= await self._project(consumer, waiting)
                    if await self._rows.topics() != topics:
                        return
                    look_at = loop.time() + self._settings.look_seconds
            await self._commit(consumer, done)
        finally:
            await consumer.close()

    async def _remove_old(self) -> None:
        """A few steps of retention, with turns for everything else between them."""
        settings = self._settings
        loop = asyncio.get_running_loop()
        self._remove_at = loop.time() + settings.retention_seconds
        for _ in range(_REMOVE_STEPS):
            async with self._writing:
                if not await self._rows.remove_old(settings.retention_ms):
                    return
        self._remove_at = loop.time()

    async def _project(
        self, consumer: GroupConsumer, batches: Mapping[TopicPartition, Batch]
    ) -> dict[TopicPartition, int]:
        """Write a fetch, however long it takes; where the partitions are then.

        One that was waiting when the partitions were taken anew is let go: reading goes on from where the store is,
        which may be before it.
        """
        taken = self._taken
        while not self._stopping.is_set():
            try:
                async with self._writing:
                    if self._taken != taken:
                        return {}
                    done = await self._rows.apply(batches)
            except PositionsMoved:
                async with self._writing:
                    await self.take(consumer, consumer.assignment())
                return {}
            except (LogError, StoreUnavailable) as error:
                await self._pause(error)
                continue
            self._note(done)
            return {place: batch.next_position for place, batch in batches.items()}
        return {}

    async def take(self, consumer: GroupConsumer, partitions: set[TopicPartition]) -> None:
        """Read on where the store is. ConfigurationError when the log ends before that: it is another log."""
        self._taken += 1
        positions = await self._rows.assign(partitions)
        for place, position in positions.items():
            begin, end = await self._log.begin_offset(place), await self._log.end_offset(place)
            if position > end:
                self._short += 1
                what = f"{place.topic}/{place.partition} ends at {end}, the projection is at {position}"
                if self._short < _MOST_SHORT:
                    raise LogError(what)
                raise ConfigurationError(
                    f"{what}: the store was made from another log",
                    next_step="make it anew from this one: tasker projection rebuild",
                )
            await consumer.seek(place, max(begin, position))
        self._short = 0

    async def assigned(self, consumer: GroupConsumer, partitions: set[TopicPartition]) -> None:
        """The group gave us these."""
        async with self._writing:
            await self.take(consumer, partitions)

    async def revoked(self) -> None:
        """They are about to go: the batch at hand is finished first."""
        async with self._writing:
            self._rows.forget()

    async def _commit(self, consumer: GroupConsumer, done: dict[TopicPartition, int]) -> None:
        """Tell the group where we are; whether it hears it does not matter."""
        held = consumer.assignment()
        offsets = {place: Committed(position, "") for place, position in done.items() if place in held}
        if not offsets:
            return
        try:
            await consumer.commit(offsets)
        except LogError as error:
            _LOGGER.debug("positions were not committed to the group: %s", error.message)
            return
        done.clear()
        self._settings.crash_points.reached(ProjectionCrashPoint.GROUP_COMMITTED)

    def _note(self, done: Applied) -> None:
        progress = self.progress
        progress.records += done.records
        progress.tasks += done.tasks
        progress.faults += done.faults
        progress.batches += 1
        progress.failure = None
        if self._on_progress is not None:
            self._on_progress(progress)

    async def _pause(self, error: LogError | StoreUnavailable) -> None:
        if self.progress.failure is None:
            _LOGGER.warning("the projection does not get on, trying again: %s", error.message)
        self.progress.failure = error.message
        if self._on_progress is not None:
            self._on_progress(self.progress)
        try:
            async with asyncio.timeout(self._settings.retry_seconds):
                await self._stopping.wait()
        except TimeoutError:
            return


class _Listener:
    """Passes the group's calls on."""

    def __init__(self, projector: Projector, consumer: GroupConsumer) -> None:
        self._projector = projector
        self._consumer = consumer

    async def on_assigned(self, partitions: set[TopicPartition]) -> None:
        await self._projector.assigned(self._consumer, partitions)

    async def on_revoked(self, partitions: set[TopicPartition]) -> None:
        await self._projector.revoked()
