"""Operator commands in every state: what they do, and what they are answered."""

from typing import Any

import pytest

from tasker_kafka.schemas.records import NO_LIFE, PayloadRef
from tasker_kafka.schemas.state import TaskState
from tasker_kafka.schemas.words import (
    AnswerCode,
    OperatorAction,
    StepStatus,
    TaskStatus,
    TransitionEvent,
)
from tests.support.tasks import ONE, Rig, plan_of, reach_step, reach_task

ACTION = OperatorAction


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
        assert rig.status() is status
        if isinstance(before, TaskState):
            assert rig.live.steps == before.steps
            assert rig.live.next_due == before.next_due
    elif action is not ACTION.RETRY_TASK:
        ends = {ACTION.CANCEL_TASK: "cancelled", ACTION.RESOLVE_TASK: "resolved_manually"}
        assert rig.status() == ends[action]
    else:
        assert rig.status() is TaskStatus.IN_PROGRESS


@pytest.mark.parametrize("action", [ACTION.SET_REASON, ACTION.SET_TAGS, ACTION.SET_MAX_ATTEMPTS])
@pytest.mark.parametrize("status", REACHABLE)
def test_changes_in_every_state(status: TaskStatus, action: OperatorAction) -> None:
    rig = reach_task(status)
    answer = rig.operate(action, text="new", tags=("x",), max_attempts=9)
    assert answer.code == CHANGE_ANSWERS[status]
    assert rig.status() is status
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
    assert rig.status() is TaskStatus.ERROR


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


@pytest.mark.parametrize(
    "action",
    [
        ACTION.RETRY_STEP,
        ACTION.RESOLVE_STEP,
        ACTION.COMPLETE_STEP,
        ACTION.CANCEL_STEP,
        ACTION.SET_MAX_ATTEMPTS,
    ],
)
def test_an_unknown_step_of_a_failed_task_is_named_before_its_state(action: OperatorAction) -> None:
    rig = reach_task(TaskStatus.ERROR)
    answer = rig.operate(action, "zz", max_attempts=4)
    assert answer.code == AnswerCode.UNKNOWN_STEP
    assert "'zz'" in answer.message
