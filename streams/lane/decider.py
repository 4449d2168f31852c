"""The inner loop of the engine: decide each command once, in order, without ever waiting.

    read → skip below N → decode → look up → decide → build all records → send → replace the state

It stops where something must be fetched first (a plan that is not ready, a schema that may be newer) and is
called again from there. Between two commands the partition is whole: N, the table and what was sent belong together,
which is what a checkpoint's cut relies on.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from tasker_kafka.schemas.errors import SchemaUnknown
from tasker_kafka.schemas.identity import format_id
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import FORGOTTEN_KEY, Command, Forget, Heartbeat, TimerDue
from tasker_kafka.schemas.state import Stub, TaskState
from tasker_kafka.schemas.words import RejectionCode
from tasker_kafka.streams.domain import Decision, Ignored, Moment, Outputs, decide, fold, outputs
from tasker_kafka.streams.domain.quarantine import quarantine
from tasker_kafka.topics.log import Record, Write

from .crash_points import CrashPoint
from .emit import NO_TASK, Emitter, refusal_record
from .forgetting import apply_forgetting, decide_forget
from .owned import OwnedPartition
from .plan_desk import PlanDesk, plan_hash_for
from .settings import LaneSettings
from .wire import CommandWire, Refusal

__all__ = ["Decider", "Needs"]

_log = logging.getLogger("tasker.lane")

# Each look at a member of an enum costs as much as a call, and these are passed with every command.
_DECIDED: Final = CrashPoint.DECIDED
_TRANSITIONS_SENT: Final = CrashPoint.TRANSITIONS_SENT
_OUTPUTS_SENT: Final = CrashPoint.OUTPUTS_SENT

Needs = bytes | SchemaUnknown
"""What must be fetched before the next command: a plan by its hash, or who knows a schema."""


class _Built(NamedTuple):
    """A decision with all its records, ready to be sent."""

    decision: Decision
    plan: Plan | None
    first: Write
    rest: list[Write]
    produced: Outputs


class Decider:
    """Decides the commands of one live partition."""

    def __init__(
        self,
        *,
        owned: OwnedPartition,
        desk: PlanDesk,
        wire: CommandWire,
        emitter: Emitter,
        settings: LaneSettings,
        partition: int,
    ) -> None:
        self._owned = owned
        self._desk = desk
        self._wire = wire
        self._emitter = emitter
        self._partition = partition
        self._ready = desk.ready
        self._verify = settings.verify_folds
        self._reached = settings.crash_points.reached
        self._unpublished: set[bytes] = set()
        """Plan hashes and fingerprints that nobody has published, as of this batch."""
        self.forgot = False
        """A Forget was decided since this was last reset."""

    def begin_batch(self) -> None:
        """What nobody had published before may have been published since."""
        self._unpublished.clear()

    def is_unpublished(self, name: bytes) -> None:
        """Whoever knows was asked: no template, or no release, has this."""
        self._unpublished.add(name)

    def run(self, records: Sequence[Record], begin: int, end: int) -> tuple[int, Needs | None]:
        """Decide `records[begin:end]`; returns where it stopped, and what it needs to go on (None: it is done)."""
        owned = self._owned
        metrics, take = owned.metrics, self._take
        end = min(end, len(records))
        for index in range(begin, end):
            record = records[index]
            offset = record.offset
            if offset < owned.next_command:
                metrics.skipped += 1
            else:
                needs = take(record)
                if needs is not None:
                    return index, needs
                owned.next_command = offset + 1
            metrics.read += 1
        return end, None

    def _take(self, record: Record) -> Needs | None:
        try:
            command = self._wire.read(record, self._unpublished)
        except SchemaUnknown as error:
            return error
        if isinstance(command, Refusal):
            self._refuse(record, command)
            return None
        body = command.body
        if isinstance(body, Heartbeat):
            self._note_heartbeat(record, command.task_id, body)
            return None
        if isinstance(body, Forget):
            self._forget(record, body)
            return None
        owned = self._owned
        before = owned.table.get(command.task_id)
        plan_hash = plan_hash_for(command) if before is None else before.plan_hash
        plan = None if plan_hash is None else self._ready.get(plan_hash)
        if plan is None and plan_hash is not None and plan_hash not in self._unpublished:
            return plan_hash
        moment = Moment(self._partition, record.offset, record.timestamp, plan, owned.horizon)
        decision = decide(before, command, moment)
        if isinstance(decision, Ignored):
            self._ignore(record, decision)
            return None
        try:
            built = self._build(record, command, before, decision, plan)
        except Exception as fault:
            self._set_aside(record, command, before, moment, fault)
        else:
            self._carry_out(record, command, before, built)
        return None

    def _build(
        self,
        source: Record,
        command: Command,
        before: TaskState | Stub | None,
        decision: Decision,
        plan: Plan | None,
    ) -> _Built:
        """Every record of a decision, its transitions first. Changes nothing."""
        record = decision.record
        if self._owned.ignored.ranges:
            record = replace(record, ignored=self._owned.ignored.pending())
        produced = outputs(before, decision.state, command, record, plan)
        first = self._emitter.transitions(command.task_id, record)
        rest = self._emitter.outputs(command.task_id, record, produced, plan, source)
        return _Built(decision, plan, first, rest, produced)

    def _carry_out(
        self, source: Record, command: Command, before: TaskState | Stub | None, built: _Built
    ) -> None:
        """Send what was decided, then make it the state."""
        owned, emitter, task_id = self._owned, self._emitter, command.task_id
        decision = built.decision
        after = decision.state
        self._reached(_DECIDED)
        owned.ignored.clear()
        emitter.send(built.first)
        self._reached(_TRANSITIONS_SENT)
        for write in built.rest:
            emitter.send(write)
        emitter.count(built.produced)
        self._reached(_OUTPUTS_SENT)
        if after is not before:
            owned.replace(task_id, before, after, built.plan)
        if isinstance(command.body, TimerDue):
            owned.timer_decided(task_id)
        owned.metrics.decided += 1
        if decision.fault is not None:
            self._report(task_id, source, decision.fault)
        if self._verify and fold(before, decision.record, built.plan) != after:
            raise AssertionError(f"the record of command {source.offset} does not fold to the decided state")

    def _set_aside(
        self,
        source: Record,
        command: Command,
        before: TaskState | Stub | None,
        moment: Moment,
        fault: Exception,
    ) -> None:
        """What was decided cannot be written: as with a fault of the rules, the task is quarantined."""
        if not isinstance(before, TaskState) or before.closed_at is not None:
            text = f"the engine cannot write what it decided ({type(fault).__name__}); its log says more"
            self._refuse(source, Refusal(RejectionCode.INTERNAL, text))
            self._report(command.task_id, source, fault)
            return
        decision, plan = quarantine(before, command, moment, fault), moment.plan
        try:
            built = self._build(source, command, before, decision, plan)
        except Exception:
            # Its outputs fail, too: the record alone closes the task.
            first = self._emitter.transitions(command.task_id, decision.record)
            built = _Built(decision, plan, first, [], Outputs())
        self._carry_out(source, command, before, built)

    def _ignore(self, record: Record, ignored: Ignored) -> None:
        self._owned.ignored.add(record.offset)
        self._owned.metrics.ignored[ignored.reason] += 1
        if ignored.fault is not None:
            self._report(record.key or b"", record, ignored.fault)

    def _note_heartbeat(self, record: Record, task_id: bytes, beat: Heartbeat) -> None:
        owned = self._owned
        if owned.table.is_live(task_id) and _is_of_running_attempt(owned.table.get(task_id), beat):
            owned.heartbeats.note(task_id, beat, record.timestamp)
        self._owned.ignored.add(record.offset)
        self._owned.metrics.heartbeats += 1

    def _forget(self, record: Record, body: Forget) -> None:
        owned = self._owned
        self.forgot = True
        found = decide_forget(
            owned, self._desk, until=body.until, now=record.timestamp, command_offset=record.offset
        )
        if not found.dropped and not found.retired:
            owned.ignored.add(record.offset)
            owned.metrics.ignored["nothing_due"] += 1
            return
        written = replace(found.record, ignored=owned.ignored.pending())
        self._reached(CrashPoint.DECIDED)
        owned.ignored.clear()
        self._emitter.send(self._emitter.transitions(FORGOTTEN_KEY, written))
        self._reached(CrashPoint.TRANSITIONS_SENT)
        apply_forgetting(owned, found, horizon=written.horizon)
        owned.metrics.decided += 1

    def _refuse(self, record: Record, refusal: Refusal) -> None:
        """Poison and strays: a record of its own, so that the rejection is repeated if it was lost."""
        owned, emitter = self._owned, self._emitter
        answer = refusal_record(record, refusal, owned.ignored.pending())
        owned.ignored.clear()
        emitter.send(emitter.transitions(NO_TASK, answer))
        emitter.send(emitter.rejection(record, refusal))
        self._reached(CrashPoint.REFUSED)
        owned.metrics.rejections += 1
        owned.metrics.refused[refusal.code] += 1

    def _report(self, key: bytes, record: Record, fault: BaseException) -> None:
        self._owned.metrics.quarantined += 1
        task = format_id(key) if len(key) == 16 else key[:32].hex()
        _log.error(
            "the rules failed on %s [%d] offset %d, task %s: the task is set aside, the partition goes on",
            record.topic,
            record.partition,
            record.offset,
            task,
            exc_info=fault,
        )


def _is_of_running_attempt(state: TaskState | Stub | None, beat: Heartbeat) -> bool:
    """Whether the heartbeat is of the task's life and an attempt that is under way.

    One that is not must not be kept: the newest attempt's counts, and one that was never granted would hide it.
    """
    if not isinstance(state, TaskState) or beat.life != state.life:
        return False
    return any(step.name == beat.step and step.attempt == beat.attempt for step in state.steps)
