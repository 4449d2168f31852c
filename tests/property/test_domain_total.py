"""`decide` answers whatever comes: any bytes that are a command, at any state, also one that no rule could make."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.errors import DecodeError
from tasker_kafka.schemas.records import Command
from tasker_kafka.schemas.state import Stub, TaskState
from tasker_kafka.streams.domain import Decision, Ignored, Moment, decide, fold, outputs
from tests.support.examples import examples
from tests.support.record_values import values_of
from tests.support.task_stories import names_of, next_bodies, plans
from tests.support.tasks import TASK_ID, Rig, plan_of

pytestmark = pytest.mark.slow

COMMANDS = values_of(Command)
STATES = values_of(TaskState) | values_of(Stub) | st.none()
TIMES = st.integers(0, (1 << 53))


def at_work(data: st.DataObject) -> Rig:
    """A task somewhere in its life."""
    rig = Rig(data.draw(plans(max_steps=5).filter(lambda plan: plan.steps), label="plan"))
    rig.send(rig.start_task())
    for _ in range(data.draw(st.sampled_from([0, 2, 5]), label="commands before")):
        for body in data.draw(next_bodies(rig)):
            rig.send(body, after_ms=300)
    return rig


def aimed(data: st.DataObject, rig: Rig, command: Command) -> Command:
    """The command with its ids made those of the task, so that it passes more than the first check."""
    body: Any = command.body
    names = (
        [step.name for step in rig.state.steps if step.attempt] if isinstance(rig.state, TaskState) else []
    )
    name = data.draw(st.sampled_from(names) if names else names_of(rig.plan), label="step")
    attempt = rig.step(name).attempt if names else 1
    own = {
        "life": getattr(rig.state, "life", 0),
        "step": name,
        "attempt": max(0, attempt - data.draw(st.sampled_from([0, 0, 0, 1]), label="attempts ago")),
        "steps": (name,),
    }
    fields = set(type(body).__struct_fields__)
    return Command(TASK_ID, replace(body, **{key: value for key, value in own.items() if key in fields}))


@given(st.data())
@settings(max_examples=examples(300))
def test_any_command_is_decided_and_none_hurts_a_sound_task(data: st.DataObject) -> None:
    rig = at_work(data)
    command = aimed(data, rig, data.draw(COMMANDS, label="command"))
    before = rig.state
    moment = Moment(0, rig.offset + 1, data.draw(TIMES, label="time"), rig.plan)
    decided = decide(before, command, moment)
    assert decided.fault is None, repr(decided.fault)
    if isinstance(decided, Decision):
        codec.encode(decided.record)
        assert fold(before, decided.record, rig.plan) == decided.state
        outputs(before, decided.state, command, decided.record, rig.plan)


@given(command=COMMANDS, state=STATES, time=TIMES, with_plan=st.booleans())
@settings(max_examples=examples(300))
def test_no_state_makes_it_raise(
    command: Command, state: TaskState | Stub | None, time: int, with_plan: bool
) -> None:
    plan = plan_of({"a": (), "b": ("a",)})
    if isinstance(state, TaskState) and with_plan:
        state = replace(state, plan_hash=plan.hash, life=getattr(command.body, "life", state.life))
    decided = decide(state, command, Moment(0, 1, time, plan if with_plan else None))
    assert isinstance(decided, Decision | Ignored)


@given(st.data())
@settings(max_examples=examples(300))
def test_damaged_bytes_that_are_still_a_command_are_decided(data: st.DataObject) -> None:
    rig = at_work(data)
    bodies = data.draw(next_bodies(rig))
    assume(bodies)
    whole = bytearray(codec.encode(Command(TASK_ID, bodies[0])))
    for _ in range(data.draw(st.integers(1, 3), label="flips")):
        whole[data.draw(st.integers(10, len(whole) - 1), label="at")] ^= 1 << data.draw(st.integers(0, 7))
    try:
        command = codec.decode(bytes(whole), Command)
    except DecodeError:
        return
    decided = decide(rig.state, command, Moment(0, rig.offset + 1, rig.now + 1, rig.plan))
    assert decided.fault is None, repr(decided.fault)
