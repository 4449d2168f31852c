"""What can go on now and what later, over all partitions of a member. Pure: times are given."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .jobs import Job
    from .lanes import PartitionLanes

__all__ = ["Agenda", "Gate", "Lane", "LaneKey"]

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


class Gate(Protocol):
    """Asked before anything of a partition number starts, while something of it is suspect (`caution`)."""

    on_news: Callable[[], None]
    """Something of it has ended, or has not begun."""

    def admits(self, lane: Lane) -> bool:
        """Whether the lane's head need not wait for a commit (any more)."""
        ...

    def convicts(self, job: Job) -> bool:
        """Whether it has ended its process often enough."""
        ...


class Agenda:
    """Which lanes can go on, now or later, over all partitions of a member."""

    __slots__ = ("_count", "_ready", "_timers", "ready", "timers")

    def __init__(self) -> None:
        self._ready = self.ready = deque[Lane]()
        self._timers = self.timers = list[tuple[int, int, Lane]]()
        self._count = 0

    def hold(self) -> None:
        """Start nothing but what `add_alone` says, until `release`; what comes meanwhile is kept."""
        self.ready, self.timers = deque(), []

    def add_alone(self, lane: Lane) -> None:
        """This lane's head may be started, and nothing else."""
        self.ready.append(lane)

    def release(self) -> None:
        """Go on with everything."""
        self.ready, self.timers = self._ready, self._timers

    def add(self, lane: Lane) -> None:
        """This lane's head may be started now."""
        lane.is_ready = True
        self._ready.append(lane)

    def add_at(self, due_at: int, lane: Lane) -> None:
        """Look at this lane at that time (ms)."""
        if 0 < lane.timer_at <= due_at:
            return
        lane.timer_at = due_at
        self._count += 1
        heappush(self._timers, (due_at, self._count, lane))

    def has_ready(self, owner: PartitionLanes, now_ms: int) -> bool:
        """Whether a lane of this partition number can go on now."""
        is_due = any(due_at <= now_ms and lane.owner is owner for due_at, _, lane in self._timers)
        return is_due or any(lane.owner is owner for lane in self._ready)

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
            caution = lane.owner.caution
            if caution is not None and not caution.admits(lane):
                continue
            job = lane.owner.start(lane, now_ms)
            if job is not None:
                return job
        return None
