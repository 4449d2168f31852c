"""What buttons and refusals call allowed is what the engine would accept."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tasker_kafka.deploy.bulk import TaskNow, forecast
from tasker_kafka.deploy.console.backend.allowing import step_actions, task_actions
from tasker_kafka.schemas.identity import new_request_id
from tasker_kafka.schemas.records import Failure, OperatorCommand
from tasker_kafka.schemas.state import Stub
from tasker_kafka.schemas.words import AnswerCode, OperatorAction, Outcome, StepStatus
from tests.support.tasks import TASK_ID, Rig, plan_of, reach_step

TASK_ACTIONS = (
    OperatorAction.CANCEL_TASK,
    OperatorAction.RETRY_TASK,
    OperatorAction.RESOLVE_TASK,
    OperatorAction.SET_REASON,
    OperatorAction.SET_TAGS,
)
STEP_ACTIONS = (
    OperatorAction.RETRY_STEP,
    OperatorAction.RESOLVE_STEP,
    OperatorAction.COMPLETE_STEP,
    OperatorAction.CANCEL_STEP,
    OperatorAction.SET_MAX_ATTEMPTS,
)


def accepted(rig: Rig, action: OperatorAction, step: str | None = None) -> bool:
    """Whether the engine would accept the command, with every detail that it takes."""
    body = OperatorCommand(
        command_id=new_request_id(),
        action=action,
        actor="ada",
        reason="",
        steps=() if step is None else (step,),
        max_attempts=100 if action is OperatorAction.SET_MAX_ATTEMPTS else None,
        text="why" if action is OperatorAction.SET_REASON else None,
        tags=() if action is OperatorAction.SET_TAGS else None,
    )
    answer = forecast(TaskNow(rig.state, rig.plan), TASK_ID, body)
    assert answer is not None
    return answer.code == AnswerCode.ACCEPTED


def closed_in_error() -> Rig:
    """One step has failed for good, and the task with it."""
    rig = Rig(plan_of({"a": (), "b": ("a",)}))
    rig.start()
    rig.do(rig.result("a", Outcome.FAILURE, failure=Failure(type="E", code="e", retryable=False)))
    return rig


def blocked() -> Rig:
    """The same, and the task waits for somebody."""
    rig = Rig(plan_of({"a": (), "b": ("a",)}, lifecycle={"on_blocked": "wait"}))
    rig.start()
    rig.do(rig.result("a", Outcome.FAILURE, failure=Failure(type="E", code="e", retryable=False)))
    return rig


def finished(action: OperatorAction) -> Rig:
    """A blocked task that an operator has ended."""
    rig = blocked()
    rig.operate(action)
    return rig


RIGS: list[Callable[[], Rig]] = [
    *(lambda state=state: reach_step(state) for state in StepStatus),
    closed_in_error,
    blocked,
    lambda: finished(OperatorAction.CANCEL_TASK),
    lambda: finished(OperatorAction.RESOLVE_TASK),
]


@pytest.mark.parametrize("number", range(len(RIGS)))
def test_the_engine_says_the_same(number: int) -> None:
    rig = RIGS[number]()
    state = rig.state
    if isinstance(state, Stub):
        assert task_actions(state.outcome, [StepStatus.ERROR]) == ()
        assert not any(accepted(rig, each) for each in TASK_ACTIONS)
        assert not any(step_actions(state.outcome, each) for each in StepStatus)
        return
    assert state is not None
    steps = [each.state for each in state.steps]
    said = task_actions(state.state, steps)
    assert set(said) == {each for each in TASK_ACTIONS if accepted(rig, each)}, state.state
    for step in state.steps:
        allowed = step_actions(state.state, step.state)
        expected = {each for each in STEP_ACTIONS if accepted(rig, each, step.name)}
        assert set(allowed) == expected, (state.state, step.state)
