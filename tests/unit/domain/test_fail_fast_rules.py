"""failure_policy: fail_fast. Nothing new begins while a step is in error; what was marked comes back."""

import pytest

from tasker_kafka.schemas.words import Cause, OperatorAction, Outcome, TaskStatus
from tests.support.tasks import PLAIN_RETRY, Rig, plan_of

SHAPE = {"bad": (), "runs": (), "waits": (), "next": ("runs",), "last": ("bad", "next")}


def failed_rig(on_blocked: str = "fail") -> Rig:
    """`bad` has failed for good while `runs` runs and `waits` waits for its retry."""
    rig = Rig(plan_of(SHAPE, failure_policy="fail_fast", lifecycle={"on_blocked": on_blocked}))
    rig.start()
    rig.fail("waits", retry_after_ms=600_000)
    rig.fail("bad", retryable=False)
    return rig


def marked(rig: Rig) -> list[str]:
    """The steps that fail_fast holds back."""
    return [step.name for step in rig.live.steps if step.marked]


def test_what_has_not_begun_is_cancelled_and_marked() -> None:
    rig = failed_rig()
    assert rig.edges() == [
        ("bad", "execution_requested", "in_progress"),
        ("bad", "failed", "error"),
        ("waits", "cancelled", "cancelled"),
        ("next", "cancelled", "cancelled"),
        ("last", "cancelled", "cancelled"),
    ]
    assert {each.cause for each in rig.record.transitions[2:]} == {Cause.FAIL_FAST}
    assert rig.steps()["runs"] == "enqueued", "what was dispatched finishes"
    assert rig.last.cancellations == ()
    assert marked(rig) == ["waits", "next", "last"]
    assert rig.status() is TaskStatus.IN_PROGRESS
    rig.succeed("runs")
    assert rig.status() is TaskStatus.ERROR
    assert "next" not in [each.step for each in rig.dispatches]


def test_without_the_policy_branches_run_on() -> None:
    rig = Rig(plan_of(SHAPE))
    rig.start()
    rig.fail("bad", retryable=False)
    assert marked(rig) == []
    rig.succeed("runs")
    assert rig.steps()["next"] == "enqueued"


@pytest.mark.parametrize(
    "outcome", [Outcome.FAILURE, Outcome.GIVEN_BACK, Outcome.RETURNED], ids=lambda each: each.value
)
@pytest.mark.parametrize("backoff", ["exponential", "none"])
def test_nothing_runs_again_while_a_step_is_in_error(outcome: Outcome, backoff: str) -> None:
    policy = PLAIN_RETRY.__class__(jitter=0.0, backoff=backoff)
    rig = Rig(plan_of(SHAPE, failure_policy="fail_fast", retry=policy, lifecycle={"on_blocked": "wait"}))
    rig.start()
    rig.fail("bad", retryable=False)
    rig.do(rig.result("runs", outcome))
    assert rig.steps()["runs"] == "cancelled"
    assert "runs" in marked(rig)
    assert rig.step("runs").next_retry_at is None
    assert rig.last.dispatches == ()
    rig.succeed("waits")
    assert rig.status() is TaskStatus.BLOCKED_BY_FAILURES
    rig.operate(OperatorAction.RESOLVE_STEP, "bad")
    assert rig.step("runs").attempt == 2


@pytest.mark.parametrize(
    ("action", "resumes_by"),
    [
        (OperatorAction.RETRY_STEP, "retry_requested"),
        (OperatorAction.RESOLVE_STEP, "resumed"),
        (OperatorAction.COMPLETE_STEP, "resumed"),
        (OperatorAction.CANCEL_STEP, "resumed"),
    ],
)
def test_marked_steps_return_when_the_last_error_is_dealt_with(
    action: OperatorAction, resumes_by: str
) -> None:
    rig = failed_rig("wait")
    rig.succeed("runs")
    assert rig.status() is TaskStatus.BLOCKED_BY_FAILURES
    rig.operate(action, "bad")
    assert resumes_by in [edge[1] for edge in rig.edges() if edge[0] is None]
    assert marked(rig) == []
    assert rig.steps()["waits"] == "enqueued"
    assert rig.steps()["next"] == "enqueued"
    assert rig.steps()["last"] == "pending"
    assert (rig.step("waits").attempt, rig.step("waits").base) == (2, 0), "the budget it had"


def test_they_return_also_to_a_task_that_runs_on() -> None:
    rig = failed_rig()
    rig.operate(OperatorAction.RETRY_STEP, "bad")
    assert rig.edges() == [
        ("bad", "retry_requested", "pending"),
        ("waits", "retry_requested", "pending"),
        ("next", "retry_requested", "pending"),
        ("last", "retry_requested", "pending"),
        ("bad", "enqueue_requested", "enqueued"),
        ("waits", "enqueue_requested", "enqueued"),
    ]


def test_they_wait_for_the_last_error() -> None:
    rig = Rig(plan_of({"x": (), "y": (), "z": ("x", "y")}, failure_policy="fail_fast"))
    rig.start()
    rig.fail("x", retryable=False)
    rig.fail("y", retryable=False)
    assert rig.status() is TaskStatus.ERROR
    rig.operate(OperatorAction.RETRY_STEP, "y")
    assert rig.steps() == {"x": "error", "y": "enqueued", "z": "cancelled"}, "an operator's retry runs"
    rig.succeed("y")
    assert rig.status() is TaskStatus.ERROR
    rig.operate(OperatorAction.RESOLVE_STEP, "x")
    assert rig.steps() == {"x": "resolved_manually", "y": "complete", "z": "enqueued"}


def test_retry_task_gives_marked_steps_no_new_budget() -> None:
    rig = failed_rig()
    rig.succeed("runs")
    rig.operate(OperatorAction.RETRY_TASK)
    assert (rig.step("bad").attempt, rig.step("bad").base) == (2, 1)
    assert (rig.step("waits").attempt, rig.step("waits").base) == (2, 0)


def test_a_step_that_an_operator_cancelled_stays_cancelled() -> None:
    rig = Rig(plan_of(SHAPE, failure_policy="fail_fast"))
    rig.start()
    rig.operate(OperatorAction.CANCEL_STEP, "waits")
    rig.fail("bad", retryable=False)
    assert marked(rig) == ["next", "last"]
    rig.operate(OperatorAction.RETRY_STEP, "bad")
    assert rig.steps()["waits"] == "cancelled"
