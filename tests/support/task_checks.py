"""What must hold of every task after every command: the invariants, checked against a recount of everything.

`Ledger` reads the records as an outsider would, with its own copy of where each task and step was: it shares the
edge tables with the engine and nothing else.
"""

from __future__ import annotations

from collections import Counter

from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import (
    NO_LIFE,
    AttemptEnded,
    AttemptGranted,
    Audit,
    Transition,
    Transitions,
)
from tasker_kafka.schemas.state import Stub, TaskState
from tasker_kafka.schemas.words import (
    CLOSED_TASK_STATES,
    DONE_STEP_STATES,
    FINAL_TASK_STATES,
    Cause,
    StepStatus,
    TaskStatus,
    TransitionEvent,
)
from tasker_kafka.streams.domain import next_due
from tasker_kafka.streams.domain.retry import budget
from tasker_kafka.streams.domain.transitions import STEP_EDGES, STEP_NOTES, TASK_EDGES, TASK_NOTES

_TASK = {*TASK_EDGES, *((state, event, state) for state, event in TASK_NOTES)}
_STEP = {*STEP_EDGES, *((state, event, state) for state, event in STEP_NOTES)}
_BUSY = {StepStatus.ENQUEUED, StepStatus.IN_PROGRESS, StepStatus.WAITING_FOR_RETRY}


def check_state(state: TaskState, plan: Plan) -> None:
    """Counters, ready steps, pending parents and the next due time equal a recount; the task rests where it may."""
    counted = Counter(step.state for step in state.steps)
    assert state.total == len(state.steps) == len(plan.steps)
    assert {
        StepStatus.PENDING: state.pending,
        StepStatus.ENQUEUED: state.enqueued,
        StepStatus.IN_PROGRESS: state.in_progress,
        StepStatus.WAITING_FOR_RETRY: state.waiting_for_retry,
        StepStatus.COMPLETE: state.complete,
        StepStatus.ERROR: state.failed,
        StepStatus.CANCELLED: state.cancelled,
        StepStatus.RESOLVED_MANUALLY: state.resolved,
    } == {status: counted[status] for status in StepStatus}
    for position, step in enumerate(state.steps):
        parents = plan.parents[position]
        assert step.pending_parents == sum(state.steps[at].state not in DONE_STEP_STATES for at in parents)
    assert state.ready == tuple(
        position
        for position, step in enumerate(state.steps)
        if step.state is StepStatus.PENDING and not step.pending_parents
    )
    assert state.next_due == next_due(state, plan)
    assert len(state.command_ids) <= 32
    check_rest(state, plan)


def check_rest(state: TaskState, plan: Plan) -> None:
    """Nothing rests where it could move, and nothing reads blocked while something can run or be retried."""
    busy = state.enqueued + state.in_progress
    if state.state in CLOSED_TASK_STATES:
        assert state.state is TaskStatus.ERROR, "a final task is a stub"
        assert not busy
        assert not state.waiting_for_retry
        assert state.next_due is None
        assert state.closed_at is not None
        return
    if state.state is TaskStatus.PENDING:
        assert state.started_at is None
        assert not busy
        return
    limit = plan.max_parallel_steps
    if state.ready:
        assert limit is not None, "a ready step was not dispatched"
        assert busy >= limit, "a ready step was held back with room for it"
    if limit is not None:
        assert busy <= limit
    if busy:
        assert state.state is TaskStatus.IN_PROGRESS
    elif state.waiting_for_retry:
        assert state.state is TaskStatus.WAITING_FOR_RETRY
        assert state.next_due is not None
    else:
        assert state.state is TaskStatus.BLOCKED_BY_FAILURES
        assert plan.lifecycle.on_blocked == "wait"
        assert state.failed + state.cancelled


class Ledger:
    """The accepted log of one task, read record by record."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.seq = 0
        self.at = 0
        self.task: TaskStatus | None = None
        self.steps: dict[str, StepStatus] = {}
        self.attempts: Counter[str] = Counter()
        self.bases: Counter[str] = Counter()
        self.overrides: dict[str, int] = {}
        self.answered: set[tuple[str, int]] = set()

    def read(self, record: Transitions) -> None:
        """Check a record against everything before it."""
        if record.seq == 0:
            assert not record.transitions
            assert record.answer is not None
            assert record.life == NO_LIFE or self.task in FINAL_TASK_STATES
            return
        assert self.task not in FINAL_TASK_STATES, "a record after the end"
        self.seq += 1
        assert record.seq == self.seq
        assert record.at >= self.at
        self.at = record.at
        assert record.transitions or record.answer is not None, "a record without reason"
        for transition in record.transitions:
            assert transition.at == record.at
            if transition.step is None:
                self._task(transition)
            else:
                self._step(transition.step, transition)

    def _task(self, transition: Transition) -> None:
        assert (self.task, transition.event, transition.to_state) in _TASK, transition
        assert transition.from_state == self.task
        if self.task is TaskStatus.ERROR:
            assert transition.cause is Cause.OPERATOR, "only an operator reopens a task"
            assert isinstance(transition.data, Audit)
        self.task = TaskStatus(transition.to_state)

    def _step(self, name: str, transition: Transition) -> None:
        before = self.steps.get(name)
        assert (before, transition.event, transition.to_state) in _STEP, transition
        assert transition.from_state == before
        assert self.task not in FINAL_TASK_STATES
        if self.task is TaskStatus.ERROR:
            assert transition.cause is Cause.OPERATOR
        self.steps[name] = StepStatus(transition.to_state)
        data = transition.data
        if isinstance(data, AttemptGranted):
            self._granted(name, data)
        elif isinstance(data, AttemptEnded):
            self._ended(name, data, transition)
        elif isinstance(data, Audit):
            if data.base is not None:
                self.bases[name] = data.base
            if data.max_attempts is not None:
                self.overrides[name] = data.max_attempts

    def _granted(self, name: str, data: AttemptGranted) -> None:
        parents = self.plan.steps[self.plan.index[name]].parents
        assert all(self.steps[parent] in DONE_STEP_STATES for parent in parents), "started too early"
        assert data.attempt == self.attempts[name] + 1, "attempt numbers never repeat"
        assert data.base == self.bases[name]
        self.attempts[name] = data.attempt
        policy = self.plan.steps[self.plan.index[name]].retry
        limit = budget(policy, self.overrides.get(name))
        assert data.attempt - data.base <= limit, "more attempts than granted"

    def _ended(self, name: str, data: AttemptEnded, transition: Transition) -> None:
        assert data.attempt == self.attempts[name]
        if not data.counted:
            self.bases[name] += 1
        if transition.cause is Cause.RESULT:
            assert (name, data.attempt) not in self.answered, "two results of one attempt"
            self.answered.add((name, data.attempt))


def check_closed(state: TaskState | Stub | None, ledger: Ledger) -> None:
    """The log and the state agree on where the task rests."""
    if isinstance(state, Stub):
        assert state.outcome is ledger.task
    elif state is not None:
        assert state.state is ledger.task
        assert {step.name: step.state for step in state.steps} == ledger.steps
        for step in state.steps:
            assert step.attempt == ledger.attempts[step.name]
            assert step.base == ledger.bases[step.name]


def is_cancelled(transition: Transition) -> bool:
    """Whether a transition stops something that was dispatched."""
    return transition.event is TransitionEvent.CANCELLED and transition.from_state in _BUSY
