"""`what-if`: the real tasks of a template, replayed under a changed one, and where they would have gone another way.

Reads the transitions from a moment on, gathers the records of each task of the template that began since, and judges
it as soon as it is final; one that is still open is judged when the log has been read. So memory holds the records of
the tasks that are open at the same time, whatever the length of the log.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable
from contextlib import aclosing

import msgspec

from tasker_kafka.schemas.errors import DecodeError, NotFoundError, TaskerError
from tasker_kafka.schemas.json_strict import InvalidJson, decode_json_object
from tasker_kafka.schemas.limits import CONTEXT_BYTES
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import PayloadRef, TaskCreated, Transitions
from tasker_kafka.schemas.schema_check import schema_for
from tasker_kafka.schemas.words import FINAL_TASK_STATES
from tasker_kafka.topics.log import Log, TopicPartition
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.payloads import Payloads
from tasker_kafka.topics.plans import PlanStore

from .as_of_moments import Cut, Moment, PartitionCut, resolve
from .history import not_found
from .rebuild_log import Accepted, accepted_records, retained_log
from .what_if_attempts import Assume
from .what_if_notes import ALWAYS, unknowns
from .what_if_recorded import read_life
from .what_if_verdict import REJECTED, TaskVerdict, judge

__all__ = ["Question", "Spread", "WhatIf", "context_fault", "what_if"]

CONTEXT_GONE = (
    "its context is not in the payloads topic any more, so the changed input_schema cannot be asked"
)
_SHOWN = 3
"""Violations of an input that are told."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked: which tasks, under which plan, with which assumption."""

    plan: Plan
    since: Moment
    until: Moment | None = None
    """Tasks that began before this only; what became of them is read to the end of the log."""
    task_id: bytes | None = None
    version: str | None = None
    """Tasks that ran on this version of the template only."""
    assume: Assume = Assume.SUCCESS
    limit: int = 50
    """How many tasks that differ are told whole."""


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Of the closed tasks' durations, ms; None: none was closed."""

    median: int | None
    p95: int | None


class WhatIf(msgspec.Struct, frozen=True, kw_only=True):
    """The answer."""

    since: Cut
    until: Cut | None
    assume: Assume
    judged: int
    other: int
    """Tasks that would have gone another way."""
    rejected: int
    """Tasks whose request would have been refused."""
    states: dict[str, int]
    """`recorded → would` of the tasks whose end differs, with how many."""
    steps: dict[str, dict[str, int]]
    """Step → kind of deviation → in how many tasks."""
    recorded_attempts: int
    would_attempts: int
    assumed_attempts: int
    recorded: Spread
    would: Spread
    not_judged: dict[str, int]
    """Reason → how many tasks."""
    cannot_know: tuple[str, ...]
    tasks: tuple[TaskVerdict, ...]
    """The first of those that differ."""


async def what_if(
    log: Log,
    names: TopicNames,
    plans: PlanStore,
    question: Question,
    *,
    progress: Callable[[int, int, int], None] | None = None,
) -> WhatIf:
    """Judge every task of the template that began in the stretch asked for.

    BadMoment; NotFoundError for a task that did not begin in it, or is none of the template.
    """
    since = await resolve(log, names, question.since)
    until = None if question.until is None else await resolve(log, names, question.until)
    work = _Work(log, names, plans, question)
    for place in since.partitions:
        first_after = None if until is None else until.offsets[place.partition]
        await work.read(place, first_after, progress)
    if question.task_id is not None and not work.seen:
        raise not_found(question.task_id)
    return work.answer(since, until)


class _Work:
    """The tally, and the tasks that are being gathered."""

    def __init__(self, log: Log, names: TopicNames, plans: PlanStore, question: Question) -> None:
        self._log = log
        self._names = names
        self._plans = plans
        self._question = question
        self._until = log.now_ms()
        self._payloads = Payloads(log, names)
        self._tally = _Tally(question.limit)
        self._notes: dict[str, None] = {}
        self._known_plans: set[bytes] = set()
        self.seen = 0

    async def read(
        self, place: PartitionCut, first_after: int | None, progress: Callable[[int, int, int], None] | None
    ) -> None:
        """One partition, from the moment on."""
        partition = TopicPartition(self._names.transitions, place.partition)
        stretch = await retained_log(self._log, partition, start=place.offset)
        open_tasks: dict[bytes, list[Transitions]] = {}
        async with aclosing(accepted_records(self._log, stretch, self._question.task_id)) as records:
            async for each in records:
                await self._take(each, open_tasks, first_after)
                if progress is not None and each.offset % 1000 == 0:
                    progress(place.partition, each.offset - stretch.begin, stretch.end - stretch.begin)
        for task_id, held in open_tasks.items():
            await self._judge(task_id, held)

    async def _take(
        self, accepted: Accepted, open_tasks: dict[bytes, list[Transitions]], first_after: int | None
    ) -> None:
        record, key = accepted.record, accepted.key
        if isinstance(record, DecodeError):
            if open_tasks.pop(key, None) is not None:
                self._tally.not_judged["a record of it cannot be read"] += 1
            return
        if not isinstance(record, Transitions) or not record.seq:
            return
        if record.seq == 1 and (first_after is None or accepted.offset < first_after):
            before = open_tasks.pop(key, None)
            if before is not None:
                await self._judge(key, before)
            if self._is_wanted(record):
                self.seen += 1
                open_tasks[key] = []
        if (held := open_tasks.get(key)) is None:
            return
        held.append(record)
        if any(each.step is None and each.to_state in FINAL_TASK_STATES for each in record.transitions):
            await self._judge(key, open_tasks.pop(key))

    def _is_wanted(self, record: Transitions) -> bool:
        created = record.transitions[0].data if record.transitions else None
        plan, version = self._question.plan, self._question.version
        return (
            isinstance(created, TaskCreated)
            and (created.namespace, created.name) == (plan.namespace, plan.name)
            and version in (None, created.version)
        )

    async def _judge(self, task_id: bytes, records: list[Transitions]) -> None:
        created = records[0].transitions[0].data
        assert isinstance(created, TaskCreated), "wanted tasks have one"
        old = await self._plan(created.plan_hash)
        if old is None:
            self._tally.not_judged["its template is not in the templates topic any more"] += 1
            return
        question = self._question
        self._note(old)
        try:
            life = read_life(task_id, records, old)
        except (TaskerError, KeyError, StopIteration) as error:
            self._tally.not_judged[f"its records do not fold ({type(error).__name__})"] += 1
            return
        if life.not_replayable is not None:
            self._tally.not_judged[life.not_replayable] += 1
            return
        refusal = None
        if question.plan.input_schema is not None and question.plan.input_schema != old.input_schema:
            context = await self._context(created)
            if context is None:
                self._tally.not_judged[CONTEXT_GONE] += 1
                return
            refusal = context_fault(question.plan, context)
        self._tally.add(
            judge(life, question.plan, assume=question.assume, until=self._until, refusal=refusal)
        )

    async def _plan(self, plan_hash: bytes) -> Plan | None:
        plan = self._plans.get(plan_hash)
        if plan is None:
            await self._plans.catch_up()
            plan = self._plans.get(plan_hash)
        return plan

    async def _context(self, created: TaskCreated) -> bytes | None:
        if not isinstance(created.context, PayloadRef):
            return created.context
        try:
            return await self._payloads.fetch(created.context)
        except (NotFoundError, DecodeError):
            return None

    def _note(self, old: Plan) -> None:
        if old.hash not in self._known_plans:
            self._known_plans.add(old.hash)
            self._notes.update(dict.fromkeys(unknowns(old, self._question.plan)))

    def answer(self, since: Cut, until: Cut | None) -> WhatIf:
        """What was counted."""
        return self._tally.answer(since, until, self._question.assume, (*ALWAYS, *self._notes))


class _Tally:
    """Counts verdicts; keeps the first that differ."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._judged = self._other = self._rejected = self._assumed = 0
        self._attempts = [0, 0]
        self._states: Counter[str] = Counter()
        self._steps: dict[str, Counter[str]] = {}
        self._durations = (array("q"), array("q"))
        self._tasks: list[TaskVerdict] = []
        self.not_judged: Counter[str] = Counter()

    def add(self, verdict: TaskVerdict) -> None:
        """The next task."""
        self._judged += 1
        self._rejected += verdict.would_state == REJECTED
        self._assumed += len(verdict.assumed)
        self._attempts[0] += verdict.recorded_attempts
        self._attempts[1] += verdict.would_attempts
        found = (verdict.recorded_duration_ms, verdict.would_duration_ms)
        for held, duration in zip(self._durations, found, strict=True):
            if duration is not None:
                held.append(duration)
        if not verdict.is_other:
            return
        self._other += 1
        if verdict.recorded_state != verdict.would_state:
            self._states[f"{verdict.recorded_state} → {verdict.would_state}"] += 1
        for each in verdict.steps:
            self._steps.setdefault(each.step, Counter()).update(each.kinds)
        if len(self._tasks) < self._limit:
            self._tasks.append(verdict)

    def answer(self, since: Cut, until: Cut | None, assume: Assume, cannot_know: tuple[str, ...]) -> WhatIf:
        """The whole."""
        recorded, would = (_spread(each) for each in self._durations)
        return WhatIf(
            since=since,
            until=until,
            assume=assume,
            judged=self._judged,
            other=self._other,
            rejected=self._rejected,
            states=dict(self._states.most_common()),
            steps={step: dict(kinds.most_common()) for step, kinds in self._steps.items()},
            recorded_attempts=self._attempts[0],
            would_attempts=self._attempts[1],
            assumed_attempts=self._assumed,
            recorded=recorded,
            would=would,
            not_judged=dict(self.not_judged.most_common()),
            cannot_know=cannot_know,
            tasks=tuple(self._tasks),
        )


def context_fault(plan: Plan, context: bytes) -> str | None:
    """Why intake would refuse a context under the plan's input schema; None: it fits."""
    if plan.input_schema is None:
        return None
    try:
        value = decode_json_object(context, max_bytes=CONTEXT_BYTES.maximum, what="context")
    except InvalidJson as error:
        return error.message
    schema = schema_for(plan.input_schema)
    violations = schema.violations(schema.with_defaults(value), root="context")
    if not violations:
        return None
    more = f"; and {len(violations) - _SHOWN} more" if len(violations) > _SHOWN else ""
    return "; ".join(str(each) for each in violations[:_SHOWN]) + more


def _spread(durations: array[int]) -> Spread:
    """The nearest-rank percentiles."""
    held = sorted(durations)
    if not held:
        return Spread(median=None, p95=None)
    return Spread(median=held[(len(held) - 1) // 2], p95=held[-(-len(held) * 95 // 100) - 1])
