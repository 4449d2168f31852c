"""The watcher: finds acknowledged events of which a receipt is missing after its deadline, and says so, once.

It reads the events as a consumer group of its own and lets each wait until its deadline has passed. Then, for the
events of a partition that are due:

1. read the registry to its end: who owes a receipt;
2. read the receipts to their end: who has left one;
3. for what is missing start the partition's transactional writer, which fences whoever watched it before, and read the
   receipts to their end again: now nobody else can report any of it;
4. write in one transaction a dead letter and a mark `missing` for each;
5. commit the offset of the last event.

| crash after | the next watcher |
|---|---|
| 1, 2, 3 | looks at the same events again |
| 4 | looks at them again, and finds the marks: nothing is written twice |
| 5 | goes on |

A receipt that comes late closes its dead letter. Until then a redrive of it is harmless to the group that left one: it
recognises the event.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections import deque
from collections.abc import Sequence
from itertools import islice, takewhile
from typing import Final, NamedTuple

from tasker_kafka.schemas.codec import Codec
from tasker_kafka.schemas.codec import codec as default_codec
from tasker_kafka.schemas.errors import DecodeError, FencedError, LogError
from tasker_kafka.topics.crash_points import NO_CRASH_POINTS, CrashPoints
from tasker_kafka.topics.log import Batch, Committed, GroupConsumer, Log, Record, TopicPartition
from tasker_kafka.topics.names import TopicNames

from .groups import GroupRegistry
from .late_receipts import LateReceipts
from .owing import Debtors, Expected, expected_of
from .policy import delay_ms
from .reporting import Reports
from .watching import WatcherCrashPoint, WatcherFigures, WatcherSettings

__all__ = ["ReceiptWatcher"]

_LOGGER: Final = logging.getLogger(__name__)
_IDLE_SECONDS: Final = 1.0
_BATCH_RECORDS: Final = 500


class _Waiting(NamedTuple):
    """An event whose deadline has not passed."""

    due_at: int
    record: Record


class ReceiptWatcher:
    """One watcher; several share the partitions of the events. Its own `RebalanceListener`."""

    def __init__(
        self,
        log: Log,
        names: TopicNames,
        *,
        settings: WatcherSettings = WatcherSettings(),  # noqa: B008 - immutable
        codec: Codec = default_codec,
        member_id: str | None = None,
        crash_points: CrashPoints[WatcherCrashPoint] = NO_CRASH_POINTS,
    ) -> None:
        self.member_id = member_id or f"{socket.gethostname()}-{os.getpid()}"
        self.figures = WatcherFigures()
        self._log = log
        self._names = names
        self._settings = settings
        self._codec = codec
        self._reached = crash_points.reached
        self._registry = GroupRegistry(log, names, codec=codec)
        self._reports = Reports(
            log,
            names,
            settings=settings,
            codec=codec,
            member_id=self.member_id,
            figures=self.figures,
            reached=crash_points.reached,
        )
        self._late = LateReceipts(
            log,
            names,
            codec=codec,
            member_id=self.member_id,
            figures=self.figures,
            reached=crash_points.reached,
        )
        self._held: dict[TopicPartition, deque[_Waiting]] = {}
        self._paused: set[TopicPartition] = set()
        self._stopping = asyncio.Event()
        self._assigned = asyncio.Event()

    async def run(self) -> None:
        """Watch until `stop`. TopicsDrifted when the topics of receipts or groups are missing."""
        try:
            while not self._stopping.is_set():
                topics = await self._sources()
                if topics:
                    await self._watch(topics)
                else:
                    self._assigned.set()
                    await self._pause(self._settings.discover_seconds)
        finally:
            await self._late.close()
            await self._reports.close()
            await self._registry.close()

    async def stop(self) -> None:
        """End `run` soon; what was not looked at yet is looked at by the next watcher."""
        self._stopping.set()

    async def wait_ready(self) -> None:
        """Until it has joined its group, or knows that there is no topic of events yet."""
        await self._assigned.wait()

    # ------------------------------------------------------------------------------------- partitions

    async def on_assigned(self, partitions: set[TopicPartition]) -> None:
        """Reading begins at what is committed, so nothing is held from before."""
        self._held = {each: deque() for each in partitions}
        self._paused.clear()
        self._assigned.set()

    async def on_revoked(self, partitions: set[TopicPartition]) -> None:
        """What waits is read again by whoever gets it."""
        for each in partitions:
            self._held.pop(each, None)
        await self._reports.give_up(partitions)

    # ------------------------------------------------------------------------------------- the loop

    async def _sources(self) -> set[str]:
        """Every topic that holds events: of namespaces, and what the groups take beside."""
        groups = (await self._registry.refresh()).values()
        foreign = {topic for group in groups for topic in group.topics}
        there = await self._log.admin().names()
        return {each for each in there if each in foreign or self._names.namespace_of(each) is not None}

    async def _watch(self, topics: set[str]) -> None:
        """Watch these topics until there are others, or `stop`."""
        consumer = self._log.group(
            self._names.watcher_group,
            client_id=self.member_id,
            session_timeout_ms=self._settings.session_timeout_ms,
            heartbeat_ms=self._settings.heartbeat_ms,
        )
        try:
            await consumer.start(sorted(topics), self)
            interval = delay_ms(self._settings.discover_seconds)
            look_at = self._log.now_ms() + interval
            while not self._stopping.is_set():
                await self._turn(consumer)
                if self._log.now_ms() < look_at:
                    continue
                look_at = self._log.now_ms() + interval
                if await self._look_around(topics):
                    return
        finally:
            await consumer.close()

    async def _turn(self, consumer: GroupConsumer) -> None:
        """Take in what has arrived, then look at what is due. A failure of the log is waited out: all is repeatable."""
        try:
            self._take_in(await consumer.fetch(timeout=self._patience(), max_records=_BATCH_RECORDS))
            for where in list(self._held):
                await self._look_at(where, consumer)
            self._apply_pauses(consumer)
        except FencedError as error:
            _LOGGER.warning("another watcher has taken over: %s", error.message)
            await self._pause(self._settings.retry_seconds)
        except LogError as error:
            _LOGGER.warning("the log does not answer, trying again: %s", error.message)
            await self._pause(self._settings.retry_seconds)

    async def _look_around(self, topics: set[str]) -> bool:
        """Now and then: close what came late, forget what is old. True when there are other topics to watch."""
        try:
            held = set(self._held)
            for view in {await self._reports.view_of(each) for each in held}:
                await view.catch_up(self._log.now_ms())
                await self._late.close_letters(view, held)
            heads = [waiting[0].record.timestamp for waiting in self._held.values() if waiting]
            self._reports.forget_before(min(heads, default=self._log.now_ms()))
            return await self._sources() != topics
        except LogError as error:
            _LOGGER.warning("the log does not answer, trying again: %s", error.message)
            return False

    def _take_in(self, batches: dict[TopicPartition, Batch]) -> None:
        now = self._log.now_ms()
        deadline = delay_ms(self._settings.deadline_seconds)
        for where, batch in batches.items():
            held = self._held.get(where)
            if held is not None:
                # A publisher's clock may be ahead; then the event's time is the one at which it was read.
                held.extend(
                    _Waiting(min(record.timestamp, now) + deadline, record) for record in batch.records
                )
        self.figures.waiting = sum(map(len, self._held.values()))

    def _patience(self) -> float:
        """Seconds until something is due."""
        heads = [held[0].due_at for held in self._held.values() if held]
        return min(_IDLE_SECONDS, max(0.0, (min(heads, default=1 << 62) - self._log.now_ms()) / 1_000))

    def _apply_pauses(self, consumer: GroupConsumer) -> None:
        full = {where for where, held in self._held.items() if len(held) >= self._settings.buffered}
        consumer.pause(full - self._paused)
        consumer.resume((self._paused - full) & self._held.keys())
        self._paused = full

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    # ------------------------------------------------------------------------------------- what is due

    async def _look_at(self, where: TopicPartition, consumer: GroupConsumer) -> None:
        """The five steps, for the events of a partition that are due."""
        held = self._held.get(where)
        due = self._due(held) if held else []
        if not due:
            return
        self._reached(WatcherCrashPoint.DUE)
        expected = self._expected(due, Debtors(await self._registry.refresh(), self._names))
        await self._reports.settle(where, expected)
        await consumer.commit({where: Committed(due[-1].offset + 1, "")})
        self._reached(WatcherCrashPoint.COMMITTED)
        if held is not None and self._held.get(where) is held:  # no rebalance meanwhile
            for _ in due:
                held.popleft()
        self.figures.settled += len(due)

    def _due(self, held: deque[_Waiting]) -> list[Record]:
        """From the first on, in the order of the log: the commit speaks of all before it."""
        now = self._log.now_ms()
        due = list(islice(takewhile(lambda each: each.due_at <= now, held), _BATCH_RECORDS))
        return [each.record for each in due]

    def _expected(self, due: Sequence[Record], debtors: Debtors) -> list[Expected]:
        found: list[Expected] = []
        for record in due:
            try:
                found += expected_of(record, debtors, self._codec)
            except DecodeError:
                self.figures.unreadable += 1
        self.figures.owed += len(found)
        return found
