"""One membership of a group: from joining to leaving. Reads, hands over, commits; the rest is the desk's.

The unit of ownership is a partition number over all topics of the group, sources and retry topics. Between its
assignment and its revocation:

1. read the committed places of all its topics, and where each ends now; load receipts;
2. read the retry topics to that end, with the sources paused: what waits is known before anything is started;
3. read the sources, too; whatever is finished is committed for all topics in ONE request, so no commit ever says
   that a retry is finished and, of its original, not yet;
4. on revocation: start nothing more, wait for handlers and writes, at most `revoke_seconds`; commit; cancel the rest.

A crash anywhere leaves what `lanes` says of the effects before the last commit.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from typing import Final

from tasker_kafka.handlers.watermark import Restored, Watermark, decode_metadata
from tasker_kafka.schemas.errors import FencedError, LogError
from tasker_kafka.topics.log import Batch, Committed, GroupConsumer, TopicPartition

from .crash_points import DeliveryCrashPoint
from .desk import Desk
from .equipment import Equipment
from .intake import Intake
from .lanes import PartitionLanes
from .receipts import ReceiptBook
from .vigil import Vigil

__all__ = ["Membership"]

_logger = logging.getLogger(__name__)

_MANY: Final = 100
_BREATH_SECONDS: Final = 0.05
"""So many finished records are committed before `commit_seconds` are over, but not more often than this: whoever dies
while it catches up would leave more to be delivered again the faster it is."""
_HANDLERS_SHARE: Final = 0.7
"""Of `shutdown_seconds`: for handlers to end by themselves. The rest is for the log."""


class Membership:
    """One consumer and its partitions; its own `RebalanceListener`."""

    def __init__(
        self,
        equipment: Equipment,
        consumer: GroupConsumer,
        desk: Desk,
        intake: Intake,
        *,
        receipts: ReceiptBook | None,
    ) -> None:
        self._log = equipment.log
        self._topics = equipment.topics
        self._retries = frozenset(equipment.topics.retries)
        self._consumer = consumer
        self._desk = desk
        self._vigil = Vigil(equipment, desk, self._commit)
        self._intake = intake
        self._queued = equipment.spec.queued
        self._settings = equipment.settings
        self._receipts = receipts
        self._reached = equipment.crash_points.reached
        self._on_error = equipment.on_error
        self._parts: dict[int, PartitionLanes] = {}
        self._full: set[int] = set()
        """Partition numbers whose metadata do not fit a commit."""
        self._paused: set[TopicPartition] = set()
        self._is_waiting_for_room = self._is_stopping = False
        self._is_settled = False
        """What the driver has paused is what `_paused` says: not between a revocation and the next assignment."""
        self._committed: dict[TopicPartition, Committed] = {}
        self._commit_lock = asyncio.Lock()
        self._changed, self._has_many, self._settling = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._uncommitted = 0
        """Finished since the last commit began, about."""
        self._tasks: list[asyncio.Task[None]] = []
        self.assigned = asyncio.Event()
        """Set by the first assignment, of none too."""

    # ------------------------------------------------------------------------------------- consuming

    async def run(self) -> None:
        """Consume until `stop`. FencedError when another process has taken this one's instance id."""
        # A process that stood still has in memory what others have handled meanwhile.
        self._desk.may_begin = self._consumer.is_heard
        await self._consumer.start(self._topics.all, self)
        self._tasks = [asyncio.create_task(each) for each in (self._commit_at_intervals(), self._vigil.run())]
        for task in self._tasks:
            task.add_done_callback(self._commits_ended)
        while not self._is_stopping:
            try:
                batches = await self._consumer.fetch(timeout=0.5)
            except FencedError:
                raise
            except LogError as error:
                _logger.warning("events cannot be read, trying again: %s", error.message)
                await asyncio.sleep(self._settings.retry_seconds)
                continue
            if batches:
                self._take(batches)
            self._apply_pauses()
            self._desk.wake()
            if self._is_settled:
                self._desk.renew(list(self._parts.values()))

    def stop(self) -> None:
        """Read no more."""
        self._is_stopping = True

    @property
    def load(self) -> tuple[int, int]:
        """Jobs that run or are being written, and jobs that wait in memory."""
        parts = self._parts.values()
        busy = sum(each.running + each.moving + each.unread for each in parts)
        return busy, sum(each.held + each.parked + each.loose + each.unread for each in parts) - busy

    async def close(self) -> None:
        """Commit, and leave the group."""
        self._is_stopping = True
        # The driver keeps the membership meanwhile.
        await self._quiet(list(self._parts.values()), self._settings.shutdown_seconds * _HANDLERS_SHARE)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._consumer.close()

    def _take(self, batches: dict[TopicPartition, Batch]) -> None:
        self._look_at_room()
        for place, batch in batches.items():
            lanes = self._parts.get(place.partition)
            if lanes is None or lanes.is_closed:
                continue
            was_loaded = lanes.places.is_loaded
            records = lanes.places.take_in(place.topic, batch.records, batch.next_position)
            take = self._intake.take_stored if place.topic in self._retries else self._intake.take_source
            for record in records:
                take(lanes, record)
            lanes.taken_in(place.topic)
            self._desk.move_surplus(lanes)
            if not was_loaded and lanes.places.is_loaded:
                self._reached(DeliveryCrashPoint.LOADED)
        self._changed.set()
        self._desk.wake()

    # ------------------------------------------------------------------------------------- backpressure

    def finished(self) -> None:
        """A record is finished, or a job has come to rest."""
        self._changed.set()
        self._settling.set()
        self._uncommitted += 1
        if self._uncommitted == _MANY:
            self._has_many.set()
        has_news = self._is_waiting_for_room and self._held() <= self._queued // 2
        if has_news or (self._intake.room.is_waiting and self._loose() <= self._intake.room.low):
            self._apply_pauses()

    def _held(self) -> int:
        return sum(each.held + each.unread for each in self._parts.values())

    def _loose(self) -> int:
        return sum(each.loose for each in self._parts.values())

    def _look_at_room(self) -> None:
        self._intake.room.look(self._loose(), asyncio.get_running_loop().time())

    def _has_room(self) -> bool:
        """Above the high water reading stops until it is half gone."""
        count, size = self._held(), sum(each.held_bytes for each in self._parts.values())
        half = 2 if self._is_waiting_for_room else 1
        return count < max(1, self._queued // half) and size < self._settings.queued_bytes // half

    def _apply_pauses(self) -> None:
        """Pause the sources of partitions that are not loaded, or full; all of them when memory is full."""
        if not self._is_settled:
            return
        has_room = self._has_room()
        if not has_room:
            self._desk.relieve(list(self._parts.values()))
        self._is_waiting_for_room = not has_room
        self._look_at_room()
        has_room = has_room and not self._intake.room.is_waiting
        wanted = {
            place
            for place in self._consumer.assignment()
            if place.topic not in self._retries and not self._may_read(place.partition, has_room=has_room)
        }
        if wanted != self._paused:
            self._consumer.resume(self._paused - wanted)
            self._consumer.pause(wanted - self._paused)
            self._paused = wanted

    def _may_read(self, number: int, *, has_room: bool) -> bool:
        lanes = self._parts.get(number)
        if lanes is None or not lanes.places.is_loaded or not has_room or number in self._full:
            return False
        settings = self._settings
        is_low = lanes.parked < settings.parked and lanes.parked_bytes < settings.parked_bytes
        return is_low or lanes.places.has_gated

    # ------------------------------------------------------------------------------------- committing

    async def _commit_at_intervals(self) -> None:
        while True:
            await self._changed.wait()
            await self._until_worthwhile(self._settings.commit_seconds)
            self._changed.clear()
            self._has_many.clear()
            self._uncommitted = 0
            if not await self._commit():
                await asyncio.sleep(self._settings.retry_seconds)
                self._changed.set()

    async def _until_worthwhile(self, seconds: float) -> None:
        """Wait so long, or until many are finished."""
        breath = min(seconds, _BREATH_SECONDS)
        await asyncio.sleep(breath)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds - breath):
                await self._has_many.wait()

    def _commits_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_error(error)

    async def _commit(self, *, is_open: bool = True) -> bool:
        """Commit every place that has news, in one request: whether the log has taken it."""
        async with self._commit_lock:
            found = self._news(is_open)
            if not found:
                return True
            self._reached(DeliveryCrashPoint.COMMIT_BEGUN)
            try:
                await self._consumer.commit(found)
            except LogError as error:
                _logger.info("not committed: %s", error.message)
                return False
            self._reached(DeliveryCrashPoint.COMMITTED)
            self._committed.update(found)
            return True

    def _news(self, is_open: bool) -> dict[TopicPartition, Committed]:
        found = {}
        for number, lanes in self._parts.items():
            self._full.discard(number)
            is_shaken = self._vigil.is_shaken(number)
            for topic, mark in lanes.places.marks:
                text = mark.metadata(is_open=is_open, reach=0, is_shaken=is_shaken)
                place = TopicPartition(topic, number)
                if text is None:
                    self._full.add(number)
                elif (known := Committed(mark.offset, text)) != self._committed.get(place):
                    found[place] = known
        return found

    # ------------------------------------------------------------------------------------- rebalances

    async def on_assigned(self, partitions: set[TopicPartition]) -> None:
        """Take partitions over, as their last owner left them."""
        self._is_settled = False
        self._drop(self._parts.values())
        delay = self._settings.retry_seconds
        while True:
            try:
                self._parts = await self._load(partitions)
                break
            except FencedError:
                return  # the group has moved on meanwhile and will tell
            except LogError as error:
                _logger.warning("partitions cannot be taken over yet, trying again: %s", error.message)
            await asyncio.sleep(delay)
            delay = min(2 * delay, self._settings.retry_max_seconds)
        self._reached(DeliveryCrashPoint.ASSIGNED)
        self._paused = set()
        self._is_settled = True
        self._apply_pauses()
        self.assigned.set()

    async def _load(self, partitions: Iterable[TopicPartition]) -> dict[int, PartitionLanes]:
        places = sorted(partitions)
        committed = await self._consumer.committed(places)
        self._committed = dict(committed)
        found: dict[int, PartitionLanes] = {}
        left: dict[int, list[tuple[str, Restored]]] = {}
        for place in places:
            lanes = found.get(place.partition)
            if lanes is None:
                lanes = found[place.partition] = self._desk.open(place.partition)
                if self._receipts is not None:
                    await self._receipts.load(place.partition)
            begin = await self._log.begin_offset(place)
            end = await self._log.end_offset(place)
            known = committed.get(place, Committed(begin, ""))
            restored = decode_metadata(known.offset, known.metadata)
            if restored is None:
                _logger.warning("%s: the metadata of the committed offset are not ours: left out", place)
            position = max(begin, known.offset)
            await self._consumer.seek(place, position)
            taken = lanes.places
            opened = taken.open_retry if place.topic in self._retries else taken.open_source
            opened(place.topic, Watermark(position, restored), end)
            left.setdefault(place.partition, []).append((place.topic, restored or Restored()))
        for number, lanes in found.items():
            self._vigil.open(lanes, left[number])
        return found

    async def on_revoked(self, partitions: set[TopicPartition]) -> None:
        """Give partitions up: nothing of them starts any more, and what is done is committed."""
        self._is_settled = False
        gone = list(self._parts.values())
        await self._quiet(gone, self._settings.revoke_seconds)
        self._vigil.retract()
        await self._commit(is_open=False)
        self._reached(DeliveryCrashPoint.REVOKED)
        self._drop(gone)
        self._parts = {}
        self._full = set()
        self._paused = set()

    async def _quiet(self, parts: list[PartitionLanes], seconds: float) -> None:
        """Start nothing more of these, and wait until nothing of them runs or is being written, at most so long."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        for lanes in parts:
            lanes.close()
        while any(lanes.is_busy for lanes in parts):
            self._settling.clear()
            try:
                await asyncio.wait_for(self._settling.wait(), until - loop.time())
            except TimeoutError:
                return

    def _drop(self, gone: Iterable[PartitionLanes]) -> None:
        """These are somebody else's."""
        lost = list(gone)
        for lanes in lost:
            lanes.close()
            lanes.is_lost = True
            if self._receipts is not None:
                self._receipts.drop(lanes.number)
        if lost:
            self._vigil.close()
            self._desk.give_up(lost)
