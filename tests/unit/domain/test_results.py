"""StepResult and StepStarted: what is accepted, once, and what changes nothing."""

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from tasker_kafka.schemas.plan import RetryPolicy
from tasker_kafka.schemas.records import Failure, PayloadRef, StepResult, StepStarted
from tasker_kafka.schemas.words import Cause, OperatorAction, Outcome, StepStatus, TaskStatus, TransitionEvent
from tasker_kafka.streams.domain import IgnoredReason
from tests.support.tasks import CHAIN, DIAMOND, FOUR_STEPS, ONE, PAIR, Rig, plan_of, reach_step

NOT_RUNNING: list[StepStatus] = [
    state for state in StepStatus if state.value not in {"enqueued", "in_progress"}
]
LAST_ATTEMPT = {"retry": RetryPolicy(max_attempts=1)}


def started_rig(edges: Mapping[str, Iterable[str]] = ONE, **fields: Any) -> Rig:
    """A task of this shape, started."""
    rig = Rig(plan_of(edges, **fields))
    rig.start()
    return rig


def test_a_success_is_one_record_with_what_follows() -> None:
    rig = started_rig(CHAIN)
    rig.succeed("a", metadata=b'{"k":1}')
    assert rig.edges() == [
        ("a", "execution_requested", "in_progress"),
        ("a", "completed", "complete"),
        ("b", "enqueue_requested", "enqueued"),
    ]
    ended = rig.data(TransitionEvent.COMPLETED)
    assert (ended.attempt, ended.outcome, ended.worker_id) == (1, Outcome.SUCCESS, "worker-1")
    assert (ended.result, ended.metadata, ended.late) == (b'"a"', b'{"k":1}', False)
    assert rig.step("a").result == b'"a"'
    assert rig.step("a").completed_at == ended.finished_at


def test_joins_are_counted_down() -> None:
    rig = started_rig(DIAMOND)
    rig.succeed("a")
    assert rig.steps() == {"a": "complete", "b": "enqueued", "c": "enqueued", "d": "pending"}
    assert rig.step("d").pending_parents == 2
    rig.succeed("c")
    assert rig.step("d").pending_parents == 1
    assert not [*rig.last.dispatches]
    rig.succeed("b")
    assert [each.step for each in rig.last.dispatches] == ["d"]
    rig.succeed("d")
    assert rig.status() is TaskStatus.COMPLETE


def test_the_four_step_dummy_runs_to_its_end() -> None:
    rig = started_rig(FOUR_STEPS)
    rig.succeed("two", "three", "one", "four")
    assert rig.status() is TaskStatus.COMPLETE
    assert [each.step for each in rig.dispatches] == ["one", "two", "three", "four"]
    assert [each.seq for each in rig.records] == [1, 2, 3, 4, 5]
    assert rig.edges()[-1] == (None, "all_steps_done", "complete")


@pytest.mark.parametrize(
    ("started", "finished", "expected"),
    [
        (-50_000, -40_000, (0, 0)),
        (10, 20, (10, 20)),
        (500, 100, (500, 500)),
        (99_000, 99_500, (1000, 1000)),
        (-5, 99_000, (0, 1000)),
    ],
)
def test_worker_times_are_clamped(started: int, finished: int, expected: tuple[int, int]) -> None:
    rig = started_rig()
    dispatched = rig.now
    rig.succeed("a", started_at=dispatched + started, finished_at=dispatched + finished)
    ended = rig.data(TransitionEvent.COMPLETED)
    assert (ended.started_at - dispatched, ended.finished_at - dispatched) == expected


def test_broker_time_never_runs_backwards() -> None:
    rig = started_rig(PAIR)
    at = rig.record.at
    rig.do(rig.result("a"), after_ms=-60_000)
    assert rig.record.at == at
    assert rig.live.now == at


# ------------------------------------------------------------------------------------------- what is ignored


def ignored_result(rig: Rig, **fields: Any) -> IgnoredReason:
    """Why a result of step `a` changes nothing."""
    return rig.ignored(rig.result("a", **fields))


def test_results_that_nobody_waits_for() -> None:
    rig = Rig(plan_of(PAIR))
    assert rig.ignored(rig.result("a")) is IgnoredReason.UNKNOWN_TASK
    rig.start()
    assert ignored_result(rig, life=rig.life + 1) is IgnoredReason.OTHER_LIFE
    assert ignored_result(rig, attempt=2) is IgnoredReason.NEVER_GRANTED
    assert ignored_result(rig, attempt=0) is IgnoredReason.NEVER_GRANTED
    assert rig.ignored(rig.result("zz")) is IgnoredReason.UNKNOWN_STEP
    rig.succeed("a")
    assert ignored_result(rig) is IgnoredReason.DUPLICATE
    failure = Failure(type="Boom", code="boom")
    assert ignored_result(rig, outcome=Outcome.FAILURE, failure=failure) is IgnoredReason.DUPLICATE
    rig.succeed("b")
    assert rig.ignored(rig.result("b", attempt=1)) is IgnoredReason.FINAL_TASK


def test_a_step_that_was_never_dispatched_has_no_attempt_zero() -> None:
    rig = started_rig(CHAIN)
    assert rig.ignored(rig.result("c", attempt=0)) is IgnoredReason.NEVER_GRANTED


def test_a_result_of_an_older_attempt_is_late() -> None:
    rig = started_rig()
    rig.fail("a")
    rig.fire()
    assert rig.step("a").attempt == 2
    assert ignored_result(rig, attempt=1) is IgnoredReason.LATE
    rig.succeed("a")
    assert rig.status() is TaskStatus.COMPLETE


def test_a_failed_attempt_does_not_succeed_afterwards() -> None:
    rig = started_rig()
    rig.fail("a")
    assert rig.step("a").state is StepStatus.WAITING_FOR_RETRY
    assert ignored_result(rig) is IgnoredReason.DUPLICATE


def test_results_for_a_closed_task_are_counted_only() -> None:
    rig = started_rig(PAIR, lifecycle={"max_duration_ms": 5000})
    rig.fire()
    assert rig.status() is TaskStatus.ERROR
    assert ignored_result(rig) is IgnoredReason.CLOSED_TASK
    assert rig.ignored(rig.started("a")) is IgnoredReason.CLOSED_TASK


@pytest.mark.parametrize("state", NOT_RUNNING)
def test_a_result_in_a_state_without_a_run_is_ignored(state: StepStatus) -> None:
    rig = reach_step(state)
    for outcome in Outcome:
        attempt = max(1, rig.step("a").attempt)
        reason = rig.ignored(rig.result("a", outcome, attempt=attempt))
        assert reason in {IgnoredReason.DUPLICATE, IgnoredReason.LATE, IgnoredReason.NEVER_GRANTED}


# ------------------------------------------------------------------------------------------- late successes


def test_a_success_after_a_run_timeout_is_accepted_while_the_retry_waits() -> None:
    rig = started_rig(CHAIN, steps={"a": {"timeout_ms": 20_000}})
    rig.report("a")
    rig.fire()
    assert rig.edges() == [
        ("a", "retry_backoff_started", "waiting_for_retry"),
        (None, "retry_backoff_started", "waiting_for_retry"),
    ]
    rig.succeed("a")
    assert rig.edges() == [
        (None, "steps_ready", "in_progress"),
        ("a", "completed", "complete"),
        ("b", "enqueue_requested", "enqueued"),
    ]
    assert rig.data(TransitionEvent.COMPLETED).late is True
    assert rig.step("a").next_retry_at is None
    assert rig.next_due() is None
    assert ignored_result(rig) is IgnoredReason.DUPLICATE


def test_a_success_after_the_workers_own_timeout_is_accepted_while_the_retry_waits() -> None:
    rig = started_rig()
    rig.fail("a", code="timeout")
    assert rig.steps() == {"a": "waiting_for_retry"}
    rig.succeed("a")
    assert rig.data(TransitionEvent.COMPLETED).late is True
    assert rig.status() is TaskStatus.COMPLETE
    again = started_rig()
    again.fail("a", code="timeout")
    again.fire()
    assert ignored_result(again, attempt=1) is IgnoredReason.LATE


def test_a_success_after_a_queue_timeout_is_accepted_while_the_retry_waits() -> None:
    rig = started_rig(steps={"a": {"queue_timeout_ms": 2000}})
    rig.fire()
    assert rig.steps() == {"a": "waiting_for_retry"}
    rig.succeed("a")
    assert rig.status() is TaskStatus.COMPLETE
    assert rig.data(TransitionEvent.COMPLETED).late is True


def held_back_after_a_loss() -> Rig:
    """One slot: `z` is lost while `a`, which stands before it, is ready; so `a` runs and `z` rests pending."""
    steps = {"z": {"heartbeat_timeout_ms": 5000}}
    rig = started_rig({"a": ("gate",), "gate": (), "z": ()}, max_parallel_steps=1, steps=steps)
    rig.fail("gate", retry_after_ms=600_000)
    rig.report("z")
    rig.operate(OperatorAction.COMPLETE_STEP, "gate")
    assert rig.steps() == {"a": "pending", "gate": "complete", "z": "in_progress"}
    rig.fire()
    assert rig.steps() == {"a": "enqueued", "gate": "complete", "z": "pending"}
    return rig


def test_a_success_is_accepted_while_its_step_is_pending_and_no_later_attempt_dispatched() -> None:
    rig = held_back_after_a_loss()
    rig.succeed("z")
    assert rig.transition(TransitionEvent.COMPLETED).from_state is StepStatus.PENDING
    assert rig.data(TransitionEvent.COMPLETED).late is True
    assert rig.live.ready == ()


def test_a_success_of_a_lost_attempt_is_ignored_once_a_later_one_is_dispatched() -> None:
    rig = held_back_after_a_loss()
    rig.succeed("a")
    assert rig.step("z").attempt == 2
    assert rig.ignored(rig.result("z", attempt=1)) is IgnoredReason.LATE


def test_late_failures_are_never_accepted() -> None:
    rig = started_rig(steps={"a": {"queue_timeout_ms": 2000}})
    rig.fire()
    for outcome in (each for each in Outcome if each is not Outcome.SUCCESS):
        assert rig.ignored(rig.result("a", outcome)) is IgnoredReason.LATE


def test_a_cancelled_attempt_does_not_succeed_late() -> None:
    rig = held_back_after_a_loss()
    rig.operate(OperatorAction.CANCEL_STEP, "z")
    rig.operate(OperatorAction.RETRY_STEP, "z")
    assert rig.steps()["z"] == "pending"
    assert rig.ignored(rig.result("z")) is IgnoredReason.DUPLICATE


def test_cancel_and_result_in_one_batch_log_order_decides() -> None:
    first, second = started_rig(PAIR), started_rig(PAIR)
    first.succeed("a")
    assert first.operate(OperatorAction.CANCEL_STEP, "a").code == "forbidden"
    second.operate(OperatorAction.CANCEL_STEP, "a")
    assert ignored_result(second) is IgnoredReason.DUPLICATE
    assert second.steps()["a"] == "cancelled"


# ------------------------------------------------------------------------------------- other ways to end


def test_a_dispatch_that_is_returned_rests_ten_seconds_uncounted() -> None:
    rig = started_rig(steps={"a": LAST_ATTEMPT})
    rig.do(rig.result("a", Outcome.RETURNED))
    assert rig.edges() == [
        ("a", "returned", "waiting_for_retry"),
        (None, "retry_backoff_started", "waiting_for_retry"),
    ]
    assert rig.step("a").next_retry_at == rig.now + 10_000
    assert (rig.step("a").base, rig.step("a").losses, rig.step("a").failure) == (1, 0, None)
    rig.fire()
    assert rig.step("a").attempt == 2
    assert rig.last.dispatches[0].last_attempt is True


def test_a_running_attempt_cannot_be_returned() -> None:
    rig = started_rig()
    rig.report("a")
    assert rig.ignored(rig.result("a", Outcome.RETURNED)) is IgnoredReason.LATE


@pytest.mark.parametrize("is_reported", [False, True])
def test_an_attempt_that_is_given_back_runs_again_at_once_uncounted(is_reported: bool) -> None:
    rig = started_rig(steps={"a": LAST_ATTEMPT})
    for attempt in range(1, 6):
        if is_reported:
            rig.report("a")
        rig.do(rig.result("a", Outcome.GIVEN_BACK))
        assert rig.edges()[-2:] == [("a", "lost", "pending"), ("a", "enqueue_requested", "enqueued")]
        assert rig.step("a").attempt == attempt + 1
    assert (rig.step("a").base, rig.step("a").losses) == (5, 0)
    rig.fail("a")
    assert rig.status() is TaskStatus.ERROR


def test_the_third_delivery_that_kills_its_worker_ends_the_step() -> None:
    rig = started_rig()
    rig.do(rig.result("a", Outcome.WORKER_LOST, delivery_count=3))
    assert rig.edges()[:2] == [("a", "execution_requested", "in_progress"), ("a", "lost", "error")]
    failure = rig.step("a").failure
    assert failure is not None
    assert failure.code == "worker_lost"
    assert rig.status() is TaskStatus.ERROR


def test_the_third_silence_ends_the_step() -> None:
    rig = started_rig(steps={"a": {"heartbeat_timeout_ms": 3000}})
    for loss in (1, 2):
        rig.report("a")
        rig.fire()
        assert rig.edges() == [("a", "lost", "pending"), ("a", "enqueue_requested", "enqueued")]
        assert (rig.step("a").losses, rig.step("a").base) == (loss, loss)
    rig.report("a")
    rig.fire()
    assert rig.edges()[0] == ("a", "lost", "error")
    assert rig.status() is TaskStatus.ERROR


def test_losses_are_forgiven_by_an_operators_retry() -> None:
    rig = started_rig()
    rig.do(rig.result("a", Outcome.WORKER_LOST))
    rig.operate(OperatorAction.RETRY_TASK)
    assert rig.step("a").losses == 0
    assert rig.step("a").attempt == 2


def test_a_queue_timeout_that_the_worker_reports_was_never_executed() -> None:
    rig = started_rig(steps={"a": {"queue_timeout_ms": 9000}})
    rig.fail("a", code="queue_timeout")
    assert rig.edges()[0] == ("a", "timed_out", "waiting_for_retry")
    assert rig.step("a").base == 0, "counted"


def test_an_inline_result_over_the_limit_fails_for_good() -> None:
    rig = started_rig()
    rig.do(rig.result("a", result=b"x" * 4097))
    failure = rig.step("a").failure
    assert failure is not None
    assert failure.code == "result_too_large"
    assert rig.status() is TaskStatus.ERROR


@pytest.mark.parametrize("result", [None, b"x" * 4096, PayloadRef(0, 9, 10**6, b"h" * 32)])
def test_results_within_the_limit_pass(result: bytes | PayloadRef | None) -> None:
    rig = started_rig(CHAIN)
    rig.do(rig.result("a", result=result))
    assert rig.step("a").result == result
    assert rig.last.dispatches[0].inputs[0].value == result


def test_a_failure_without_reason_is_retried() -> None:
    rig = started_rig()
    rig.do(rig.result("a", Outcome.FAILURE))
    ended = rig.data(TransitionEvent.RETRY_BACKOFF_STARTED, "a")
    assert (ended.failure.code, ended.failure.message) == ("unknown", "no reason was given")


def test_texts_are_bounded() -> None:
    rig = started_rig()
    failure = Failure(type="é" * 999, code="c" * 999, message="m" * 99_999, traceback="t" * 99_999)
    rig.do(rig.result("a", Outcome.FAILURE, failure=failure, worker_id="w" * 999, metadata=b"x" * 70_000))
    ended = rig.data(TransitionEvent.RETRY_BACKOFF_STARTED, "a")
    assert len(ended.failure.message) == 2000
    assert len(ended.failure.traceback) == 8192
    assert len(ended.worker_id) == 128
    assert ended.metadata is None
    kept = rig.step("a").failure
    assert kept is not None
    assert len(kept.type.encode()) + len(kept.code.encode()) <= 256
    assert (kept.message, kept.traceback) == ("", "")


# ------------------------------------------------------------------------------------------------- starts


def test_a_reported_start_is_the_engines_to_watch() -> None:
    rig = started_rig()
    dispatched = rig.now
    rig.report("a", started_at=dispatched + 400)
    assert rig.edges() == [("a", "execution_requested", "in_progress")]
    assert rig.transition(TransitionEvent.EXECUTION_REQUESTED).cause is Cause.STARTED
    assert rig.step("a").started_at == dispatched + 400
    assert rig.next_due() == dispatched + 400 + 30_000
    rig.succeed("a", started_at=0)
    assert rig.data(TransitionEvent.COMPLETED).started_at == dispatched + 400


@pytest.mark.parametrize("attempt", [0, 2])
def test_starts_that_do_not_fit_are_ignored(attempt: int) -> None:
    rig = started_rig()
    assert rig.ignored(rig.started("a", attempt=attempt)) is IgnoredReason.NEVER_GRANTED


def test_a_start_is_reported_once() -> None:
    rig = started_rig()
    rig.report("a")
    assert rig.ignored(rig.started("a", worker_id="worker-2")) is IgnoredReason.DUPLICATE
    stray = StepStarted(life=rig.life, step="zz", attempt=1, worker_id="w", started_at=0)
    assert rig.ignored(stray) is IgnoredReason.UNKNOWN_STEP


def test_an_ordinary_start_is_told_by_the_result() -> None:
    rig = started_rig()
    result = rig.result("a")
    assert isinstance(result, StepResult)
    rig.do(result)
    assert rig.transition(TransitionEvent.EXECUTION_REQUESTED).cause is Cause.RESULT
