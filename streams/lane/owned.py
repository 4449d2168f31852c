"""What the owner of a partition holds in memory, and the one way to change it.

Replay (recorded decisions) and the live loop (new ones) change the same things in the same way: the table, the due
queue, the heartbeats, the next command, and the account of offsets that changed nothing.
"""

from __future__ import annotations

from typing import cast

from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import IgnoredRange
from tasker_kafka.schemas.state import Stub, TaskHead, TaskState
from tasker_kafka.streams.domain.retention import retire_at

from .clock import OwnerClock
from .metrics import EngineMetrics
from .table import PartitionTable
from .timers import DueQueue, Heartbeats, RetentionQueue

__all__ = ["IgnoredOffsets", "OwnedPartition"]


class IgnoredOffsets:
    """Offsets of commands that changed nothing since the last record, so that ignored and lost can be told apart.

    They are listed in the partition's next record; until there is one, every Checkpoint repeats them.
    """

    __slots__ = ("ranges",)

    def __init__(self, ranges: tuple[IgnoredRange, ...] = ()) -> None:
        self.ranges = [[each.first, each.last] for each in ranges]
        """[first, last] of each row of offsets; empty: every offset is listed."""

    def add(self, offset: int) -> None:
        """One more, after all that are here."""
        if self.ranges and self.ranges[-1][1] == offset - 1:
            self.ranges[-1][1] = offset
        else:
            self.ranges.append([offset, offset])

    def pending(self) -> tuple[IgnoredRange, ...]:
        """What no record has listed yet."""
        if not self.ranges:
            return ()
        return tuple(IgnoredRange(first, last) for first, last in self.ranges)

    def clear(self) -> None:
        """A record lists them now."""
        self.ranges.clear()


class OwnedPartition:
    """The memory of one partition's owner."""

    def __init__(
        self,
        *,
        table: PartitionTable,
        clock: OwnerClock,
        metrics: EngineMetrics,
        next_command: int,
        found_to: int,
        horizon: int,
        ignored: tuple[IgnoredRange, ...],
    ) -> None:
        self.table = table
        self.clock = clock
        self.metrics = metrics
        self.next_command = next_command
        """N: offset of the first command not yet decided."""
        self.found_to = found_to
        """Where the commands ended when the partition was taken: what lies there or later is of this owner's time."""
        self.horizon = horizon
        """Requests not after this broker time are expired."""
        self.ignored = IgnoredOffsets(ignored)
        self.due = DueQueue()
        self.awaited: dict[bytes, tuple[int, int]] = {}
        """Tasks whose TimerDues are on their way: how many, and the owner's time at which they were written."""
        self.heartbeats = Heartbeats(clock.now_ms())
        self.retention = RetentionQueue()

    def replace(
        self,
        task_id: bytes,
        before: TaskState | Stub | None,
        after: TaskState | Stub | None,
        plan: Plan | None,
    ) -> None:
        """A decision, live or recorded, changed a task."""
        self.table.put(task_id, before, after)
        if isinstance(after, TaskState) and after.closed_at is None:
            if after.next_due is not None:
                self.due.schedule(task_id, after.next_due)
            return
        self.due.cancel(task_id)
        self.awaited.pop(task_id, None)
        self.heartbeats.forget(task_id)
        if after is not None:
            self.track_retention(task_id, after, plan)

    def adopt(self, task_id: bytes, loaded: TaskHead | Stub, plan: Plan | None) -> None:
        """A state was loaded under this key: its timers and its retention."""
        if isinstance(loaded, Stub) or loaded.closed_at is not None:
            self.track_retention(task_id, loaded, plan)
        elif loaded.next_due is not None:
            self.due.schedule(task_id, loaded.next_due)

    def track_retention(self, task_id: bytes, closed: TaskHead | Stub, plan: Plan | None) -> None:
        """Remember when a closed task is due: a stub to go, a failed task to become one."""
        if isinstance(closed, Stub):
            self.retention.add(task_id, closed.forget_at)
        # It looks at the head's fields only.
        elif plan is not None and (due := retire_at(cast("TaskState", closed), plan)) is not None:
            self.retention.add(task_id, due)

    def timer_decided(self, task_id: bytes) -> None:
        """One of the task's TimerDues took effect. One that was ignored still counts as on its way (no storms)."""
        count, since = self.awaited.get(task_id, (0, 0))
        if count > 1:
            self.awaited[task_id] = (count - 1, since)
        elif count:
            del self.awaited[task_id]

    def stalled(self) -> None:
        """This owner could not listen for a while: nobody may be called silent for that time."""
        self.heartbeats.quiet_since = max(self.heartbeats.quiet_since, self.clock.now_ms())
        self.metrics.stalls += 1
