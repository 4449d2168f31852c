"""One partition of a queue: what is waiting, what may be started, what is a suspect, and what to commit.

Pure but for its own state. A record passes: taken in (unfinished) → waiting → started → finished. It may be
started only below `reach`, which the last commit has named: so whoever finds the partition in use knows what may
have been running. Reach grows with the pace of the partition, from a few records to `lookahead`; answers that wait for
their acknowledgement count towards it, for a crash runs their handlers again, too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from tasker_kafka.handlers.watermark import Restored, Watermark
from tasker_kafka.topics.log import Batch, Committed, Record, TopicPartition

__all__ = ["PartitionWork", "QueueDelivery"]

_LEAST_AHEAD = 16


class PartitionWork:
    """The work of one partition, from assignment to revocation."""

    def __init__(
        self,
        place: TopicPartition,
        *,
        position: int,
        end: int,
        restored: Restored,
        lookahead: int,
        on_finished: Callable[[QueueDelivery], None],
    ) -> None:
        self.place = place
        self.watermark = Watermark(position, restored)
        self.waiting: deque[Record] = deque()
        self.in_flight = 0
        """Records started and not finished."""
        self.unheard = 0
        """Of those in flight: handlers that have ended, and whose answers are not acknowledged."""
        self.on_finished = on_finished
        self.is_closed = False
        """Nothing more is taken in or started."""
        self.is_lost = False
        """The partition is somebody else's."""
        self.is_full = False
        """The metadata would not fit: nothing more may be taken in."""
        # What lay here beyond the end when we came cannot have been started by anyone before us.
        self._suspects_end = min(restored.reach, end) if restored.is_open else position
        self._lookahead = lookahead
        self._reach = position
        self._started = 0
        """Records started since the last commit."""
        self._pace = 0
        """About how many are started between two commits."""
        self._committed: Committed | None = None

    def take_in(self, batch: Batch) -> None:
        """Records as fetched; those finished already are left out."""
        if self.is_closed or batch.next_position <= self.watermark.position:
            return
        offsets = [record.offset for record in batch.records]
        new = set(self.watermark.extend(offsets, batch.next_position))
        self.waiting.extend(record for record in batch.records if record.offset in new)

    @property
    def may_start(self) -> bool:
        """The next waiting record may be started, now or as a suspect."""
        return bool(self.waiting) and self.waiting[0].offset < self._reach

    @property
    def next_is_suspect(self) -> bool:
        """The next waiting record may have been running when its worker was lost."""
        return bool(self.waiting) and self.waiting[0].offset < self._suspects_end

    @property
    def next_deliveries(self) -> int:
        """How often the next waiting record is known to have been delivered; at least 1."""
        return self.watermark.deliveries(self.waiting[0].offset)

    @property
    def wants_reach(self) -> bool:
        """A commit is wanted now: the next record may not be started before it, or soon will not."""
        following = self.waiting[0].offset if self.waiting else self.watermark.position
        ahead = self._ahead()
        left = max(0, self._reach - following)
        if left > ahead // 2 or not (self._started or self.waiting):
            return False
        # A commit must help: as long as too many answers are unheard of, it would name the same reach.
        return max(0, ahead - self.unheard) >= left + max(1, ahead // 4)

    def start(self) -> QueueDelivery:
        """Take the next waiting record."""
        record = self.waiting.popleft()
        self.in_flight += 1
        self._started += 1
        return QueueDelivery(self, record)

    def close(self) -> None:
        """Take in and start nothing more; what waits is left to the next owner."""
        self.is_closed = True
        self.waiting.clear()

    def commit(self, *, is_open: bool) -> tuple[Committed, int] | None:
        """What to commit, and the reach it names; None when its metadata would not fit.

        Records are started in their order, so those in flight are the first that are unfinished.
        """
        # Suspects that have not been run yet stay suspects, also when this owner leaves in peace.
        is_open = is_open or self.watermark.offset < self._suspects_end
        reach = (
            self.watermark.lookahead(self.in_flight + max(0, self._ahead() - self.unheard))
            if is_open and not self.is_closed
            else 0
        )
        reach = max(self._suspects_end, reach)
        text = self.watermark.metadata(is_open=is_open, reach=reach)
        self.is_full = text is None
        if text is None:
            return None
        # A lower reach binds from now on: the commit may be in the log before we hear of it.
        self._reach = min(self._reach, reach)
        return Committed(self.watermark.offset, text), reach

    def is_news(self, committed: Committed) -> bool:
        """Whether this differs from the last commit."""
        return committed != self._committed

    def committed(self, committed: Committed, reach: int) -> None:
        """This is committed now."""
        self._committed = committed
        self._reach = reach
        # Other partitions cause commits, too: one short interval must not make the next ones short.
        self._pace = max(self._started, self._pace * 3 // 4)
        self._started = 0

    def _ahead(self) -> int:
        return min(self._lookahead, max(_LEAST_AHEAD, 3 * max(self._started, self._pace)))


class QueueDelivery:
    """One record that was started."""

    __slots__ = ("_has_ended", "_is_counted", "_is_done", "count", "record", "work")

    def __init__(self, work: PartitionWork, record: Record) -> None:
        self.work = work
        self.record = record
        self.count = work.watermark.deliveries(record.offset)
        self._is_done = self._is_counted = self._has_ended = False

    @property
    def is_closing(self) -> bool:
        """Its partition is about to go, or gone."""
        return self.work.is_closed

    @property
    def is_lost(self) -> bool:
        """Its partition is somebody else's now."""
        return self.work.is_lost

    def handler_ended(self) -> None:
        """Its handler has ended; the answer is on its way."""
        if not (self._is_done or self._has_ended):
            self._has_ended = True
            self.work.unheard += 1

    def finish(self) -> None:
        """It need not be delivered again."""
        if not self._is_done:
            work = self._done()
            work.watermark.finish(self.record.offset)
            work.on_finished(self)

    def count_again(self) -> None:
        """It is about to be delivered once more; counts once the next commit is in the log."""
        self.count = self.work.watermark.count_delivery(self.record.offset)
        self._is_counted = True

    def drop(self) -> None:
        """It is left unfinished, to the next owner. Nobody was lost with it, so this delivery does not count."""
        if not self._is_done:
            work = self._done()
            if self._is_counted:
                work.watermark.uncount_delivery(self.record.offset)
            work.on_finished(self)

    def _done(self) -> PartitionWork:
        self._is_done = True
        work = self.work
        work.in_flight -= 1
        if self._has_ended:
            work.unheard -= 1
        return work

    def __str__(self) -> str:
        return f"{self.record.topic}/{self.record.partition}@{self.record.offset}"
