"""One task's working copy: takes accepted records one by one, also repeated ones, and knows what of it has changed.

The fold is the engine's own (`streams.domain.evolve.Fold`), without the end that turns a final task into a stub: people
look at finished tasks most of all. It is frozen once per batch, however many records of it the batch has.

A record that does not fit (its beginning is not in the retained log, a record before it is damaged, its plan is
gone) ends the fold of that life with a `fault`; what was folded so far stays, and says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import AttemptEnded, TaskClosed, TaskCreated, Transition, Transitions
from tasker_kafka.schemas.state import StepState, TaskState
from tasker_kafka.schemas.words import StepStatus, TransitionEvent
from tasker_kafka.streams.domain.errors import HistoryIncomplete
from tasker_kafka.streams.domain.evolve import Fold
from tasker_kafka.topics.history import AcceptedRecord

__all__ = ["EndedAttempt", "FindPlan", "TaskFold"]

FindPlan = Callable[[bytes], Plan | None]

_CANCELLED: Final = TransitionEvent.CANCELLED
_ON_ITS_WAY: Final = frozenset({StepStatus.ENQUEUED, StepStatus.IN_PROGRESS})
_NOTHING: Final = -2
"""No life yet; below every life there is."""


class EndedAttempt(msgspec.Struct, frozen=True):
    """One attempt that has ended, as analytics need it."""

    plan: Plan
    life: int
    step: int
    """Position in the plan."""
    attempt: int
    outcome: str
    counted: bool
    granted_at: int | None
    started_at: int | None
    finished_at: int
    error_code: str | None
    worker_id: str | None


class _PlanMissing(HistoryIncomplete):
    """The plan that a task runs on is not published, or not yet."""

    def __init__(self, plan_hash: bytes) -> None:
        super().__init__(f"no template of hash {plan_hash.hex()} is published")
        self.plan_hash = plan_hash


class TaskFold:
    """See above. `settle` after the last record of a batch; then read `state` and what has changed since `saved`."""

    __slots__ = (
        "_fresh",
        "_has_new_fault",
        "_last",
        "_working",
        "attempts",
        "error_message",
        "fault",
        "has_new_words",
        "is_new_life",
        "is_stored",
        "lacking",
        "last_offset",
        "life",
        "lives",
        "partition",
        "plan",
        "seq",
        "state",
        "task_id",
        "touched",
        "weight",
    )

    def __init__(self, task_id: bytes, partition: int) -> None:
        self.task_id = task_id
        self.partition = partition
        self.life = _NOTHING
        self.lives = 0
        self.seq = 0
        self.last_offset = -1
        self.state: TaskState | None = None
        self.plan: Plan | None = None
        self.error_message: str | None = None
        self.fault: str | None = None
        self.lacking: bytes | None = None
        """Hash of the plan that was not there, when that is the fault: once it is, the task can be folded anew."""
        self.is_stored = False
        """The store has a row of it, of this or an earlier life."""
        self.weight = 0
        """What its holder counts it for."""
        self._working: Fold | None = None
        self._last: Transitions | None = None
        self.saved()

    def saved(self) -> None:
        """What has changed so far is in the store."""
        self.is_new_life = False
        self.touched: set[int] = set()
        """Positions of steps that have changed."""
        self.attempts: list[EndedAttempt] = []
        self._fresh: list[AcceptedRecord] = []
        self._has_new_fault = False
        self.has_new_words = False
        """Reason or tags have changed."""

    @property
    def has_changed(self) -> bool:
        """Whether anything was taken, or went wrong, since `saved`."""
        return bool(self._fresh) or self._has_new_fault

    # ------------------------------------------------------------------------------------ one record

    def take(self, accepted: AcceptedRecord, find_plan: FindPlan) -> str | None:
        """Take the next accepted record, or one taken before. A text: the fault that begins with it."""
        record = accepted.record
        if record.seq == 0 or record.life < self.life:
            return None
        if record.life > self.life:
            self._begin(record)
        elif record.seq <= self.seq or self.fault is not None:
            return None
        try:
            if record.seq != self.seq + 1:
                raise HistoryIncomplete(_gap(self.seq, record.seq))
            self._apply(record, find_plan)
        except HistoryIncomplete as error:
            self.fault = str(error)
            self.lacking = error.plan_hash if isinstance(error, _PlanMissing) else None
            self._undo()
            self._has_new_fault = True
            return self.fault
        self.seq = record.seq
        self.last_offset = accepted.offset
        self._last = record
        self._fresh.append(accepted)
        return None

    def settle(self) -> None:
        """Freeze what was taken into `state`."""
        working, last = self._working, self._last
        if working is not None and last is not None:
            self.touched |= working.touched
            before = self.state
            self.state = working.freeze(life=last.life, seq=last.seq, now=last.at, command_ids=())
            self._working = None
            self.has_new_words = before is not None and (
                before.reason != self.state.reason or before.tags != self.state.tags
            )

    def _begin(self, record: Transitions) -> None:
        self.life = record.life
        self.lives += 1
        self.seq = 0
        self.state = self.plan = self.fault = self.lacking = self.error_message = None
        self._working = self._last = None
        attempts = self.attempts
        self.saved()
        self.attempts = attempts
        self.is_new_life = True

    def _apply(self, record: Transitions, find_plan: FindPlan) -> None:
        working = self._working
        if working is None:
            if self.plan is None:
                self.plan = _plan_of(record, find_plan)
            working = self._working = Fold(self.state, self.plan)
        for transition in record.transitions:
            if transition.step is None:
                working.apply(transition)
                self._note_reason(transition)
            else:
                ended = _ended(working, transition, record.life)
                working.apply(transition)
                if ended is not None:
                    self.attempts.append(ended)

    def _undo(self) -> None:
        """A record was taken in part: go back to those that were taken whole."""
        fresh, is_new_life = self._fresh, self.is_new_life
        touched, attempts = self.touched, self.attempts
        self.saved()
        self.touched, self.is_new_life = touched, is_new_life
        self.attempts = [each for each in attempts if each.life != self.life]
        self._working = None
        for each in fresh:
            self._apply(each.record, lambda _: self.plan)
            self._fresh.append(each)

    def _note_reason(self, transition: Transition) -> None:
        """The message that belongs to the state's error code."""
        if transition.event not in (TransitionEvent.CHANGED, TransitionEvent.STALE_REPORTED):
            data = transition.data
            self.error_message = data.error_message if isinstance(data, TaskClosed) else None


def _ended(working: Fold, transition: Transition, life: int) -> EndedAttempt | None:
    """The attempt that this transition ends, if it ends one; asked before it is applied."""
    data, plan = transition.data, working.plan
    is_end = isinstance(data, AttemptEnded)
    if plan is None or not (is_end or transition.event is _CANCELLED) or working.origin is None:
        return None
    position = working.index.get(transition.step or "")
    if position is None or position >= len(working.steps):
        return None
    before = working.steps[position]
    if isinstance(data, AttemptEnded):
        return _attempt(before, (plan, life, position), transition, data)
    if before.state not in _ON_ITS_WAY:
        return None
    return EndedAttempt(
        plan=plan,
        life=life,
        step=position,
        attempt=before.attempt,
        outcome="cancelled",
        counted=True,
        granted_at=before.dispatched_at,
        started_at=before.started_at,
        finished_at=transition.at,
        error_code=None,
        worker_id=before.worker_id,
    )


def _attempt(
    before: StepState, of: tuple[Plan, int, int], transition: Transition, data: AttemptEnded
) -> EndedAttempt:
    plan, life, position = of
    return EndedAttempt(
        plan=plan,
        life=life,
        step=position,
        attempt=data.attempt,
        outcome=str(data.outcome),
        counted=data.counted,
        granted_at=before.dispatched_at if before.attempt == data.attempt else None,
        started_at=before.started_at if data.started_at is None else data.started_at,
        finished_at=transition.at if data.finished_at is None else data.finished_at,
        error_code=None if data.failure is None else data.failure.code,
        worker_id=data.worker_id or before.worker_id,
    )


def _plan_of(record: Transitions, find_plan: FindPlan) -> Plan:
    """The plan that a task's first record names."""
    for transition in record.transitions:
        if isinstance(transition.data, TaskCreated):
            plan = find_plan(transition.data.plan_hash)
            if plan is None:
                raise _PlanMissing(transition.data.plan_hash)
            return plan
    raise HistoryIncomplete("the first record of the task's life does not create it")


def _gap(known: int, found: int) -> str:
    if known == 0:
        return f"the retained log holds the task from record {found} on, not its beginning"
    return f"record {found} of the task follows record {known}: what is between them cannot be read"
