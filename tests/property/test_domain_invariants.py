"""Whatever the log brings, in whatever order: the invariants hold after every command.

Random plans, and stories of results (lost, late, twice, never granted), timers, operator commands and strays.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasker_kafka.schemas.records import Body, Command
from tasker_kafka.schemas.state import Stub, TaskState
from tasker_kafka.schemas.words import FINAL_TASK_STATES, StepStatus, TaskStatus, TransitionEvent
from tasker_kafka.streams.domain import Decision, Ignored, Moment, decide, evolve, fold, outputs
from tests.support.examples import examples
from tests.support.task_checks import Ledger, check_closed, check_state
from tests.support.task_stories import next_bodies, plans
from tests.support.tasks import TASK_ID, Rig

pytestmark = pytest.mark.slow

GRANTS = {TransitionEvent.ENQUEUE_REQUESTED, TransitionEvent.REDISPATCHED}


def send(rig: Rig, ledger: Ledger, body: Body, *, after_ms: int) -> None:
    """One command, and everything that must hold after it."""
    before = rig.state
    decided = rig.send(body, after_ms=after_ms)
    command = Command(TASK_ID, body)
    again = decide(before, command, Moment(0, rig.offset, rig.now, rig.plan, rig.horizon))
    assert again == decided, "the same command gave another decision"
    if isinstance(decided, Ignored):
        assert decided.fault is None, decided.fault
        assert rig.state is before
        return
    assert decided.fault is None, decided.fault
    ledger.read(decided.record)
    check_closed(decided.state, ledger)
    if isinstance(decided.state, TaskState):
        check_state(decided.state, rig.plan)
    check_outputs(rig, before, command, decided)
    check_evolution(rig, before, decided)


def check_outputs(rig: Rig, before: TaskState | Stub | None, command: Command, decided: Decision) -> None:
    assert outputs(before, decided.state, command, decided.record, rig.plan) == rig.last
    granted = [each for each in decided.record.transitions if each.event in GRANTS]
    assert [each.step for each in granted] == [each.step for each in rig.last.dispatches]
    for dispatch in rig.last.dispatches:
        assert isinstance(decided.state, TaskState)
        step = rig.step(dispatch.step)
        assert (dispatch.life, dispatch.attempt) == (decided.state.life, step.attempt)
        assert step.state is StepStatus.ENQUEUED
    stopped = [
        each.step
        for each in decided.record.transitions
        if each.step is not None
        and each.event is TransitionEvent.CANCELLED
        and each.from_state in {StepStatus.ENQUEUED, StepStatus.IN_PROGRESS}
    ]
    assert stopped == [each.step for each in rig.last.cancellations]


def check_evolution(rig: Rig, before: TaskState | Stub | None, decided: Decision) -> None:
    """Transition by transition the fold reaches the same task."""
    if not decided.record.transitions:
        return
    state = before if isinstance(before, TaskState) else None
    for transition in decided.record.transitions:
        state = evolve(state, transition, rig.plan)
        assert state.next_due is None or state.state not in FINAL_TASK_STATES
    assert state is not None
    if isinstance(decided.state, TaskState):
        assert (state.steps, state.state, state.next_due) == (
            decided.state.steps,
            decided.state.state,
            decided.state.next_due,
        )


def finish(rig: Rig, ledger: Ledger) -> None:
    """From now on nothing fails: the task must end, or wait for an operator and say so."""
    for _ in range(600):
        if not isinstance(rig.state, TaskState):
            return
        if rig.state.state in {TaskStatus.ERROR, TaskStatus.BLOCKED_BY_FAILURES}:
            return
        running = [
            step.name
            for step in rig.state.steps
            if step.state in {StepStatus.ENQUEUED, StepStatus.IN_PROGRESS}
        ]
        if running:
            send(rig, ledger, rig.result(running[0]), after_ms=1)
        else:
            due = rig.state.next_due
            assert due is not None, "nothing runs, and no timer is due"
            rig.now = max(rig.now, due)
            timers = rig.timers()
            assert timers, "a timer is due, but which?"
            for timer in timers:
                send(rig, ledger, timer, after_ms=0)
    pytest.fail("the task does not come to an end")


def tell_story(data: st.DataObject) -> None:
    """A random task through random commands, then to its end."""
    plan = data.draw(plans(), label="plan")
    rig, ledger = Rig(plan), Ledger(plan)
    not_before = data.draw(st.sampled_from([None, None, rig.now - 1, rig.now + 30_000]), label="not_before")
    bypass = data.draw(st.sets(st.sampled_from([step.name for step in plan.steps] or ["-"]), max_size=2))
    start = rig.start_task(not_before=not_before, bypass_steps=tuple(sorted(bypass - {"-"})))
    send(rig, ledger, start, after_ms=1000)
    left_after_the_end = 3
    for _ in range(data.draw(st.sampled_from([3, 10, 25, 50]), label="commands")):
        left_after_the_end -= isinstance(rig.state, Stub)
        if not left_after_the_end:
            break
        for body in data.draw(next_bodies(rig), label="bodies"):
            send(rig, ledger, body, after_ms=data.draw(st.sampled_from([0, 1, 900]), label="after"))
    finish(rig, ledger)
    replayed: TaskState | Stub | None = None
    for record in rig.records:
        replayed = fold(replayed, record, plan)
    assert replayed == rig.state, "folding the whole log gives another task"


@given(st.data())
@settings(max_examples=examples(80))
def test_invariants_hold_after_every_command(data: st.DataObject) -> None:
    tell_story(data)


@given(st.data())
@settings(max_examples=examples(40))
def test_a_task_whose_attempts_all_succeed_completes(data: st.DataObject) -> None:
    plan = data.draw(plans(), label="plan")
    rig, ledger = Rig(plan), Ledger(plan)
    send(rig, ledger, rig.start_task(), after_ms=1)
    order = [step.name for step in plan.steps]
    while isinstance(rig.state, TaskState):
        running = [name for name in order if rig.step(name).state is StepStatus.ENQUEUED]
        assert running, "nothing runs and the task is not complete"
        send(rig, ledger, rig.result(data.draw(st.sampled_from(running))), after_ms=1)
    assert rig.status() is TaskStatus.COMPLETE
    assert len(rig.dispatches) == len(plan.steps), "a step ran twice"
