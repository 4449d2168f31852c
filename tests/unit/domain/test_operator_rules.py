"""Operator commands in every state: what they do, and what they are answered."""

from typing import Any

import pytest

from tasker_kafka.schemas.records import NO_LIFE, Audit, PayloadRef
from tasker_kafka.schemas.state import TaskState
from tasker_kafka.schemas.words import (
    AnswerCode,
    Cause,
    OperatorAction,
    StepStatus,
    TaskStatus,
    TransitionEvent,
)
from tests.support.tasks import CHAIN, DIAMOND, ONE, PAIR, Rig, plan_of, reach_step

ACTION = OperatorAction
WAIT = {"on_blocked": "wait"}


def reach_task(status: TaskStatus) -> Rig:
    """A task of two steps, `a` first, that rests in `status`."""
    lifecycle = WAIT if status is TaskStatus.BLOCKED_BY_FAILURES else {}
    rig = Rig(plan_of({"a": (), "b": ("a",)}, lifecycle=lifecycle))
    rig.start(not_before=rig.now + 10**6 if status is TaskStatus.PENDING else None)
    match status:
        case TaskStatus.WAITING_FOR_RETRY:
            rig.fail("a")
        case TaskStatus.BLOCKED_BY_FAILURES | TaskStatus.ERROR:
            rig.fail("a", retryable=False)
        case TaskStatus.COMPLETE:
            rig.succeed("a", "b")
        case TaskStatus.CANCELLED:
            rig.operate(ACTION.CANCEL_TASK)
        case TaskStatus.RESOLVED_MANUALLY:
            rig.fail("a", retryable=False)
            rig.operate(ACTION.RESOLVE_TASK)
        case _:
            pass
    assert rig.status is status
    return rig


REACHABLE = [each for each in TaskStatus if each is not TaskStatus.WAITING_FOR_DEPENDENCIES]

TASK_ANSWERS = {
    # state:              cancel_task,          retry_task,                   resolve_task
    "pending": ("accepted", "already_pending", "forbidden"),
    "in_progress": ("accepted", "already_in_progress", "forbidden"),
    "waiting_for_retry": ("accepted", "already_waiting_for_retry", "forbidden"),
    "blocked_by_failures": ("accepted", "accepted", "accepted"),
    "error": ("accepted", "accepted", "accepted"),
    "complete": ("final_task", "final_task", "final_task"),
    "cancelled": ("already_cancelled", "final_task", "final_task"),
    "resolved_manually": ("final_task", "final_task", "already_resolved_manually"),
}
CHANGE_ANSWERS = {
    **dict.fromkeys(["pending", "in_progress", "waiting_for_retry", "blocked_by_failures"], "accepted"),
    "error": "forbidden",
    **dict.fromkeys(["complete", "cancelled", "resolved_manually"], "final_task"),
}


@pytest.mark.parametrize("column", range(3))
@pytest.mark.parametrize("status", REACHABLE)
def test_task_commands_in_every_state(status: TaskStatus, column: int) -> None:
    rig = reach_task(status)
    before = rig.state
    action = (ACTION.CANCEL_TASK, ACTION.RETRY_TASK, ACTION.RESOLVE_TASK)[column]
    answer = rig.operate(action)
    assert answer.code == TASK_ANSWERS[status][column]
    if answer.code != "accepted":
        assert rig.record.transitions == ()
        assert rig.status is status
        if isinstance(before, TaskState):
            assert rig.live.steps == before.steps
            assert rig.live.next_due == before.next_due
    elif action is not ACTION.RETRY_TASK:
        ends = {ACTION.CANCEL_TASK: "cancelled", ACTION.RESOLVE_TASK: "resolved_manually"}
        assert rig.status == ends[action]
    else:
        assert rig.status is TaskStatus.IN_PROGRESS


@pytest.mark.parametrize("action", [ACTION.SET_REASON, ACTION.SET_TAGS, ACTION.SET_MAX_ATTEMPTS])
@pytest.mark.parametrize("status", REACHABLE)
def test_changes_in_every_state(status: TaskStatus, action: OperatorAction) -> None:
    rig = reach_task(status)
    answer = rig.operate(action, text="new", tags=("x",), max_attempts=9)
    assert answer.code == CHANGE_ANSWERS[status]
    assert rig.status is status
    if answer.code == "accepted":
        assert all(each.event is TransitionEvent.CHANGED for each in rig.record.transitions)
        changed = {
            ACTION.SET_REASON: rig.live.reason == "new",
            ACTION.SET_TAGS: rig.live.tags == ("x",),
            ACTION.SET_MAX_ATTEMPTS: [each.max_attempts for each in rig.live.steps] == [9, 9],
        }
        assert [what for what, done in changed.items() if done] == [action]


STEP_ANSWERS = {
    # state:            retry,             resolve,                     complete,           cancel
    "pending": ("already_pending", "accepted", "accepted", "accepted"),
    "enqueued": ("forbidden", "forbidden", "forbidden", "accepted"),
    "in_progress": ("forbidden", "forbidden", "forbidden", "accepted"),
    "waiting_for_retry": ("forbidden", "accepted", "accepted", "accepted"),
    "complete": ("forbidden", "forbidden", "already_complete", "forbidden"),
    "error": ("accepted", "accepted", "accepted", "accepted"),
    "cancelled": ("accepted", "accepted", "accepted", "already_cancelled"),
    "resolved_manually": ("forbidden", "already_resolved_manually", "forbidden", "forbidden"),
}
STEP_ACTIONS = (ACTION.RETRY_STEP, ACTION.RESOLVE_STEP, ACTION.COMPLETE_STEP, ACTION.CANCEL_STEP)


@pytest.mark.parametrize("column", range(4))
@pytest.mark.parametrize("state", StepStatus)
def test_step_commands_in_every_state(state: StepStatus, column: int) -> None:
    rig = reach_step(state)
    before = rig.live
    answer = rig.operate(STEP_ACTIONS[column], "a", result=b"7")
    assert answer.code == STEP_ANSWERS[state][column]
    if answer.code != "accepted":
        assert rig.record.transitions == ()
        assert rig.live.steps == before.steps
    if answer.code == "forbidden":
        assert f"is {state}" in answer.message
        assert "allowed: " in answer.message


@pytest.mark.parametrize(
    ("action", "code"),
    [
        (ACTION.RETRY_STEP, "accepted"),
        (ACTION.RESOLVE_STEP, "accepted"),
        (ACTION.COMPLETE_STEP, "accepted"),
        (ACTION.CANCEL_STEP, "forbidden"),
        (ACTION.SET_MAX_ATTEMPTS, "forbidden"),
    ],
)
def test_step_commands_on_a_failed_task(action: OperatorAction, code: str) -> None:
    rig = reach_task(TaskStatus.ERROR)
    assert rig.operate(action, "a", max_attempts=3).code == code


# --------------------------------------------------------------------------------------------- addressing


@pytest.mark.parametrize("action", OperatorAction)
def test_an_unknown_task_is_answered(action: OperatorAction) -> None:
    rig = Rig(plan_of(ONE))
    answer = rig.operate(action, "a")
    assert answer.code == AnswerCode.UNKNOWN_TASK
    assert (rig.record.life, rig.record.seq, rig.record.transitions) == (NO_LIFE, 0, ())
    assert rig.state is None


def test_a_final_task_is_answered_under_its_life() -> None:
    rig = reach_task(TaskStatus.COMPLETE)
    answer = rig.operate(ACTION.CANCEL_TASK)
    assert "is complete" in answer.message
    assert (rig.record.life, rig.record.seq) == (rig.life, 0)
    assert rig.operate(ACTION.CANCEL_TASK, life=rig.life + 1).code == AnswerCode.UNKNOWN_TASK


def test_another_life_is_unknown() -> None:
    rig = reach_task(TaskStatus.IN_PROGRESS)
    assert rig.operate(ACTION.CANCEL_TASK, life=rig.life - 1).code == AnswerCode.UNKNOWN_TASK
    assert rig.operate(ACTION.CANCEL_TASK, life=rig.life).code == AnswerCode.ACCEPTED


def test_expected_seq_must_be_the_tasks() -> None:
    rig = reach_task(TaskStatus.IN_PROGRESS)
    answer = rig.operate(ACTION.CANCEL_TASK, expected_seq=7)
    assert answer.code == AnswerCode.SEQ_MISMATCH
    assert "seq is 1, not 7" in answer.message
    assert rig.live.seq == 2, "the answer is a record"
    assert rig.operate(ACTION.CANCEL_TASK, expected_seq=2).code == AnswerCode.ACCEPTED


def test_a_command_id_is_one_command() -> None:
    rig = reach_task(TaskStatus.IN_PROGRESS)
    order = rig.order(ACTION.CANCEL_STEP, "b")
    rig.do(order)
    assert rig.steps()["b"] == "cancelled"
    rig.operate(ACTION.RETRY_STEP, "b")
    rig.do(order)
    assert rig.record.answer is not None
    assert rig.record.answer.code == AnswerCode.REPEATED
    assert rig.steps()["b"] == "pending"


def test_a_refused_command_stays_refused() -> None:
    rig = reach_task(TaskStatus.IN_PROGRESS)
    order = rig.order(ACTION.RESOLVE_TASK)
    rig.do(order)
    rig.fail("a", retryable=False)
    rig.do(order)
    assert rig.record.answer is not None
    assert rig.record.answer.code == AnswerCode.REPEATED
    assert rig.status is TaskStatus.ERROR


def test_the_last_32_command_ids_are_remembered() -> None:
    rig = reach_task(TaskStatus.IN_PROGRESS)
    orders = [rig.order(ACTION.SET_REASON, text=str(n)) for n in range(33)]
    for order in orders[:32]:
        rig.do(order)
    assert len(rig.live.command_ids) == 32
    rig.do(orders[0])
    assert rig.live.reason == "31", "still remembered"
    rig.do(orders[32])
    assert len(rig.live.command_ids) == 32
    rig.do(orders[0])
    assert rig.live.reason == "0", "forgotten, so it is another command"


@pytest.mark.parametrize(
    ("action", "steps", "fields", "says"),
    [
        (ACTION.COMPLETE_STEP, (), {}, "one step"),
        (ACTION.COMPLETE_STEP, ("a", "b"), {}, "one step"),
        (ACTION.RESOLVE_STEP, (), {}, "names of the steps"),
        (ACTION.CANCEL_STEP, (), {}, "names of the steps"),
        (ACTION.SET_MAX_ATTEMPTS, ("a",), {}, "1 to 100"),
        (ACTION.SET_MAX_ATTEMPTS, ("a",), {"max_attempts": 0}, "1 to 100"),
        (ACTION.SET_MAX_ATTEMPTS, ("a",), {"max_attempts": 101}, "1 to 100"),
        (ACTION.SET_REASON, (), {}, "text"),
        (ACTION.SET_REASON, (), {"text": "é" * 2049}, "text may have 4096 bytes"),
        (ACTION.SET_TAGS, (), {}, "tags"),
        (ACTION.SET_TAGS, (), {"tags": ("x",) * 101}, "100 tags"),
        (ACTION.SET_TAGS, (), {"tags": ("x" * 257,)}, "256 bytes"),
        (ACTION.CANCEL_TASK, (), {"reason": "x" * 4097}, "reason may have 4096 bytes"),
        (ACTION.CANCEL_TASK, (), {"actor": "x" * 129}, "actor may have 128 bytes"),
    ],
)
def test_malformed_commands_are_invalid(
    action: OperatorAction, steps: tuple[str, ...], fields: dict[str, Any], says: str
) -> None:
    rig = reach_task(TaskStatus.IN_PROGRESS)
    answer = rig.operate(action, *steps, **fields)
    assert answer.code == AnswerCode.INVALID
    assert says in answer.message


def test_an_inline_result_over_the_limit_is_invalid() -> None:
    rig = reach_step(StepStatus.ERROR)
    answer = rig.operate(ACTION.COMPLETE_STEP, "a", result=b"x" * 4097)
    assert answer.code == AnswerCode.INVALID
    assert "payloads" in answer.message
    assert rig.operate(ACTION.COMPLETE_STEP, "a", result=PayloadRef(0, 1, 9999, b"h" * 32)).code == "accepted"


def test_an_unknown_step_is_named() -> None:
    rig = reach_task(TaskStatus.IN_PROGRESS)
    answer = rig.operate(ACTION.RESOLVE_STEP, "b", "bee")
    assert answer.code == AnswerCode.UNKNOWN_STEP
    assert "'bee'" in answer.message
    assert "a, b" in answer.message
    assert rig.steps()["b"] == "pending", "all or nothing"


# ------------------------------------------------------------------------------------------------- effects


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
    assert rig.status is TaskStatus.CANCELLED


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
    assert rig.status is TaskStatus.ERROR


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
    assert rig.status is TaskStatus.COMPLETE


def test_resolving_one_of_two_failures_leaves_the_task_failed() -> None:
    rig = Rig(plan_of(PAIR))
    rig.start()
    rig.fail("a", retryable=False)
    rig.fail("b", retryable=False)
    rig.operate(ACTION.RESOLVE_STEP, "a")
    assert [edge[1] for edge in rig.edges()] == ["resumed", "resolved_manually", "blocked", "give_up"]
    rig.operate(ACTION.RESOLVE_STEP, "b")
    assert rig.status is TaskStatus.COMPLETE


def test_a_task_without_an_unfinished_step_is_complete_when_resumed() -> None:
    rig = reach_task(TaskStatus.PENDING)
    rig.operate(ACTION.RESOLVE_STEP, "a", "b")
    assert rig.status is TaskStatus.PENDING, "not before its time"
    rig.fire()
    assert rig.status is TaskStatus.COMPLETE


def test_cancelling_a_step_blocks_the_task_in_the_end() -> None:
    rig = Rig(plan_of({"a": (), "b": ("a",), "c": ()}, lifecycle=WAIT))
    rig.start()
    rig.operate(ACTION.CANCEL_STEP, "a")
    assert [(each.step, each.attempt) for each in rig.last.cancellations] == [("a", 1)]
    assert rig.status is TaskStatus.IN_PROGRESS, "c still runs"
    rig.succeed("c")
    assert rig.status is TaskStatus.BLOCKED_BY_FAILURES
    assert rig.live.error_code == "step_cancelled"
    assert rig.data(TransitionEvent.BLOCKED).failed_steps == ("a",)
    rig.operate(ACTION.COMPLETE_STEP, "a", result=b"1")
    rig.succeed("b")
    assert rig.status is TaskStatus.COMPLETE


def test_a_cancelled_step_fails_the_task_unless_it_waits() -> None:
    rig = Rig(plan_of(ONE))
    rig.start()
    rig.operate(ACTION.CANCEL_STEP, "a")
    assert (rig.status, rig.live.error_code) == (TaskStatus.ERROR, "step_cancelled")


def test_cancelling_a_failed_step_of_a_blocked_task_leaves_it_blocked() -> None:
    rig = reach_task(TaskStatus.BLOCKED_BY_FAILURES)
    assert rig.operate(ACTION.CANCEL_STEP, "a").code == "accepted"
    assert rig.edges() == [("a", "cancelled", "cancelled")]
    assert rig.status is TaskStatus.BLOCKED_BY_FAILURES
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
    assert rig.next_due is None


def test_max_attempts_moves_the_budget_of_the_attempts_to_come() -> None:
    rig = Rig(plan_of(PAIR))
    rig.start()
    rig.operate(ACTION.SET_MAX_ATTEMPTS, "a", max_attempts=1)
    assert rig.edges() == [("a", "changed", "enqueued")]
    assert rig.step("b").max_attempts is None
    rig.fail("a")
    assert rig.steps()["a"] == "error"


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
