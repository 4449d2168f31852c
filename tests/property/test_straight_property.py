"""The straight way of an ordinary success decides as the general rules do, and takes only what is ordinary."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import Body, Command
from tasker_kafka.schemas.state import TaskState
from tasker_kafka.schemas.words import TaskStatus
from tasker_kafka.streams.domain import Moment, decide
from tasker_kafka.streams.domain.decide import by_rules
from tasker_kafka.streams.domain.straight import decide_success
from tests.support.task_stories import next_bodies, plans, results
from tests.support.tasks import DIAMOND, TASK_ID, Rig, plan_of

STUCK: dict[str, Any] = {"b": {"pending_parents": 2}, "c": {"pending_parents": 2}}
"""Nothing can run once step a is done."""


def both_ways(rig: Rig, state: TaskState | None, body: Body) -> None:
    """The next command of the rig's log, decided either way."""
    command = Command(TASK_ID, body)
    moment = Moment(0, rig.offset + 1, rig.now, rig.plan, rig.horizon)
    decided, general = decide(state, command, moment), by_rules(state, command, moment)
    assert repr(decided.fault) == repr(general.fault)
    assert replace(decided, fault=None) == replace(general, fault=None)


@pytest.mark.slow
@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_comes_is_decided_the_same_either_way(data: st.DataObject) -> None:
    plan = data.draw(plans())
    if data.draw(st.booleans(), label="nothing has a timer"):
        steps = tuple(replace(step, queue_timeout_ms=None) for step in plan.steps)
        lifecycle = replace(plan.lifecycle, max_duration_ms=None, stale_after_ms=None)
        plan = replace(plan, steps=steps, lifecycle=lifecycle, max_parallel_steps=None)
    rig = Rig(plan)
    rig.start()
    for _ in range(12):
        for body in data.draw(next_bodies(rig) | results(rig).map(lambda each: [each])):
            if isinstance(rig.state, TaskState):
                both_ways(rig, rig.state, body)
            rig.send(body, after_ms=data.draw(st.sampled_from([0, 1, 900])))


@pytest.mark.parametrize(
    "odd",
    [
        {"enqueued": 0},
        {"enqueued": 2},
        {"pending": 0},
        {"pending": 9},
        {"complete": 3},
        {"resolved": 1},
        {"state": TaskStatus.WAITING_FOR_RETRY},
        {"in_progress": 1, "pending": 0, **STUCK},
        {"waiting_for_retry": 1, "pending": 0, **STUCK},
        {"failed": 1, "pending": 0, **STUCK},
        {"cancelled": 1, "pending": 0, **STUCK},
        {"next_due": 5},
        {"ready": (0,)},
        {"life": -1},
        {"now": 1},
        {"a": {"reported": True, "started_at": 5}},
        {"a": {"attempt": 0}},
        {"a": {"dispatched_at": None, "worker_id": "old", "next_retry_at": 5}},
        STUCK,
        {"b": {"pending_parents": 0}, "c": {"pending_parents": -1}},
        {"b": {"attempt": 3, "base": 2, "next_retry_at": 7, "requested_delay_ms": 3, "worker_id": "old"}},
    ],
    ids=str,
)
@pytest.mark.parametrize("shift", [-10_000, 0, 10_000])
def test_a_state_as_it_should_not_be_is_decided_the_same_either_way(odd: dict[str, Any], shift: int) -> None:
    rig = Rig(plan_of(DIAMOND))
    rig.start()
    state = rig.state
    assert isinstance(state, TaskState)
    steps = tuple(replace(step, **odd.get(step.name, {})) for step in state.steps)
    state = replace(
        state, steps=steps, **{name: value for name, value in odd.items() if name not in {*"abcd"}}
    )
    at = rig.now + shift
    both_ways(
        rig,
        state,
        rig.result("a", life=state.life, attempt=steps[0].attempt, started_at=at, finished_at=at - 1),
    )


def test_what_is_ordinary_goes_straight() -> None:
    rig = Rig(plan_of(DIAMOND))
    rig.start()
    for name in "abcd":
        state, body = rig.state, rig.result(name)
        assert isinstance(state, TaskState)
        straight = decide_success(state, body, Moment(0, rig.offset + 1, rig.now + 1000, rig.plan))
        assert straight is not None
        assert rig.do(body) == straight


@pytest.mark.parametrize(
    "plan",
    [
        plan_of(DIAMOND, max_parallel_steps=1),
        plan_of(DIAMOND, lifecycle={"max_duration_ms": 5000}),
        plan_of(DIAMOND, lifecycle={"stale_after_ms": 5000, "staleness_action": "dlq"}),
        plan_of(DIAMOND, steps={"b": {"queue_timeout_ms": 2000}}),
    ],
    ids=["limit", "deadline", "staleness", "queue timeout"],
)
def test_limits_and_timers_are_left_to_the_general_rules(plan: Plan) -> None:
    rig = Rig(plan)
    rig.start()
    state = rig.state
    assert isinstance(state, TaskState)
    state = replace(state, next_due=None)
    assert decide_success(state, rig.result("a"), Moment(0, rig.offset + 1, rig.now, plan)) is None
    both_ways(rig, state, rig.result("a"))
