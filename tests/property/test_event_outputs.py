"""Whatever happens to a task, its events tell it once: random plans and stories, every condition declared."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.records import AttemptEnded, Body, Command, DomainEvent
from tasker_kafka.schemas.state import Stub, TaskState
from tasker_kafka.schemas.words import Outcome, StepStatus, TaskStatus
from tasker_kafka.streams.domain import Decision, outputs
from tests.support.event_plans import as_a_worker, with_every_event
from tests.support.task_stories import next_bodies, plans
from tests.support.tasks import TASK_ID, Rig

TASK_ENDS = {
    TaskStatus.COMPLETE: "job.completed",
    TaskStatus.ERROR: "job.failed",
    TaskStatus.CANCELLED: "job.cancelled",
    TaskStatus.BLOCKED_BY_FAILURES: "job.blocked",
    TaskStatus.RESOLVED_MANUALLY: "job.resolved_manually",
}


@pytest.mark.slow
@given(st.data())
def test_events_tell_what_happened_once(data: st.DataObject) -> None:
    rig = Rig(with_every_event(data.draw(plans(max_steps=5))))
    told = Told(rig)
    told.check(None, rig.start_task())
    for _ in range(data.draw(st.sampled_from([2, 8, 20]))):
        for body in data.draw(next_bodies(rig)):
            told.check(rig.state, as_a_worker(body))


class Told:
    """A task and what its events have told."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.ids: set[bytes] = set()
        self.failures: Counter[tuple[str, int]] = Counter()

    def check(self, before: TaskState | Stub | None, body: Body) -> None:
        rig = self.rig
        decided = rig.send(body, after_ms=300)
        if not isinstance(decided, Decision):
            return
        assert decided.fault is None, decided.fault
        assert rig.last.dropped_events == ()
        command = codec.decode(codec.encode(Command(TASK_ID, body)), Command)
        again = outputs(before, decided.state, command, decided.record, rig.plan)
        assert list(map(codec.encode, again.domain_events)) == list(map(codec.encode, rig.last.domain_events))
        self._check_ids()
        self._check_task(before, decided)
        self._check_steps(before, decided)

    def _check_ids(self) -> None:
        for event in self.rig.last.domain_events:
            assert event.event_id not in self.ids or event.name == "work.always", event
            self.ids.add(event.event_id)

    def _check_task(self, before: TaskState | Stub | None, decided: Decision) -> None:
        told = [each.name for each in self.rig.last.domain_events if each.step_name is None]
        moved = [
            each
            for each in decided.record.transitions
            if each.step is None and each.from_state != each.to_state
        ]
        rests = moved[-1].to_state if moved else None
        assert told == ([TASK_ENDS[rests]] if isinstance(rests, TaskStatus) and rests in TASK_ENDS else [])

    def _check_steps(self, before: TaskState | Stub | None, decided: Decision) -> None:
        rig = self.rig
        by_step: dict[str, list[DomainEvent]] = {}
        for event in rig.last.domain_events:
            if event.step_name is not None:
                by_step.setdefault(event.step_name, []).append(event)
        ends = {
            each.step: each.data
            for each in decided.record.transitions
            if each.step is not None and isinstance(each.data, AttemptEnded)
        }
        rests = {each.step: each.to_state for each in decided.record.transitions if each.step is not None}
        for step, data in ends.items():
            names = sorted(each.name for each in by_step.get(step, ()))
            if data.outcome is Outcome.SUCCESS and data.failure is None:
                assert names == ["work.always", "work.success"]
            elif data.failure is not None:
                final = rests[step] in {StepStatus.ERROR, StepStatus.CANCELLED}
                kind = "work.permanent_failure" if final else "work.retryable_failure"
                assert names == sorted(["work.always", "work.failure", kind])
                self.failures[step, data.attempt] += 1
                assert self.failures[step, data.attempt] == 1, "each failed attempt is told once"
        for step, events in by_step.items():
            if step in ends and ends[step].failure is not None:
                continue
            if step in ends and ends[step].outcome is Outcome.SUCCESS:
                continue
            assert rests[step] is StepStatus.CANCELLED
            assert any(each.name == "work.permanent_failure" for each in events)
            for event in events:
                assert msgspec.json.decode(event.payload)["error_code"]
