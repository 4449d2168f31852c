"""Domain events that no worker makes: failures without a result, and the task's own."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tasker_kafka.schemas.identity import decided_event_id, format_id
from tasker_kafka.schemas.plan import EventDeclaration, Plan, RetryPolicy
from tasker_kafka.schemas.records import Command, Failure
from tasker_kafka.schemas.words import (
    Delivery,
    EventCondition,
    OperatorAction,
    Outcome,
    StepStatus,
    TimerKind,
)
from tasker_kafka.streams.domain import outputs
from tests.support.event_plans import OF_TASKS, as_a_worker, declarations, with_every_event
from tests.support.tasks import CHAIN, ONE, PAIR, PLAIN_RETRY, TASK_ID, Rig, plan_of

FAILED = ["work.failure", "work.permanent_failure", "work.always"]
RETRIED = ["work.failure", "work.retryable_failure", "work.always"]
TWICE = RetryPolicy(max_attempts=2, backoff_base_ms=1000, jitter=0.0)


def rig_of(edges: Any = ONE, *, retry: RetryPolicy = PLAIN_RETRY, **fields: Any) -> Rig:
    """A started task whose every condition has its event."""
    rig = Rig(with_every_event(plan_of(edges, retry=retry, **fields)))
    rig.start(correlation_id="story")
    return rig


def names(rig: Rig, step: str | None = None) -> list[str]:
    """The newest decision's events: of one step, or all."""
    return [each.name for each in rig.last.domain_events if step is None or each.step_name == step]


def payload(rig: Rig, name: str) -> Any:
    """What the newest decision's event of this name says."""
    (event,) = [each for each in rig.last.domain_events if each.name == name]
    return msgspec.json.decode(event.payload)


# ------------------------------------------------------------------------------- failures without a result


def test_a_run_timeout_that_the_engine_finds() -> None:
    rig = rig_of(retry=TWICE, steps={"a": {"timeout_ms": 5000}})
    rig.report("a")
    rig.fire()
    assert names(rig) == RETRIED
    assert payload(rig, "work.failure") == {
        "error_type": "Timeout",
        "error_code": "timeout",
        "error_message": "still running 5000 ms after its start",
        "attempt": 1,
    }
    rig.fire()  # the retry is due
    rig.report("a")
    rig.fire()
    assert names(rig) == [*FAILED, "job.failed"]
    assert payload(rig, "work.always")["attempt"] == 2


@pytest.mark.parametrize("told_by", ["the engine", "a worker"])
def test_nobody_took_it_in_time(told_by: str) -> None:
    rig = rig_of(steps={"a": {"queue_timeout_ms": 2000}}, retry=TWICE)
    if told_by == "the engine":
        rig.fire()
    else:
        failure = Failure(type="QueueTimeout", code="queue_timeout", message="waited")
        rig.do(as_a_worker(rig.result("a", Outcome.FAILURE, failure=failure)))
    assert names(rig) == RETRIED
    assert payload(rig, "work.retryable_failure")["error_code"] == "queue_timeout"
    made = decided_event_id(TASK_ID, rig.life, rig.record.seq, "a", "work.failure")
    assert rig.last.domain_events[0].event_id == made, "no handler ran: the engine's, whoever found it"


def test_lost_workers() -> None:
    rig = rig_of(steps={"a": {"heartbeat_timeout_ms": 1000}})
    for attempt in (1, 2, 3):
        rig.report("a")
        rig.fire()
        assert names(rig, "a") == (FAILED if attempt == 3 else RETRIED)
        assert payload(rig, "work.failure")["error_code"] == "worker_lost"
        assert payload(rig, "work.failure")["attempt"] == attempt


def test_a_result_that_says_its_workers_were_lost() -> None:
    rig = rig_of()
    rig.do(rig.result("a", Outcome.WORKER_LOST))
    assert names(rig, "a") == FAILED


@pytest.mark.parametrize("outcome", [Outcome.GIVEN_BACK, Outcome.RETURNED])
def test_an_attempt_that_was_given_back_has_not_failed(outcome: Outcome) -> None:
    rig = rig_of()
    rig.do(rig.result("a", outcome))
    assert names(rig) == []
    rig.operate(OperatorAction.CANCEL_TASK)
    # what was returned waits and has never run; what was given back has been dispatched again
    assert names(rig, "a") == ([] if outcome is Outcome.RETURNED else FAILED)


def test_a_lost_attempt_counts_as_a_failure_that_no_retry_follows() -> None:
    rig = rig_of(steps={"a": {"heartbeat_timeout_ms": 1000}})
    rig.report("a")
    rig.fire()
    rig.do(rig.result("a", Outcome.RETURNED))
    rig.operate(OperatorAction.CANCEL_TASK)
    assert names(rig, "a") == ["work.permanent_failure"]


def test_what_was_given_back_and_taken_off_at_once_has_not_failed() -> None:
    rig = rig_of(PAIR, failure_policy="fail_fast", retry=RetryPolicy(max_attempts=1))
    rig.do(as_a_worker(rig.result("a", Outcome.FAILURE)))
    rig.do(rig.result("b", Outcome.GIVEN_BACK))
    assert rig.edges()[-1] != ("b", "lost", "pending"), "it was cancelled with the same record"
    assert names(rig, "b") == []


def test_the_deadline_ends_what_runs() -> None:
    rig = rig_of({"a": (), "b": (), "c": ("a",)}, lifecycle={"max_duration_ms": 10_000}, retry=TWICE)
    rig.do(as_a_worker(rig.result("b", Outcome.FAILURE)))
    assert names(rig) == RETRIED
    rig.now += 20_000
    rig.do(next(each for each in rig.timers() if each.kind is TimerKind.DEADLINE))
    assert rig.status() == "error"
    assert names(rig, "a") == FAILED
    assert names(rig, "b") == ["work.permanent_failure"], "the failure itself was told before"
    assert names(rig, "c") == [], "it never began"
    assert payload(rig, "job.failed")["error"]["code"] == "deadline_exceeded"
    assert {each.step_name for each in rig.last.domain_events} == {"a", "b", None}
    found = msgspec.json.decode(rig.last.domain_events[0].payload)
    assert (found["error_type"], found["error_code"]) == ("DeadlineExceeded", "deadline_exceeded")


def test_a_cancelled_task_says_who_and_why() -> None:
    rig = rig_of(PAIR)
    rig.operate(OperatorAction.CANCEL_TASK)
    assert names(rig) == [*FAILED, *FAILED, "job.cancelled"]
    found = [msgspec.json.decode(each.payload) for each in rig.last.domain_events]
    assert found[0]["error_code"] == "cancelled"
    assert found[0]["error_message"] == "cancel_task by ada: because"
    assert found[-1]["error"] == {"code": "cancelled", "message": "cancel_task by ada: because"}


def test_a_cancelled_step() -> None:
    rig = rig_of(PAIR)
    rig.operate(OperatorAction.CANCEL_STEP, "a")
    assert names(rig) == FAILED
    rig.succeed("b")
    assert payload(rig, "job.failed")["error"]["code"] == "step_cancelled"


def test_a_step_in_error_that_is_cancelled_has_told_it_before() -> None:
    rig = rig_of(PAIR, retry=RetryPolicy(max_attempts=1))
    rig.do(as_a_worker(rig.result("a", Outcome.FAILURE)))
    assert names(rig) == FAILED
    rig.operate(OperatorAction.CANCEL_STEP, "a")
    assert names(rig) == []


def test_fail_fast_ends_what_waits_for_its_retry() -> None:
    rig = rig_of(PAIR, failure_policy="fail_fast", retry=TWICE, max_parallel_steps=None)
    rig.do(as_a_worker(rig.result("a", Outcome.FAILURE)))
    assert names(rig) == RETRIED
    rig.do(
        as_a_worker(rig.result("b", Outcome.FAILURE, failure=Failure(type="B", code="b", retryable=False)))
    )
    assert names(rig, "b") == FAILED
    assert names(rig, "a") == ["work.permanent_failure"]
    (event,) = [each for each in rig.last.domain_events if each.step_name == "a"]
    assert msgspec.json.decode(event.payload)["error_message"] == "fail_fast"


def test_a_retry_that_fail_fast_takes_back_is_no_retry() -> None:
    rig = rig_of(PAIR, failure_policy="fail_fast", retry=TWICE)
    rig.do(
        as_a_worker(rig.result("b", Outcome.FAILURE, failure=Failure(type="B", code="b", retryable=False)))
    )
    rig.do(as_a_worker(rig.result("a", Outcome.FAILURE)))
    assert rig.live.steps[0].state is StepStatus.CANCELLED
    assert names(rig, "a") == FAILED


def test_what_the_engine_makes_repeats_byte_for_byte_under_an_id_of_its_record() -> None:
    rig = rig_of(steps={"a": {"timeout_ms": 5000}})
    rig.report("a")
    before = rig.state
    (timer,) = rig.timers(now=rig.now + 60_000)
    rig.now += 60_000
    rig.do(timer)
    event = rig.last.domain_events[0]
    assert event.event_id == decided_event_id(TASK_ID, rig.life, rig.record.seq, "a", "work.failure")
    assert (event.key, event.fired_at, event.correlation_id) == (format_id(TASK_ID), rig.now, "story")
    again = outputs(before, rig.state, Command(TASK_ID, timer), rig.record, rig.plan)
    assert again == rig.last


# ------------------------------------------------------------------------------------------ the task's own


def test_a_task_that_completes() -> None:
    rig = rig_of(CHAIN)
    began = rig.now
    rig.succeed("a", "b", "c")
    assert names(rig) == ["job.completed"]
    (event,) = rig.last.domain_events
    assert msgspec.json.decode(event.payload) == {
        "task_id": format_id(TASK_ID),
        "state": "complete",
        "started_at": "2023-11-14T22:13:21.000Z",
        "completed_at": "2023-11-14T22:13:24.000Z",
        "duration": (rig.now - began) / 1000,
        "failed_steps": [],
        "error": None,
    }
    assert (event.step_id, event.step_name, event.attempt) == (None, None, None)
    assert (event.fired_by, event.template, event.task_id) == ("tasker-engine", "shape", TASK_ID)
    assert event.event_id == decided_event_id(TASK_ID, rig.life, rig.record.seq, None, "job.completed")


@pytest.mark.parametrize("bypass", [(), ("a",)])
def test_a_task_that_is_over_with_its_first_decision(bypass: tuple[str, ...]) -> None:
    rig = Rig(with_every_event(plan_of(ONE if bypass else {})))
    rig.start(bypass_steps=bypass, correlation_id="story")
    assert names(rig) == ["job.completed"]
    assert rig.last.domain_events[0].correlation_id == "story"
    assert payload(rig, "job.completed")["duration"] == 0


def test_a_task_that_gives_up_has_failed_and_is_not_blocked() -> None:
    rig = rig_of(retry=RetryPolicy(max_attempts=1))
    rig.fail("a")
    assert names(rig) == ["job.failed"]
    found = payload(rig, "job.failed")
    assert (found["state"], found["failed_steps"]) == ("error", ["a"])
    assert found["error"] == {"code": "step_failed", "message": "a: Boom (boom)"}
    rig.operate(OperatorAction.RETRY_TASK)
    assert names(rig) == []
    rig.fail("a")
    assert names(rig) == ["job.failed"], "each time it fails"


def test_a_blocked_task_waits_and_can_be_resolved() -> None:
    rig = rig_of(retry=RetryPolicy(max_attempts=1), lifecycle={"on_blocked": "wait"})
    rig.fail("a")
    assert names(rig) == ["job.blocked"]
    found = payload(rig, "job.blocked")
    assert (found["completed_at"], found["duration"], found["failed_steps"]) == (None, None, ["a"])
    rig.operate(OperatorAction.RESOLVE_TASK)
    assert names(rig) == ["job.resolved_manually"]
    assert payload(rig, "job.resolved_manually")["failed_steps"] == ["a"]


def test_staleness_that_is_only_reported_is_no_end() -> None:
    lifecycle = {"on_blocked": "wait", "stale_after_ms": 5000, "staleness_action": "dlq"}
    rig = rig_of(retry=RetryPolicy(max_attempts=1), lifecycle=lifecycle)
    rig.fail("a")
    rig.fire()
    assert rig.edges() == [(None, "stale_reported", "blocked_by_failures")]
    assert names(rig) == []


# -------------------------------------------------------------------------------------------- declarations


def declared(**fields: Any) -> Plan:
    """One step with one declared failure, and a task with one declared end."""
    of_step = declarations(("failure",), "work", **fields)
    return plan_of(
        ONE,
        steps={"a": {"publishes_events": of_step}},
        publishes_events=declarations(OF_TASKS, "job", **fields),
    )


def test_what_does_not_fit_the_schema_is_not_made_and_said() -> None:
    rig = Rig(declared(schema={"type": "object", "required": ["amount"]}))
    rig.start()
    rig.operate(OperatorAction.CANCEL_TASK)
    assert rig.last.domain_events == ()
    assert len(rig.last.dropped_events) == 2
    assert (
        "step a: the event 'work.failure' is not made: its schema does not fit" in rig.last.dropped_events[0]
    )


def test_keys_masks_and_deliveries_are_as_declared() -> None:
    schema = {"type": "object", "properties": {"error_message": {"x-redact": True}}}
    rig = Rig(declared(key="$.error_code", schema=schema, delivery=Delivery.FIRE_AND_FORGET))
    rig.start()
    rig.operate(OperatorAction.CANCEL_TASK)
    step, task = rig.last.domain_events
    assert (step.key, step.delivery) == ("cancelled", Delivery.FIRE_AND_FORGET)
    assert msgspec.json.decode(step.payload)["error_message"] == "[FILTERED]"
    assert task.key == format_id(TASK_ID), "nothing at the key's path: in the order of the task"


def test_a_fault_of_a_declaration_costs_the_event_and_nothing_else() -> None:
    bad = EventDeclaration(
        name="job.cancelled", delivery=Delivery.DURABLE, condition=EventCondition.CANCELLED, key="no path"
    )
    rig = Rig(plan_of(ONE, publishes_events=(bad,)))
    rig.start()
    answer = rig.operate(OperatorAction.CANCEL_TASK)
    assert answer.code == "accepted"
    assert rig.last.domain_events == ()
    assert rig.last.dropped_events == ("of_task: PathError",)


def test_a_plan_without_events_has_none() -> None:
    rig = Rig(plan_of(ONE))
    rig.start()
    rig.operate(OperatorAction.CANCEL_TASK)
    assert (rig.last.domain_events, rig.last.dropped_events) == ((), ())
