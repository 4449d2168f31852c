"""Random plans and random stories: every command at any moment, as the log may bring them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tasker_kafka.schemas.plan import Plan, RetryPolicy
from tasker_kafka.schemas.records import (
    Body,
    Failure,
    Forget,
    Heartbeat,
    OperatorCommand,
    PayloadRef,
    Reconcile,
    StepResult,
    StepStarted,
    TimerDue,
)
from tasker_kafka.schemas.state import TaskState
from tasker_kafka.schemas.words import OperatorAction, Outcome, TimerKind

from .tasks import Rig, plan_of

_CODES = ("boom", "fatal", "queue_timeout", "timeout")


@st.composite
def retry_policies(draw: st.DrawFn) -> RetryPolicy:
    return RetryPolicy(
        retryable=draw(st.sampled_from([True, True, True, False])),
        max_attempts=draw(st.integers(0, 4)),
        backoff=draw(st.sampled_from(["exponential", "linear", "fibonacci", "none"])),
        backoff_base_ms=draw(st.sampled_from([0, 1, 1000])),
        max_backoff_ms=draw(st.sampled_from([0, 500, 30000])),
        jitter=draw(st.sampled_from([0.0, 0.1, 1.0])),
        non_retryable=draw(st.sampled_from([(), ("fatal",)])),
    )


@st.composite
def plans(draw: st.DrawFn, max_steps: int = 12) -> Plan:
    count = draw(st.integers(0, max_steps))
    names = [f"s{position}" for position in range(count)]
    edges = {
        name: tuple(draw(st.sets(st.sampled_from(names[:position]), max_size=3))) if position else ()
        for position, name in enumerate(names)
    }
    order = draw(st.permutations(names))
    own: dict[str, dict[str, Any]] = {
        name: {
            "retry": draw(retry_policies()),
            "timeout_ms": draw(st.sampled_from([1000, 60000])),
            "heartbeat_timeout_ms": draw(st.sampled_from([500, 30000])),
            "queue_timeout_ms": draw(st.sampled_from([None, None, 2000])),
        }
        for name in names
    }
    return plan_of(
        {name: edges[name] for name in order},
        steps=own,
        failure_policy=draw(st.sampled_from(["continue", "fail_fast"])),
        max_parallel_steps=draw(st.sampled_from([None, None, 1, 2])),
        lifecycle={
            "max_duration_ms": draw(st.sampled_from([None, None, 20_000])),
            "on_blocked": draw(st.sampled_from(["fail", "wait"])),
            "stale_after_ms": draw(st.sampled_from([None, 5_000])),
            "staleness_action": draw(st.sampled_from(["dlq", "error", "none"])),
        },
    )


def names_of(plan: Plan) -> st.SearchStrategy[str]:
    """The plan's steps; in an empty plan nobody's."""
    return st.sampled_from([step.name for step in plan.steps] or ["nobody"])


def rarely(usual: Any, *others: Any) -> st.SearchStrategy[Any]:
    """As a rule the usual value."""
    return st.sampled_from([usual] * 12 + list(others))


def failures() -> st.SearchStrategy[Failure]:
    return st.builds(
        Failure,
        type=st.sampled_from(["Boom", "B" * 400]),
        code=st.sampled_from(_CODES),
        message=st.sampled_from(["", "it broke"]),
        retryable=st.booleans(),
        retry_after_ms=st.sampled_from([None, None, 0, 700, 10**9]),
    )


@st.composite
def results(draw: st.DrawFn, rig: Rig) -> StepResult:
    """Of a dispatched step's newest attempt as a rule; sometimes of any step, attempt or life."""
    names = names_of(rig.plan)
    live = rig.state if isinstance(rig.state, TaskState) else None
    dispatched = [step.name for step in live.steps if step.attempt] if live else []
    running = [step.name for step in live.steps if step.state in {"enqueued", "in_progress"}] if live else []
    if running and draw(rarely(True, False, False, False)):
        names = st.sampled_from(running)
    elif dispatched and draw(rarely(True, False)):
        names = st.sampled_from(dispatched)
    name = draw(names)
    newest = rig.step(name).attempt if live and name in rig.plan.index else 1
    outcome = draw(st.sampled_from([Outcome.SUCCESS, Outcome.SUCCESS, Outcome.FAILURE, *Outcome]))
    return rig.result(
        name,
        outcome,
        life=rig.life + draw(rarely(0, 1)),
        attempt=newest + draw(rarely(0, -1, 1)),
        result=draw(st.sampled_from([None, b"1", b"1", b"x" * 5000, PayloadRef(0, 1, 9, b"h" * 32)])),
        failure=draw(st.none() | failures()) if outcome is not Outcome.SUCCESS else None,
        started_at=rig.now + draw(st.integers(-100_000, 100_000)),
        finished_at=rig.now + draw(st.integers(-100_000, 100_000)),
        metadata=draw(st.sampled_from([None, b"{}"])),
    )


STEP_ACTIONS = (
    OperatorAction.RETRY_STEP,
    OperatorAction.RESOLVE_STEP,
    OperatorAction.COMPLETE_STEP,
    OperatorAction.CANCEL_STEP,
    OperatorAction.SET_MAX_ATTEMPTS,
)


@st.composite
def orders(draw: st.DrawFn, rig: Rig) -> OperatorCommand:
    """Any action on any steps, mostly well formed; ids repeat now and then."""
    action = draw(st.sampled_from([*OperatorAction, *STEP_ACTIONS, *STEP_ACTIONS]))
    steps: list[str] = []
    if action in STEP_ACTIONS:
        steps = draw(st.lists(names_of(rig.plan), min_size=1, max_size=2, unique=True))
        steps = draw(rarely(steps, [], ["nobody"]))
    if action is OperatorAction.COMPLETE_STEP:
        steps = steps[:1]
    seq = rig.state.seq if isinstance(rig.state, TaskState) else 0
    return rig.order(
        action,
        *steps,
        result=draw(rarely(b"7", None, b"y" * 5000)),
        max_attempts=draw(rarely(5, None, 0, 1, 100, 101)),
        text=draw(rarely("new reason", None)),
        tags=draw(rarely(("a", "b"), None, ())),
        life=draw(rarely(None, rig.life, rig.life + 1)),
        expected_seq=draw(rarely(None, seq, seq + 1)),
        **draw(rarely({}, {"command_id": b"same" * 4})),
    )


@st.composite
def strays(draw: st.DrawFn, rig: Rig) -> Body:
    """Timers of any kind, reconciler's commands, starts, and what is not decided at all."""
    name = draw(names_of(rig.plan) | st.none())
    attempt = draw(st.integers(0, 4))
    kind = draw(st.sampled_from(["timer", "reconcile", "started", "start", "forget", "heartbeat"]))
    match kind:
        case "timer":
            due_at = rig.now + draw(st.integers(-100_000, 100_000))
            timer = draw(st.sampled_from(list(TimerKind)))
            return TimerDue(life=rig.life, kind=timer, due_at=due_at, step=name, attempt=attempt)
        case "reconcile":
            wish = draw(st.sampled_from(["evaluate", "redispatch", "?"]))
            return Reconcile(life=rig.life, kind=wish, step=name, attempt=attempt)
        case "started":
            at = rig.now + draw(st.integers(-100_000, 100_000))
            return StepStarted(
                life=rig.life, step=name or "s0", attempt=attempt, worker_id="w", started_at=at
            )
        case "start":
            return rig.start_task(request_id=draw(st.sampled_from([b"r" * 16, b"q" * 16])))
        case "forget":
            return Forget(rig.now)
        case _:
            return Heartbeat(life=rig.life, step=name or "s0", attempt=attempt)


@st.composite
def next_bodies(draw: st.DrawFn, rig: Rig) -> list[Body]:
    """What the log brings next: mostly what is expected, sometimes anything."""
    kind = draw(
        st.sampled_from(["result"] * 5 + ["report", "timers", "timers", "timers", "order", "order", "stray"])
    )
    live = rig.state if isinstance(rig.state, TaskState) else None
    if kind == "report" and live is not None:
        running = [step.name for step in live.steps if step.state == "enqueued"]
        if running:
            return [rig.started(draw(st.sampled_from(running)))]
    if kind == "timers" and live is not None and live.next_due is not None:
        rig.now = max(rig.now, live.next_due + draw(st.sampled_from([0, 0, 1, 3000])))
        return list(rig.timers())
    if kind == "order":
        return [draw(orders(rig))]
    if kind == "stray":
        return [draw(strays(rig))]
    return [draw(results(rig))]
