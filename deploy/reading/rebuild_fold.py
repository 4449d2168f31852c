"""Folds all tasks of a partition at once, in bounded memory: what the table must be.

Closed tasks are kept as their stub's bytes, and so are the live tasks that were not touched for longest, so that a
partition of any history needs about what its table needs.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from collections.abc import Set as AbstractSet

from tasker_kafka.schemas.codec import decode_state, encode, kind_of
from tasker_kafka.schemas.errors import DecodeError, PlanUnknown, TaskerError
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import Forgotten, TaskCreated, Transitions
from tasker_kafka.schemas.state import Stub, TaskState
from tasker_kafka.schemas.words import TaskStatus
from tasker_kafka.streams.domain.errors import HistoryIncomplete
from tasker_kafka.streams.domain.fold import fold
from tasker_kafka.streams.domain.retention import forget, retire_at

from .rebuild_log import Accepted

__all__ = ["DECODED_STEPS", "FindPlan", "FoldedPartition", "plan_named_by"]

DECODED_STEPS = 200_000
"""How many steps may be held as objects (about 300 bytes each) before the longest untouched tasks become bytes."""

FindPlan = Callable[[bytes], Plan | None]


def plan_named_by(record: Transitions) -> bytes | None:
    """The plan of the task that a record creates."""
    created = record.transitions[0].data if record.transitions else None
    return created.plan_hash if isinstance(created, TaskCreated) else None


class FoldedPartition:
    """Task id → state, from accepted records in order.

    covered_from: lives that began at an earlier command offset began before the retained log; they are not folded
    """

    def __init__(
        self, find_plan: FindPlan, *, covered_from: int = 0, decoded_steps: int = DECODED_STEPS
    ) -> None:
        self._find_plan = find_plan
        self._covered_from = covered_from
        self._decoded_steps = decoded_steps
        self._live: dict[bytes, TaskState] = {}
        self._steps = 0
        self._encoded: dict[bytes, bytes] = {}
        self._due: list[tuple[int, bytes]] = []
        self.horizon: int | None = None
        """The newest that a Forgotten has said."""
        self.uncovered: set[bytes] = set()
        """Tasks of which the log has a part only."""
        self.unfoldable: dict[bytes, str] = {}
        """Tasks whose records do not fold, with why."""

    # --------------------------------------------------------------------------------------- records

    def take(self, accepted: Accepted) -> None:
        """The next record. What cannot be folded is noted; the other tasks go on."""
        record, key = accepted.record, accepted.key
        if isinstance(record, Forgotten):
            self._forget(record)
        elif isinstance(record, DecodeError):
            self._give_up(key, f"the record at offset {accepted.offset} cannot be read: {record.message}")
        elif record.seq == 0 or key in self.unfoldable:
            pass  # an answer about a task without a live state; or it was given up
        elif record.life < self._covered_from:
            self.uncovered.add(key)
        else:
            try:
                self._put(key, self._fold(key, record))
            except Exception as error:  # a damaged history may fail anywhere in the fold
                text = error.message if isinstance(error, TaskerError) else f"{type(error).__name__}: {error}"
                self._give_up(key, f"the record at offset {accepted.offset} does not fold: {text}")

    def _fold(self, key: bytes, record: Transitions) -> TaskState | Stub:
        before = self._take_out(key)
        _check_order(before, record)
        self.uncovered.discard(key)
        plan_hash = plan_named_by(record) if before is None else before.plan_hash
        plan = None if plan_hash is None else self._find_plan(plan_hash)
        if plan is None and plan_hash is not None:
            raise PlanUnknown(f"its template (plan {plan_hash.hex()[:12]}) is not in the templates topic")
        after = fold(before, record, plan)
        if after is None:
            raise HistoryIncomplete("nothing comes of it")
        return after

    def _forget(self, record: Forgotten) -> None:
        """Drop the stubs and retire the failed tasks that are due, as the owner did with this record."""
        stubs: list[Stub] = []
        failed: list[tuple[TaskState, Plan]] = []
        for key in self._pop_due(min(record.until, record.at)):
            state = self._take_out(key)
            if isinstance(state, Stub):
                stubs.append(state)
            elif state is not None and (plan := self._find_plan(state.plan_hash)) is not None:
                failed.append((state, plan))
        found = forget(
            record.until,
            now=record.at,
            command_offset=record.command_offset,
            horizon=-1 if self.horizon is None else self.horizon,
            stubs=stubs,
            failed=failed,
        )
        for stub in found.retired:
            self._put(stub.task_id, stub)
        self.horizon = record.horizon

    def _pop_due(self, until: int) -> list[bytes]:
        """Take out the tasks due by a time. An entry may be outdated: a reopened task closes again, later."""
        taken: dict[bytes, None] = {}
        while self._due and self._due[0][0] <= until:
            due, key = heapq.heappop(self._due)
            state = self.state(key)
            if state is not None and self._due_of(state) == due:
                taken[key] = None
        return list(taken)

    def _due_of(self, state: TaskState | Stub) -> int | None:
        if isinstance(state, Stub):
            return state.forget_at
        if state.state is not TaskStatus.ERROR:
            return None
        plan = self._find_plan(state.plan_hash)
        return None if plan is None else retire_at(state, plan)

    # ---------------------------------------------------------------------------------------- states

    def task_ids(self) -> AbstractSet[bytes]:
        """The tasks that are there."""
        return self._live.keys() | self._encoded.keys()

    def value(self, key: bytes) -> bytes | None:
        """A task's state in the canonical encoding; None: it is not there (any more)."""
        state = self._live.get(key)
        return self._encoded.get(key) if state is None else encode(state)

    def begins_before(self, key: bytes, value: bytes) -> bool:
        """Whether the table's value is of a life that is not retained whole, so that nothing can be said about it."""
        if key in self.unfoldable or kind_of(value) not in (TaskState, Stub):
            return False
        return _decoded(value).life < self._covered_from

    def state(self, key: bytes) -> TaskState | Stub | None:
        """A task's state; None: it is not there (any more)."""
        state = self._live.get(key)
        if state is not None:
            return state
        data = self._encoded.get(key)
        return None if data is None else _decoded(data)

    def _take_out(self, key: bytes) -> TaskState | Stub | None:
        state = self._live.pop(key, None)
        if state is not None:
            self._steps -= len(state.steps)
            return state
        data = self._encoded.pop(key, None)
        return None if data is None else _decoded(data)

    def _put(self, key: bytes, state: TaskState | Stub) -> None:
        if (due := self._due_of(state)) is not None:
            heapq.heappush(self._due, (due, key))
        if isinstance(state, Stub):
            self._encoded[key] = encode(state)
            return
        self._live[key] = state
        self._steps += len(state.steps)
        while self._steps > self._decoded_steps and len(self._live) > 1:
            oldest = next(iter(self._live))
            longest_untouched = self._live.pop(oldest)
            self._steps -= len(longest_untouched.steps)
            self._encoded[oldest] = encode(longest_untouched)

    def _give_up(self, key: bytes, why: str) -> None:
        self._take_out(key)
        self.unfoldable[key] = why


def _check_order(before: TaskState | Stub | None, record: Transitions) -> None:
    """Records of a life are numbered without a gap, and a life begins where there is none."""
    if before is None:
        if record.seq != 1:
            raise HistoryIncomplete(f"seq {record.seq} of life {record.life} without the records before it")
    elif isinstance(before, Stub):
        raise HistoryIncomplete(f"seq {record.seq} of life {record.life} after the task was final")
    elif record.life != before.life:
        raise HistoryIncomplete(f"life {record.life} begins while life {before.life} is there")
    elif record.seq != before.seq + 1:
        raise HistoryIncomplete(f"seq {record.seq} follows seq {before.seq}")


def _decoded(data: bytes) -> TaskState | Stub:
    state = decode_state(data)
    assert isinstance(state, TaskState | Stub), "only states were encoded"
    return state
