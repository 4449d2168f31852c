"""What operator commands do to a task: audited transitions, new budgets, reopening, resuming."""

import pytest

from tasker_kafka.schemas.records import Audit
from tasker_kafka.schemas.words import Cause, OperatorAction, StepStatus, TaskStatus, TransitionEvent
from tests.support.tasks import CHAIN, DIAMOND, ONE, PAIR, Rig, plan_of, reach_step, reach_task

ACTION = OperatorAction
WAIT = {"on_blocked": "wait"}


def test_every_transition_of_a_command_is_audited() -> None:
    rig = Rig(plan_of(DIAMOND))
    rig.start()
    rig.succeed("a")
    reason = "a long story " * 20
    answer = rig.operate(ACTION.CANCEL_TASK, reason=reason)
    audits = [each.data for each in rig.record.transitions]
    assert [each.step for each in rig.record.transitions] == ["b", "c", "d", None]
    assert all(each.cause is Cause.OPERATOR for each in rig.record.transitions)
    for audit in audits:
        assert isinstance(audit, Audit)
        assert (audit.command_id, audit.action, audit.actor) == (answer.command_id, ACTION.CANCEL_TASK, "ada")
    assert isinstance(audits[-1], Audit)
    assert audits[-1].reason == reason, "the task's own transition has the whole reason"
    assert isinstance(audits[0], Audit)
    assert len(audits[0].reason) == 60


def test_cancel_task_tells_running_handlers() -> None:
    rig = Rig(plan_of({"a": (), "b": (), "c": ("a",), "d": (), "e": ()}, lifecycle=WAIT))
    rig.start()
    rig.report("b")
    rig.fail("d", retryable=False)
    rig.fail("e")
    rig.operate(ACTION.CANCEL_TASK)
    assert rig.edges() == [
        ("a", "cancelled", "cancelled"),
        ("b", "cancelled", "cancelled"),
        ("c", "cancelled", "cancelled"),
        ("e", "cancelled", "cancelled"),
        (None, "cancelled", "cancelled"),
    ]
    assert [(each.step, each.attempt) for each in rig.last.cancellations] == [("a", 1), ("b", 1)]
    assert rig.last.cancellations[0].reason == "cancel_task by ada: because"
    assert rig.status() is TaskStatus.CANCELLED


def test_retry_task_reopens_with_a_new_budget() -> None:
    rig = Rig(plan_of(PAIR))
    rig.start()
    rig.fail("a", retryable=False)
    rig.succeed("b")
    rig.operate(ACTION.RETRY_TASK)
    assert rig.edges() == [
        (None, "retry_requested", "pending"),
        (None, "start_requested", "in_progress"),
        ("a", "retry_requested", "pending"),
        ("a", "enqueue_requested", "enqueued"),
    ]
    assert rig.data(TransitionEvent.RETRY_REQUESTED, "a").base == 1
    assert (rig.step("a").attempt, rig.step("a").base) == (2, 1)
    assert (rig.live.closed_at, rig.live.error_code) == (None, None)
    assert rig.dispatches[-1].last_attempt is False


def test_retry_of_one_step_leaves_the_other_alone() -> None:
    rig = Rig(plan_of(PAIR))
    rig.start()
    rig.fail("a", retryable=False)
    rig.fail("b", retryable=False)
    rig.operate(ACTION.RETRY_STEP, "b")
    assert rig.steps() == {"a": "error", "b": "enqueued"}
    rig.succeed("b")
    assert rig.status() is TaskStatus.ERROR


def test_retry_step_without_names_takes_all_that_failed() -> None:
    rig = Rig(plan_of({"a": (), "b": (), "c": ()}))
    rig.start()
    assert rig.operate(ACTION.RETRY_STEP).code == "forbidden"
    rig.fail("a", retryable=False)
    rig.operate(ACTION.CANCEL_STEP, "b")
    assert rig.operate(ACTION.RETRY_STEP).code == "accepted"
    assert rig.steps() == {"a": "enqueued", "b": "enqueued", "c": "enqueued"}


def test_retry_of_several_is_all_or_nothing() -> None:
    rig = Rig(plan_of(PAIR))
    rig.start()
    rig.fail("a", retryable=False)
    assert rig.operate(ACTION.RETRY_STEP, "a", "b").code == "forbidden"
    assert rig.steps() == {"a": "error", "b": "enqueued"}


def test_resolving_the_failed_step_resumes_the_task() -> None:
    rig = Rig(plan_of(CHAIN))
    rig.start()
    rig.fail("a", retryable=False)
    rig.operate(ACTION.RESOLVE_STEP, "a", result=b"ignored")
    assert rig.edges() == [
        (None, "resumed", "in_progress"),
        ("a", "resolved_manually", "resolved_manually"),
        ("b", "enqueue_requested", "enqueued"),
    ]
    assert rig.last.dispatches[0].inputs[0].value is None
    assert rig.live.deadline_from == rig.now


def test_completing_a_step_gives_its_children_the_result() -> None:
    rig = Rig(plan_of(CHAIN))
    rig.start()
    rig.fail("a", retryable=False)
    rig.operate(ACTION.COMPLETE_STEP, "a", result=b'{"by":"hand"}')
    assert rig.edges()[1] == ("a", "completed_manually", "complete")
    assert rig.last.dispatches[0].inputs[0].value == b'{"by":"hand"}'


def test_steps_are_skipped_by_resolving_them_before_they_are_ready() -> None:
    rig = Rig(plan_of(CHAIN))
    rig.start()
    rig.operate(ACTION.RESOLVE_STEP, "b", "c")
    assert rig.steps() == {"a": "enqueued", "b": "resolved_manually", "c": "resolved_manually"}
    rig.succeed("a")
    assert rig.status() is TaskStatus.COMPLETE


def test_resolving_one_of_two_failures_leaves_the_task_failed() -> None:
    rig = Rig(plan_of(PAIR))
    rig.start()
    rig.fail("a", retryable=False)
    rig.fail("b", retryable=False)
    rig.operate(ACTION.RESOLVE_STEP, "a")
    assert [edge[1] for edge in rig.edges()] == ["resumed", "resolved_manually", "blocked", "give_up"]
    rig.operate(ACTION.RESOLVE_STEP, "b")
    assert rig.status() is TaskStatus.COMPLETE


def test_a_task_without_an_unfinished_step_is_complete_when_resumed() -> None:
    rig = reach_task(TaskStatus.PENDING)
    rig.operate(ACTION.RESOLVE_STEP, "a", "b")
    assert rig.status() is TaskStatus.PENDING, "not before its time"
    rig.fire()
    assert rig.status() is TaskStatus.COMPLETE


def test_cancelling_a_step_blocks_the_task_in_the_end() -> None:
    rig = Rig(plan_of({"a": (), "b": ("a",), "c": ()}, lifecycle=WAIT))
    rig.start()
    rig.operate(ACTION.CANCEL_STEP, "a")
    assert [(each.step, each.attempt) for each in rig.last.cancellations] == [("a", 1)]
    assert rig.status() is TaskStatus.IN_PROGRESS, "c still runs"
    rig.succeed("c")
    assert rig.status() is TaskStatus.BLOCKED_BY_FAILURES
    assert rig.live.error_code == "step_cancelled"
    assert rig.data(TransitionEvent.BLOCKED).failed_steps == ("a",)
    rig.operate(ACTION.COMPLETE_STEP, "a", result=b"1")
    rig.succeed("b")
    assert rig.status() is TaskStatus.COMPLETE


def test_a_cancelled_step_fails_the_task_unless_it_waits() -> None:
    rig = Rig(plan_of(ONE))
    rig.start()
    rig.operate(ACTION.CANCEL_STEP, "a")
    assert (rig.status(), rig.live.error_code) == (TaskStatus.ERROR, "step_cancelled")


def test_cancelling_a_failed_step_of_a_blocked_task_leaves_it_blocked() -> None:
    rig = reach_task(TaskStatus.BLOCKED_BY_FAILURES)
    assert rig.operate(ACTION.CANCEL_STEP, "a").code == "accepted"
    assert rig.edges() == [("a", "cancelled", "cancelled")]
    assert rig.status() is TaskStatus.BLOCKED_BY_FAILURES
    rig.operate(ACTION.RETRY_TASK)
    assert rig.steps() == {"a": "enqueued", "b": "pending"}


def test_a_command_on_a_waiting_task_wakes_it() -> None:
    rig = reach_task(TaskStatus.WAITING_FOR_RETRY)
    rig.operate(ACTION.RESOLVE_STEP, "a")
    assert rig.edges() == [
        (None, "steps_ready", "in_progress"),
        ("a", "resolved_manually", "resolved_manually"),
        ("b", "enqueue_requested", "enqueued"),
    ]
    assert rig.next_due() is None


def test_max_attempts_moves_the_budget_of_the_attempts_to_come() -> None:
    rig = Rig(plan_of(PAIR))
    rig.start()
    rig.operate(ACTION.SET_MAX_ATTEMPTS, "a", max_attempts=1)
    assert rig.edges() == [("a", "changed", "enqueued")]
    assert rig.step("b").max_attempts is None
    rig.fail("a")
    assert rig.steps()["a"] == "error"


@pytest.mark.parametrize(
    ("state", "least"),
    [
        ("enqueued", 1),
        ("in_progress", 1),
        ("waiting_for_retry", 2),
        ("pending", 1),
        ("error", 1),
        ("cancelled", 1),
    ],
)
def test_max_attempts_cannot_take_back_what_was_granted(state: str, least: int) -> None:
    rig = reach_step(StepStatus(state))
    for wanted in range(1, least):
        answer = rig.operate(ACTION.SET_MAX_ATTEMPTS, "a", max_attempts=wanted)
        assert answer.code == "forbidden"
        assert f"from {least} on" in answer.message
    assert rig.operate(ACTION.SET_MAX_ATTEMPTS, "a", max_attempts=least).code == "accepted"


def test_max_attempts_of_a_step_that_is_done_is_forbidden() -> None:
    rig = reach_step(StepStatus.COMPLETE)
    assert rig.operate(ACTION.SET_MAX_ATTEMPTS, "a", max_attempts=5).code == "forbidden"
    assert rig.operate(ACTION.SET_MAX_ATTEMPTS, max_attempts=5).code == "accepted"
    assert [each.max_attempts for each in rig.live.steps] == [None, 5, 5]


def test_answers_about_many_steps_stay_short() -> None:
    rig = Rig(plan_of({f"s{n}": () for n in range(50)}))
    rig.start()
    answer = rig.operate(ACTION.CANCEL_STEP, *(f"s{n}" for n in range(50)))
    assert answer.message == "s0, s1, s2, s3, s4, s5, s6, s7, s8, s9 and 40 more: cancelled"
