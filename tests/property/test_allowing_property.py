"""Whatever a task has been through: the forecast is what the engine answers, and what is listed is what it accepts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasker_kafka.schemas.records import OperatorCommand
from tasker_kafka.schemas.state import TaskState
from tasker_kafka.streams.domain import Decision
from tasker_kafka.streams.domain.allowing import STEP_ACTIONS, TaskNow, forecast, step_actions, task_actions
from tests.support.examples import examples
from tests.support.operators import TASK_ACTIONS, accepted
from tests.support.task_stories import next_bodies, orders, plans
from tests.support.tasks import TASK_ID, Rig


@pytest.mark.slow
@given(st.data())
@settings(max_examples=examples(150))
def test_the_forecast_is_the_answer(data: st.DataObject) -> None:
    rig = Rig(data.draw(plans(max_steps=6), label="plan"))
    if data.draw(st.sampled_from([True] * 9 + [False]), label="is started"):
        rig.start()
    for _ in range(data.draw(st.sampled_from([0, 2, 8, 20]), label="commands")):
        for body in data.draw(next_bodies(rig), label="bodies"):
            check(rig, body) if isinstance(body, OperatorCommand) else rig.send(body)
    for body in data.draw(st.lists(orders(rig), min_size=1, max_size=5), label="orders"):
        check(rig, body, after_ms=data.draw(st.sampled_from([0, 1000, 10**9]), label="later"))


def check(rig: Rig, body: OperatorCommand, *, after_ms: int = 1000) -> None:
    """What is said before is what is answered; to look changes nothing."""
    before = rig.state
    said = forecast(TaskNow(before, rig.plan), TASK_ID, body)
    assert rig.state is before
    decided = rig.send(body, after_ms=after_ms)
    assert isinstance(decided, Decision)
    assert decided.record.answer == said


@given(st.data())
@settings(max_examples=examples(100))
def test_what_is_listed_is_what_is_accepted(data: st.DataObject) -> None:
    rig = Rig(data.draw(plans(max_steps=5), label="plan"))
    rig.start()
    for _ in range(data.draw(st.sampled_from([2, 8, 20]), label="commands")):
        for body in data.draw(next_bodies(rig), label="bodies"):
            rig.send(body)
    state = rig.state
    if not isinstance(state, TaskState):
        return
    said = task_actions(state.state, [each.state for each in state.steps])
    assert {*said} == {each for each in TASK_ACTIONS if accepted(rig, each)}
    for step in state.steps:
        listed = step_actions(state.state, step.state)
        assert {*listed} == {each for each in STEP_ACTIONS if accepted(rig, each, step.name)}, step
