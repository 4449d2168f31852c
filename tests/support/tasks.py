"""One task under test: commands in, decisions out, the clock in the test's hand.

`Rig` plays the log and the owner: it numbers commands, moves broker time, folds every record beside the decision,
and keeps what was dispatched, so a test reads as the story of a task.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tasker_kafka.schemas.plan import Lifecycle, Plan, PlanStep, RetryPolicy
from tasker_kafka.schemas.records import (
    Answer,
    Body,
    Command,
    Dispatch,
    Failure,
    OperatorCommand,
    RequestPlace,
    StartTask,
    StepResult,
    StepStarted,
    TimerDue,
    Transition,
    Transitions,
)
from tasker_kafka.schemas.state import StepState, Stub, TaskState
from tasker_kafka.schemas.words import OperatorAction, Outcome, StepStatus, TaskStatus, TransitionEvent
from tasker_kafka.streams.domain import (
    Decision,
    Ignored,
    IgnoredReason,
    Moment,
    Outputs,
    decide,
    due_timers,
    fold,
    outputs,
)

TASK_ID = bytes(range(16))
REQUEST_ID = b"r" * 16
START = 1_700_000_000_000
"""Broker time of the first command, ms."""

FOUR_STEPS: Mapping[str, tuple[str, ...]] = {
    "one": (),
    "two": (),
    "three": ("two",),
    "four": ("one", "three"),
}
DIAMOND: Mapping[str, tuple[str, ...]] = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}
PAIR: Mapping[str, tuple[str, ...]] = {"a": (), "b": ()}
CHAIN: Mapping[str, tuple[str, ...]] = {"a": (), "b": ("a",), "c": ("b",)}
ONE: Mapping[str, tuple[str, ...]] = {"a": ()}
PLAIN_RETRY = RetryPolicy(jitter=0.0)


def plan_of(
    edges: Mapping[str, Iterable[str]],
    *,
    retry: RetryPolicy = PLAIN_RETRY,
    steps: Mapping[str, Mapping[str, Any]] | None = None,
    lifecycle: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Plan:
    """A plan of these edges (step → parents). `steps` gives fields of single steps, `fields` those of the plan."""
    own = steps or {}
    return Plan(
        namespace="tests",
        name="shape",
        version="1.0.0",
        steps=tuple(
            _plan_step(name, tuple(parents), retry, own.get(name, {})) for name, parents in edges.items()
        ),
        lifecycle=Lifecycle(**(lifecycle or {})),
        **fields,
    )


def _plan_step(name: str, parents: tuple[str, ...], retry: RetryPolicy, own: Mapping[str, Any]) -> PlanStep:
    given: dict[str, Any] = {"handler": f"tests.{name}", "queue": "tests", "parents": parents, "retry": retry}
    return PlanStep(name=name, **{**given, **own})


class Rig:
    """A task, its log and its clock. Each command is logged one second after the one before."""

    def __init__(self, plan: Plan, *, horizon: int = -1) -> None:
        self.plan = plan
        self.horizon = horizon
        self.now = START
        self.offset = 100
        self.state: TaskState | Stub | None = None
        self.records: list[Transitions] = []
        self.dispatches: list[Dispatch] = []
        self.last: Outputs = Outputs()
        self._commands = 0

    # ------------------------------------------------------------------------------------------- the log

    def send(self, body: Body, *, after_ms: int = 1000) -> Decision | Ignored:
        """Log a command `after_ms` after the one before and decide it; a record is folded beside the decision."""
        self.now += after_ms
        self.offset += 1
        command = Command(TASK_ID, body)
        moment = Moment(0, self.offset, self.now, self.plan, self.horizon)
        before = self.state
        decided = decide(before, command, moment)
        if isinstance(decided, Decision):
            assert fold(before, decided.record, self.plan) == decided.state
            self.last = outputs(before, decided.state, command, decided.record, self.plan)
            self.state = decided.state
            self.records.append(decided.record)
            self.dispatches += self.last.dispatches
        else:
            self.last = Outputs()
        return decided

    def do(self, body: Body, *, after_ms: int = 1000) -> Decision:
        """Send a command that must be accepted without a fault."""
        decided = self.send(body, after_ms=after_ms)
        assert isinstance(decided, Decision), decided
        assert decided.fault is None, decided.fault
        return decided

    def ignored(self, body: Body, *, after_ms: int = 1000) -> IgnoredReason:
        """Send a command that must change nothing; why it does."""
        before = self.state
        decided = self.send(body, after_ms=after_ms)
        assert isinstance(decided, Ignored), decided
        assert self.state is before
        return decided.reason

    # ------------------------------------------------------------------------------------------ commands

    def start(self, **fields: Any) -> Decision:
        """Log the StartTask."""
        return self.do(self.start_task(**fields))

    def start_task(self, **fields: Any) -> StartTask:
        """A StartTask of the rig's plan."""
        given: dict[str, Any] = {
            "plan_hash": self.plan.hash,
            "request_id": REQUEST_ID,
            "context": b"{}",
            "request": RequestPlace(0, 7, self.now),
            **fields,
        }
        return StartTask(**given)

    def result(self, step: str, outcome: Outcome = Outcome.SUCCESS, **fields: Any) -> StepResult:
        """A result of a step's newest attempt."""
        known = StepState(name=step, attempt=1)
        if isinstance(self.state, TaskState) and step in self.plan.index:
            known = self.step(step)
        given: dict[str, Any] = {
            "life": self.life,
            "step": step,
            "attempt": known.attempt,
            "outcome": outcome,
            "worker_id": "worker-1",
            "started_at": self.now + 100,
            "finished_at": self.now + 200,
            **fields,
        }
        return StepResult(**given)

    def succeed(self, *steps: str, **fields: Any) -> Decision:
        """The newest attempts of these steps succeed, one after another."""
        decided = None
        for step in steps:
            decided = self.do(self.result(step, result=f'"{step}"'.encode(), **fields))
        assert decided is not None
        return decided

    def fail(self, step: str, *, code: str = "boom", retryable: bool = True, **fields: Any) -> Decision:
        """The newest attempt of a step fails."""
        retry_after_ms = fields.pop("retry_after_ms", None)
        failure = Failure(
            type="Boom", code=code, message="it broke", retryable=retryable, retry_after_ms=retry_after_ms
        )
        return self.do(self.result(step, Outcome.FAILURE, failure=failure, **fields))

    def report(self, step: str, **fields: Any) -> Decision:
        """The newest attempt's start is reported."""
        return self.do(self.started(step, **fields))

    def started(self, step: str, **fields: Any) -> StepStarted:
        """A StepStarted of a step's newest attempt."""
        given: dict[str, Any] = {
            "life": self.life,
            "step": step,
            "attempt": self.step(step).attempt,
            "worker_id": "worker-1",
            "started_at": self.now,
            **fields,
        }
        return StepStarted(**given)

    def order(self, action: OperatorAction, *steps: str, **fields: Any) -> OperatorCommand:
        """An operator command with a new id."""
        self._commands += 1
        given: dict[str, Any] = {
            "command_id": self._commands.to_bytes(16, "big"),
            "action": action,
            "actor": "ada",
            "reason": "because",
            "steps": steps,
            **fields,
        }
        return OperatorCommand(**given)

    def operate(self, action: OperatorAction, *steps: str, **fields: Any) -> Answer:
        """Send an operator command; its answer."""
        answer = self.do(self.order(action, *steps, **fields)).record.answer
        assert answer is not None
        return answer

    # ---------------------------------------------------------------------------------------------- time

    def next_due(self) -> int | None:
        """When the next timer is due."""
        return self.live.next_due

    def timers(self, now: int | None = None) -> list[TimerDue]:
        """What the owner would fire at `now` (default: the rig's time)."""
        return due_timers(self.live, self.plan, self.now if now is None else now)

    def fire(self) -> list[Decision | Ignored]:
        """Let time pass until the next timer is due, and fire what is due then."""
        due = self.next_due()
        assert due is not None, "no timer is due"
        self.now = max(self.now, due)
        return [self.send(timer, after_ms=0) for timer in self.timers()]

    # --------------------------------------------------------------------------------------------- state

    @property
    def live(self) -> TaskState:
        """The task, which must not be a stub."""
        assert isinstance(self.state, TaskState), self.state
        return self.state

    @property
    def life(self) -> int:
        """The task's life; -1 before it starts."""
        return -1 if self.state is None else self.state.life

    def status(self) -> TaskStatus:
        """Where the task rests; a stub's outcome."""
        assert self.state is not None
        return self.state.outcome if isinstance(self.state, Stub) else self.state.state

    def step(self, name: str) -> StepState:
        """A step of the live task."""
        return self.live.steps[self.plan.index[name]]

    def steps(self) -> dict[str, str]:
        """Step → state."""
        return {step.name: step.state.value for step in self.live.steps}

    @property
    def record(self) -> Transitions:
        """The newest record."""
        return self.records[-1]

    def edges(self) -> list[tuple[str | None, str, str]]:
        """The newest record's transitions as (step, event, to)."""
        return [(each.step, each.event.value, each.to_state.value) for each in self.record.transitions]

    def data(self, event: TransitionEvent, step: str | None = None) -> Any:
        """Data of the newest record's first transition of this event (and step)."""
        return self.transition(event, step).data

    def transition(self, event: TransitionEvent, step: str | None = None) -> Transition:
        """The newest record's first transition of this event (and step)."""
        return next(
            each
            for each in self.record.transitions
            if each.event is event and (step is None or each.step == step)
        )


def reach_step(state: StepStatus) -> Rig:
    """A task in progress whose step `a` rests in `state`; step `b` runs beside it and keeps the task open."""
    steps = {"b": {"retry": RetryPolicy(max_attempts=1)}, "c": {}}
    rig = Rig(plan_of({"a": (), "b": (), "c": ("a",)}, steps=steps, max_parallel_steps=2))
    if state is StepStatus.PENDING:
        rig = Rig(plan_of({"b": (), "a": (), "c": ("a",)}, steps=steps, max_parallel_steps=1))
    rig.start()
    match state:
        case StepStatus.IN_PROGRESS:
            rig.report("a")
        case StepStatus.WAITING_FOR_RETRY:
            rig.fail("a")
        case StepStatus.COMPLETE:
            rig.succeed("a")
        case StepStatus.ERROR:
            rig.fail("a", retryable=False)
        case StepStatus.CANCELLED:
            rig.operate(OperatorAction.CANCEL_STEP, "a")
        case StepStatus.RESOLVED_MANUALLY:
            rig.operate(OperatorAction.CANCEL_STEP, "a")
            rig.operate(OperatorAction.RESOLVE_STEP, "a")
        case _:
            pass
    assert rig.step("a").state is state
    assert rig.status() is TaskStatus.IN_PROGRESS
    return rig


def reach_task(status: TaskStatus) -> Rig:
    """A task of two steps, `a` first, that rests in `status`."""
    lifecycle = {"on_blocked": "wait"} if status is TaskStatus.BLOCKED_BY_FAILURES else {}
    rig = Rig(plan_of({"a": (), "b": ("a",)}, lifecycle=lifecycle))
    rig.start(not_before=rig.now + 10**6 if status is TaskStatus.PENDING else None)
    match status:
        case TaskStatus.WAITING_FOR_RETRY:
            rig.fail("a")
        case TaskStatus.BLOCKED_BY_FAILURES | TaskStatus.ERROR:
            rig.fail("a", retryable=False)
        case TaskStatus.COMPLETE:
            rig.succeed("a", "b")
        case TaskStatus.CANCELLED:
            rig.operate(OperatorAction.CANCEL_TASK)
        case TaskStatus.RESOLVED_MANUALLY:
            rig.fail("a", retryable=False)
            rig.operate(OperatorAction.RESOLVE_TASK)
        case _:
            pass
    assert rig.status() is status
    return rig
