"""One long, fixed story of a task, for comparing processes and releases: every kind of command, no chance.

Run as a program it prints the SHA-256 of every state, record and output it makes.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator

import msgspec

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.plan import EventDeclaration, Plan, RetryPolicy
from tasker_kafka.schemas.records import EventCandidate
from tasker_kafka.schemas.state import TaskState
from tasker_kafka.schemas.words import Delivery, EventCondition, OperatorAction, Outcome

from .tasks import Rig, plan_of

__all__ = ["digest", "story_plan", "tell"]


def story_plan() -> Plan:
    """Twelve steps in three layers, jitter on, every kind of timer."""
    edges: dict[str, tuple[str, ...]] = {f"a{n}": () for n in range(4)}
    edges |= {f"b{n}": ("a0", f"a{n}") if n else ("a0",) for n in range(4)}
    edges |= {f"c{n}": (f"b{n}", f"a{n}") for n in range(4)}
    return plan_of(
        edges,
        retry=RetryPolicy(max_attempts=3, jitter=0.5),
        steps={
            "a0": {
                "publishes_events": (EventDeclaration("tests.done", Delivery.DURABLE, EventCondition.ALWAYS),)
            },
            "a3": {"queue_timeout_ms": 4000},
            "b1": {"heartbeat_timeout_ms": 3000},
        },
        failure_policy="fail_fast",
        max_parallel_steps=3,
        lifecycle={
            "max_duration_ms": 3_600_000,
            "on_blocked": "wait",
            "stale_after_ms": 60_000,
            "staleness_action": "dlq",
        },
    )


def tell() -> Iterator[Rig]:
    """The rig after every record."""
    rig = Rig(story_plan())
    yield from _opening(rig)
    yield from _trouble(rig)
    yield from _ending(rig)


def _opening(rig: Rig) -> Iterator[Rig]:
    rig.start(tags=("x", "y"), bypass_steps=("c3",), not_before=rig.now + 5000)
    yield rig
    rig.fire()
    yield rig
    event = EventCandidate(
        name="tests.done",
        condition=EventCondition.ALWAYS,
        delivery=Delivery.DURABLE,
        version="1.0",
        key="k",
        payload=b"{}",
        position=0,
    )
    rig.succeed("a0", events=(event,))
    yield rig
    rig.fail("a1", retry_after_ms=1234)
    yield rig
    rig.do(rig.result("a2", Outcome.RETURNED))
    yield rig


def _trouble(rig: Rig) -> Iterator[Rig]:
    for action, fields in (
        (OperatorAction.SET_REASON, {"text": "look"}),
        (OperatorAction.SET_TAGS, {"tags": ("z",)}),
        (OperatorAction.SET_MAX_ATTEMPTS, {"max_attempts": 4}),
        (OperatorAction.RESOLVE_TASK, {}),
    ):
        rig.operate(action, **fields)
        yield rig
    for _ in range(12):
        running = [step.name for step in rig.live.steps if step.state == "enqueued"]
        if running and rig.offset % 2:
            rig.report(running[0])
        elif rig.next_due() is not None:
            rig.fire()
        yield rig
    for step in [each.name for each in rig.live.steps if each.state in {"enqueued", "in_progress"}][:1]:
        rig.fail(step, retryable=False)
        yield rig


def _ending(rig: Rig) -> Iterator[Rig]:
    for _ in range(60):
        if not isinstance(rig.state, TaskState):
            return
        running = [each.name for each in rig.live.steps if each.state in {"enqueued", "in_progress"}]
        if running:
            rig.succeed(running[0])
        elif rig.live.failed or rig.live.cancelled:
            rig.operate(OperatorAction.RETRY_TASK)
        else:
            rig.fire()
        yield rig
    raise AssertionError("the story has no end")


def digest() -> str:
    """SHA-256 over everything the story makes, in Avro and in JSON."""
    whole = hashlib.sha256()
    for rig in tell():
        out = rig.last
        assert rig.state is not None
        values: list[msgspec.Struct] = [
            rig.state,
            rig.record,
            *out.dispatches,
            *out.cancellations,
            *out.domain_events,
        ]
        for value in [*values, *out.dlq_entries]:
            whole.update(codec.encode(value))
            whole.update(msgspec.json.encode(value))
    return whole.hexdigest()


if __name__ == "__main__":
    sys.stdout.write(digest())
