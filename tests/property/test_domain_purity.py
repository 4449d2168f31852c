"""The same commands give the same bytes in another process, under another hash seed, zone and clock."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.records import Command, Transitions
from tasker_kafka.schemas.state import Stub, TaskState
from tasker_kafka.schemas.words import TransitionEvent
from tasker_kafka.streams.domain import Decision, Ignored, Moment, decide, fold, outputs
from tests.support.fixed_story import digest, tell
from tests.support.task_stories import next_bodies, plans
from tests.support.tasks import TASK_ID, Rig

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "surroundings",
    [
        {"PYTHONHASHSEED": "1", "TZ": "Pacific/Kiritimati", "LC_ALL": "C"},
        {"PYTHONHASHSEED": "4242", "TZ": "America/St_Johns", "PYTHONOPTIMIZE": "1"},
    ],
    ids=["east", "west"],
)
def test_another_process_makes_the_same_bytes(surroundings: dict[str, str]) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "tests.support.fixed_story"],
        cwd=ROOT,
        env={**os.environ, **surroundings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout == digest()


def test_the_fixed_story_is_worth_telling() -> None:
    events = {each.event for rig in tell() for each in rig.record.transitions}
    unseen = set(TransitionEvent) - events
    assert len(unseen) <= 13, sorted(unseen)
    assert sum(1 for _ in tell()) > 30


@given(st.data())
def test_what_was_written_and_read_decides_and_folds_alike(data: st.DataObject) -> None:
    """State, command and record through their encodings: nothing depends on an object's identity."""
    rig = Rig(data.draw(plans(max_steps=6)))
    rig.send(rig.start_task())
    for _ in range(data.draw(st.sampled_from([2, 8, 20]))):
        for body in data.draw(next_bodies(rig)):
            before = reread(rig.state)
            command = Command(TASK_ID, body)
            again = codec.decode(codec.encode(command), Command)
            decided = rig.send(body, after_ms=300)
            moment = Moment(0, rig.offset, rig.now, rig.plan)
            assert reread(rig.state) == rig.state
            same = decide(before, again, moment)
            assert same == decided
            if isinstance(decided, Ignored):
                continue
            assert isinstance(same, Decision)
            record = codec.decode(codec.encode(decided.record), Transitions)
            assert record == decided.record
            assert fold(before, record, rig.plan) == rig.state
            assert outputs(before, same.state, again, record, rig.plan) == rig.last


def reread(state: TaskState | Stub | None) -> TaskState | Stub | None:
    """A state as the changelog would give it back."""
    if state is None:
        return None
    return codec.decode(codec.encode(state), type(state))
