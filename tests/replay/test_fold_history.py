"""Folding a recorded history: as it was recorded, whatever today's rules would say.

The history here is written by hand, not by `decide`, so a change of the rules cannot change the fixture with them.
"""

from __future__ import annotations

from typing import Any

import pytest

from tasker_kafka.schemas.records import (
    Answer,
    AttemptEnded,
    AttemptGranted,
    AttemptTaken,
    Audit,
    Failure,
    RequestPlace,
    TaskClosed,
    TaskCreated,
    Transition,
    Transitions,
)
from tasker_kafka.schemas.state import Stub, TaskState
from tasker_kafka.schemas.words import (
    Cause,
    Identity,
    OperatorAction,
    Outcome,
    StepStatus,
    TaskStatus,
    TransitionEvent,
)
from tasker_kafka.streams.domain import HistoryIncomplete, evolve, fold
from tests.support.fixed_story import story_plan, tell
from tests.support.task_checks import check_state
from tests.support.tasks import REQUEST_ID, TASK_ID, plan_of

E, S, T = TransitionEvent, StepStatus, TaskStatus
PLAN = plan_of({"a": (), "b": ("a",)}, lifecycle={"max_duration_ms": 60_000})
LIFE = 40
COMMAND_ID = b"c" * 16

CREATED = TaskCreated(
    plan_hash=PLAN.hash,
    namespace="tests",
    name="shape",
    version="1.0.0",
    request_id=REQUEST_ID,
    task_id=TASK_ID,
    request=RequestPlace(0, 7, 900),
    context=b'{"n":1}',
    identity=Identity.ALWAYS_UNIQUE,
    initiator="ann",
    source_system="shop",
    reason="order",
    tags=("x",),
    correlation_id="story",
    idempotency_key=None,
    requested_at=None,
    not_before=None,
    traceparent=None,
)


def record(seq: int, at: int, *transitions: Transition, answer: Answer | None = None) -> Transitions:
    """One record of the history."""
    return Transitions(
        life=LIFE, seq=seq, command_offset=LIFE + seq - 1, at=at, transitions=transitions, answer=answer
    )


def ended(attempt: int, outcome: Outcome, at: int, **fields: Any) -> AttemptEnded:
    """How an attempt ended at `at`."""
    given: dict[str, Any] = {"worker_id": "w1", "started_at": at - 50, "finished_at": at - 10, **fields}
    return AttemptEnded(attempt=attempt, outcome=outcome, **given)


BOOM = Failure(type="Boom", code="boom", message="it broke", traceback="line 1")

HISTORY = (
    record(
        1,
        1000,
        Transition(None, E.INITIALIZE_REQUESTED, None, T.PENDING, 1000, Cause.REQUEST, CREATED),
        Transition("a", E.INITIALIZE_REQUESTED, None, S.PENDING, 1000, Cause.REQUEST),
        Transition("b", E.INITIALIZE_REQUESTED, None, S.PENDING, 1000, Cause.REQUEST),
        Transition(None, E.START_REQUESTED, T.PENDING, T.IN_PROGRESS, 1000, Cause.REQUEST),
        Transition(
            "a", E.ENQUEUE_REQUESTED, S.PENDING, S.ENQUEUED, 1000, Cause.EVALUATION, AttemptGranted(1, 0)
        ),
    ),
    record(
        2,
        2000,
        Transition(
            "a",
            E.EXECUTION_REQUESTED,
            S.ENQUEUED,
            S.IN_PROGRESS,
            2000,
            Cause.RESULT,
            AttemptTaken(1, "w1", 1950),
        ),
        Transition(
            "a",
            E.RETRY_BACKOFF_STARTED,
            S.IN_PROGRESS,
            S.WAITING_FOR_RETRY,
            2000,
            Cause.RESULT,
            ended(1, Outcome.FAILURE, 2000, failure=BOOM, next_retry_at=3990),
        ),
        Transition(None, E.RETRY_BACKOFF_STARTED, T.IN_PROGRESS, T.WAITING_FOR_RETRY, 2000, Cause.EVALUATION),
    ),
    record(3, 2500, answer=Answer(COMMAND_ID, "forbidden", "no")),
    record(
        4,
        4000,
        Transition(None, E.STEPS_READY, T.WAITING_FOR_RETRY, T.IN_PROGRESS, 4000, Cause.EVALUATION),
        Transition("a", E.RETRY_REQUESTED, S.WAITING_FOR_RETRY, S.PENDING, 4000, Cause.TIMER),
        Transition(
            "a", E.ENQUEUE_REQUESTED, S.PENDING, S.ENQUEUED, 4000, Cause.EVALUATION, AttemptGranted(2, 0)
        ),
    ),
    record(
        5,
        5000,
        Transition(
            "a",
            E.EXECUTION_REQUESTED,
            S.ENQUEUED,
            S.IN_PROGRESS,
            5000,
            Cause.RESULT,
            AttemptTaken(2, "w1", 4950),
        ),
        Transition(
            "a",
            E.COMPLETED,
            S.IN_PROGRESS,
            S.COMPLETE,
            5000,
            Cause.RESULT,
            ended(2, Outcome.SUCCESS, 5000, result=b"1"),
        ),
        Transition(
            "b", E.ENQUEUE_REQUESTED, S.PENDING, S.ENQUEUED, 5000, Cause.EVALUATION, AttemptGranted(1, 0)
        ),
    ),
)


def folded(count: int) -> TaskState:
    """The task after the first `count` records."""
    state: TaskState | Stub | None = None
    for each in HISTORY[:count]:
        state = fold(state, each, PLAN)
    assert isinstance(state, TaskState)
    return state


def test_the_first_record_makes_the_task() -> None:
    state = folded(1)
    assert (state.task_id, state.life, state.seq, state.now) == (TASK_ID, LIFE, 1, 1000)
    assert (state.created_at, state.request_id, state.context) == (900, REQUEST_ID, b'{"n":1}')
    assert (state.started_at, state.deadline_from, state.next_due) == (1000, 1000, 61_000)
    assert (state.total, state.pending, state.enqueued) == (2, 1, 1)
    assert [(step.name, step.state, step.pending_parents) for step in state.steps] == [
        ("a", S.ENQUEUED, 0),
        ("b", S.PENDING, 1),
    ]


def test_the_failure_and_its_wait() -> None:
    state = folded(2)
    step = state.steps[0]
    assert (state.state, state.next_due, state.state_since) == (T.WAITING_FOR_RETRY, 3990, 2000)
    assert (step.state, step.attempt, step.base, step.next_retry_at) == (S.WAITING_FOR_RETRY, 1, 0, 3990)
    assert (step.failed_at, step.failure) == (1990, Failure(type="Boom", code="boom"))
    assert (step.answered, step.worker_id) == (True, "w1")


def test_an_answer_alone_moves_seq_and_now() -> None:
    before, state = folded(2), folded(3)
    assert (state.seq, state.now, state.command_ids) == (3, 2500, (COMMAND_ID,))
    assert (state.steps, state.state, state.next_due) == (before.steps, before.state, before.next_due)


def test_a_new_attempt_is_not_answered_yet() -> None:
    step = folded(4).steps[0]
    assert (step.state, step.attempt, step.answered, step.next_retry_at) == (S.ENQUEUED, 2, False, None)


def test_the_retry_succeeds() -> None:
    state = folded(5)
    step = state.steps[0]
    assert (step.state, step.attempt, step.result, step.completed_at) == (S.COMPLETE, 2, b"1", 4990)
    assert (state.steps[1].state, state.steps[1].pending_parents) == (S.ENQUEUED, 0)
    assert state.next_due == 61_000
    check_state(state, PLAN)


def test_evolve_takes_the_same_way() -> None:
    state: TaskState | None = None
    for each in HISTORY:
        for transition in each.transitions:
            state = evolve(state, transition, PLAN)
    assert state is not None
    whole = folded(5)
    assert (state.steps, state.ready, state.next_due) == (whole.steps, whole.ready, whole.next_due)


# -------------------------------------------------------------------------------- what the rules would not do


def test_an_edge_that_no_rule_has_is_folded_as_recorded() -> None:
    state = folded(5)
    odd = Transition("b", E.BYPASSED, S.ENQUEUED, S.COMPLETE, 6000, Cause.INTERNAL)
    after = fold(state, record(6, 6000, odd), PLAN)
    assert isinstance(after, TaskState)
    assert after.steps[1].state is S.COMPLETE
    assert (after.complete, after.enqueued) == (2, 0)
    assert after.state is T.IN_PROGRESS, "nothing is evaluated"


def test_a_recorded_decision_of_other_rules_stands() -> None:
    """Older rules gave up at the first failure; today's would retry."""
    state = folded(1)
    failed = ended(1, Outcome.FAILURE, 2000, failure=BOOM)
    closed = TaskClosed(error_code="old_code", error_message="old text", failed_steps=("a",))
    old = record(
        2,
        2000,
        Transition("a", E.FAILED, S.ENQUEUED, S.ERROR, 2000, Cause.RESULT, failed),
        Transition(None, E.GIVE_UP, T.IN_PROGRESS, T.ERROR, 2000, Cause.EVALUATION, closed),
    )
    after = fold(state, old, PLAN)
    assert isinstance(after, TaskState)
    assert (after.state, after.error_code, after.closed_at, after.next_due) == (
        T.ERROR,
        "old_code",
        2000,
        None,
    )


def test_an_answer_without_a_live_task_folds_to_what_was_there() -> None:
    answer = Transitions(
        life=-1,
        seq=0,
        command_offset=3,
        at=5,
        transitions=(),
        answer=Answer(COMMAND_ID, "unknown_task", ""),
    )
    assert fold(None, answer, None) is None
    state = folded(2)
    assert fold(state, answer, PLAN) is state


def test_a_final_record_leaves_a_stub_and_a_new_life_replaces_it() -> None:
    audit = Audit(command_id=COMMAND_ID, action=OperatorAction.CANCEL_TASK, actor="ada", reason="why")
    final = record(
        6,
        6000,
        Transition("b", E.CANCELLED, S.ENQUEUED, S.CANCELLED, 6000, Cause.OPERATOR, audit),
        Transition(None, E.CANCELLED, T.IN_PROGRESS, T.CANCELLED, 6000, Cause.OPERATOR, audit),
    )
    stub = fold(folded(5), final, PLAN)
    assert isinstance(stub, Stub)
    assert (stub.outcome, stub.closed_at, stub.forget_at) == (T.CANCELLED, 6000, 6000 + 24 * 3_600_000)
    assert fold(stub, HISTORY[0], PLAN) == folded(1)


# ------------------------------------------------------------------------------------------ poisoned histories


def test_a_history_without_its_beginning_is_refused() -> None:
    with pytest.raises(HistoryIncomplete, match="does not have"):
        fold(None, HISTORY[1], PLAN)
    with pytest.raises(HistoryIncomplete, match="creation was not folded"):
        fold(None, HISTORY[2], PLAN)


def test_a_transition_of_an_unknown_step_is_refused() -> None:
    stray = Transition("zz", E.BYPASSED, S.PENDING, S.COMPLETE, 6000, Cause.REQUEST)
    with pytest.raises(HistoryIncomplete, match="'zz'"):
        fold(folded(2), record(3, 6000, stray), PLAN)


@pytest.mark.parametrize("event", [E.ENQUEUE_REQUESTED, E.EXECUTION_REQUESTED, E.COMPLETED, E.FAILED])
def test_a_transition_without_its_data_is_refused(event: TransitionEvent) -> None:
    bare = Transition("a", event, S.PENDING, S.COMPLETE, 6000, Cause.RESULT)
    with pytest.raises(HistoryIncomplete, match="without its data"):
        fold(folded(2), record(3, 6000, bare), PLAN)


def test_steps_created_out_of_order_are_refused() -> None:
    created, _, second, *_ = HISTORY[0].transitions
    with pytest.raises(HistoryIncomplete, match="out of the plan's order"):
        fold(None, record(1, 1000, created, second), PLAN)


def test_a_creation_without_data_is_refused() -> None:
    bare = Transition(None, E.INITIALIZE_REQUESTED, None, T.PENDING, 1000, Cause.REQUEST)
    with pytest.raises(HistoryIncomplete, match="without its data"):
        fold(None, record(1, 1000, bare), PLAN)


# --------------------------------------------------------------------------------------- from any point on


def test_any_snapshot_and_the_rest_of_the_log_give_the_same_task() -> None:
    plan = story_plan()
    *_, rig = tell()
    records = rig.records
    states: list[TaskState | Stub | None] = [None]
    for each in records:
        states.append(fold(states[-1], each, plan))
    assert states[-1] == rig.state
    for start in range(len(records)):
        state = states[start]
        for each in records[start:]:
            state = fold(state, each, plan)
        assert state == states[-1]
