"""How one transition changes a task: the fold, unconditional.

Whether an edge may be taken is asked when a decision is made (`streams.domain.draft`). What is recorded is folded
as recorded, so that histories of older rules keep their meaning. A `Fold` is the working copy of one task: it
takes transitions one by one and is frozen once per record, because a TaskState has some forty fields and a
record changes a few of them several times.
"""

from __future__ import annotations

from bisect import insort
from typing import Final

from msgspec.structs import replace

from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import NO_LIFE, Audit, TaskClosed, TaskCreated, Transition
from tasker_kafka.schemas.state import StepState, TaskState
from tasker_kafka.schemas.words import CLOSED_TASK_STATES, StepStatus, TaskStatus, TransitionEvent

from .errors import HistoryIncomplete
from .steps import CHANGES
from .timers import step_due, task_due

__all__ = ["Fold", "evolve"]

_E = TransitionEvent
_INITIALIZE: Final = _E.INITIALIZE_REQUESTED
_PENDING: Final = StepStatus.PENDING
_ENQUEUED: Final = StepStatus.ENQUEUED
_IN_PROGRESS: Final = StepStatus.IN_PROGRESS
_WAITING: Final = StepStatus.WAITING_FOR_RETRY
_COMPLETE: Final = StepStatus.COMPLETE
_ERROR: Final = StepStatus.ERROR
_CANCELLED: Final = StepStatus.CANCELLED
_RESOLVED: Final = StepStatus.RESOLVED_MANUALLY
_PENDING_TASK: Final = TaskStatus.PENDING
_DEADLINE_STARTS: Final = frozenset({_E.START_REQUESTED, _E.RESUMED})


class Fold:
    """A task being folded. `plan` None serves only to close a task whose plan is unknown."""

    __slots__ = (
        "closed_at",
        "counts",
        "deadline_from",
        "error_code",
        "index",
        "moved",
        "origin",
        "own",
        "plan",
        "ready",
        "reason",
        "stale_reported",
        "started_at",
        "state_since",
        "status",
        "steps",
        "tags",
        "touched",
    )

    status: TaskStatus | None
    index: dict[str, int]
    own: Fold | TaskState
    """What holds the task's own fields: the state it came from, and this once one of them has changed."""

    def __init__(self, state: TaskState | None, plan: Plan | None) -> None:
        self.plan = plan
        self.touched: set[int] = set()
        self.moved = False
        if plan is not None:
            self.index = plan.index
        else:
            steps = () if state is None else state.steps
            self.index = {step.name: position for position, step in enumerate(steps)}
        if state is None:
            self.origin: TaskState | None = None
            self.status = None
        else:
            self._load(state)

    def _load(self, state: TaskState) -> None:
        self.origin = self.own = state
        self.status = state.state
        self.steps = list(state.steps)
        self.ready = list(state.ready)
        self.counts = {
            _PENDING: state.pending,
            _ENQUEUED: state.enqueued,
            _IN_PROGRESS: state.in_progress,
            _WAITING: state.waiting_for_retry,
            _COMPLETE: state.complete,
            _ERROR: state.failed,
            _CANCELLED: state.cancelled,
            _RESOLVED: state.resolved,
        }

    def _own(self, state: TaskState) -> None:
        """The task's own fields are about to change: few records do that, so few pay for it."""
        self.own = self
        self.started_at = state.started_at
        self.deadline_from = state.deadline_from
        self.state_since = state.state_since
        self.stale_reported = state.stale_reported
        self.error_code = state.error_code
        self.closed_at = state.closed_at
        self.reason = state.reason
        self.tags = state.tags

    # ------------------------------------------------------------------------------------ one transition

    def apply(self, transition: Transition) -> None:
        """Take one transition. HistoryIncomplete when what it builds on is not here."""
        name = transition.step
        if name is None:
            self._apply_task(transition)
            return
        position = self.index.get(name)
        if position is None or self.origin is None:
            raise HistoryIncomplete(f"a transition of step {name!r}, which the task does not have")
        if transition.event is _INITIALIZE:
            self._create_step(position, name)
        else:
            self._change_step(position, transition)

    def _create_step(self, position: int, name: str) -> None:
        if position != len(self.steps) or self.plan is None:
            raise HistoryIncomplete(f"step {name!r} was created out of the plan's order")
        parents = len(self.plan.steps[position].parents)
        self.steps.append(StepState(name=name, pending_parents=parents))
        self.counts[_PENDING] += 1
        if not parents:
            self.ready.append(position)

    def _change_step(self, position: int, transition: Transition) -> None:
        steps, counts = self.steps, self.counts
        before = steps[position]
        steps[position] = after = CHANGES[transition.event](before, transition)
        self.touched.add(position)
        left, reached = before.state, after.state
        if left is reached:
            return
        counts[left] -= 1
        counts[reached] += 1
        if left is _PENDING:
            if not before.pending_parents:
                self.ready.remove(position)
        elif reached is _PENDING and not after.pending_parents:
            insort(self.ready, position)
        if reached is _COMPLETE or reached is _RESOLVED:
            self._count_down(position)

    def _count_down(self, position: int) -> None:
        """A step is done: its children, and nobody else, hear of it."""
        if self.plan is None:
            return
        for child in self.plan.children[position]:
            step = self.steps[child]
            left = step.pending_parents - 1
            self.steps[child] = replace(step, pending_parents=left)
            if left == 0 and step.state is _PENDING:
                insort(self.ready, child)

    def _apply_task(self, transition: Transition) -> None:
        event, data = transition.event, transition.data
        if event is _INITIALIZE:
            if not isinstance(data, TaskCreated):
                raise HistoryIncomplete("a task was created without its data")
            self._load(_created(data, transition.at))
        origin = self.origin
        if origin is None:
            raise HistoryIncomplete(f"{event} of a task whose creation was not folded")
        if not self.moved or event is _INITIALIZE:
            self.moved = True
            self._own(origin)
        if event is _INITIALIZE:
            return
        if event is _E.CHANGED:
            if isinstance(data, Audit):
                self.reason = self.reason if data.text is None else data.text
                self.tags = self.tags if data.tags is None else data.tags
        elif event is _E.STALE_REPORTED:
            self.stale_reported = True
        else:
            self._move_task(transition)

    def _move_task(self, transition: Transition) -> None:
        at = transition.at
        self.status = status = TaskStatus(transition.to_state)
        self.state_since = at
        self.stale_reported = False
        self.error_code = transition.data.error_code if isinstance(transition.data, TaskClosed) else None
        self.closed_at = at if status in CLOSED_TASK_STATES else None
        if transition.event in _DEADLINE_STARTS:
            self.deadline_from = at
            if self.started_at is None:
                self.started_at = at

    # ------------------------------------------------------------------------------------------- freezing

    def freeze(self, *, life: int, seq: int, now: int, command_ids: tuple[bytes, ...]) -> TaskState:
        """The task as a value."""
        origin, status = self.origin, self.status
        if origin is None or status is None:
            raise HistoryIncomplete("a record of a task whose creation was not folded")
        next_due = self._next_due(origin)
        counts = self.counts
        if self.moved or origin.command_ids is not command_ids:
            origin = self._freeze_task(origin, status, life, command_ids)
        return replace(
            origin,
            seq=seq,
            now=now,
            next_due=next_due,
            pending=counts[_PENDING],
            enqueued=counts[_ENQUEUED],
            in_progress=counts[_IN_PROGRESS],
            waiting_for_retry=counts[_WAITING],
            complete=counts[_COMPLETE],
            failed=counts[_ERROR],
            cancelled=counts[_CANCELLED],
            resolved=counts[_RESOLVED],
            steps=tuple(self.steps),
            ready=tuple(self.ready),
        )

    def _freeze_task(
        self, origin: TaskState, status: TaskStatus, life: int, command_ids: tuple[bytes, ...]
    ) -> TaskState:
        """What most records leave alone: only the steps changed."""
        own = self.own
        return replace(
            origin,
            life=life,
            state=status,
            closed_at=own.closed_at,
            total=len(self.steps),
            reason=own.reason,
            tags=own.tags,
            started_at=own.started_at,
            deadline_from=own.deadline_from,
            state_since=own.state_since,
            stale_reported=own.stale_reported,
            error_code=own.error_code,
            command_ids=command_ids,
        )

    def _next_due(self, origin: TaskState) -> int | None:
        """The next due time, from what changed; all steps are looked at only when the earliest timer is gone."""
        plan, status, counts = self.plan, self.status, self.counts
        if not self.touched and self._is_settled(origin):
            return origin.next_due
        if plan is None or status is None or status in CLOSED_TASK_STATES:
            return None
        if plan.is_untimed and not (counts[_WAITING] or counts[_IN_PROGRESS] or status is _PENDING_TASK):
            return None
        own = self.own
        due = task_due(
            plan,
            status,
            not_before=origin.not_before,
            deadline_from=own.deadline_from,
            state_since=own.state_since,
            stale_reported=own.stale_reported,
        )
        known = origin.next_due
        positions: set[int] | range = self.touched
        if origin.state in CLOSED_TASK_STATES or (
            known is not None and self._is_gone(known, origin, plan, due)
        ):
            positions = range(len(self.steps))
        elif known is not None and (due is None or known < due):
            due = known
        steps, planned = self.steps, plan.steps
        for position in positions:
            each = step_due(steps[position], planned[position])
            if each is not None and (due is None or each < due):
                due = each
        return due

    def _is_settled(self, origin: TaskState) -> bool:
        """Whether nothing of the task changed that its own timers depend on."""
        own = self.own
        return (
            origin.seq > 0
            and self.status is origin.state
            and own.state_since == origin.state_since
            and own.stale_reported == origin.stale_reported
        )

    def _is_gone(self, known: int, origin: TaskState, plan: Plan, due: int | None) -> bool:
        """Whether the timer that was the earliest may have been one of those that changed."""
        before = origin.steps
        for position in self.touched:
            if position < len(before) and step_due(before[position], plan.steps[position]) == known:
                return True
        if due == known:
            return False
        return known == task_due(
            plan,
            origin.state,
            not_before=origin.not_before,
            deadline_from=origin.deadline_from,
            state_since=origin.state_since,
            stale_reported=origin.stale_reported,
        )


def evolve(state: TaskState | None, transition: Transition, plan: Plan | None) -> TaskState:
    """The task after one transition. What belongs to the record (life, seq, answer) stays as it was."""
    fold = Fold(state, plan)
    fold.apply(transition)
    before = fold.origin
    if before is None:
        raise HistoryIncomplete("a transition of a task whose creation was not folded")
    now = max(before.now, transition.at)
    return fold.freeze(life=before.life, seq=before.seq, now=now, command_ids=before.command_ids)


def _created(data: TaskCreated, at: int) -> TaskState:
    """A task without steps, which its record's further transitions add."""
    return TaskState(
        task_id=data.task_id,
        life=NO_LIFE,
        seq=0,
        state=TaskStatus.PENDING,
        plan_hash=data.plan_hash,
        namespace=data.namespace,
        name=data.name,
        version=data.version,
        created_at=data.request.timestamp,
        now=at,
        next_due=None,
        closed_at=None,
        total=0,
        pending=0,
        enqueued=0,
        in_progress=0,
        waiting_for_retry=0,
        complete=0,
        failed=0,
        cancelled=0,
        resolved=0,
        steps=(),
        request_id=data.request_id,
        request=data.request,
        identity=data.identity,
        context=data.context,
        initiator=data.initiator,
        source_system=data.source_system,
        reason=data.reason,
        tags=data.tags,
        correlation_id=data.correlation_id,
        idempotency_key=data.idempotency_key,
        requested_at=data.requested_at,
        not_before=data.not_before,
        traceparent=data.traceparent,
        state_since=at,
    )
