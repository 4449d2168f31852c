"""Random histories of tasks, fast enough for ten thousand of them: a seed is the whole of a story.

`Story` decides random commands on a random plan, and after each has the task as a reader folds it, also when it is
final (the engine itself keeps only a stub then).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from tasker_kafka.schemas.plan import Lifecycle, Plan, PlanStep, RetryPolicy
from tasker_kafka.schemas.records import (
    Body,
    Command,
    Failure,
    OperatorCommand,
    Reconcile,
    RequestPlace,
    StartTask,
    StepResult,
    StepStarted,
    Transition,
)
from tasker_kafka.schemas.state import Stub, TaskState
from tasker_kafka.schemas.words import OperatorAction, Outcome, StepStatus
from tasker_kafka.streams.domain import Decision, Moment, decide, due_timers
from tasker_kafka.streams.domain.evolve import Fold

__all__ = ["Story", "plan_by"]

TASK = b"t" * 16
BEGIN = 1_700_000_000_000
_RUNNING = (StepStatus.ENQUEUED, StepStatus.IN_PROGRESS)
_OUTCOMES = (
    [Outcome.SUCCESS] * 6
    + [Outcome.FAILURE] * 5
    + [
        Outcome.RETURNED,
        Outcome.GIVEN_BACK,
        Outcome.WORKER_LOST,
    ]
)
_STEP_ACTIONS = (
    OperatorAction.RETRY_STEP,
    OperatorAction.RESOLVE_STEP,
    OperatorAction.COMPLETE_STEP,
    OperatorAction.CANCEL_STEP,
    OperatorAction.SET_MAX_ATTEMPTS,
)


def plan_by(dice: random.Random) -> Plan:
    """A plan of up to seven steps: any shape, any policy."""
    names = [f"s{number}" for number in range(dice.choice((0, 1, 2, 3, 4, 5, 7)))]
    steps = [
        PlanStep(
            name=name,
            handler=f"tests.{name}",
            queue="tests",
            parents=tuple(dice.sample(names[:number], min(number, dice.choice((0, 0, 1, 1, 2))))),
            retry=RetryPolicy(
                retryable=dice.random() < 0.8,
                max_attempts=dice.choice((1, 2, 3)),
                backoff=dice.choice(("exponential", "none")),
                jitter=0.0,
            ),
            timeout_ms=dice.choice((60_000, 10_000)),
            queue_timeout_ms=dice.choice((None, None, 5000)),
        )
        for number, name in enumerate(names)
    ]
    dice.shuffle(steps)
    return Plan(
        namespace="tests",
        name="story",
        version="1.0.0",
        steps=tuple(steps),
        failure_policy=dice.choice(("continue", "continue", "fail_fast")),
        max_parallel_steps=dice.choice((None, None, 1, 2)),
        lifecycle=Lifecycle(
            on_blocked=dice.choice(("fail", "wait")),
            max_duration_ms=dice.choice((None, None, None, 20_000)),
            stale_after_ms=dice.choice((None, None, 5_000)),
            staleness_action=dice.choice(("dlq", "error")),
        ),
    )


class Story:
    """One task through random commands. `tell` yields after each that changed something."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.plan = plan_by(self.dice)
        self.now = BEGIN
        self.offset = 0
        self.state: TaskState | Stub | None = None
        self.read: TaskState | None = None
        """As a reader folds it."""
        self.last: tuple[Transition, ...] = ()
        """The transitions of the last record."""

    def tell(self, length: int) -> Iterator[TaskState]:
        """Start the task, then up to `length` further commands; ends early when the task is final."""
        not_before = self.dice.choice((None, None, None, BEGIN + 60_000))
        bypassed = [step.name for step in self.plan.steps if self.dice.random() < 0.05]
        start = StartTask(
            plan_hash=self.plan.hash,
            request_id=b"r" * 16,
            context=b"{}",
            request=RequestPlace(0, 0, BEGIN),
            not_before=not_before,
            bypass_steps=tuple(bypassed),
        )
        if self.send(start):
            yield self.whole
        for _ in range(length):
            if not isinstance(self.state, TaskState):
                return
            for body in self._next(self.state):
                if self.is_open and self.send(body):
                    yield self.whole

    def send(self, body: Body) -> bool:
        """Decide one command; whether it changed something."""
        self.offset += 1
        before = self.state
        decided = decide(before, Command(TASK, body), Moment(0, self.offset, self.now, self.plan))
        if not isinstance(decided, Decision):
            return False
        assert decided.fault is None, decided.fault
        self.state, self.last = decided.state, decided.record.transitions
        if isinstance(decided.state, TaskState):
            self.read = decided.state
        else:
            working = Fold(before if isinstance(before, TaskState) else None, self.plan)
            for transition in self.last:
                working.apply(transition)
            record = decided.record
            self.read = working.freeze(life=record.life, seq=record.seq, now=record.at, command_ids=())
        return True

    @property
    def is_open(self) -> bool:
        """Whether the engine still keeps the whole of it."""
        return isinstance(self.state, TaskState)

    @property
    def whole(self) -> TaskState:
        """The task as a reader has it."""
        assert self.read is not None
        return self.read

    # ------------------------------------------------------------------------------------------- what comes

    def _next(self, state: TaskState) -> list[Body]:
        dice = self.dice
        self.now += dice.choice((0, 1, 900))
        chance = dice.random()
        running = [step for step in state.steps if step.state in _RUNNING]
        if chance < 0.6 and running:
            step = dice.choice(running)
            if step.state is StepStatus.ENQUEUED and dice.random() < 0.2:
                return [
                    StepStarted(
                        life=state.life,
                        step=step.name,
                        attempt=step.attempt,
                        worker_id="w",
                        started_at=self.now,
                    )
                ]
            return [self._result(state, step.name, step.attempt)]
        if chance < 0.8 and state.next_due is not None:
            self.now = max(self.now, state.next_due)
            return [*due_timers(state, self.plan, self.now)]
        if chance < 0.84 and running:
            return [
                Reconcile(
                    life=state.life, kind="redispatch", step=running[0].name, attempt=running[0].attempt
                )
            ]
        if chance < 0.88:
            tried = [step for step in state.steps if step.attempt]
            if tried:
                late = dice.choice(tried)
                return [self._result(state, late.name, late.attempt)]
        return [self._order()]

    def _result(self, state: TaskState, step: str, attempt: int) -> StepResult:
        outcome = self.dice.choice(_OUTCOMES)
        failure = None
        if outcome is Outcome.FAILURE:
            code = self.dice.choice(("boom", "boom", "queue_timeout", "timeout"))
            failure = Failure(type="Boom", code=code, retryable=self.dice.random() < 0.8)
        return StepResult(
            life=state.life,
            step=step,
            attempt=attempt,
            outcome=outcome,
            worker_id="w",
            started_at=self.now,
            finished_at=self.now,
            result=b"1" if outcome is Outcome.SUCCESS else None,
            failure=failure,
        )

    def _order(self) -> OperatorCommand:
        dice = self.dice
        names = [step.name for step in self.plan.steps]
        action = dice.choice((*OperatorAction, *_STEP_ACTIONS, OperatorAction.RETRY_TASK))
        if action in (OperatorAction.CANCEL_TASK, OperatorAction.RESOLVE_TASK) and dice.random() < 0.7:
            action = OperatorAction.RETRY_TASK
        given: dict[str, Any] = {}
        if action in _STEP_ACTIONS and names:
            given["steps"] = (dice.choice(names),)
        return OperatorCommand(
            command_id=dice.randbytes(16),
            action=action,
            actor="ada",
            reason="because",
            max_attempts=dice.choice((1, 4)),
            text="why",
            tags=("a",),
            **given,
        )
