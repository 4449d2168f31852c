"""Reads what a test wants to see: the accepted transitions of every task, and the rejections."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.output import evaluate_output, output_steps
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import (
    AttemptEnded,
    Audit,
    Rejection,
    TaskClosed,
    TaskCreated,
    Transition,
    Transitions,
    Value,
)
from tasker_kafka.schemas.words import DONE_STEP_STATES, StepStatus, TaskStatus
from tasker_kafka.topics.history import AcceptedHistory
from tasker_kafka.topics.log import Isolation, Log, Reader, Record, TopicPartition
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.payloads import Payloads
from tasker_kafka.topics.plans import PlanStore

from .result import StepRun, TaskResult, attempts_of

__all__ = ["TaskHistory"]


class TaskHistory:
    """Follows transitions and rejections from their beginning."""

    def __init__(self, log: Log, names: TopicNames, plans: PlanStore) -> None:
        self._log = log
        self._names = names
        self._plans = plans
        self._payloads = Payloads(log, names)
        self._reader: Reader | None = None
        self._accepted: dict[TopicPartition, AcceptedHistory] = {}
        self._records: dict[bytes, list[Transitions]] = {}
        self.rejections: list[Rejection] = []

    async def start(self) -> None:
        """Begin to follow."""
        for topic in (self._names.transitions, self._names.rejections):
            for number in range(await self._log.partition_count(topic)):
                self._accepted[TopicPartition(topic, number)] = AcceptedHistory()
        self._reader = await self._log.reader(dict.fromkeys(self._accepted, 0))

    async def stop(self) -> None:
        """Follow no longer."""
        if self._reader is not None:
            await self._reader.close()

    async def refresh(self) -> None:
        """Read everything that is in the log by now."""
        reader = self._reader
        assert reader is not None, "it is started first"
        ends = {
            place: await self._log.end_offset(place, isolation=Isolation.COMMITTED)
            for place in self._accepted
        }
        while any(reader.position(place) < end for place, end in ends.items()):
            for place, batch in (await reader.fetch(timeout=0.1)).items():
                for record in batch.records:
                    self._take(place, record)

    def _take(self, place: TopicPartition, record: Record) -> None:
        if place.topic == self._names.rejections:
            self.rejections.append(codec.decode(record.value, Rejection))
            return
        decoded = codec.decode_transition_record(record.value)
        if self._accepted[place].accept(record, decoded) and isinstance(decoded, Transitions):
            self._records.setdefault(record.key or b"", []).append(decoded)

    def passed(self, task_id: bytes) -> list[Transition]:
        """The transitions of the task's newest life, as far as they were read."""
        records = [each for each in self._records.get(task_id, ()) if each.seq]
        newest = max((each.life for each in records), default=None)
        return [each for record in records if record.life == newest for each in record.transitions]

    def state(self, task_id: bytes) -> TaskStatus | None:
        """The task's state, as far as it was read; None: nothing is decided."""
        own = [each for each in self.passed(task_id) if each.step is None]
        return TaskStatus(own[-1].to_state) if own else None

    async def result(self, task_id: bytes, named: str) -> TaskResult:
        """The task as far as it was read; values are fetched and decoded."""
        passed = self.passed(task_id)
        created = next((each.data for each in passed if isinstance(each.data, TaskCreated)), None)
        plan = None if created is None else self._plans.get(created.plan_hash)
        by_step: dict[str, list[Transition]] = {} if plan is None else {step.name: [] for step in plan.steps}
        for each in passed:
            if each.step is not None:
                by_step.setdefault(each.step, []).append(each)
        steps = {name: await self._step(name, those) for name, those in by_step.items()}
        state = self.state(task_id)
        own = [each for each in passed if each.step is None]
        return TaskResult(
            task_id=named,
            template="" if created is None else f"{created.namespace}/{created.name}@{created.version}",
            state=state,
            output=_output(plan, steps) if plan is not None and state is TaskStatus.COMPLETE else None,
            steps=steps,
            transitions=tuple(passed),
            correlation_id="" if created is None else created.correlation_id,
            reason=_newest(own, "text", "" if created is None else created.reason),
            tags=_newest(own, "tags", () if created is None else created.tags),
            closed=_closed(own),
        )

    async def _step(self, name: str, passed: Sequence[Transition]) -> StepRun:
        value: Value = None
        metadata: dict[int, Any] = {}
        for each in passed:
            data = each.data
            if each.to_state in DONE_STEP_STATES and each.from_state not in DONE_STEP_STATES:
                value = data.result if isinstance(data, (AttemptEnded, Audit)) else None
            if isinstance(data, AttemptEnded) and data.metadata is not None:
                metadata[data.attempt] = json.loads(data.metadata)
        resolved = await self._payloads.resolve(value)
        return StepRun(
            name=name,
            state=StepStatus(passed[-1].to_state) if passed else StepStatus.PENDING,
            attempts=attempts_of(passed, metadata),
            result=None if resolved is None else json.loads(resolved),
            states=tuple(StepStatus(each.to_state) for each in passed),
        )


def _output(plan: Plan, steps: dict[str, StepRun]) -> Any:
    return evaluate_output(plan, {name: steps[name].result for name in output_steps(plan)})


def _newest(own: Iterable[Transition], field: str, created: Any) -> Any:
    """What an operator last set, or what the task was created with."""
    found = created
    for each in own:
        if isinstance(each.data, Audit) and getattr(each.data, field) is not None:
            found = getattr(each.data, field)
    return found


def _closed(own: Sequence[Transition]) -> TaskClosed | None:
    """Why the task has ended, if its last edge says so."""
    data = own[-1].data if own else None
    return data if isinstance(data, TaskClosed) else None
