"""What a task of a thousand steps costs per decision: whatever scans all steps shows here, and nowhere else.

One process, no log: CPU time of the pure functions and of the codec, for a task of the most steps that a template may
have, and for one of ten. Either is a root, two steps below it, and leaves below these.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.identity import new_request_id
from tasker_kafka.schemas.limits import STEPS
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import Body, Command, OperatorCommand, RequestPlace, StartTask, StepResult
from tasker_kafka.schemas.state import TaskState
from tasker_kafka.schemas.template import Template
from tasker_kafka.schemas.words import OperatorAction, Outcome
from tasker_kafka.streams.domain import Decision, Moment, decide, outputs
from tasker_kafka.streams.domain.timers import due_timers, next_due
from tests.bench.tables import aligned

__all__ = ["WideTask", "wide_table"]

_LEAST_SECONDS = 0.1
_NARROW = 10
_SIDES = ("left", "right")


def wide_plan(steps: int) -> Plan:
    """As many steps as asked for, without a step of more children than a template may have."""
    template = Template(f"wide_{steps}").step("root", handler="test.noop")
    for side in _SIDES:
        template = template.step(side, handler="test.noop", depends_on=["root"])
    for number in range(steps - 1 - len(_SIDES)):
        template = template.step(
            f"leaf_{number}", handler="test.noop", depends_on=[_SIDES[number % len(_SIDES)]]
        )
    return template.compile()


class WideTask:
    """A task of `steps` steps in the middle of its life: half of its leaves are done."""

    def __init__(self, steps: int) -> None:
        self.plan = wide_plan(steps)
        self._task = new_request_id()
        self._now = 1_700_000_000_000
        self._offset = 1
        place = RequestPlace(partition=0, offset=0, timestamp=self._now)
        start = StartTask(plan_hash=self.plan.hash, request_id=self._task, context=b"{}", request=place)
        self.before: TaskState | None = None
        self.take(start)
        for step in ("root", *_SIDES):
            self.take(self.result(step))
        for number in range(steps // 2):
            self.take(self.result(f"leaf_{number}"))
        self.next = self.result(f"leaf_{steps // 2}")

    @property
    def state(self) -> TaskState:
        """The task now."""
        assert self.before is not None
        return self.before

    def result(self, step: str) -> StepResult:
        """A success of the step's first attempt."""
        life = 0 if self.before is None else self.before.life
        return StepResult(
            life=life,
            step=step,
            attempt=1,
            outcome=Outcome.SUCCESS,
            worker_id="worker",
            started_at=self._now,
            finished_at=self._now,
            result=b"{}",
        )

    def decided(self, body: Body) -> Decision:
        """What a command does now; the task stays as it is."""
        moment = Moment(0, self._offset, self._now, self.plan)
        decision = decide(self.before, Command(self._task, body), moment)
        assert isinstance(decision, Decision)
        assert decision.fault is None
        outputs(self.before, decision.state, Command(self._task, body), decision.record, self.plan)
        return decision

    def take(self, body: Body) -> None:
        """Decide and go on from there."""
        state = self.decided(body).state
        assert isinstance(state, TaskState)
        self.before = state
        self._offset += 1

    def costs(self) -> dict[str, float]:
        """Milliseconds of CPU by what is done."""
        state, plan = self.state, self.plan
        cancel = OperatorCommand(
            command_id=new_request_id(), action=OperatorAction.CANCEL_TASK, actor="bench", reason="bench"
        )
        data, record = codec.encode(state), self.decided(self.next).record
        return {
            "decide a result, with its outputs": _cpu_ms(lambda: self.decided(self.next)),
            "decide a cancellation, with its outputs": _cpu_ms(lambda: self.decided(cancel)),
            "encode its transitions": _cpu_ms(lambda: codec.encode(record)),
            "encode the state": _cpu_ms(lambda: codec.encode(state)),
            "decode the state": _cpu_ms(lambda: codec.decode(data, TaskState)),
            "decode its head": _cpu_ms(lambda: codec.decode_head(data)),
            "next_due": _cpu_ms(lambda: next_due(state, plan)),
            "due_timers": _cpu_ms(lambda: due_timers(state, plan, self._now)),
        }


def _cpu_ms(action: Callable[[], object]) -> float:
    """CPU milliseconds of one call: the mean of a tenth of a second."""
    action()
    count, began = 0, time.process_time()
    while (used := time.process_time() - began) < _LEAST_SECONDS:
        action()
        count += 1
    return 1000 * used / count


def wide_table() -> tuple[str, dict[str, dict[str, float]]]:
    """Costs of the narrow and of the widest task, as a table and as numbers."""
    narrow, wide = WideTask(_NARROW).costs(), WideTask(STEPS.maximum).costs()
    head = ["CPU ms per", f"{_NARROW} steps", f"{STEPS.maximum:,} steps"]
    rows = [[name, f"{narrow[name]:.3f}", f"{wide[name]:.3f}"] for name in narrow]
    return aligned(head, rows), {"narrow": narrow, "wide": wide}
