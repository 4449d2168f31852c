"""One queue's consumer: takes dispatches from its group, hands them over as there is room, commits what is finished.

What is known of a partition is in `partition`, what is done with a dispatch in `attempts`; here are the order of
things and the rebalances. Between assignment and revocation of a partition:

1. read its committed offset and metadata: what is finished, and whether its last owner was lost;
2. before the first record is started, commit `open` and the reach: else a crash would leave no suspects;
3. suspects run once their delivery count is committed: else one that kills its worker would be run for ever. The
   second delivery runs among others, the last one alone in the whole worker (`suspects`);
4. on revocation: wait for handlers to finish or be reported, then commit `closed`: else the next owner would find
   suspects where nobody was lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable

from tasker_kafka.handlers.watermark import Restored, decode_metadata
from tasker_kafka.schemas.errors import FencedError, LogError
from tasker_kafka.topics.crash_points import NO_CRASH_POINTS, CrashPoints
from tasker_kafka.topics.log import Committed, GroupConsumer, Log, TopicPartition

from .attempts import Attempts
from .crash_points import WorkerCrashPoint
from .partition import PartitionWork, QueueDelivery
from .replies import MAX_DELIVERIES
from .settings import WorkerSettings
from .suspects import SuspectTurn
from .tasks import BackgroundTasks

__all__ = ["QueueLane"]

_logger = logging.getLogger(__name__)


class QueueLane:
    """The consumer of one queue; its own `RebalanceListener`."""

    def __init__(
        self,
        log: Log,
        topic: str,
        consumer: GroupConsumer,
        attempts: Attempts,
        turn: SuspectTurn,
        *,
        tasks: BackgroundTasks,
        settings: WorkerSettings,
        crash_points: CrashPoints[WorkerCrashPoint] = NO_CRASH_POINTS,
    ) -> None:
        self._log = log
        self._topic = topic
        self._consumer = consumer
        self._attempts = attempts
        self._turn = turn
        self._tasks = tasks
        self._settings = settings
        self._reached = crash_points.reached
        self._works: dict[TopicPartition, PartitionWork] = {}
        self._first = 0
        self._paused: set[TopicPartition] = set()
        self._is_stopping = False
        self._commit_lock = asyncio.Lock()
        self._changed, self._urgent, self._room, self._settling = (asyncio.Event() for _ in range(4))
        self._room.set()
        self._committing: asyncio.Task[None] | None = None
        self.assigned = asyncio.Event()
        """Set by the first assignment, of none too."""

    # ------------------------------------------------------------------------------------- consuming

    async def run(self) -> None:
        """Consume until `stop`. FencedError when another worker has taken this one's instance id."""
        await self._consumer.start([self._topic], self)
        self._committing = asyncio.create_task(self._commit_finished(), name=f"commits of {self._topic}")
        while not self._is_stopping:
            await self._fetch()

    def stop(self) -> None:
        """Take and start nothing more; what waits is left to others. Finished dispatches are still committed."""
        self._is_stopping = True
        self._room.set()
        for work in self._works.values():
            work.close()

    async def close(self) -> None:
        """Commit, and leave the group."""
        if self._committing is not None:
            self._committing.cancel()
            await asyncio.gather(self._committing, return_exceptions=True)
        await self._consumer.close()

    async def _fetch(self) -> None:
        if not self._room.is_set():
            with contextlib.suppress(TimeoutError):  # fetch all the same: it keeps the membership alive
                await asyncio.wait_for(self._room.wait(), 1.0)
        try:
            batches = await self._consumer.fetch(timeout=0.5 if self._room.is_set() else 0.0)
        except FencedError:
            raise
        except LogError as error:
            _logger.warning("%s cannot be read, trying again: %s", self._topic, error.message)
            await asyncio.sleep(self._settings.retry_seconds)
            return
        for place, batch in batches.items():
            work = self._works.get(place)
            if work is not None:
                work.take_in(batch)
        self.pump()

    # ------------------------------------------------------------------------------------- starting

    def pump(self) -> None:
        """Start what may be started; each call begins with another partition."""
        works = list(self._works.values())
        self._first += 1
        for place in range(len(works)):
            self._pump_one(works[(place + self._first) % len(works)])
        self._apply_pauses()

    def _pump_one(self, work: PartitionWork) -> None:
        suspects: list[QueueDelivery] = []
        while work.may_start and self._has_room and self._turn.lets_start(work):
            if not work.next_is_suspect:
                delivery = work.start()
                self._attempts.take(delivery, delivery.record.value)
            elif work.next_deliveries >= MAX_DELIVERIES:
                delivery = work.start()
                self._attempts.give_up(delivery, delivery.record.value)
            elif work.next_deliveries == MAX_DELIVERIES - 1:
                self._start_alone(work)
                break
            else:
                suspects.append(work.start())
                self._turn.reserved += 1
        if suspects:
            self._tasks.start(self._run_suspects(work, suspects))
        if work.wants_reach:
            self._urgent.set()
            self._changed.set()

    @property
    def _has_room(self) -> bool:
        attempts = self._attempts
        return attempts.used + self._turn.reserved < self._settings.concurrency and not attempts.is_paused

    def _start_alone(self, work: PartitionWork) -> None:
        """Start a suspect's last delivery, if nothing else is in flight; else it will be the next to start."""
        if self._turn.claim(work):
            delivery = work.start()
            self._turn.take(delivery)
            self._turn.reserved += 1
            self._tasks.start(self._run_suspects(work, [delivery]))

    async def _run_suspects(self, work: PartitionWork, suspects: list[QueueDelivery]) -> None:
        """Records that may have ended their worker: run once the log knows that they are delivered again."""
        for delivery in suspects:
            delivery.count_again()
        while not work.is_closed and (not await self._commit() or work.is_full):  # noqa: ASYNC110 - the commit is tried again, nothing is awaited
            await asyncio.sleep(self._settings.retry_seconds)
        self._reached(WorkerCrashPoint.SUSPECT_COUNTED)
        self._turn.reserved -= len(suspects)
        for delivery in suspects:
            if work.is_closed:
                delivery.drop()
            else:
                self._attempts.take(delivery, delivery.record.value)

    def _finished(self, delivery: QueueDelivery) -> None:
        """A record is finished."""
        self._turn.end(delivery)
        self._settling.set()
        if delivery.work.wants_reach:
            self._urgent.set()
        if not self._changed.is_set():
            self._changed.set()

    def _apply_pauses(self) -> None:
        """Pause all above the high water until it is half gone, and each partition whose metadata are full."""
        waiting = sum(len(work.waiting) for work in self._works.values())
        if waiting >= self._settings.queued:
            self._room.clear()
        elif waiting <= self._settings.queued // 2:
            self._room.set()
        wanted = {place for place, work in self._works.items() if work.is_full or not self._room.is_set()}
        if wanted != self._paused:
            self._consumer.resume(self._paused - wanted)
            self._consumer.pause(wanted - self._paused)
            self._paused = wanted

    # ------------------------------------------------------------------------------------- committing

    async def _commit_finished(self) -> None:
        """Commit at intervals while something changes, and at once when starting waits for it."""
        while True:
            await self._changed.wait()
            if not self._urgent.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._urgent.wait(), self._settings.commit_seconds)
            self._changed.clear()
            self._urgent.clear()
            if await self._commit():
                self.pump()
            else:
                await asyncio.sleep(self._settings.retry_seconds)
                self._changed.set()

    async def _commit(self, *, is_open: bool = True) -> bool:
        """Commit every partition that has news: whether the log has taken it."""
        async with self._commit_lock:
            found: dict[TopicPartition, tuple[Committed, int]] = {}
            for place, work in self._works.items():
                entry = work.commit(is_open=is_open)
                if entry is not None and work.is_news(entry[0]):
                    found[place] = entry
            if not found:
                return True
            self._reached(WorkerCrashPoint.COMMIT_BEGUN)
            try:
                await self._consumer.commit({place: entry[0] for place, entry in found.items()})
            except LogError as error:
                _logger.info("%s: not committed: %s", self._topic, error.message)
                return False
            self._reached(WorkerCrashPoint.COMMITTED)
            for place, (committed, reach) in found.items():
                if place in self._works:
                    self._works[place].committed(committed, reach)
            return True

    # ------------------------------------------------------------------------------------- rebalances

    async def on_assigned(self, partitions: set[TopicPartition]) -> None:
        """Take partitions over, as their last owner left them."""
        for work in self._works.values():
            work.close()
            work.is_lost = True
            self._turn.leave(work)
        self._works = {}
        delay = self._settings.retry_seconds
        while True:
            try:
                self._works = await self._load(partitions)
                break
            except FencedError:
                return  # the group has moved on meanwhile and will tell
            except LogError as error:
                _logger.warning(
                    "%s: committed offsets cannot be read, trying again: %s", self._topic, error.message
                )
            await asyncio.sleep(delay)
            delay = min(2 * delay, self._settings.retry_max_seconds)
        self._reached(WorkerCrashPoint.ASSIGNED)
        for work in self._works.values():
            self._turn.join(work)
        self.assigned.set()

    async def _load(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, PartitionWork]:
        places = sorted(partitions)
        committed = await self._consumer.committed(places)
        lookahead = max(1, self._settings.lookahead // max(1, len(places)))
        found = {}
        for place in places:
            begin = await self._log.begin_offset(place)
            end = await self._log.end_offset(place)
            known = committed.get(place, Committed(begin, ""))
            restored = decode_metadata(known.offset, known.metadata)
            if restored is None:
                _logger.warning(
                    "%s: the metadata of the committed offset are not ours and are left out", place
                )
            position = max(begin, known.offset)
            await self._consumer.seek(place, position)
            found[place] = PartitionWork(
                place,
                position=position,
                end=end,
                restored=restored or Restored(),
                lookahead=lookahead,
                on_finished=self._finished,
            )
        return found

    async def on_revoked(self, partitions: set[TopicPartition]) -> None:
        """Give partitions up: nothing of them starts any more, and what is done is committed."""
        works = [work for place, work in self._works.items() if place in partitions]
        for work in works:
            work.close()
        half = self._settings.revoke_seconds / 2
        if not await self._settled(works, half):
            self._attempts.report_early(lambda delivery: delivery.is_closing)
            await self._settled(works, half)
        await self._commit(is_open=False)
        self._reached(WorkerCrashPoint.REVOKED)
        self._paused -= partitions
        for work in works:
            work.is_lost = True
            self._works.pop(work.place, None)
            self._turn.leave(work)

    async def _settled(self, works: list[PartitionWork], timeout: float) -> bool:
        """Wait until nothing of these is in flight, at most `timeout` seconds: whether it is so."""
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout
        while any(work.in_flight for work in works):
            self._settling.clear()
            try:
                await asyncio.wait_for(self._settling.wait(), until - loop.time())
            except TimeoutError:
                return False
        return True
