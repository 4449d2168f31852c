"""What time does: starts, deadlines, timeouts of queues and runs, silence, staleness, and forgetting."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from tasker_kafka.handlers import StepContext
from tasker_kafka.schemas.errors import RequestRejected
from tasker_kafka.schemas.template import Lifecycle, Retry
from tasker_kafka.schemas.words import Outcome, StepStatus, TaskStatus
from tests.support.behaviour import ONCE, QUICK, Gate, Play
from tests.support.patience import PATIENCE_SECONDS


def test_a_task_starts_not_before_it_is_told(play: Play) -> None:
    flow = play.flow().step("one").publish()
    start = play.workflow.now_ms + 400
    task = flow.submit(not_before=start)
    assert task.advance(0.1).state is TaskStatus.PENDING
    assert flow.handled("one") == []
    result = task.wait().assert_complete()
    first = next(each for each in result.transitions if each.to_state is TaskStatus.IN_PROGRESS)
    assert first.at >= start


def test_a_task_without_steps_also_waits_for_its_start(play: Play) -> None:
    flow = play.flow().publish()
    start = play.workflow.now_ms + 300
    result = flow.run(not_before=start).assert_complete()
    assert result.transitions[-1].at >= start


def test_the_deadline_ends_the_task_and_stops_its_handlers(play: Play) -> None:
    stopped: list[str] = []

    async def endless() -> None:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            stopped.append("endless")
            raise

    flow = (
        play.flow(lifecycle=Lifecycle(max_duration_seconds=2)).step("one", endless).step("two", after=["one"])
    )
    task = flow.submit()
    result = task.wait().assert_state(TaskStatus.ERROR)
    assert result.closed is not None
    assert result.closed.error_code == "deadline_exceeded"
    assert result.steps["one"].state is StepStatus.CANCELLED
    assert result.steps["two"].state is StepStatus.PENDING
    play.workflow.wait_until(
        lambda: stopped == ["endless"], timeout=PATIENCE_SECONDS
    )  # long before its own timeout


def test_the_deadline_counts_anew_after_a_retry(play: Play) -> None:
    gate = Gate("late")
    flow = play.flow(lifecycle=Lifecycle(max_duration_seconds=3)).step("one", gate.handler)
    task = flow.submit()
    task.wait().assert_state(TaskStatus.ERROR)
    gate.open()
    task.retry()
    assert task.wait().assert_complete().output == {"one": "late"}


def test_an_async_handler_is_stopped_when_its_time_is_up(play: Play) -> None:
    async def slow(context: StepContext) -> str:
        if context.attempt == 1:
            await asyncio.sleep(600)
        return "quick"

    result = play.flow().step("one", slow, timeout_seconds=1, retry=QUICK).run().assert_complete()
    first, second = result.steps["one"].attempts
    assert first.failure is not None
    assert first.failure.code == "timeout"
    assert second.outcome is Outcome.SUCCESS


def test_a_plain_handler_whose_time_is_up_is_abandoned_and_its_late_success_counts(play: Play) -> None:
    def slow(context: StepContext) -> str:
        time.sleep(0.5)
        return f"attempt {context.attempt}"

    retry = Retry(backoff_base_ms=30_000, jitter=0.0)
    result = play.flow().step("one", slow, timeout_seconds=0.2, retry=retry).run().assert_complete()
    (attempt,) = result.steps["one"].attempts
    assert attempt.is_late
    assert result.output == {"one": "attempt 1"}


def test_a_plain_handler_that_never_ends_burns_its_attempts(play: Play) -> None:
    def endless(context: StepContext) -> None:
        while not context.cancelled:
            time.sleep(0.01)
        context.raise_if_cancelled()

    result = (
        play.flow()
        .step("one", endless, timeout_seconds=0.1, retry=Retry(max_attempts=2, backoff="none"))
        .run()
    )
    assert [attempt.failure.code for attempt in result.steps["one"].attempts if attempt.failure] == [
        "timeout"
    ] * 2
    assert result.state is TaskStatus.ERROR


def test_a_dispatch_that_nobody_took_in_time_is_a_failed_attempt(play: Play) -> None:
    async def never() -> None:
        raise AssertionError("its time in the queue is over")

    flow = play.flow().step("one", never, queue_timeout_seconds=0.001, retry=ONCE)
    gate = Gate()
    crowd = play.flow()
    for number in range(100):  # as many as the worker runs at once
        crowd.step(f"crowd_{number}", gate.handler)
    busy = crowd.submit()
    play.workflow.wait_until(lambda: gate.most_at_once == 100)
    result = flow.run().assert_state(TaskStatus.ERROR)
    assert result.errors["one"].code == "queue_timeout"
    assert flow.handled("one") == []
    gate.open()
    busy.wait().assert_complete()


def test_a_lost_worker_costs_no_attempt_and_the_next_begins_at_once(memory_play: Play) -> None:
    async def first_hangs(context: StepContext) -> str:
        if context.attempt == 1:
            await asyncio.sleep(600)
        return "done"

    flow = memory_play.flow().step("one", first_hangs, heartbeat_timeout_seconds=5, retry=ONCE)
    task = flow.submit()
    task.wait_until(
        lambda seen: seen.steps.get("one") is not None and StepStatus.IN_PROGRESS in seen.steps["one"].states
    )
    memory_play.workflow.advance(0.5)  # that its dispatch is finished is committed
    memory_play.workflow.restart_workers(crash=True)
    result = task.wait().assert_complete()
    lost, done = result.steps["one"].attempts
    assert lost.outcome is Outcome.WORKER_LOST
    assert not lost.is_counted
    assert (done.number, done.outcome) == (2, Outcome.SUCCESS)


def test_a_worker_lost_before_its_handler_was_reported_leaves_the_same_attempt_to_the_next(
    memory_play: Play,
) -> None:
    gate = Gate("done")
    flow = memory_play.flow().step("one", gate.handler, retry=ONCE)
    task = flow.submit()
    flow.wait_handled("one")
    memory_play.workflow.restart_workers(crash=True)
    flow.wait_handled("one", 2)
    gate.open()
    (attempt,) = task.wait().assert_complete().steps["one"].attempts
    assert [call.attempt for call in flow.handled("one")] == [1, 1]
    assert attempt.number == 1


def test_the_third_loss_of_a_step_is_final(memory_play: Play) -> None:
    gate = Gate()
    flow = memory_play.flow().step("one", gate.handler, heartbeat_timeout_seconds=1)
    task = flow.submit()
    for attempt in (1, 2, 3):
        flow.wait_handled("one", attempt)
        memory_play.workflow.advance(0.5)
        memory_play.workflow.restart_workers(crash=True)
    result = task.wait().assert_state(TaskStatus.ERROR)
    assert result.errors["one"].code == "worker_lost"


def test_a_worker_that_stops_gives_running_steps_back_uncounted(play: Play) -> None:
    async def first_hangs(context: StepContext) -> str:
        if context.attempt == 1:
            await asyncio.sleep(600)
        return "done"

    flow = play.flow().step("one", first_hangs, retry=ONCE)
    task = flow.submit()
    flow.wait_handled("one")
    play.workflow.advance(0.5)
    play.workflow.restart_workers()
    given, done = task.wait().assert_complete().steps["one"].attempts
    assert (given.is_counted, done.number) == (False, 2)


def test_a_task_that_stays_blocked_too_long_ends_if_its_template_says_so(play: Play) -> None:
    lifecycle = Lifecycle(on_blocked="wait", stale_after_seconds=0.3, staleness_action="error")
    flow = play.flow(lifecycle=lifecycle).step("one", _fails, retry=ONCE)
    result = flow.run().assert_state(TaskStatus.ERROR)
    assert TaskStatus.BLOCKED_BY_FAILURES in result.states


def test_a_finished_task_is_forgotten_and_its_request_expires(memory_play: Play) -> None:
    workflow = memory_play.workflow
    flow = memory_play.flow(identity="caller_provided", lifecycle=Lifecycle(retention_hours=1)).step("one")
    flow.run(idempotency_key="a").assert_complete()
    with pytest.raises(RequestRejected) as duplicate:
        flow.run(idempotency_key="a")
    assert duplicate.value.code == "duplicate"
    workflow.advance(3600 + 120)
    second = flow.run(idempotency_key="a").assert_complete()
    assert len(flow.handled("one")) == 2
    assert second.transitions[0].at > 3_600_000


def _fails() -> Any:
    raise RuntimeError("as meant")
