"""What the records of timers say, and what a task of many steps is made of."""

from __future__ import annotations

import pytest

from tasker_kafka.schemas.state import TaskState
from tests.bench.figures import Spread
from tests.bench.lateness import Due, Effect, lateness_of
from tests.bench.wide import WideTask, wide_plan


def test_timers_are_compared_with_when_they_were_due() -> None:
    dues = {
        (0, 1): Due("retry", 1_000, 1_020),
        (0, 2): Due("retry", 1_500, 1_540),
        (1, 1): Due("not_before", 1_999, 2_030),
    }
    effects = {place: Effect(due.written_at, due.written_at + 5) for place, due in dues.items()}
    found = lateness_of(dues, effects, expected=[1_000, 1_500, 1_999], begin=1_000, end=2_000)
    assert found.fired == {"not_before": 1, "retry": 2}
    assert found.per_second == 3.0
    assert found.written_ms == Spread(31, 40, 40)
    assert found.recorded_ms == Spread(36, 45, 45)
    assert (found.early, found.in_vain, found.missing) == (0, 0, 0)


def test_only_what_is_due_in_the_stretch_counts() -> None:
    dues = {(0, 1): Due("retry", 999, 1_000), (0, 2): Due("retry", 2_000, 2_001)}
    effects = dict.fromkeys(dues, Effect(2_001, 2_001))
    found = lateness_of(dues, effects, expected=[999, 2_000], begin=1_000, end=2_000)
    assert (found.fired, found.written_ms, found.missing) == ({}, None, 0)


def test_a_decision_before_its_time_is_early_and_a_timer_without_one_is_in_vain() -> None:
    dues = {
        (0, 1): Due("retry", 1_500, 1_490),
        (0, 2): Due("retry", 1_600, 1_590),
        (0, 3): Due("retry", 1_600, 1_610),
    }
    effects = {(0, 1): Effect(1_490, 1_495), (0, 3): Effect(1_610, 1_612)}
    found = lateness_of(dues, effects, expected=[1_500, 1_600], begin=1_000, end=2_000)
    assert (found.early, found.in_vain, found.missing) == (1, 1, 0)


def test_what_should_have_fired_and_did_not_is_missing() -> None:
    found = lateness_of({}, {}, expected=[1_500, 1_600, 2_500], begin=1_000, end=2_000)
    assert found.missing == 2


@pytest.mark.parametrize("steps", [10, 1_000])
def test_a_wide_task_has_as_many_steps_as_asked_for_and_is_half_done(steps: int) -> None:
    assert len(wide_plan(steps).steps) == steps
    task = WideTask(steps)
    assert task.state.complete == steps // 2 + 3
    after = task.decided(task.next).state
    assert isinstance(after, TaskState)
    assert after.complete == task.state.complete + 1
