"""What goes out beside a record: dispatches, cancellations, events, ledger entries. Sizes at the limits."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.identity import event_id, step_id
from tasker_kafka.schemas.limits import EVENT_KEY_BYTES, EVENTS_PER_ANSWER, RESULT_WITH_EVENTS_BYTES
from tasker_kafka.schemas.plan import EventDeclaration, RetryPolicy
from tasker_kafka.schemas.records import Command, EventCandidate, Failure
from tasker_kafka.schemas.state import TaskState
from tasker_kafka.schemas.words import (
    Delivery,
    EventCondition,
    OperatorAction,
    Outcome,
    StepStatus,
    TaskStatus,
)
from tasker_kafka.streams.domain import outputs
from tests.support.tasks import CHAIN, DIAMOND, ONE, PAIR, TASK_ID, Rig, plan_of

RECORD_LIMIT = 900 * 1024


def test_a_dispatch_holds_all_that_a_worker_needs() -> None:
    rig = Rig(plan_of(DIAMOND, steps={"d": {"queue_timeout_ms": 5000, "parents": ("c", "b")}}))
    rig.start(context=b'{"cart":1}', correlation_id="story", traceparent="00-trace")
    rig.succeed("a", "b", "c")
    (dispatch,) = rig.last.dispatches
    assert (dispatch.task_id, dispatch.life, dispatch.step, dispatch.attempt) == (TASK_ID, rig.life, "d", 1)
    assert (dispatch.plan_hash, dispatch.handler) == (rig.plan.hash, "tests.d")
    assert dispatch.context == b'{"cart":1}'
    assert [(each.step, each.value) for each in dispatch.inputs] == [("c", b'"c"'), ("b", b'"b"')]
    assert dispatch.dispatched_at == rig.record.at
    assert dispatch.queue_deadline == rig.record.at + 5000
    assert (dispatch.correlation_id, dispatch.traceparent) == ("story", "00-trace")
    assert dispatch.last_attempt is False


def test_held_back_steps_go_in_the_plans_order() -> None:
    rig = Rig(plan_of({"d": (), "c": (), "b": (), "a": ()}, max_parallel_steps=2))
    rig.start()
    assert [each.step for each in rig.dispatches] == ["d", "c"]
    assert rig.live.ready == (2, 3)
    rig.succeed("c", "d", "b", "a")
    assert [each.step for each in rig.dispatches] == ["d", "c", "b", "a"]


def test_one_parallel_step_is_sequential() -> None:
    rig = Rig(plan_of(PAIR, max_parallel_steps=1))
    rig.start()
    rig.report("a")
    assert rig.steps() == {"a": "in_progress", "b": "pending"}
    rig.succeed("a")
    assert rig.steps() == {"a": "complete", "b": "enqueued"}


def test_a_bypassed_parent_gives_none() -> None:
    rig = Rig(plan_of(CHAIN))
    rig.start(bypass_steps=("a",))
    assert [(each.step, each.value) for each in rig.dispatches[0].inputs] == [("a", None)]


# ------------------------------------------------------------------------------------------------ events


CONDITIONS = ("success", "failure", "retryable_failure", "permanent_failure", "always")
DECLARED = {
    "a": {
        "publishes_events": tuple(
            EventDeclaration(name=f"tests.{each}", delivery=Delivery.DURABLE, condition=EventCondition(each))
            for each in CONDITIONS
        )
    }
}


def candidates(**delivery: Delivery) -> tuple[EventCandidate, ...]:
    """One durable candidate for each condition of a step."""
    return tuple(
        EventCandidate(
            name=f"tests.{condition}",
            condition=EventCondition(condition),
            delivery=delivery.get(condition, Delivery.DURABLE),
            version="1.0",
            key="k",
            payload=b"{}",
            position=position,
        )
        for position, condition in enumerate(CONDITIONS)
    )


@pytest.mark.parametrize(
    ("outcome", "retryable", "expected"),
    [
        (Outcome.SUCCESS, True, ["success", "always"]),
        (Outcome.FAILURE, True, ["failure", "retryable_failure", "always"]),
        (Outcome.FAILURE, False, ["failure", "permanent_failure", "always"]),
        (Outcome.GIVEN_BACK, True, []),
        (Outcome.RETURNED, True, []),
        (Outcome.WORKER_LOST, True, ["failure", "permanent_failure", "always"]),  # the engine's own
    ],
)
def test_events_go_out_whose_condition_fits(outcome: Outcome, retryable: bool, expected: list[str]) -> None:
    rig = Rig(plan_of(ONE, steps=DECLARED))
    rig.start()
    failure = None if outcome is Outcome.SUCCESS else Failure(type="Boom", code="boom", retryable=retryable)
    rig.do(rig.result("a", outcome, failure=failure, events=candidates()))
    assert [each.name for each in rig.last.domain_events] == [f"tests.{each}" for each in expected]


def test_an_event_says_where_it_comes_from() -> None:
    rig = Rig(plan_of(PAIR, steps=DECLARED))
    rig.start(correlation_id="story")
    rig.do(rig.result("a", events=candidates(always=Delivery.FIRE_AND_FORGET)))
    (event,) = rig.last.domain_events
    assert event.event_id == event_id(TASK_ID, rig.life, "a", 1, "tests.success", 0)
    assert (event.namespace, event.delivery, event.key) == ("tests", Delivery.DURABLE, "k")
    assert (event.task_id, event.step_id, event.step_name) == (TASK_ID, step_id(TASK_ID, "a"), "a")
    assert (event.attempt, event.template, event.template_version) == (1, "shape", "1.0.0")
    assert (event.correlation_id, event.fired_at, event.fired_by) == ("story", rig.now, "tests.a")


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "tests.undeclared"},
        {"key": "k" * (EVENT_KEY_BYTES.maximum + 1)},
        {"key": "ä" * (EVENT_KEY_BYTES.maximum // 2 + 1)},
        {"version": "1" * 65},
        {"payload": bytes(RESULT_WITH_EVENTS_BYTES.maximum + 1)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_an_event_that_its_topic_might_not_take_does_not_go_out(changes: dict[str, Any]) -> None:
    rig = Rig(plan_of(PAIR, steps=DECLARED))
    rig.start()
    whole = candidates()[0]
    largest = replace(
        whole,
        key="k" * EVENT_KEY_BYTES.maximum,
        version="1" * 64,
        payload=bytes(RESULT_WITH_EVENTS_BYTES.maximum),
    )
    rig.do(rig.result("a", events=(replace(whole, **changes), largest)))
    assert rig.last.domain_events == (rig.last.domain_events[0],)
    assert rig.last.domain_events[0].payload == largest.payload


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_so_many_events_of_a_result_go_out(more: int) -> None:
    rig = Rig(plan_of(PAIR, steps=DECLARED))
    rig.start()
    many = tuple(replace(candidates()[0], position=position) for position in range(EVENTS_PER_ANSWER + more))
    rig.do(rig.result("a", events=many))
    assert len(rig.last.domain_events) == min(len(many), EVENTS_PER_ANSWER)
    assert len({each.event_id for each in rig.last.domain_events}) == len(rig.last.domain_events)
    assert len(rig.last.dropped_events) == max(0, more)


def test_an_ignored_result_publishes_nothing() -> None:
    rig = Rig(plan_of(PAIR, steps=DECLARED))
    rig.start()
    rig.succeed("a")
    rig.ignored(rig.result("a", events=candidates()))
    assert rig.last.domain_events == ()


# ------------------------------------------------------------------------------------------------ ledger


def failed_rig(**fields: Any) -> Rig:
    """A started task of one step with two attempts and no delay."""
    rig = Rig(plan_of(ONE, retry=RetryPolicy(max_attempts=2, backoff="none"), **fields))
    rig.start()
    return rig


def test_a_task_that_used_all_its_attempts_is_in_the_ledger() -> None:
    rig = failed_rig()
    rig.fail("a")
    assert not [*rig.last.dlq_entries]
    rig.fail("a")
    (entry,) = rig.last.dlq_entries
    assert (entry.task_id, entry.life, entry.reason) == (TASK_ID, rig.life, "max_retries_exceeded")
    assert (entry.status, entry.at, entry.actor) == ("pending", rig.now, None)
    snapshot = msgspec.json.decode(entry.snapshot)
    assert snapshot["state"] == "error"
    assert snapshot["steps"] == [
        {"name": "a", "state": "error", "attempt": 2, "error_type": "Boom", "error_code": "boom"}
    ]


@pytest.mark.parametrize(
    ("action", "status"),
    [
        (OperatorAction.RETRY_TASK, "resolved"),
        (OperatorAction.RESOLVE_TASK, "resolved"),
        (OperatorAction.CANCEL_TASK, "cancelled"),
    ],
)
def test_the_entry_closes_when_somebody_deals_with_the_task(action: OperatorAction, status: str) -> None:
    rig = failed_rig()
    rig.fail("a")
    rig.fail("a")
    rig.operate(action)
    (entry,) = rig.last.dlq_entries
    assert (entry.reason, entry.status, entry.actor) == ("max_retries_exceeded", status, "ada")


def test_a_permanent_failure_is_no_matter_for_the_ledger() -> None:
    rig = failed_rig()
    rig.fail("a", retryable=False)
    assert rig.status() is TaskStatus.ERROR
    assert rig.last.dlq_entries == ()
    rig.operate(OperatorAction.RETRY_TASK)
    assert rig.last.dlq_entries == ()


def test_a_step_that_kills_its_workers_is_in_the_ledger() -> None:
    rig = failed_rig()
    rig.do(rig.result("a", Outcome.WORKER_LOST))
    assert [each.reason for each in rig.last.dlq_entries] == ["worker_unavailable"]


def test_a_stale_task_that_fails_closes_its_entry_as_failed() -> None:
    lifecycle = {
        "on_blocked": "wait",
        "max_duration_ms": 100_000,
        "stale_after_ms": 5000,
        "staleness_action": "dlq",
    }
    rig = failed_rig(lifecycle=lifecycle)
    rig.fail("a", retryable=False)
    rig.fire()
    assert [each.status for each in rig.last.dlq_entries] == ["pending"]
    rig.fire()
    assert rig.edges() == [(None, "deadline_exceeded", "error")]
    assert [(each.reason, each.status) for each in rig.last.dlq_entries] == [("staleness_timeout", "failed")]


# ----------------------------------------------------------------------------------------- repeats, sizes


def test_outputs_repeat_byte_for_byte() -> None:
    rig = Rig(plan_of(DIAMOND))
    before = rig.state
    body = rig.start_task()
    rig.do(body)
    again = outputs(before, rig.state, Command(TASK_ID, body), rig.record, rig.plan)
    assert [codec.encode(each) for each in again.dispatches] == [
        codec.encode(each) for each in rig.last.dispatches
    ]


WIDE = {f"{'s' * 60}{n:04}": () for n in range(1000)}


def sizes(rig: Rig) -> list[int]:
    """Bytes of the newest record, its outputs and the state."""
    values: list[Any] = [rig.record, *rig.last.dispatches, *rig.last.cancellations, *rig.last.dlq_entries]
    if isinstance(rig.state, TaskState):
        values.append(rig.state)
    return [len(codec.encode(each)) for each in values]


def test_a_thousand_steps_fit_into_a_record_whatever_happens_to_them() -> None:
    rig = Rig(plan_of(WIDE, inline_limit=262, retry=RetryPolicy(max_attempts=1)))
    rig.start(context=b"x" * 262)
    assert max(sizes(rig)) < RECORD_LIMIT
    failure = Failure(
        type="T" * 200, code="c" * 200, message="m" * 9000, traceback="t" * 9000, retryable=True
    )
    names = [step.name for step in rig.plan.steps]
    for name in names:
        rig.do(rig.result(name, Outcome.FAILURE, failure=failure, metadata=b"m" * 70_000), after_ms=1)
        assert len(codec.encode(rig.record)) < RECORD_LIMIT
    assert rig.status() is TaskStatus.ERROR
    assert max(sizes(rig)) < RECORD_LIMIT
    long = {"actor": "é" * 64, "reason": "é" * 2048}
    rig.operate(OperatorAction.RETRY_TASK, **long)
    assert rig.live.enqueued == 1000
    assert max(sizes(rig)) < RECORD_LIMIT
    rig.operate(OperatorAction.CANCEL_STEP, *names, **long)
    assert rig.live.cancelled == 1000
    assert len(rig.last.cancellations) == 1000
    assert max(sizes(rig)) < RECORD_LIMIT


def test_a_join_of_a_thousand_results_fits_into_a_dispatch() -> None:
    parents = list(WIDE)[:999]
    rig = Rig(plan_of({**dict.fromkeys(parents, ()), "join": tuple(parents)}, inline_limit=262))
    rig.start(context=b"x" * 262)
    for name in parents:
        rig.do(rig.result(name, result=b"r" * 262), after_ms=1)
    assert rig.step("join").state is StepStatus.ENQUEUED
    assert max(sizes(rig)) < RECORD_LIMIT
