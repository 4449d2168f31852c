"""What buttons and refusals call allowed is what the engine would accept, in every state that can be reached."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from tasker_kafka.schemas.state import Stub
from tasker_kafka.schemas.words import OperatorAction, StepStatus, TaskStatus, is_obeyed
from tasker_kafka.streams.domain.allowing import STEP_ACTIONS, step_actions, task_actions
from tasker_kafka.streams.domain.step_orders import STEP_ORDERS
from tests.support.operators import TASK_ACTIONS, accepted
from tests.support.tasks import Rig, reach_step, reach_task


def ended_by_an_operator(action: OperatorAction) -> Rig:
    """A blocked task that an operator has ended."""
    rig = reach_task(TaskStatus.BLOCKED_BY_FAILURES)
    rig.operate(action)
    return rig


RIGS: dict[str, Callable[[], Rig]] = {
    **{f"step {each}": partial(reach_step, each) for each in StepStatus},
    **{
        f"task {each}": partial(reach_task, each)
        for each in TaskStatus
        if each is not TaskStatus.WAITING_FOR_DEPENDENCIES  # no task rests there by the engine's own rules
    },
    "blocked, then cancelled": partial(ended_by_an_operator, OperatorAction.CANCEL_TASK),
    "blocked, then resolved": partial(ended_by_an_operator, OperatorAction.RESOLVE_TASK),
}


def test_every_action_is_of_tasks_or_of_steps() -> None:
    assert {*STEP_ORDERS} == STEP_ACTIONS
    assert {*TASK_ACTIONS} | STEP_ACTIONS == {*OperatorAction}


@pytest.mark.parametrize("story", RIGS)
def test_the_engine_says_the_same(story: str) -> None:
    rig = RIGS[story]()
    state = rig.state
    if isinstance(state, Stub):
        assert task_actions(state.outcome, [StepStatus.ERROR]) == ()
        assert not any(accepted(rig, each) for each in TASK_ACTIONS)
        assert not any(step_actions(state.outcome, each) for each in StepStatus)
        return
    assert state is not None
    said = task_actions(state.state, [each.state for each in state.steps])
    assert set(said) == {each for each in TASK_ACTIONS if accepted(rig, each)}, state.state
    for step in state.steps:
        allowed = step_actions(state.state, step.state)
        expected = {each for each in STEP_ACTIONS if accepted(rig, each, step.name)}
        assert set(allowed) == expected, (state.state, step.state)


@pytest.mark.parametrize(
    ("code", "is_so"),
    [("accepted", True), ("repeated", True), ("already_complete", True), ("forbidden", False), ("", False)],
)
def test_which_answers_say_that_it_is_so_now(code: str, *, is_so: bool) -> None:
    assert is_obeyed(code) is is_so
