"""Compares how a task went with how it would have gone under another plan. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import AttemptEnded, AttemptGranted, Transition, Transitions
from tasker_kafka.schemas.state import TaskState
from tasker_kafka.schemas.words import DONE_STEP_STATES, StepStatus

from .what_if_attempts import Assume
from .what_if_recorded import RecordedLife, created_of
from .what_if_replay import Replay, ReplayFault

__all__ = ["QUARANTINED", "REJECTED", "StepCourse", "StepDeviation", "TaskVerdict", "judge"]

REJECTED = "rejected"
"""The state of a task whose request would have been refused."""
QUARANTINED = "quarantined"
"""The state of a task on which the rules would have failed."""


class StepCourse(msgspec.Struct, frozen=True, kw_only=True):
    """How a step went."""

    state: StepStatus
    attempts: int
    """Attempts that were granted."""
    began_after_ms: int | None
    """From the task's creation to the first grant; None: it was never dispatched."""
    ran_ms: int
    """The run times of its handler, all attempts together."""
    after: tuple[str, ...] = ()
    """The steps that were done before it was first dispatched, by name."""


class StepDeviation(msgspec.Struct, frozen=True, kw_only=True):
    """A step that would have gone another way."""

    step: str
    kinds: tuple[str, ...]
    """Of: not_run, run, more_attempts, fewer_attempts, other_state, other_order, removed, new."""
    recorded: StepCourse | None
    would: StepCourse | None


class TaskVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """One task, as it was and as it would have been. A duration is from creation to close, ms; None: it is open."""

    task_id: bytes
    life: int
    version: str
    """Of the template that the task ran on."""
    created_at: int
    recorded_state: str
    would_state: str
    recorded_duration_ms: int | None
    would_duration_ms: int | None
    recorded_critical_path_ms: int
    """The run times along the slowest chain of steps."""
    would_critical_path_ms: int
    recorded_attempts: int
    would_attempts: int
    steps: tuple[StepDeviation, ...] = ()
    assumed: tuple[str, ...] = ()
    """`step#attempt` of which nothing is recorded, and which the replay needed."""
    refusal: str | None = None
    """Why the request, or the rules, would have refused it."""
    refused_orders: tuple[str, ...] = ()
    """What operators would have been answered whose commands were accepted."""
    followed: int = 0
    """How many records are the same."""
    unheard_orders: int = 0
    """Operators' commands that were refused when they were given; what they asked for is not in the log."""

    @property
    def is_other(self) -> bool:
        """Whether the task would have gone another way."""
        return bool(
            self.steps
            or self.refusal
            or self.refused_orders
            or self.recorded_state != self.would_state
            or self.recorded_duration_ms != self.would_duration_ms
        )


class _Course(msgspec.Struct, frozen=True):
    """How a whole task went."""

    state: str
    duration_ms: int | None
    critical_path_ms: int
    steps: dict[str, StepCourse]

    @property
    def attempts(self) -> int:
        """All that were granted."""
        return sum(each.attempts for each in self.steps.values())


def judge(
    life: RecordedLife, plan: Plan, *, assume: Assume, until: int, refusal: str | None = None
) -> TaskVerdict:
    """Replay and compare.

    until: as of `Replay`; refusal: why intake would have refused the request, if it would
    """
    recorded = _course(life.records, life.final, life.plan)
    replayed = Replay(life, plan, assume=assume, until=until)
    if refusal is None:
        try:
            replayed.run()
        except ReplayFault as fault:
            return _verdict(life, recorded, _refused(QUARANTINED), replayed, str(fault))
        if replayed.refusal is not None:
            refusal = ": ".join(replayed.refusal)
    if refusal is not None or replayed.final is None:
        return _verdict(life, recorded, _refused(REJECTED), replayed, refusal)
    would = _course(replayed.records, replayed.final, replayed.plan)
    return _verdict(life, recorded, would, replayed, None)


def _refused(state: str) -> _Course:
    return _Course(state, None, 0, {})


def _verdict(
    life: RecordedLife, recorded: _Course, would: _Course, replayed: Replay, refusal: str | None
) -> TaskVerdict:
    created = created_of(life)
    return TaskVerdict(
        task_id=life.task_id,
        life=life.final.life,
        version=created.version,
        created_at=life.final.created_at,
        recorded_state=recorded.state,
        would_state=would.state,
        recorded_duration_ms=recorded.duration_ms,
        would_duration_ms=would.duration_ms,
        recorded_critical_path_ms=recorded.critical_path_ms,
        would_critical_path_ms=would.critical_path_ms,
        recorded_attempts=recorded.attempts,
        would_attempts=would.attempts,
        steps=() if refusal is not None else _deviations(recorded.steps, would.steps),
        assumed=tuple(sorted(f"{step}#{attempt}" for step, attempt in replayed.assumed)),
        refusal=refusal,
        refused_orders=tuple(replayed.refused_orders),
        followed=replayed.followed,
        unheard_orders=life.refused_orders,
    )


# ------------------------------------------------------------------------------------------------ courses


def _course(records: Iterable[Transitions], final: TaskState, plan: Plan) -> _Course:
    told = [transition for record in records for transition in record.transitions]
    created = told[0].at
    attempts: dict[str, int] = {}
    began: dict[str, int] = {}
    after: dict[str, tuple[str, ...]] = {}
    ran: dict[str, int] = {}
    done: set[str] = set()
    for each in told:
        name = each.step
        if name is None:
            continue
        if isinstance(each.data, AttemptGranted):
            attempts[name] = attempts.get(name, 0) + 1
            if name not in began:
                began[name], after[name] = each.at - created, tuple(sorted(done))
        elif each.to_state in DONE_STEP_STATES:
            done.add(name)
        ran[name] = ran.get(name, 0) + _run_time(each)
    steps = {
        step.name: StepCourse(
            state=step.state,
            attempts=attempts.get(step.name, 0),
            began_after_ms=began.get(step.name),
            ran_ms=ran.get(step.name, 0),
            after=after.get(step.name, ()),
        )
        for step in final.steps
    }
    closed = None if final.closed_at is None else final.closed_at - created
    return _Course(str(final.state), closed, _critical_path(plan, steps), steps)


def _run_time(transition: Transition) -> int:
    data = transition.data
    if not isinstance(data, AttemptEnded) or data.started_at is None or data.finished_at is None:
        return 0
    return max(0, data.finished_at - data.started_at)


def _critical_path(plan: Plan, steps: Mapping[str, StepCourse]) -> int:
    """The longest sum of run times along dependencies."""
    longest: dict[int, int] = {}
    waiting = [len(parents) for parents in plan.parents]
    free = [position for position, left in enumerate(waiting) if not left]
    while free:
        position = free.pop()
        before = max((longest[parent] for parent in plan.parents[position]), default=0)
        longest[position] = before + steps[plan.steps[position].name].ran_ms
        for child in plan.children[position]:
            waiting[child] -= 1
            if not waiting[child]:
                free.append(child)
    return max(longest.values(), default=0)


# --------------------------------------------------------------------------------------------- comparing


def _deviations(
    recorded: Mapping[str, StepCourse], would: Mapping[str, StepCourse]
) -> tuple[StepDeviation, ...]:
    common = recorded.keys() & would.keys()
    found: list[StepDeviation] = []
    for name in dict.fromkeys([*recorded, *would]):
        one, other = recorded.get(name), would.get(name)
        kinds = tuple(_kinds(one, other, common))
        if kinds:
            found.append(StepDeviation(step=name, kinds=kinds, recorded=one, would=other))
    return tuple(found)


def _kinds(one: StepCourse | None, other: StepCourse | None, common: set[str]) -> Iterable[str]:
    if one is None:
        yield "new"
        return
    if other is None:
        if one.attempts or one.state is not StepStatus.PENDING:
            yield "removed"
        return
    if one.attempts and not other.attempts:
        yield "not_run"
    elif other.attempts and not one.attempts:
        yield "run"
    elif other.attempts != one.attempts:
        yield "more_attempts" if other.attempts > one.attempts else "fewer_attempts"
    if one.state is not other.state:
        yield "other_state"
    if one.attempts and other.attempts and common.intersection(one.after) != common.intersection(other.after):
        yield "other_order"
