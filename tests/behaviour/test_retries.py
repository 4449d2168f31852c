"""What a failed attempt leads to: retries and their delays, the end of the budget, and what the task makes of it."""

from __future__ import annotations

import pytest

from tasker_kafka.handlers import PermanentError, RetryableError, failure
from tasker_kafka.handlers.testing import TaskResult, always, fail_times
from tasker_kafka.schemas.template import Lifecycle, Retry
from tasker_kafka.schemas.words import StepStatus, TaskStatus
from tests.support.behaviour import ONCE, QUICK, Gate, Play


def delays(result: TaskResult, step: str) -> list[int]:
    """The delay from each failure to the next attempt, ms."""
    return [
        attempt.next_retry_at - attempt.finished_at
        for attempt in result.steps[step].attempts
        if attempt.next_retry_at is not None and attempt.finished_at is not None
    ]


def test_a_step_that_fails_twice_succeeds_at_its_third_attempt(play: Play) -> None:
    flow = play.flow().step("charge", fail_times(2, then="paid"), retry=QUICK)
    result = flow.run().assert_complete()
    step = result.steps["charge"]
    assert step.result == "paid"
    assert [attempt.number for attempt in step.attempts] == [1, 2, 3]
    assert [attempt.outcome for attempt in step.attempts] == ["failure", "failure", "success"]
    assert [call.attempt for call in flow.handled("charge")] == [1, 2, 3]
    assert [call.is_last_attempt for call in flow.handled("charge")] == [False, False, True]
    assert TaskStatus.WAITING_FOR_RETRY in result.states


@pytest.mark.parametrize(
    ("backoff", "expected"),
    [
        ("exponential", [20, 40, 80, 100]),
        ("linear", [10, 20, 30, 40]),
        ("fibonacci", [10, 20, 30, 50]),
        ("none", [0, 0, 0, 0]),
    ],
)
def test_backoff(play: Play, backoff: str, expected: list[int]) -> None:
    retry = Retry(max_attempts=5, backoff=backoff, backoff_base_ms=10, max_backoff_ms=100, jitter=0.0)
    result = play.flow().step("one", fail_times(4), retry=retry).run().assert_complete()
    assert delays(result, "one") == expected
    assert len(result.steps["one"].attempts) == 5


def test_default_backoff_takes_its_time(memory_play: Play) -> None:
    flow = memory_play.flow().step("one", fail_times(2), retry=Retry(jitter=0.0))
    began = memory_play.workflow.now_ms
    result = flow.run().assert_complete()
    assert delays(result, "one") == [2_000, 4_000]
    taken = memory_play.workflow.now_ms - began
    assert 6_000 <= taken < 6_500


def test_time_skipped_is_time_passed(memory_play: Play) -> None:
    flow = memory_play.flow().step("one", fail_times(1), retry=Retry(backoff_base_ms=30_000, jitter=0.0))
    task = flow.submit()
    assert task.advance(29).state is TaskStatus.WAITING_FOR_RETRY
    assert task.advance(2).state is TaskStatus.COMPLETE


def test_jitter_stays_within_its_share(play: Play) -> None:
    flow = play.flow().step("one", fail_times(1), retry=Retry(backoff_base_ms=20, jitter=0.5))
    found = [delays(flow.run(), "one")[0] for _ in range(5)]
    assert all(20 <= delay <= 60 for delay in found)
    assert len(set(found)) > 1


def test_a_server_says_when_to_come_back_for_the_next_attempt_only(play: Play) -> None:
    calls = iter([RetryableError("busy", retry_after=0.05), RetryableError("again")])

    async def busy() -> str:
        for error in calls:
            raise error
        return "done"

    result = play.flow().step("one", busy, retry=QUICK).run().assert_complete()
    assert delays(result, "one") == [50, 40]


def test_a_permanent_failure_ends_the_step_and_the_task(play: Play) -> None:
    flow = play.flow().step("charge", always(PermanentError("card stolen", code="card_stolen")), retry=QUICK)
    result = flow.step("ship", after=["charge"]).run().assert_state(TaskStatus.ERROR)
    assert result.states[-2:] == (TaskStatus.BLOCKED_BY_FAILURES, TaskStatus.ERROR)
    assert len(result.steps["charge"].attempts) == 1
    assert result.errors["charge"].code == "card_stolen"
    assert result.closed is not None
    assert "charge" in result.closed.error_message
    assert result.steps["ship"].state is StepStatus.PENDING
    assert result.output is None
    assert flow.handled("ship") == []


def test_a_returned_failure_counts_as_a_raised_one(play: Play) -> None:
    ends = always(failure("no stock", error_code="no_stock", retryable=False, metadata={"sku": 7}))
    result = play.flow().step("reserve", ends).run().assert_state(TaskStatus.ERROR)
    (attempt,) = result.steps["reserve"].attempts
    assert attempt.failure is not None
    assert (attempt.failure.code, attempt.metadata) == ("no_stock", {"sku": 7})


def test_the_budget_ends_the_step(play: Play) -> None:
    result = play.flow().step("one", fail_times(9), retry=QUICK).run().assert_state(TaskStatus.ERROR)
    assert len(result.steps["one"].attempts) == 3


@pytest.mark.parametrize("retry", [Retry(retryable=False), Retry(max_attempts=0), ONCE])
def test_the_first_attempt_is_always_allowed(play: Play, retry: Retry) -> None:
    assert play.flow().step("one", retry=retry).run().assert_complete()
    result = play.flow().step("one", fail_times(1), retry=retry).run().assert_state(TaskStatus.ERROR)
    assert len(result.steps["one"].attempts) == 1


def test_codes_that_are_never_retried(play: Play) -> None:
    retry = Retry(backoff_base_ms=10, non_retryable=["no_funds"])
    flow = play.flow().step("one", fail_times(1, error=RetryableError("empty", code="no_funds")), retry=retry)
    assert len(flow.run().assert_state(TaskStatus.ERROR).steps["one"].attempts) == 1


def test_other_branches_run_on_beside_a_failure(play: Play) -> None:
    flow = play.flow().step("bad", fail_times(1), retry=ONCE).step("worse", after=["bad"])
    flow.step("good").step("better", after=["good"])
    result = flow.run().assert_state(TaskStatus.ERROR)
    assert result.steps["better"].state is StepStatus.COMPLETE
    assert result.steps["worse"].state is StepStatus.PENDING


def test_fail_fast_cancels_what_has_not_begun_and_lets_the_running_finish(play: Play) -> None:
    gate = Gate("done")
    flow = play.flow(failure_policy="fail_fast")
    flow.step("bad", fail_times(1), retry=ONCE).step("running", gate.handler).step("later", after=["running"])
    task = flow.submit()
    task.wait_until(lambda seen: seen.steps["bad"].state is StepStatus.ERROR)
    gate.open()
    result = task.wait().assert_state(TaskStatus.ERROR)
    assert result.steps["running"].state is StepStatus.COMPLETE
    assert result.steps["later"].state is StepStatus.CANCELLED


def test_fail_fast_gives_back_what_it_cancelled_once_the_failure_is_dealt_with(play: Play) -> None:
    flow = play.flow(failure_policy="fail_fast", max_parallel_steps=1)
    flow.step("bad", fail_times(1, then="good"), retry=ONCE).step("waits")
    task = flow.submit()
    assert task.wait().steps["waits"].state is StepStatus.CANCELLED
    task.retry("bad")
    assert task.wait().assert_complete().output == {"bad": "good", "waits": "waits"}


def test_a_blocked_task_may_wait_for_an_operator(play: Play) -> None:
    flow = play.flow(lifecycle=Lifecycle(on_blocked="wait")).step("one", fail_times(1), retry=ONCE)
    task = flow.submit()
    task.wait_until(TaskStatus.BLOCKED_BY_FAILURES)
    assert task.advance(0.2).state is TaskStatus.BLOCKED_BY_FAILURES
    task.retry()
    task.wait().assert_complete()


def test_a_retry_beyond_the_deadline_is_not_waited_for(play: Play) -> None:
    flow = play.flow(lifecycle=Lifecycle(max_duration_seconds=30))
    flow.step("one", fail_times(1), retry=Retry(backoff_base_ms=60_000, max_backoff_ms=60_000))
    result = flow.run().assert_state(TaskStatus.ERROR)
    (attempt,) = result.steps["one"].attempts
    assert attempt.next_retry_at is None
    assert result.steps["one"].state is StepStatus.ERROR
    assert TaskStatus.WAITING_FOR_RETRY not in result.states
