"""When a failed attempt is tried again: exact delays, budgets, what is not retried."""

from typing import Any

import pytest

from tasker_kafka.schemas.identity import jitter_unit
from tasker_kafka.schemas.plan import RetryPolicy
from tasker_kafka.schemas.records import Failure
from tasker_kafka.schemas.state import StepState
from tasker_kafka.schemas.words import OperatorAction, StepStatus, TaskStatus, TransitionEvent
from tasker_kafka.streams.domain.retry import allows_retry, backoff_ms, budget, delay_ms, is_last_attempt
from tests.support.tasks import CHAIN, ONE, PAIR, TASK_ID, Rig, plan_of

BOOM = Failure(type="Boom", code="boom")


def delays(policy: RetryPolicy, count: int) -> list[int]:
    """The delays after the first `count` failed attempts, ms."""
    return [delay_ms(policy, StepState(name="a", attempt=n), BOOM, TASK_ID) for n in range(1, count + 1)]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, [2000, 4000, 8000, 16000, 30000, 30000]),
        ({"max_backoff_ms": 10**9}, [2000, 4000, 8000, 16000, 32000, 64000]),
        ({"backoff": "linear"}, [1000, 2000, 3000, 4000, 5000, 6000]),
        ({"backoff": "fibonacci"}, [1000, 2000, 3000, 5000, 8000, 13000]),
        ({"backoff": "none"}, [0, 0, 0, 0, 0, 0]),
        ({"backoff_base_ms": 0}, [0, 0, 0, 0, 0, 0]),
        ({"backoff_base_ms": 250, "max_backoff_ms": 1500}, [500, 1000, 1500, 1500, 1500, 1500]),
        ({"max_backoff_ms": 0}, [0, 0, 0, 0, 0, 0]),
    ],
)
def test_delays_without_jitter(fields: dict[str, Any], expected: list[int]) -> None:
    assert delays(RetryPolicy(jitter=0.0, **fields), 6) == expected


def test_delays_stay_whole_numbers_at_the_hundredth_attempt() -> None:
    policy = RetryPolicy(jitter=0.5, max_attempts=100)
    assert delays(policy, 99)[-1] == 30_000
    assert backoff_ms(RetryPolicy(backoff="fibonacci", backoff_base_ms=1), 99) == 354224848179261915075


def test_jitter_comes_from_a_hash_before_the_cap() -> None:
    policy = RetryPolicy(jitter=0.1)
    first, second = delays(policy, 2)
    assert first == int(2000 * (1 + 0.1 * jitter_unit(TASK_ID, "a", 1)))
    assert second == int(4000 * (1 + 0.1 * jitter_unit(TASK_ID, "a", 2)))
    assert delays(policy, 2) == [first, second]
    assert 1800 <= first <= 2200
    assert first != 2000
    assert delays(RetryPolicy(jitter=1.0, max_backoff_ms=100), 1) == [100]
    assert all(0 <= each <= 30_000 for each in delays(RetryPolicy(jitter=1.0), 20))


def test_jitter_differs_between_steps_and_tasks() -> None:
    policy = RetryPolicy(jitter=0.1)
    values = {
        delay_ms(policy, StepState(name=name, attempt=1), BOOM, task_id)
        for name in ("a", "b", "c")
        for task_id in (TASK_ID, b"x" * 16)
    }
    assert len(values) == 6


@pytest.mark.parametrize(
    ("asked", "expected"), [(0, 0), (1, 1), (700, 700), (3_600_000, 3_600_000), (10**12, 3_600_000), (-5, 0)]
)
def test_a_requested_delay_replaces_the_formula(asked: int, expected: int) -> None:
    failure = Failure(type="Boom", code="boom", retry_after_ms=asked)
    policy = RetryPolicy(jitter=1.0, max_backoff_ms=10)
    assert delay_ms(policy, StepState(name="a", attempt=1), failure, TASK_ID) == expected


@pytest.mark.parametrize(
    ("policy", "failure", "attempt", "base", "expected"),
    [
        (RetryPolicy(), BOOM, 1, 0, True),
        (RetryPolicy(), BOOM, 2, 0, True),
        (RetryPolicy(), BOOM, 3, 0, False),
        (RetryPolicy(), BOOM, 5, 3, True),
        (RetryPolicy(), BOOM, 6, 3, False),
        (RetryPolicy(max_attempts=1), BOOM, 1, 0, False),
        (RetryPolicy(max_attempts=0), BOOM, 1, 0, False),
        (RetryPolicy(retryable=False), BOOM, 1, 0, False),
        (RetryPolicy(non_retryable=("boom",)), BOOM, 1, 0, False),
        (RetryPolicy(non_retryable=("Boom",)), BOOM, 1, 0, True),
        (RetryPolicy(), Failure(type="Boom", code="boom", retryable=False), 1, 0, False),
    ],
)
def test_who_is_retried(
    policy: RetryPolicy, failure: Failure, attempt: int, base: int, expected: bool
) -> None:
    step = StepState(name="a", attempt=attempt, base=base)
    assert allows_retry(policy, step, failure) is expected


@pytest.mark.parametrize(
    ("maximum", "override", "expected"), [(3, None, 3), (0, None, 1), (3, 1, 1), (3, 7, 7), (1, 100, 100)]
)
def test_budget(maximum: int, override: int | None, expected: int) -> None:
    assert budget(RetryPolicy(max_attempts=maximum), override) == expected


def test_the_last_attempt_knows_that_it_is() -> None:
    assert not is_last_attempt(RetryPolicy(), StepState(name="a", attempt=2))
    assert is_last_attempt(RetryPolicy(), StepState(name="a", attempt=3))
    assert is_last_attempt(RetryPolicy(retryable=False), StepState(name="a", attempt=1))
    assert not is_last_attempt(RetryPolicy(), StepState(name="a", attempt=3, base=1))


# --------------------------------------------------------------------------------------------- in a task


def rig_of(**policy: Any) -> Rig:
    """A started task of one step with this policy."""
    rig = Rig(plan_of(ONE, retry=RetryPolicy(jitter=0.0, **policy)))
    rig.start()
    return rig


def test_the_default_life_of_a_failing_step() -> None:
    rig = rig_of(max_attempts=7)
    waits = []
    for attempt in range(1, 8):
        assert rig.step("a").attempt == attempt
        assert rig.dispatches[-1].last_attempt is (attempt == 7)
        rig.fail("a")
        failed_at, due = rig.step("a").failed_at, rig.step("a").next_retry_at
        if due is None:
            break
        assert failed_at is not None
        waits.append(due - failed_at)
        assert rig.status() is TaskStatus.WAITING_FOR_RETRY
        rig.fire()
    assert waits == [2000, 4000, 8000, 16000, 30000, 30000]
    assert rig.step("a").state is StepStatus.ERROR
    assert rig.status() is TaskStatus.ERROR


@pytest.mark.parametrize("policy", [{"retryable": False}, {"max_attempts": 0}, {"max_attempts": 1}])
def test_the_first_run_is_always_allowed(policy: dict[str, Any]) -> None:
    rig = rig_of(**policy)
    assert rig.dispatches[0].last_attempt is True
    rig.fail("a")
    assert rig.status() is TaskStatus.ERROR
    assert len(rig.dispatches) == 1


def test_delays_count_from_the_failure() -> None:
    rig = rig_of()
    dispatched = rig.now
    rig.now += 60_000
    rig.fail("a", started_at=dispatched + 10, finished_at=dispatched + 59_500)
    assert rig.step("a").next_retry_at == dispatched + 61_500


def test_delay_zero_retries_in_the_same_decision() -> None:
    rig = rig_of(backoff="none")
    rig.fail("a")
    assert rig.edges() == [
        ("a", "execution_requested", "in_progress"),
        ("a", "retry_backoff_started", "waiting_for_retry"),
        ("a", "retry_requested", "pending"),
        ("a", "enqueue_requested", "enqueued"),
    ]
    assert rig.status() is TaskStatus.IN_PROGRESS
    assert rig.last.dispatches[0].attempt == 2


def test_a_delay_that_is_over_already_retries_in_the_same_decision() -> None:
    rig = rig_of()
    dispatched = rig.now
    rig.now += 60_000
    rig.fail("a", started_at=dispatched, finished_at=dispatched + 1)
    assert rig.step("a").attempt == 2


def test_a_requested_delay_holds_for_the_next_attempt_only() -> None:
    rig = rig_of()
    rig.fail("a", retry_after_ms=7777)
    step = rig.step("a")
    assert step.next_retry_at is not None
    assert step.failed_at is not None
    assert step.next_retry_at - step.failed_at == 7777
    assert step.requested_delay_ms == 7777
    rig.fire()
    assert rig.step("a").requested_delay_ms is None
    rig.fail("a")
    step = rig.step("a")
    assert step.next_retry_at is not None
    assert step.failed_at is not None
    assert step.next_retry_at - step.failed_at == 4000


def test_a_retry_beyond_the_deadline_is_not_waited_for() -> None:
    plan = plan_of(CHAIN, retry=RetryPolicy(jitter=0.0), lifecycle={"max_duration_ms": 2999})
    rig = Rig(plan)
    rig.start()
    rig.fail("a", finished_at=rig.now + 1000)
    failure = rig.data(TransitionEvent.FAILED).failure
    assert failure.code == "deadline_exceeded"
    assert "boom" in failure.message
    assert rig.status() is TaskStatus.ERROR
    assert rig.live.error_code == "step_failed"


def test_a_retry_at_the_deadline_is_waited_for() -> None:
    plan = plan_of(ONE, retry=RetryPolicy(jitter=0.0), lifecycle={"max_duration_ms": 3000})
    rig = Rig(plan)
    rig.start()
    rig.fail("a", started_at=rig.now + 1000, finished_at=rig.now + 1000)
    assert rig.step("a").next_retry_at == rig.records[0].at + 3000
    assert rig.status() is TaskStatus.WAITING_FOR_RETRY


def test_attempt_numbers_never_repeat() -> None:
    rig = rig_of(max_attempts=2, backoff="none")
    for expected in (2, 3):
        rig.fail("a")
        if rig.status() is TaskStatus.ERROR:
            rig.operate(OperatorAction.RETRY_TASK)
        assert rig.step("a").attempt == expected
    assert rig.step("a").base == 2
    rig.fail("a")
    assert rig.step("a").attempt == 4, "a new budget of two"
    rig.fail("a")
    assert rig.status() is TaskStatus.ERROR
    assert [each.attempt for each in rig.dispatches] == [1, 2, 3, 4]
    assert [each.last_attempt for each in rig.dispatches] == [False, True, False, True]


def test_a_task_waits_only_while_nothing_else_runs() -> None:
    rig = Rig(plan_of(PAIR))
    rig.start()
    rig.fail("a")
    assert rig.status() is TaskStatus.IN_PROGRESS
    rig.succeed("b")
    assert rig.status() is TaskStatus.WAITING_FOR_RETRY
    rig.fire()
    assert rig.edges() == [
        (None, "steps_ready", "in_progress"),
        ("a", "retry_requested", "pending"),
        ("a", "enqueue_requested", "enqueued"),
    ]


def test_a_branch_goes_on_while_another_has_failed_for_good() -> None:
    rig = Rig(plan_of({"a": (), "b": (), "c": ("b",), "d": ("a", "c")}))
    rig.start()
    rig.fail("a", retryable=False)
    assert rig.status() is TaskStatus.IN_PROGRESS
    rig.succeed("b")
    assert rig.steps() == {"a": "error", "b": "complete", "c": "enqueued", "d": "pending"}
    rig.fail("c")
    assert rig.status() is TaskStatus.WAITING_FOR_RETRY
    rig.fire()
    rig.succeed("c")
    assert rig.edges()[-2:] == [(None, "blocked", "blocked_by_failures"), (None, "give_up", "error")]
    closed = rig.data(TransitionEvent.GIVE_UP)
    assert (closed.error_code, closed.failed_steps) == ("step_failed", ("a",))
    assert "a: Boom (boom)" in closed.error_message
    assert rig.live.closed_at == rig.now
