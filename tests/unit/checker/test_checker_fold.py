"""The checker's own fold and edges against the engine's, on random stories: two writings of one specification."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.identity import plan_json
from tasker_kafka.schemas.records import Body
from tasker_kafka.schemas.state import Stub
from tasker_kafka.streams.domain import Decision
from tests.checker.attempts import Attempts
from tests.checker.fold import Life, retire_at
from tests.checker.history import Entry
from tests.checker.outputs import Dispatches
from tests.checker.raw import RawLog, RawRecord
from tests.checker.report import Findings
from tests.checker.tasks import Tasks
from tests.checker.wire import Wire
from tests.support.examples import examples
from tests.support.task_stories import next_bodies, plans
from tests.support.tasks import TASK_ID, Rig

WIRE = Wire()


class Beside:
    """A rig, and the checker's view of its records."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        plan = json.loads(plan_json(rig.plan))
        self.findings = Findings()
        self.dispatches = Dispatches(RawLog("tasker"), WIRE, self.findings, rules_changed=False)
        self.attempts = Attempts(self.dispatches, self.findings)
        self.tasks = Tasks(0, 1, {rig.plan.hash: plan}, self.attempts, self.findings)

    def send(self, body: Body, *, after_ms: int) -> None:
        """One command, decided there and folded here."""
        decided = self.rig.send(body, after_ms=after_ms)
        if not isinstance(decided, Decision):
            return
        for dispatch in self.rig.last.dispatches:
            self.dispatches.take(RawRecord(0, 0, None, codec.encode(dispatch)), "steps")
        value = codec.encode(decided.record)
        name, datum = WIRE.decode(value)
        record = RawRecord(len(self.rig.records), 0, TASK_ID, value)
        self.tasks.take(Entry(record, 0, name, datum), None, "transitions")
        report = self.findings.report()
        assert not report.violations, str(report)
        if datum["seq"]:
            self.compare()

    def compare(self) -> None:
        """Byte for byte."""
        assert self.rig.state is not None
        life = self.tasks.lives[TASK_ID]
        expected = codec.encode(self.rig.state)
        assert WIRE.encode(life.name, life.value) == expected, (life.value, WIRE.decode(expected))


@st.composite
def first_fields(draw: st.DrawFn, rig: Rig) -> dict[str, Any]:
    """How the task is requested."""
    names = tuple(step.name for step in rig.plan.steps)
    return draw(st.sampled_from([{}, {}, {"bypass_steps": names[:1]}, {"not_before": rig.now + 5000}]))


@settings(max_examples=examples(40))
@given(st.data())
def test_both_folds_give_the_same_bytes(data: st.DataObject) -> None:
    beside = Beside(Rig(data.draw(plans(max_steps=6))))
    rig = beside.rig
    bodies: list[Body] = [rig.start_task(**data.draw(first_fields(rig)))]
    for _ in range(data.draw(st.integers(4, 16))):
        for body in bodies:
            beside.send(body, after_ms=data.draw(st.sampled_from([0, 1, 500, 3000])))
        bodies = data.draw(next_bodies(rig))


def test_a_failed_task_retires_like_the_engines() -> None:
    plan = {"lifecycle": {"failed_retention_hours": 2, "retention_hours": 0}}
    life = Life.__new__(Life)
    life.plan = plan
    life.is_stub = False
    stub = Stub.__struct_fields__
    life.value = {**dict.fromkeys(stub), "state": "error", "closed_at": 1000}
    due = retire_at(life.value, plan)
    assert due == 1000 + 2 * 3_600_000
    life.shrink(due)
    assert life.value["forget_at"] == due + 3_600_000, "at least an hour"
    assert life.value["closed_at"] == 1000
