"""Real records to begin with: what clients, workers, owners and operators write about the tasks of a scene."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from random import Random
from typing import Any

from tasker_kafka.schemas.codec import encode
from tasker_kafka.schemas.plan import Plan, PlanStep, RetryPolicy
from tasker_kafka.schemas.records import (
    Body,
    Command,
    Dispatch,
    EventCandidate,
    Failure,
    Forget,
    Heartbeat,
    OperatorCommand,
    PayloadRef,
    Reconcile,
    RequestPlace,
    StartTask,
    StepResult,
    StepStarted,
    TaskRequest,
    TimerDue,
)
from tasker_kafka.schemas.words import Delivery, EventCondition, Identity, OperatorAction, Outcome, TimerKind
from tests.support.lane_world import plan_of

__all__ = [
    "CHECKED",
    "DIAMOND",
    "FLAKY",
    "KEYED",
    "LONG",
    "PLANS",
    "Material",
    "body",
    "request",
    "result_for",
]

EAGER = RetryPolicy(backoff_base_ms=10, jitter=0.1)
DIAMOND = plan_of("diamond", steps={"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}, retry=EAGER)
FLAKY = plan_of("flaky", retry=EAGER)
LONG = plan_of("long", steps={"one": ()}, retry=EAGER)
CHECKED = plan_of(
    "checked",
    retry=EAGER,
    input_schema={
        "type": "object",
        "properties": {
            "count": {"type": "integer", "maximum": 100},
            "mode": {"type": "string", "default": "fast"},
        },
        "required": ["count"],
    },
)
KEYED = plan_of("keyed", retry=EAGER, identity=Identity.CALLER_PROVIDED)
HASHED = plan_of("hashed", steps={}, identity=Identity.CONTEXT_HASH)
PLANS: tuple[Plan, ...] = (DIAMOND, FLAKY, LONG, CHECKED, KEYED, HASHED)
HELD = 400


class Material:
    """What noise can be made of: grows as the scene goes on. Victims may be harmed, good tasks may not."""

    def __init__(self) -> None:
        self.victims: deque[bytes] = deque(maxlen=HELD)
        self.victim_dispatches: deque[Dispatch] = deque(maxlen=HELD)
        self.good_tasks: deque[bytes] = deque(maxlen=HELD)
        self.good_dispatches: deque[Dispatch] = deque(maxlen=HELD)
        """Granted to good tasks, answered or not."""
        self.long_dispatches: deque[Dispatch] = deque(maxlen=3)
        """Those of steps that live by heartbeats, the newest."""
        self.good_results: deque[tuple[bytes, bytes]] = deque(maxlen=HELD)
        """Task id and value of results that were written for good tasks."""
        self.good_requests: deque[bytes] = deque(maxlen=HELD)

    def victim(self, rng: Random) -> bytes:
        """Some victim's id, or one that no task has."""
        return rng.choice(self.victims) if self.victims and rng.random() < 0.9 else rng.randbytes(16)


def request(rng: Random, *, plans: Sequence[Plan] = PLANS, **fields: Any) -> TaskRequest:
    """A request as a client sends it."""
    plan = rng.choice(plans)
    made: dict[str, Any] = {
        "name": plan.name,
        "request_id": rng.randbytes(16),
        "context": b'{"count": %d}' % rng.randrange(100),
        "tags": ("fuzz",) * rng.randrange(3),
    }
    if plan.identity is Identity.CALLER_PROVIDED:
        made["idempotency_key"] = rng.randbytes(6).hex()
    return TaskRequest(**{**made, **fields})


def result_for(rng: Random, dispatch: Dispatch) -> StepResult:
    """An answer of a worker, good or bad."""
    outcome = rng.choice(list(Outcome))
    is_failure = outcome is not Outcome.SUCCESS
    return StepResult(
        life=dispatch.life,
        step=dispatch.step,
        attempt=dispatch.attempt,
        outcome=outcome,
        worker_id="worker",
        started_at=dispatch.dispatched_at,
        finished_at=dispatch.dispatched_at + 5,
        result=None if is_failure else rng.choice((b'{"x": 1}', None, PayloadRef(0, 7, 9, bytes(32)))),
        failure=Failure(type="ValueError", code="boom", message="it broke", traceback="Trace")
        if is_failure
        else None,
        metadata=rng.choice((None, b'{"took": 1}')),
        events=(_event(),) * rng.randrange(3),
    )


def _event() -> EventCandidate:
    return EventCandidate(
        name="order.done",
        condition=EventCondition.SUCCESS,
        delivery=Delivery.DURABLE,
        version="1.0.0",
        key="k",
        payload=b"{}",
        position=0,
    )


def body(rng: Random, material: Material) -> tuple[bytes, Body]:
    """A command of any kind about a victim: its task id and body."""
    if material.victim_dispatches and rng.random() < 0.5:
        dispatch = rng.choice(material.victim_dispatches)
        return dispatch.task_id, rng.choice((_result, _started, _heartbeat, _timer, _reconcile))(
            rng, dispatch
        )
    task_id = material.victim(rng)
    kind = rng.randrange(10)
    if kind < 6:
        return task_id, _operate(rng)
    if kind < 9:
        return task_id, _start(rng, task_id)
    return bytes(16), Forget(rng.choice((0, -1, 1, 1 << 62, (1 << 63) - 1, -(1 << 63))))


def _result(rng: Random, dispatch: Dispatch) -> Body:
    return result_for(rng, dispatch)


def _started(rng: Random, dispatch: Dispatch) -> Body:
    return StepStarted(
        life=dispatch.life,
        step=dispatch.step,
        attempt=dispatch.attempt,
        worker_id="w",
        started_at=rng.choice((0, 1 << 50)),
    )


def _heartbeat(rng: Random, dispatch: Dispatch) -> Body:
    return Heartbeat(
        life=dispatch.life, step=dispatch.step, attempt=dispatch.attempt, progress=rng.choice((None, b"{}"))
    )


def _timer(rng: Random, dispatch: Dispatch) -> Body:
    kind = rng.choice(list(TimerKind))
    return TimerDue(
        life=dispatch.life, kind=kind, due_at=rng.choice((0, dispatch.dispatched_at, 1 << 60)), step=dispatch.step,
        attempt=dispatch.attempt,
    )  # fmt: skip


def _reconcile(rng: Random, dispatch: Dispatch) -> Body:
    kind = rng.choice(("evaluate", "redispatch", "other"))
    return Reconcile(life=dispatch.life, kind=kind, step=dispatch.step, attempt=dispatch.attempt)


def _operate(rng: Random) -> Body:
    return OperatorCommand(
        command_id=rng.randbytes(16),
        action=rng.choice(list(OperatorAction)),
        actor="mallory",
        reason="a test",
        steps=rng.choice(((), ("one",), ("a", "b"), ("nobody",), ("one", "one"))),
        result=rng.choice((None, b'{"x": 1}', b"NaN")),
        max_attempts=rng.choice((None, 0, 1, 5, 100, 101, -1)),
        text=rng.choice((None, "text")),
        tags=rng.choice((None, (), ("a",))),
        expected_seq=rng.choice((None, None, 1, 2, -1)),
    )


def _start(rng: Random, task_id: bytes) -> Body:
    plan = rng.choice(PLANS)
    return StartTask(
        plan_hash=rng.choice((plan.hash, plan.hash, plan.hash, bytes(32))),
        request_id=task_id,
        context=rng.choice((b"{}", None, b"[1", PayloadRef(99, -1, 1 << 40, bytes(32)))),
        request=RequestPlace(0, 0, rng.choice((0, -1, 1_750_000_000_000, (1 << 63) - 1))),
        identity=rng.choice(list(Identity)),
        bypass_steps=rng.choice(((), ("one",), ("nobody",), ("a", "a"))),
        not_before=rng.choice((None, 0, -1, 1 << 60)),
    )


def encoded(task_id: bytes, made: Body) -> bytes:
    """The command's bytes."""
    return encode(Command(task_id, made))


def unused_steps(plan: Plan) -> list[PlanStep]:
    """Steps of a plan that are not granted at its start."""
    return [step for step in plan.steps if step.parents]
