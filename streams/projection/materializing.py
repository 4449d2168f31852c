"""Everything that turns records of the log into rows of one store, behind one object.

A projector and a rebuild differ in how records come to them, by group or from the beginning, and in nothing else: both
give what they fetch to a `Materializer`. It knows which topics are projected, follows the published templates that
tasks run on, and calls the writer, which blocks, off the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from tasker_kafka.schemas.codec import Codec
from tasker_kafka.topics.crash_points import NO_CRASH_POINTS, CrashPoints
from tasker_kafka.topics.log import Batch, Log, TopicPartition
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.plans import PlanStore

from .answers import LogAnswers
from .crash_points import ProjectionCrashPoint
from .plan_shelf import PlanShelf
from .retention import remove_old
from .side_topics import SideTopics
from .store import Store
from .writer import Applied, Writer

__all__ = ["Materializer"]


class Materializer:
    """Made on the loop that uses the log. `start` before the first batch; one call at a time.

    events: whether domain events, receipts and dead letters are projected, too
    filling: as `Writer` has it
    """

    def __init__(
        self,
        log: Log,
        names: TopicNames,
        store: Store,
        *,
        events: bool,
        codec: Codec,
        crash_points: CrashPoints[ProjectionCrashPoint] = NO_CRASH_POINTS,
        filling: str = "",
    ) -> None:
        self._log = log
        self._names = names
        self._store = store
        self._plans = PlanStore(log, names, codec=codec)
        self._is_started = False
        answers = LogAnswers(log, names, self._plans)
        self._side_topics = SideTopics(names, events=events, is_newer=answers.is_newer, codec=codec)
        self._writer = Writer(
            store,
            names,
            PlanShelf(answers.published),
            now_ms=log.now_ms,
            side_topics=self._side_topics.read,
            is_newer=answers.is_newer,
            codec=codec,
            crash_points=crash_points,
            filling=filling,
        )

    async def start(self) -> None:
        """Read the templates; once started, nothing. LogError, TopicsDrifted: not started."""
        if not self._is_started:
            await self._plans.start()
            self._is_started = True

    async def stop(self) -> None:
        """Follow the templates no longer."""
        if self._is_started:
            self._is_started = False
            await self._plans.stop()

    async def topics(self) -> set[str]:
        """What is projected, of the topics that there are now."""
        there = await self._log.admin().names()
        return {self._names.transitions} | self._side_topics.wanted(there)

    async def assign(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """As `Writer.assign`."""
        return await self._store.call(lambda: self._writer.assign(partitions))

    async def apply(self, batches: Mapping[TopicPartition, Batch]) -> Applied:
        """As `Writer.apply`. Cancelled, it ends when the thread that writes has: nobody touches the writer before."""
        writing = asyncio.ensure_future(self._store.call(lambda: self._writer.apply(batches)))
        try:
            return await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait([writing])
            if not writing.cancelled():
                writing.exception()  # it is looked at by nobody else
            raise

    def unhealed(self) -> dict[TopicPartition, Batch]:
        """As `Writer.unhealed`."""
        return self._writer.unhealed()

    def forget(self) -> None:
        """As `Writer.forget`."""
        self._writer.forget()

    async def remove_old(self, retention_ms: int) -> bool:
        """One step of retention; False: nothing is left to go. retention_ms 0: everything stays."""
        if not retention_ms:
            return False
        before = self._log.now_ms() - retention_ms
        return bool(await self._store.call(lambda: remove_old(self._store, before)))
