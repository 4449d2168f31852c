"""Replaying a task under the plan it ran on changes nothing, and under any other it ends, whatever its story was."""

from __future__ import annotations

import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from msgspec.structs import replace

from tasker_kafka.deploy.reading.what_if_attempts import Assume
from tasker_kafka.deploy.reading.what_if_notes import unknowns
from tasker_kafka.deploy.reading.what_if_recorded import read_life
from tasker_kafka.deploy.reading.what_if_replay import Replay
from tasker_kafka.deploy.reading.what_if_verdict import judge
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import Transitions
from tests.support.task_stories import next_bodies, plans
from tests.support.tasks import TASK_ID, Rig


def told(data: st.DataObject, *, most: int = 40) -> Rig:
    """A task with a random story."""
    rig = Rig(data.draw(plans(max_steps=6)))
    names = [step.name for step in rig.plan.steps]
    bypassed = data.draw(st.lists(st.sampled_from(names), max_size=1)) if names else []
    rig.send(
        rig.start_task(
            bypass_steps=tuple(bypassed),
            not_before=data.draw(st.sampled_from([None, None, rig.now + 5000])),
        )
    )
    for _ in range(data.draw(st.integers(0, most))):
        for body in data.draw(next_bodies(rig)):
            rig.send(body, after_ms=data.draw(st.sampled_from([0, 300, 300, 4000])))
    return rig


def of_the_life(rig: Rig) -> list[Transitions]:
    """The records that count for the life, as a reader of the log has them."""
    return [each for each in rig.records if each.seq]


@pytest.mark.slow
@given(st.data())
def test_an_unchanged_plan_is_followed_to_the_end(data: st.DataObject) -> None:
    rig = told(data)
    records = of_the_life(rig)
    life = read_life(TASK_ID, records, rig.plan)
    replayed = Replay(life, rig.plan, assume=data.draw(st.sampled_from(Assume)), until=rig.now)
    replayed.run()
    recorded = [each.transitions for each in records if each.transitions]
    event(f"records: {min(len(recorded), 20) // 5 * 5}+")
    if life.not_replayable is None:
        assert [each.transitions for each in replayed.records] == recorded
        assert replayed.final is not None
        assert replayed.final.steps == life.final.steps
        assert replayed.final.state is life.final.state
        assert not replayed.assumed
        assert not replayed.refused_orders


def related(data: st.DataObject, plan: Plan) -> Plan:
    """Another plan that shares steps with this one."""
    other = data.draw(plans(max_steps=6))
    mine = {step.name: step for step in plan.steps}
    kept = data.draw(st.sets(st.sampled_from(sorted(mine) or ["nobody"]), max_size=6))
    names = {step.name for step in other.steps}
    steps = tuple(
        replace(mine[step.name], parents=step.parents)
        if step.name in kept and step.name in mine
        else replace(step, parents=tuple(each for each in step.parents if each in names))
        for step in other.steps
    )
    return replace(data.draw(st.sampled_from([plan, other])), steps=steps)


@pytest.mark.slow
@given(st.data())
def test_under_any_other_plan_the_replay_ends_and_is_the_same_twice(data: st.DataObject) -> None:
    rig = told(data)
    life = read_life(TASK_ID, of_the_life(rig), rig.plan)
    plan = related(data, rig.plan)
    assume = data.draw(st.sampled_from(Assume))
    until = rig.now + data.draw(st.sampled_from([0, 10_000, 10**9]))
    verdict = judge(life, plan, assume=assume, until=until)
    assert verdict == judge(life, plan, assume=assume, until=until)
    assert verdict.would_state != "quarantined", verdict.refusal
    assert list(unknowns(rig.plan, plan)) is not None
    event(f"other: {verdict.is_other}")
    if verdict.refusal is None and verdict.would_duration_ms is not None:
        assert life.records[0].at + verdict.would_duration_ms <= max(until, rig.now)
