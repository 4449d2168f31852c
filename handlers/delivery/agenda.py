"""What can go on now and what later, over all partitions of a member. Pure: times are given."""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush

from .jobs import Job, Lane, LaneOwner

__all__ = ["Agenda"]


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

    def has_ready(self, owner: LaneOwner, now_ms: int) -> bool:
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
