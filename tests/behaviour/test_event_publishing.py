"""Which events a task publishes, how often and with what in them; and that nobody who listens changes a task."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import pytest

from tasker_kafka.handlers import DomainEvent, PermanentError, RetryableError, StepContext, Subscriber
from tasker_kafka.handlers.testing import always, fail_times
from tasker_kafka.schemas.template import Event, Lifecycle
from tasker_kafka.schemas.words import StepStatus, TaskStatus
from tests.support.behaviour import ONCE, QUICK, Flow, Gate, Play
from tests.support.events import retrying

CHARGED = Event(
    "payment.charged",
    delivery="durable",
    schema={
        "type": "object",
        "required": ["amount"],
        "properties": {"amount": {"type": "integer"}, "card": {"type": "string", "x-redact": True}},
    },
)
FAILURES = [
    Event("payment.failed", delivery="durable", condition="failure"),
    Event("payment.delayed", delivery="durable", condition="retryable_failure"),
    Event("payment.lost", delivery="durable", condition="permanent_failure"),
    Event("payment.tried", delivery="durable", condition="always"),
]


def events(flow: Flow, task_id: str | None = None) -> list[DomainEvent[Any]]:
    """What the flow's tasks have published until now."""
    found = flow.play.workflow.events.published()
    own = [event for event in found if event.metadata.template == flow.name]
    return [event for event in own if task_id in (None, event.metadata.task_id)]


def names(flow: Flow) -> list[str]:
    """Their names, sorted."""
    return sorted(event.name for event in events(flow))


def wait_names(flow: Flow, count: int) -> list[str]:
    """As soon as there are so many; what is sent last may still be on its way when the task is closed."""
    for _ in range(200):
        if len(events(flow)) >= count:
            break
        flow.play.workflow.advance(0.02)
    return names(flow)


# ------------------------------------------------------------------------------------------- from a handler


def test_what_a_handler_publishes_is_there_once_its_result_is_accepted(play: Play) -> None:
    async def charge(context: StepContext) -> str:
        await context.publish("payment.charged", {"amount": 7})
        return "paid"

    flow = play.flow().step("charge", charge, publishes_events=[CHARGED])
    result = flow.run().assert_complete()
    (event,) = events(flow)
    assert (event.name, event.payload, event.version) == ("payment.charged", {"amount": 7}, "1.0")
    assert (event.namespace, event.delivery, event.key) == ("default", "durable", result.task_id)
    metadata = event.metadata
    assert (metadata.task_id, metadata.step_name, metadata.attempt) == (result.task_id, "charge", 1)
    assert metadata.template_version == "1.0.0"
    assert metadata.correlation_id == result.correlation_id
    assert event.headers["ce_type"] == b"payment.charged"
    assert event.headers["ce_id"].decode() == event.event_id
    assert event.headers["ce_subject"].decode() == result.task_id


def test_a_plain_function_publishes_too(play: Play) -> None:
    def charge(context: StepContext) -> None:
        context.publish_and_wait("payment.charged", {"amount": 7})

    flow = play.flow().step("charge", charge, publishes_events=[CHARGED])
    flow.run().assert_complete()
    assert [event.payload for event in events(flow)] == [{"amount": 7}]


def test_an_event_may_be_published_several_times_each_with_its_own_id(play: Play) -> None:
    async def charge(context: StepContext) -> None:
        for amount in (1, 2, 3):
            await context.publish("payment.charged", {"amount": amount})

    flow = play.flow().step("charge", charge, publishes_events=[CHARGED])
    flow.run().assert_complete()
    found = events(flow)
    assert [event.payload["amount"] for event in found] == [1, 2, 3]
    assert len({event.event_id for event in found}) == 3


def test_an_attempt_that_fails_publishes_nothing_that_is_for_success(play: Play) -> None:
    async def charge(context: StepContext) -> None:
        await context.publish("payment.charged", {"amount": context.attempt})
        if context.attempt < 3:
            raise RetryableError("not yet")

    flow = play.flow().step("charge", charge, retry=QUICK, publishes_events=[CHARGED])
    flow.run().assert_complete()
    assert [(event.payload, event.metadata.attempt) for event in events(flow)] == [({"amount": 3}, 3)]


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ({"amount": "seven"}, "amount"),
        ({}, "amount"),
        ([1], "payment.charged"),
        ({"amount": 1e999}, "payment.charged"),
    ],
)
def test_a_payload_that_is_not_as_declared_fails_the_attempt_with_the_path(
    play: Play, payload: Any, said: str
) -> None:
    async def charge(context: StepContext) -> None:
        await context.publish("payment.charged", payload)

    flow = play.flow().step("charge", charge, retry=QUICK, publishes_events=[CHARGED])
    result = flow.run().assert_state(TaskStatus.ERROR)
    assert len(result.steps["charge"].attempts) == 1
    assert said in result.errors["charge"].message
    assert events(flow) == []


def test_an_undeclared_name_fails_the_attempt(play: Play) -> None:
    async def charge(context: StepContext) -> None:
        await context.publish("payment.charge", {"amount": 1})

    flow = play.flow().step("charge", charge, retry=QUICK, publishes_events=[CHARGED])
    result = flow.run().assert_state(TaskStatus.ERROR)
    assert "payment.charged" in result.errors["charge"].message, "the nearest name is told"
    assert events(flow) == []


def test_what_is_to_be_redacted_is_masked_in_the_payload(play: Play) -> None:
    async def charge(context: StepContext) -> None:
        await context.publish("payment.charged", {"amount": 7, "card": "4111111111111111"})

    flow = play.flow().step("charge", charge, publishes_events=[CHARGED])
    flow.run().assert_complete()
    (event,) = events(flow)
    assert event.payload["amount"] == 7
    assert "4111" not in event.payload["card"]


def test_the_key_is_taken_from_the_payload(play: Play) -> None:
    keyed = Event("payment.charged", delivery="durable", key="$.customer.id")
    flow = play.flow().step("charge", always({"customer": {"id": "c 7"}}), publishes_events=[keyed])
    flow.run().assert_complete()
    assert [event.key for event in events(flow)] == ["c 7"]


def test_fire_and_forget_leaves_once_the_result_is_in_the_log(play: Play) -> None:
    async def charge(context: StepContext) -> None:
        await context.publish("payment.seen", {"attempt": context.attempt})
        if context.attempt == 1:
            raise RetryableError("not yet")

    lossy = Event("payment.seen", delivery="fire_and_forget")
    flow = play.flow().step("charge", charge, retry=QUICK, publishes_events=[lossy])
    flow.run().assert_complete()
    assert wait_names(flow, 1) == ["payment.seen"]
    assert [event.payload for event in events(flow)] == [{"attempt": 2}]


# --------------------------------------------------------------------------------------------- declared


def test_a_declared_event_that_the_handler_did_not_publish_is_made_from_its_result(play: Play) -> None:
    flow = play.flow().step("charge", always({"amount": 9, "note": "x"}), publishes_events=[CHARGED])
    flow.run().assert_complete()
    assert [event.payload for event in events(flow)] == [{"amount": 9, "note": "x"}]


def test_a_result_that_does_not_fit_makes_no_event_and_harms_no_task(play: Play) -> None:
    flow = play.flow().step("charge", always({"amount": "nine"}), publishes_events=[CHARGED])
    flow.run().assert_complete()
    assert events(flow) == []


def test_each_failed_attempt_tells_what_follows(play: Play) -> None:
    flow = play.flow().step("charge", fail_times(9), retry=QUICK, publishes_events=FAILURES)
    flow.run().assert_state(TaskStatus.ERROR)
    found = [(event.metadata.attempt, event.name) for event in events(flow)]
    assert sorted(found) == [
        (1, "payment.delayed"),
        (1, "payment.failed"),
        (1, "payment.tried"),
        (2, "payment.delayed"),
        (2, "payment.failed"),
        (2, "payment.tried"),
        (3, "payment.failed"),
        (3, "payment.lost"),
        (3, "payment.tried"),
    ]
    first = next(event for event in events(flow) if event.name == "payment.failed")
    assert first.payload.keys() == {"error_type", "error_code", "error_message", "attempt"}
    assert first.payload["attempt"] == 1


def test_a_permanent_failure_is_told_once(play: Play) -> None:
    flow = play.flow().step("charge", always(PermanentError("no", code="stolen")), publishes_events=FAILURES)
    flow.run().assert_state(TaskStatus.ERROR)
    assert names(flow) == ["payment.failed", "payment.lost", "payment.tried"]
    assert {event.payload["error_code"] for event in events(flow)} == {"stolen"}


def test_success_tells_no_failure(play: Play) -> None:
    flow = play.flow().step("charge", always({}), publishes_events=[*FAILURES, CHARGED])
    flow.run().assert_complete()
    assert names(flow) == ["payment.tried"], "the result does not fit payment.charged"


def test_a_timeout_is_told_by_the_engine(play: Play) -> None:
    flow = play.flow().step(
        "charge", Gate().handler, timeout_seconds=0.3, retry=ONCE, publishes_events=FAILURES
    )
    flow.run().assert_state(TaskStatus.ERROR)
    assert wait_names(flow, 3) == ["payment.failed", "payment.lost", "payment.tried"]
    assert len({event.event_id for event in events(flow)}) == 3


def test_a_cancelled_step_is_told(play: Play) -> None:
    gate = Gate()
    flow = play.flow().step("charge", gate.handler, publishes_events=FAILURES)
    task = flow.submit()
    flow.wait_handled("charge")
    task.cancel(reason="changed my mind")
    task.wait().assert_state(TaskStatus.CANCELLED)
    gate.open()
    found = wait_names(flow, 1)
    assert found.count("payment.lost") == 1
    play.workflow.advance(0.5)
    assert names(flow).count("payment.lost") == 1, "a late result of the attempt tells nothing more"


def test_a_deadline_is_told_once_for_a_step_that_runs(play: Play) -> None:
    flow = play.flow(lifecycle=Lifecycle(max_duration_seconds=1))
    flow.step("charge", Gate().handler, retry=ONCE, publishes_events=FAILURES)
    flow.run().assert_state(TaskStatus.ERROR)
    assert wait_names(flow, 3).count("payment.lost") == 1


# --------------------------------------------------------------------------------------------- of the task


def of_the_task(play: Play, **options: Any) -> Flow:
    """A flow whose task tells each of its ends."""
    flow = play.flow(**options)
    for condition in ("completed", "failed", "cancelled", "blocked", "resolved_manually"):
        flow.template.event(Event(f"order.{condition}", delivery="durable", condition=condition))
    return flow


def test_a_task_that_completes_says_so(play: Play) -> None:
    flow = of_the_task(play).step("one").step("two", after=["one"])
    result = flow.run().assert_complete()
    assert wait_names(flow, 1) == ["order.completed"]
    (event,) = events(flow)
    assert event.payload["task_id"] == result.task_id
    assert event.payload["state"] == "complete"
    assert event.payload["failed_steps"] == []
    assert event.payload["duration"] >= 0
    assert event.metadata.step_name is None


def test_a_task_that_fails_says_so_and_why(play: Play) -> None:
    flow = of_the_task(play).step("one", always(PermanentError("no", code="stolen")))
    flow.run().assert_state(TaskStatus.ERROR)
    assert wait_names(flow, 1) == ["order.failed"], "it is told where it comes to rest, not what it passes"
    (failed,) = events(flow)
    assert failed.payload["failed_steps"] == ["one"]
    assert failed.payload["error"]


def test_a_cancelled_task_says_so(play: Play) -> None:
    gate = Gate()
    flow = of_the_task(play).step("one", gate.handler)
    task = flow.submit()
    flow.wait_handled("one")
    task.cancel()
    task.wait().assert_state(TaskStatus.CANCELLED)
    gate.open()
    assert wait_names(flow, 1) == ["order.cancelled"]


def test_a_task_resolved_by_hand_says_so(play: Play) -> None:
    flow = of_the_task(play, lifecycle=Lifecycle(on_blocked="wait"))
    flow.step("one", always(PermanentError("no")))
    task = flow.submit()
    task.wait_until(TaskStatus.BLOCKED_BY_FAILURES)
    task.resolve(reason="dealt with by phone")
    task.wait()
    assert wait_names(flow, 2) == ["order.blocked", "order.resolved_manually"]


def test_a_reopened_task_tells_its_second_end_with_another_id(play: Play) -> None:
    flow = of_the_task(play).step("one", fail_times(2, error=PermanentError("no")), retry=ONCE)
    task = flow.submit()
    task.wait().assert_state(TaskStatus.ERROR)
    task.retry()
    task.wait_until(lambda seen: len(seen.steps["one"].attempts) == 2 and seen.state is TaskStatus.ERROR)
    assert wait_names(flow, 2) == ["order.failed", "order.failed"]
    assert len({event.event_id for event in events(flow)}) == 2


# ----------------------------------------------------------------------------------- repeats and restarts


def test_a_worker_that_is_killed_publishes_nothing_twice(memory_play: Play) -> None:
    gate = Gate({"amount": 1})
    flow = memory_play.flow().step("charge", gate.handler, publishes_events=[CHARGED])
    task = flow.submit()
    flow.wait_handled("charge")
    memory_play.workflow.restart_workers(crash=True)
    gate.open()
    task.wait().assert_complete()
    assert names(flow) == ["payment.charged"]


def test_an_engine_that_reads_everything_again_repeats_the_same_ids(memory_play: Play) -> None:
    flow = of_the_task(memory_play).step("charge", always({"amount": 1}), publishes_events=[CHARGED])
    flow.run().assert_complete()
    before = {event.event_id for event in events(flow)}
    assert len(before) == 2
    memory_play.read_requests_again()
    memory_play.workflow.advance(5)
    assert {event.event_id for event in events(flow)} == before


# ----------------------------------------------------------------------------- those who listen change nothing


def troubled(group: str, **options: Any) -> Subscriber:
    """A group in every kind of trouble."""
    subscriber = Subscriber(group, retry=retrying(0.01, attempts=2, timeout_seconds=0.2), **options)

    @subscriber.on("payment.*")
    async def raising(event: DomainEvent[Any]) -> None:
        raise ValueError("no")

    @subscriber.on("payment.*")
    async def hanging(event: DomainEvent[Any]) -> None:
        await asyncio.Event().wait()

    @subscriber.on("payment.*")
    async def exiting(event: DomainEvent[Any]) -> None:
        sys.exit(1)

    @subscriber.on("payment.*")
    async def eating(event: DomainEvent[Any]) -> None:
        raise MemoryError

    @subscriber.on("payment.*")
    def slow(event: DomainEvent[Any]) -> None:
        time.sleep(0.01)

    return subscriber


def test_no_subscriber_changes_a_task_or_stops_another(events_play: Play) -> None:
    steady = Subscriber("steady")
    seen: list[str] = []

    @steady.on("payment.*", "order.*")
    async def note(event: DomainEvent[Any]) -> None:
        seen.append(event.name)

    workflow = events_play.workflow
    alone = of_the_task(events_play).step(
        "charge", fail_times(1, then={"amount": 1}), retry=QUICK, publishes_events=[*FAILURES, CHARGED]
    )
    quiet = alone.run().assert_complete()
    workflow.add_subscribers(troubled("troubled"), steady)
    flow = of_the_task(events_play).step(
        "charge", fail_times(1, then={"amount": 1}), retry=QUICK, publishes_events=[*FAILURES, CHARGED]
    )
    loud = flow.run().assert_complete()
    workflow.events.settle()

    def story(result: Any) -> list[tuple[str | None, str]]:
        return [(each.step, str(each.to_state)) for each in result.transitions]

    assert story(quiet) == story(loud)
    assert loud.steps["charge"].state is StepStatus.COMPLETE
    assert sorted(seen) == sorted([*names(alone), *names(flow)])
    troubled_calls = [call for call in workflow.events.delivered() if call.group == "troubled"]
    assert troubled_calls
    letters = workflow.events.dead_letters("troubled")
    assert {letter.journey.subscription for letter in letters} == {"raising", "hanging", "exiting", "eating"}


def test_a_subscriber_gets_what_a_workflow_publishes(events_play: Play) -> None:
    audit = Subscriber("audit")

    @audit.on("payment.charged")
    async def record(event: DomainEvent[Any]) -> None: ...

    events_play.workflow.add_subscribers(audit)
    flow = events_play.flow().step("charge", always({"amount": 3}), publishes_events=[CHARGED])
    flow.publish()
    result = flow.run().assert_complete()
    workflow = events_play.workflow
    workflow.events.wait_delivered("audit/record", timeout=60)
    (event,) = workflow.events.handled("audit/record")
    assert (event.payload, event.metadata.task_id) == ({"amount": 3}, result.task_id)
