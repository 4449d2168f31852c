"""What can go on now and what later, over all partitions of a member. Pure: times are given."""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .jobs import Job
    from .lanes import PartitionLanes

__all__ = ["Agenda", "Lane", "LaneKey"]

LaneKey = tuple[int, str, object, bool]


class Lane:
    """The jobs that wait for one another."""

    __slots__ = ("current", "is_ready", "is_stopped", "key", "owner", "parked_in", "timer_at", "waiting")

    def __init__(self, key: LaneKey, owner: PartitionLanes) -> None:
        self.key = key
        self.owner = owner
        self.current: Job | None = None
        """Started, or the head that is being moved or stands still."""
        self.waiting: list[tuple[int, int, Job]] = []
        """A heap by original offset and redrives."""
        self.is_ready = False
        """It is on the agenda."""
        self.is_stopped = False
        """Its first job may be neither retried nor skipped: it stands still."""
        self.timer_at = 0
        """When the agenda looks at it (ms); 0: it does not."""
        self.parked_in: str | None = None
        """The retry topic in which its head waits for its time: where its successors go, too."""

    @property
    def head(self) -> Job | None:
        """The first that waits."""
        return self.waiting[0][2] if self.waiting else None


class Agenda:
    """Which lanes can go on, now or later, over all partitions of a member."""

    __slots__ = ("_count", "ready", "timers")

    def __init__(self) -> None:
        self.ready: deque[Lane] = deque()
        self.timers: list[tuple[int, int, Lane]] = []
        self._count = 0

    def add(self, lane: Lane) -> None:
        """This lane's head may be started now."""
        lane.is_ready = True
        self.ready.append(lane)

    def add_at(self, due_at: int, lane: Lane) -> None:
        """Look at this lane at that time (ms)."""
        if 0 < lane.timer_at <= due_at:
            return
        lane.timer_at = due_at
        self._count += 1
        heappush(self.timers, (due_at, self._count, lane))

    @property
    def next_due(self) -> int | None:
        """When to look again (ms), if nothing happens before."""
        return self.timers[0][0] if self.timers else None

    def start_next(self, now_ms: int) -> Job | None:
        """Start the head of a lane whose turn it is; None: there is none now."""
        timers = self.timers
        while timers and timers[0][0] <= now_ms:
            due_at, _, lane = heappop(timers)
            if due_at == lane.timer_at:
                lane.timer_at = 0
                lane.owner.woken(lane, now_ms)
        while self.ready:
            lane = self.ready.popleft()
            lane.is_ready = False
            job = lane.owner.start(lane, now_ms)
            if job is not None:
                return job
        return None
