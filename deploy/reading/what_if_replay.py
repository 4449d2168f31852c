"""Replays a recorded task under another plan through the engine's own rules, in virtual time. Pure.

(1) Follow: the recorded commands go to `decide` with the other plan, in their order and at their times, as long as what
    it decides is what was recorded, transition for transition, and nothing else would have come first (a timer of the
    other plan, the end of an attempt under its limits). So an unchanged plan is followed to the end, because the rules
    are pure, and what differs later differs because of the plan.
(2) Go on: from the first difference every attempt takes the course that was recorded for its step and number,
    counted from its own grant; operators act when they acted; the other plan's timers fire when they are due (a retry
    as late as the recorded one). Where nothing is recorded, the end is assumed.

Nothing happens after `until`: what is open then is open.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Final, NamedTuple

from msgspec.structs import replace

from tasker_kafka.schemas.plan import Plan, PlanStep
from tasker_kafka.schemas.records import (
    AttemptGranted,
    Body,
    Command,
    OperatorCommand,
    TaskCreated,
    TimerDue,
    Transitions,
)
from tasker_kafka.schemas.state import Stub, TaskState
from tasker_kafka.schemas.words import (
    CLOSED_TASK_STATES,
    GRANTED_STEP_STATES,
    AnswerCode,
    StepStatus,
    TimerKind,
)
from tasker_kafka.streams.domain import Decision, Ignored, Moment, decide
from tasker_kafka.streams.domain.fold import fold_whole
from tasker_kafka.streams.domain.timers import task_timers

from .what_if_attempts import NOT_RECORDED, Assume, Heard, assumed, moved, under_limits
from .what_if_commands import start_of
from .what_if_recorded import Attempt, RecordedLife, orders_of

__all__ = ["MOST_DECISIONS", "Replay", "ReplayFault"]

MOST_DECISIONS: Final = 200_000
"""A replay that decides more often than this has no end."""
_TIMER_ORDER: Final = NOT_RECORDED - 1
"""At the same time what was recorded comes before a timer."""


class ReplayFault(Exception):
    """The rules failed on the other plan: the engine would have quarantined the task."""


class _Due(NamedTuple):
    """Something that will be decided; the earliest first, at the same time by the order of the log."""

    at: int
    order: int
    number: int
    body: Body
    assumed: Attempt | None = None


class _Timer(NamedTuple):
    """A timer that a state gives."""

    due: int
    kind: TimerKind
    step: str | None = None
    attempt: int = 0


class Replay:
    """What became of a task under the other plan: `run`, then read the attributes. ReplayFault when the rules fail.

    until: the moment, ms, up to which the record is known
    """

    def __init__(self, life: RecordedLife, plan: Plan, *, assume: Assume, until: int) -> None:
        self.life = life
        limit = max(plan.inline_limit, life.plan.inline_limit)
        # Values travel as they were recorded: in a plan of more steps some would have gone to payloads.
        self.plan = plan if limit == plan.inline_limit else replace(plan, inline_limit=limit)
        self.records: list[Transitions] = []
        self.followed = 0
        """How many records are as they were recorded."""
        self.final: TaskState | None = None
        """None: the request would have been refused, as `refusal` (code, message) says."""
        self.refusal: tuple[str, str] | None = None
        self.assumed: set[Attempt] = set()
        self.refused_orders: list[str] = []
        """What operators' commands would have been answered that were accepted when they were given."""
        self._assume = assume
        self._until = until
        self._state: TaskState | Stub | None = None
        self._now = 0
        self._granted: dict[Attempt, int] = {}
        self._unscheduled: list[Attempt] = []
        self._otherwise: dict[Attempt, tuple[Heard, ...] | None] = {}
        self._ends_otherwise_at: int | None = None
        self._agenda: list[_Due] = []
        self._pushed = 0
        self._fired: set[_Timer] = set()

    def run(self) -> None:
        """Follow, then go on."""
        records = self.life.records
        first = self._follow()
        if self.final is None:
            return
        self.followed = min(first, len(self.records))
        if first < len(records) or self._is_overtaken(self._until, self.life.final):
            self._go_on(first)

    # ----------------------------------------------------------------------------------------- (1) follow

    def _follow(self) -> int:
        """Index of the first record that is not replayed yet."""
        records, plan = self.life.records, self.life.plan
        start = start_of(records[0], self.plan.hash)
        decided = self._decide(start, records[0].at, records[0].command_offset)
        if self.final is None or not _is_same(decided, records[0]):
            return 1
        before = fold_whole(None, records[0], plan)
        for index in range(1, len(records)):
            record, said = records[index], self.life.said[index]
            if self._is_overtaken(record.at, before):
                return index
            if said is not None and not _is_same(self._decide(said.body, said.at, said.order), record):
                return index + 1
            before = fold_whole(before, record, plan)
        return len(records)

    def _is_overtaken(self, at: int, recorded: TaskState) -> bool:
        """Whether something would happen by `at` that did not: a timer of the plan, or an end under its limits."""
        if not isinstance(self._state, TaskState):
            return False
        if self._ends_otherwise_at is not None and self._ends_otherwise_at <= at:
            return True
        ours = {each for each in _timers(self._state, self.plan) if each.due <= at}
        return bool(ours and ours.difference(_timers(recorded, self.life.plan)))

    def _heard_otherwise(self, key: Attempt) -> tuple[Heard, ...] | None:
        """What is heard of a recorded attempt under the other plan's limits; None: what was."""
        if key not in self._otherwise:
            course = self.life.courses.get(key)
            old, new = _step_of(self.life.plan, key[0]), _step_of(self.plan, key[0])
            found = None
            if course is not None and old is not None and new is not None:
                found = under_limits(course, old, new, self._assume, life=self.life.final.life)
            self._otherwise[key] = found
        return self._otherwise[key]

    # ------------------------------------------------------------------------------------------ (2) go on

    def _go_on(self, first: int) -> None:
        records = self.life.records
        order = records[first].command_offset if first < len(records) else NOT_RECORDED
        for said in orders_of(self.life, first):
            self._push(said.at, said.order, said.body)
        self._schedule(order)
        while (due := self._next()) is not None:
            if len(self.records) >= MOST_DECISIONS:
                raise ReplayFault(f"it has no end: {MOST_DECISIONS} decisions were made")
            if due.assumed is not None:
                self.assumed.add(due.assumed)
            decided = self._decide(due.body, max(due.at, self._now), self.records[-1].command_offset + 1)
            if isinstance(due.body, OperatorCommand):
                self._note_answer(decided)
            self._schedule(-1)

    def _schedule(self, order: int) -> None:
        """Put on the agenda what will be heard of the attempts granted since, from the command `order` on."""
        granted, self._unscheduled = self._unscheduled, []
        for key in granted:
            at = self._granted[key]
            for each in self._expected(key, at):
                if each.order >= order:
                    self._push(at + each.delay, each.order, each.body, key if each.is_assumed else None)

    def _expected(self, key: Attempt, at: int) -> list[Heard]:
        """All that will be heard of an attempt that is granted at `at`."""
        course = self.life.courses.get(key)
        if course is None:
            return [self._guess(key, at)]
        heard = self._heard_otherwise(key)
        if heard is None:
            heard = course.heard
            if course.end is None and not self._is_under_way(key):
                heard = (*heard, self._guess(key, course.granted_at))
        return [moved(each, at - course.granted_at) for each in heard]

    def _guess(self, key: Attempt, at: int) -> Heard:
        """The assumed end: after the time that the step's last recorded attempt took, or at once."""
        ends = [
            (course.attempt, course.end.delay)
            for course in self.life.courses.values()
            if course.step == key[0] and course.end is not None
        ]
        delay = max(ends)[1] if ends else 0
        return assumed(*key, at, self._assume, delay=delay, life=self.life.final.life)

    def _is_under_way(self, key: Attempt) -> bool:
        """Whether an attempt runs, or waits for a worker, where the record ends: its end is still to come."""
        final, position = self.life.final, self.life.plan.index[key[0]]
        step = final.steps[position]
        return (
            final.state not in CLOSED_TASK_STATES
            and step.attempt == key[1]
            and step.state in GRANTED_STEP_STATES
        )

    def _push(self, at: int, order: int, body: Body, key: Attempt | None = None) -> None:
        self._pushed += 1
        heapq.heappush(self._agenda, _Due(at, order, self._pushed, body, key))

    def _next(self) -> _Due | None:
        """What is decided next, by `until`."""
        timer = self._next_timer()
        if self._agenda and (timer is None or self._agenda[0] < timer[0]):
            due = self._agenda[0]
            return heapq.heappop(self._agenda) if due.at <= self._until else None
        if timer is None or timer[0].at > self._until:
            return None
        self._fired.add(timer[1])
        return timer[0]

    def _next_timer(self) -> tuple[_Due, _Timer] | None:
        if not isinstance(self._state, TaskState):
            return None
        found = [
            (each.due + (self.life.lateness.get((each.step or "", each.attempt), 0)), each)
            for each in _timers(self._state, self.plan)
            if each not in self._fired
        ]
        if not found:
            return None
        at, timer = min(found, key=lambda each: (each[0], each[1].due))
        body = TimerDue(
            life=self._state.life,
            kind=timer.kind,
            due_at=timer.due,
            step=timer.step,
            attempt=timer.attempt,
        )
        return _Due(at, _TIMER_ORDER, 0, body), timer

    # ------------------------------------------------------------------------------------------- deciding

    def _decide(self, body: Body, at: int, offset: int) -> Decision | Ignored:
        """One command through the rules; what it grants is noted."""
        self._now = max(self._now, at)
        command = Command(self.life.task_id, body)
        decided = decide(self._state, command, Moment(0, offset, self._now, self.plan))
        if decided.fault is not None:
            raise ReplayFault(f"the engine's rules fail with {type(decided.fault).__name__}: {decided.fault}")
        if isinstance(decided, Ignored):
            return decided
        record = decided.record
        if not record.seq:
            if self._state is None and record.answer is not None:
                self.refusal = (record.answer.code, record.answer.message)
            return decided
        self._state = decided.state
        self.records.append(record)
        self.final = fold_whole(self.final, record, self.plan)
        for each in record.transitions:
            if isinstance(each.data, AttemptGranted) and each.step is not None:
                key = (each.step, each.data.attempt)
                self._granted[key] = each.at
                self._unscheduled.append(key)
                self._note_otherwise(key, each.at)
        return decided

    def _note_otherwise(self, key: Attempt, granted_at: int) -> None:
        """When the first attempt would end in another way than it did."""
        heard = self._heard_otherwise(key)
        if heard is not None:
            at = granted_at + min(each.delay for each in heard)
            known = self._ends_otherwise_at
            self._ends_otherwise_at = at if known is None else min(known, at)

    def _note_answer(self, decided: Decision | Ignored) -> None:
        answer = decided.record.answer if isinstance(decided, Decision) else None
        if answer is not None and answer.code != AnswerCode.ACCEPTED:
            self.refused_orders.append(f"{answer.code}: {answer.message}")


def _is_same(decided: Decision | Ignored, record: Transitions) -> bool:
    """Whether the decision is the recorded one. Which plan a task was created for is no difference."""
    if isinstance(decided, Ignored):
        return not record.transitions
    ours, theirs = decided.record.transitions, record.transitions
    if ours == theirs:
        return True
    if not ours or not theirs or ours[1:] != theirs[1:]:
        return False
    one, other = ours[0], theirs[0]
    if not isinstance(one.data, TaskCreated) or not isinstance(other.data, TaskCreated):
        return False
    names = {"plan_hash": b"", "namespace": "", "name": "", "version": ""}
    return replace(one, data=replace(one.data, **names)) == replace(other, data=replace(other.data, **names))


def _timers(state: TaskState, plan: Plan) -> Iterator[_Timer]:
    """The timers of the task, and of its steps that wait for a retry. Those of attempts are in their courses."""
    for due, kind in task_timers(state, plan):
        yield _Timer(due, kind)
    if state.waiting_for_retry and state.state not in CLOSED_TASK_STATES:
        for step in state.steps:
            if step.state is StepStatus.WAITING_FOR_RETRY and step.next_retry_at is not None:
                yield _Timer(step.next_retry_at, TimerKind.RETRY, step.name, step.attempt)


def _step_of(plan: Plan, name: str) -> PlanStep | None:
    position = plan.index.get(name)
    return None if position is None else plan.steps[position]
