"""When the rules themselves fail: the task is set aside, the partition goes on, nothing is raised."""

from typing import Any

import msgspec
import pytest

from tasker_kafka.schemas.records import (
    Body,
    Command,
    Forget,
    Heartbeat,
    Reconcile,
    StepResult,
    StepStarted,
    TaskClosed,
    TimerDue,
)
from tasker_kafka.schemas.state import TaskState
from tasker_kafka.schemas.words import Cause, OperatorAction, Outcome, StepStatus, TaskStatus, TimerKind
from tasker_kafka.streams.domain import Decision, Ignored, Moment, decide, fold, outputs
from tests.support.tasks import DIAMOND, ONE, PAIR, TASK_ID, Rig, plan_of


def without_plan(rig: Rig, body: Body) -> Decision | Ignored:
    """Decide a command when nobody knows the plan."""
    rig.offset += 1
    return decide(rig.state, Command(TASK_ID, body), Moment(0, rig.offset, rig.now + 5, None))


def quarantined(rig: Rig, decided: Decision | Ignored) -> Decision:
    """Check what every quarantine has in common."""
    assert isinstance(decided, Decision)
    assert decided.fault is not None
    assert isinstance(decided.state, TaskState)
    assert (decided.state.state, decided.state.error_code) == (TaskStatus.ERROR, "quarantined")
    last = decided.record.transitions[-1]
    assert (last.step, last.event, last.cause) == (None, "quarantined", Cause.INTERNAL)
    assert decided.record.seq == rig.live.seq + 1
    for plan in (rig.plan, None):
        assert fold(rig.state, decided.record, plan) == decided.state
    return decided


def test_a_task_whose_plan_is_unknown_is_quarantined() -> None:
    rig = Rig(plan_of({"a": (), "b": (), "c": (), "d": ("a",), "e": ()}))
    rig.start()
    rig.report("b")
    rig.fail("c")
    rig.succeed("e")
    body = rig.result("a")
    decided = quarantined(rig, without_plan(rig, body))
    assert [(each.step, each.to_state) for each in decided.record.transitions[:-1]] == [
        ("a", StepStatus.CANCELLED),
        ("b", StepStatus.CANCELLED),
        ("c", StepStatus.CANCELLED),
    ]
    out = outputs(rig.state, decided.state, Command(TASK_ID, body), decided.record, None)
    assert [(each.step, each.attempt, each.reason) for each in out.cancellations] == [
        ("a", 1, "quarantined"),
        ("b", 1, "quarantined"),
    ]
    (entry,) = out.dlq_entries
    assert (entry.reason, entry.status) == ("quarantined", "pending")


def test_a_quarantined_task_can_be_retried() -> None:
    rig = Rig(plan_of(DIAMOND))
    rig.start()
    decided = quarantined(rig, without_plan(rig, rig.result("a")))
    rig.state = decided.state
    rig.operate(OperatorAction.RETRY_TASK)
    assert [(each.reason, each.status) for each in rig.last.dlq_entries] == [("quarantined", "resolved")]
    rig.succeed("a", "b", "c", "d")
    assert rig.status() is TaskStatus.COMPLETE


def test_another_plan_than_the_tasks_is_a_fault() -> None:
    rig = Rig(plan_of(PAIR))
    rig.start()
    own, rig.plan = rig.plan, plan_of({"b": (), "a": ()})
    decided = rig.send(rig.result("a"))
    assert isinstance(decided, Decision)
    assert decided.fault is not None
    assert rig.status() is TaskStatus.ERROR
    assert own.hash != rig.plan.hash


def test_an_operators_command_is_answered_all_the_same() -> None:
    rig = Rig(plan_of(PAIR))
    rig.start()
    order = rig.order(OperatorAction.CANCEL_STEP, "a")
    decided = quarantined(rig, without_plan(rig, order))
    assert decided.record.answer is not None
    assert (decided.record.answer.command_id, decided.record.answer.code) == (order.command_id, "internal")


def test_a_closed_task_is_answered_and_stays_as_it_is() -> None:
    rig = Rig(plan_of(ONE))
    rig.start()
    rig.fail("a", retryable=False)
    decided = without_plan(rig, rig.order(OperatorAction.RETRY_TASK))
    assert isinstance(decided, Decision)
    assert decided.fault is not None
    assert decided.record.transitions == ()
    assert decided.record.answer is not None
    assert decided.record.answer.code == "internal"
    assert isinstance(decided.state, TaskState)
    assert decided.state.steps == rig.live.steps


class Broken(msgspec.Struct, frozen=True):
    """Something that no schema lets through."""

    life: int = 1


GARBAGE: list[Any] = [None, 7, "text", b"bytes", object(), Broken()]


@pytest.mark.parametrize("body", GARBAGE, ids=lambda body: type(body).__name__)
def test_garbage_without_a_task_is_ignored(body: Any) -> None:
    decided = decide(None, Command(TASK_ID, body), Moment(0, 1, 2, None))
    assert isinstance(decided, Ignored)


def test_a_start_that_cannot_be_made_is_rejected_as_internal() -> None:
    rig = Rig(plan_of(ONE))
    start = rig.start_task(bypass_steps=7)
    decided = decide(None, Command(TASK_ID, start), Moment(0, 1, 2, rig.plan))
    assert isinstance(decided, Decision)
    assert decided.state is None
    assert isinstance(decided.fault, TypeError)
    out = outputs(None, None, Command(TASK_ID, start), decided.record, rig.plan)
    assert [each.code for each in out.rejections] == ["internal"]
    assert "TypeError" in out.rejections[0].message


NOT_TEXT: Any = 7
NOT_HASHABLE: Any = []
WRONG_TYPES: list[Body] = [
    StepResult(
        life=101,
        step="a",
        attempt=1,
        outcome=Outcome.SUCCESS,
        worker_id=NOT_TEXT,
        started_at=0,
        finished_at=0,
    ),
    StepStarted(life=101, step="a", attempt=1, worker_id=NOT_TEXT, started_at=0),
    TimerDue(life=101, kind=TimerKind.QUEUE_TIMEOUT, due_at=0, step=NOT_HASHABLE),
    Reconcile(life=101, kind="redispatch", step=NOT_HASHABLE),
]


def message_of(decided: Decision) -> str:
    """What the record says about a quarantine."""
    closed = decided.record.transitions[-1].data
    assert isinstance(closed, TaskClosed)
    return closed.error_message


@pytest.mark.parametrize("body", WRONG_TYPES, ids=lambda each: type(each).__name__)
def test_a_rule_that_raises_quarantines_the_task(body: Body) -> None:
    rig = Rig(plan_of(PAIR))
    rig.start()
    decided = quarantined(rig, decide(rig.state, Command(TASK_ID, body), Moment(0, 200, rig.now, rig.plan)))
    assert "TypeError" in message_of(decided)


def test_the_record_says_no_text_that_may_differ_between_processes() -> None:
    rig = Rig(plan_of(PAIR))
    rig.start()
    decided = quarantined(
        rig, decide(rig.state, Command(TASK_ID, WRONG_TYPES[0]), Moment(0, 200, rig.now, rig.plan))
    )
    assert message_of(decided) == "the rules failed with TypeError on a StepResult at command offset 200"


def test_a_state_that_is_no_state_is_ignored() -> None:
    body = TimerDue(life=1, kind=TimerKind.DEADLINE, due_at=0)
    for state in GARBAGE[1:]:
        decided = decide(state, Command(TASK_ID, body), Moment(0, 1, 2, plan_of(ONE)))
        assert isinstance(decided, Ignored)


@pytest.mark.parametrize("body", [Forget(5), Heartbeat(life=101, step="a", attempt=1)])
def test_what_is_the_owners_is_not_decided(body: Body) -> None:
    rig = Rig(plan_of(ONE))
    rig.start()
    assert rig.ignored(body) == "not_decided"
