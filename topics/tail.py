"""Follows the ends of partitions for many who wait, with one reader between them.

Who is about to send something says so first (`watch`): from then on nothing about its key is missed. Nothing is
read until somebody waits (`reading`), so a caller who only sends pays for no reading; the records since `watch`
are read then. Records of keys that nobody watches are told by their raw key and never decoded.

Watchers are held weakly: a handle that its caller dropped is forgotten.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import weakref
from collections.abc import Iterable, Iterator
from typing import Final, Protocol

from tasker_kafka.schemas.errors import LogError

from .history import AcceptedHistory
from .log import Batch, Log, Reader, Record, TopicPartition

__all__ = ["Tail", "Watcher"]

_LOGGER: Final = logging.getLogger(__name__)
_LOOK_BACK: Final = 500
"""Records before the end that are read for their owner's number only.

A tail has not read the partition's history. A deposed owner writes for a moment at most, so the owner in office is
named by one of the records before.
"""
_FRESH_SECONDS: Final = 5.0
"""How long a partition's noted end is used for the next watcher, if nobody watches: reading a little too much
costs less than asking each time."""
_REOPEN_SECONDS: Final = 1.0


class Watcher(Protocol):
    """Somebody who wants the records of one key."""

    @property
    def key(self) -> bytes:
        """The records' key."""
        ...

    def take(self, record: Record) -> None:
        """A record of that key; may come twice. Must not raise."""
        ...


class _Lane:
    """One partition: up to where it was read, and for whom."""

    __slots__ = ("history", "noted_at", "position", "targets", "waiting", "watchers")

    def __init__(self, end: int, noted_at: float) -> None:
        self.position = max(0, end - _LOOK_BACK)
        self.noted_at = noted_at
        self.history = AcceptedHistory()
        self.watchers: dict[bytes, weakref.WeakSet[Watcher]] = {}
        self.targets: list[tuple[int, asyncio.Future[None]]] = []
        self.waiting = 0

    def is_fresh(self, now: float) -> bool:
        """Whether a new watcher may begin where this lane is."""
        if self.waiting or now - self.noted_at < _FRESH_SECONDS:
            return True
        self.watchers = {key: those for key, those in self.watchers.items() if those}
        return bool(self.watchers)

    def add(self, watcher: Watcher) -> None:
        self.watchers.setdefault(watcher.key, weakref.WeakSet()).add(watcher)

    def take(self, batch: Batch, *, has_owners: bool) -> None:
        for record in batch.records:
            in_office = self.history.see(record) if has_owners else True
            key = record.key
            if key is None or not in_office or (those := self.watchers.get(key)) is None:
                continue
            for watcher in tuple(those):
                watcher.take(record)
            if not those:
                del self.watchers[key]
        self.position = max(self.position, batch.next_position)
        reached = [each for each in self.targets if each[0] <= self.position]
        for each in reached:
            self.targets.remove(each)
            if not each[1].done():
                each[1].set_result(None)


class Tail:
    """The ends of partitions. `owned`: the topic in which records carry their owner's number (transitions)."""

    def __init__(self, log: Log, owned: str) -> None:
        self._log = log
        self._owned = owned
        self._lanes: dict[TopicPartition, _Lane] = {}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.failure: LogError | None = None
        """Why reading does not get on at the moment; it is tried again until it does."""

    async def watch(self, partition: TopicPartition, watcher: Watcher) -> None:
        """From now on the watcher gets the records of its key that are written after this call, once somebody waits."""
        lane = self._fresh(partition)
        if lane is None:
            end = await self._log.end_offset(partition)
            lane = self._fresh(partition)
            if lane is None:
                lane = _Lane(end, asyncio.get_running_loop().time())
                self._lanes[partition] = lane
        lane.add(watcher)

    @contextlib.contextmanager
    def reading(self, partitions: Iterable[TopicPartition]) -> Iterator[None]:
        """While this is open the partitions, which must be watched, are read."""
        lanes = [self._lanes[each] for each in partitions]
        for lane in lanes:
            lane.waiting += 1
        self._changed.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="tail")
        try:
            yield
        finally:
            now = asyncio.get_running_loop().time()
            for lane in lanes:
                lane.waiting -= 1
                lane.noted_at = now

    async def catch_up(self, partition: TopicPartition) -> None:
        """Until everything that is in the (watched) partition by now was given to its watchers."""
        end = await self._log.end_offset(partition)
        lane = self._lanes[partition]
        if lane.position >= end:
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        lane.targets.append((end, done))
        with self.reading([partition]):
            await done

    async def close(self) -> None:
        """Stop reading."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    # ------------------------------------------------------------------------------------------- reading

    def _fresh(self, partition: TopicPartition) -> _Lane | None:
        lane = self._lanes.get(partition)
        now = asyncio.get_running_loop().time()
        return lane if lane is not None and lane.is_fresh(now) else None

    async def _run(self) -> None:
        while True:
            try:
                await self._read_until_changed()
                self.failure = None
            except LogError as error:
                if self.failure is None:
                    _LOGGER.warning("reading fails, trying again: %s", error.message)
                self.failure = error
                await asyncio.sleep(_REOPEN_SECONDS)

    async def _read_until_changed(self) -> None:
        """One reader's life: until a partition is wanted that it does not read."""
        self._changed.clear()
        lanes = self._wanted()
        if not lanes:
            await self._changed.wait()
            return
        reader = await self._log.reader({partition: lane.position for partition, lane in lanes.items()})
        fetching: asyncio.Task[dict[TopicPartition, Batch]] | None = None
        try:
            while self._covers(lanes):
                if not self._wanted():
                    await self._changed.wait()
                    continue
                fetching = fetching or asyncio.create_task(_fetch(reader))
                await self._either(fetching)
                if fetching.done():
                    self._take(fetching.result(), lanes)
                    fetching = None
        finally:
            if fetching is not None:
                fetching.cancel()
                await asyncio.wait([fetching])
            await reader.close()

    def _take(self, batches: dict[TopicPartition, Batch], lanes: dict[TopicPartition, _Lane]) -> None:
        for partition, batch in batches.items():
            lanes[partition].take(batch, has_owners=partition.topic == self._owned)
        self.failure = None

    def _wanted(self) -> dict[TopicPartition, _Lane]:
        return {partition: lane for partition, lane in self._lanes.items() if lane.waiting}

    def _covers(self, lanes: dict[TopicPartition, _Lane]) -> bool:
        """Whether every partition that is wanted is read, from where it should be."""
        self._changed.clear()
        return all(lanes.get(partition) is lane for partition, lane in self._wanted().items())

    async def _either(self, fetching: asyncio.Task[dict[TopicPartition, Batch]]) -> None:
        """Until something has arrived, or who waits has changed. A fetch once begun is never given up for less
        than a new reader, because it may have moved on already."""
        changed = asyncio.create_task(self._changed.wait())
        try:
            await asyncio.wait({fetching, changed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()


async def _fetch(reader: Reader) -> dict[TopicPartition, Batch]:
    return await reader.fetch()
