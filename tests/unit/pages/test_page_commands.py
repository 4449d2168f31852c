"""Buttons: what the state allows is open, everything else says why it is closed."""

from __future__ import annotations

import pytest

from tasker_kafka.deploy.console.pages.task_commands import COMMANDS, closed_why, step_buttons, task_buttons
from tasker_kafka.schemas.words import FINAL_TASK_STATES, OperatorAction, StepStatus, TaskStatus
from tasker_kafka.streams.domain.allowing import step_actions
from tests.support.page_world import details_of_rig, step_in
from tests.support.tasks import reach_task

STEP_ACTIONS = [each for each in OperatorAction if each.endswith("_step")] + [OperatorAction.SET_MAX_ATTEMPTS]
TASK_ACTIONS = [each for each in OperatorAction if each not in STEP_ACTIONS]


def test_every_command_of_an_operator_has_words() -> None:
    assert {*COMMANDS} == {*OperatorAction}


@pytest.mark.parametrize("state", StepStatus)
def test_step_buttons_follow_the_state(state: StepStatus) -> None:
    details = step_in(state)
    step = details.step("a")
    assert step is not None
    drawn = step_buttons(details, step, None)
    allowed = step_actions(details.report.state, step.state)
    for action in STEP_ACTIONS:
        why = closed_why(action, details, step, None)
        assert (why is None) == (action in allowed)
        assert f'data-act="command" data-value="{action}"' in drawn or (why is not None and why[:30] in drawn)
    assert drawn.count('aria-disabled="true"') == len(STEP_ACTIONS) - len(allowed)


@pytest.mark.parametrize(
    "state", [each for each in TaskStatus if each is not TaskStatus.WAITING_FOR_DEPENDENCIES]
)
def test_task_buttons_follow_the_state(state: TaskStatus) -> None:
    details = details_of_rig(reach_task(state))
    drawn = task_buttons(details, None)
    assert drawn.count('data-act="command"') == len(details.allowed)
    assert drawn.count("<button") == len(TASK_ACTIONS)
    if state in FINAL_TASK_STATES:
        why = closed_why(OperatorAction.RETRY_TASK, details, None, None)
        assert why is not None
        assert "which is final" in why


def test_what_closes_all_closes_all() -> None:
    details = details_of_rig(reach_task(TaskStatus.ERROR))
    drawn = task_buttons(details, "Kafka cannot be reached; commands are written there.")
    assert 'data-act="command"' not in drawn
    assert drawn.count("Kafka cannot be reached") >= len(TASK_ACTIONS)
