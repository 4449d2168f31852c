"""Turns due times into work: which task must be looked at now, and which handler was heard of when.

Due times are derived from state after every command, never stored apart, so everything here may be lost: a new
owner rebuilds it from the states' heads. Heartbeats are the exception in the other direction: they are no state
at all (a heartbeat that had to be decided and recorded would cost as much as a step).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from tasker_kafka.schemas.records import Heartbeat
from tasker_kafka.schemas.state import TaskState
from tasker_kafka.schemas.words import StepStatus

__all__ = ["DueQueue", "Heartbeats", "RetentionQueue"]

_COMPACT_SLACK = 1024
_SECONDS_AT_ONCE = 60


class DueQueue:
    """Tasks by due time (ms), with lazy invalidation.

    A task has one valid entry, the earliest that was asked for. A task whose time moves later is found early
    and put back by its caller, which is cheaper than moving it at every command.
    """

    __slots__ = ("_heap", "_scheduled")

    def __init__(self) -> None:
        self._heap: list[tuple[int, bytes]] = []
        self._scheduled: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._scheduled)

    def schedule(self, task_id: bytes, due: int) -> None:
        """Look at the task at `due`, or earlier if that was asked for before."""
        current = self._scheduled.get(task_id)
        if current is None or due < current:
            self._scheduled[task_id] = due
            heapq.heappush(self._heap, (due, task_id))

    def cancel(self, task_id: bytes) -> None:
        """The task has no timer any more."""
        if self._scheduled.pop(task_id, None) is not None and len(self._heap) > (
            2 * len(self._scheduled) + _COMPACT_SLACK
        ):
            self._heap = [(due, each) for each, due in self._scheduled.items()]
            heapq.heapify(self._heap)

    def pop_due(self, now: int, limit: int) -> Iterator[bytes]:
        """Take out up to `limit` tasks whose time has come, earliest first."""
        while limit and self._heap and self._heap[0][0] <= now:
            due, task_id = heapq.heappop(self._heap)
            if self._scheduled.get(task_id) == due:
                del self._scheduled[task_id]
                limit -= 1
                yield task_id


class Heartbeats:
    """The newest sign of life of every running handler, by broker time (ms).

    `quiet_since` is when silence began to count: nobody may be called silent for a time in which this owner
    could not listen (it was not live, or it stalled).
    """

    __slots__ = ("_newest", "quiet_since")

    def __init__(self, quiet_since: int) -> None:
        self._newest: dict[bytes, dict[str, tuple[int, int, int]]] = {}
        self.quiet_since = quiet_since

    def __len__(self) -> int:
        return len(self._newest)

    def note(self, task_id: bytes, beat: Heartbeat, at: int) -> None:
        """A handler said that it is alive. One of an attempt that is over does not replace its successor's."""
        steps = self._newest.setdefault(task_id, {})
        life, attempt, _ = steps.get(beat.step, (0, 0, 0))
        if (beat.life, beat.attempt) >= (life, attempt):
            steps[beat.step] = (beat.life, beat.attempt, at)

    def forget(self, task_id: bytes) -> None:
        """The task is closed."""
        self._newest.pop(task_id, None)

    def signs(self, state: TaskState) -> dict[tuple[str, int], int]:
        """(step, attempt) → from when on it may count as silent, for every running step of the task."""
        heard = self._newest.get(state.task_id, {})
        signs: dict[tuple[str, int], int] = {}
        for step in state.steps:
            if step.state is StepStatus.IN_PROGRESS:
                life, attempt, at = heard.get(step.name, (0, 0, 0))
                is_its_own = life == state.life and attempt == step.attempt
                signs[step.name, step.attempt] = max(at, self.quiet_since) if is_its_own else self.quiet_since
        return signs


class RetentionQueue:
    """Closed tasks by the second in which they are due: stubs to be forgotten, failed tasks to become stubs.

    Queues, no heap of tasks: there may be millions, they come nearly in order, and they leave by the queue.
    """

    __slots__ = ("_queues", "_seconds")

    def __init__(self) -> None:
        self._queues: dict[int, list[bytes]] = {}
        self._seconds: list[int] = []

    def add(self, task_id: bytes, due: int) -> None:
        """The task is due at this broker time (ms)."""
        second = -(-due // 1000)
        queue = self._queues.get(second)
        if queue is None:
            self._queues[second] = [task_id]
            heapq.heappush(self._seconds, second)
        else:
            queue.append(task_id)

    def due_until(self, now: int, limit: int) -> int | None:
        """Until when (ms) to forget, so that about `limit` tasks go, at least a second's; None: nothing is due."""
        if not self._seconds or self._seconds[0] * 1000 > now:
            return None
        count, until = 0, None
        for second in heapq.nsmallest(_SECONDS_AT_ONCE, self._seconds):
            count += len(self._queues[second])
            if second * 1000 > now or (until is not None and count > limit):
                break
            until = second * 1000
        return until

    def take(self, until: int) -> list[bytes]:
        """Take out what may be due by `until` (ms)."""
        taken: list[bytes] = []
        while self._seconds and (self._seconds[0] - 1) * 1000 < until:
            taken += self._queues.pop(heapq.heappop(self._seconds))
        return taken
