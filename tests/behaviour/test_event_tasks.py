"""What a task tells of itself, what repeats look like; and that nobody who listens changes a task."""

from __future__ import annotations

from typing import Any

from tasker_kafka.handlers import DomainEvent, PermanentError, Subscriber
from tasker_kafka.handlers.testing import always, fail_times
from tasker_kafka.schemas.template import Lifecycle
from tasker_kafka.schemas.words import StepStatus, TaskStatus
from tests.support.behaviour import ONCE, QUICK, Gate, Play
from tests.support.events import retrying
from tests.support.published_flows import CHARGED, FAILURES, events, names, of_the_task, wait_names
from tests.support.troubled import TROUBLES, troubled


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
    workflow.add_subscribers(
        troubled("troubled", retrying(0.01, attempts=2, timeout_seconds=0.2), "payment.*"), steady
    )
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
    assert {letter.journey.subscription for letter in letters} == {*TROUBLES}


def test_a_subscriber_gets_what_a_workflow_publishes(events_play: Play) -> None:
    audit = Subscriber("audit")

    @audit.on("payment.charged")
    async def record(event: DomainEvent[Any]) -> None: ...

    events_play.workflow.add_subscribers(audit)
    flow = events_play.flow().step("charge", always({"amount": 3}), publishes_events=[CHARGED])
    flow.publish()
    result = flow.run().assert_complete()
    workflow = events_play.workflow
    workflow.events.wait_delivered("audit/record")
    (event,) = workflow.events.handled("audit/record")
    assert (event.payload, event.metadata.task_id) == ({"amount": 3}, result.task_id)
