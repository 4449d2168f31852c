"""What one partition's accepted records say of its tasks: lives, seq, edges, ends (I3, I4, I9, I15).

Everything is judged record by record against the fold so far, so that a place in the log can be named.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .attempts import Attempts
from .commands import Command
from .edges import CLOSED_TASK, FINAL_TASK, fault_of
from .fold import Life, retire_at
from .history import Entry
from .report import Findings, Place
from .wire import Datum, partition_of

__all__ = ["Tasks"]

_KIND_OF: Final = {
    "request": "StartTask",
    "result": "StepResult",
    "started": "StepStarted",
    "timer": "TimerDue",
    "operator": "OperatorCommand",
    "reconciler": "Reconcile",
}
"""Cause of a transition → the command it must come from; other causes come from any."""


class Tasks:
    """The tasks of one partition as folded so far."""

    def __init__(
        self,
        partition: int,
        partitions: int,
        plans: Mapping[bytes, Datum],
        attempts: Attempts,
        findings: Findings,
    ) -> None:
        self.lives: dict[bytes, Life] = {}
        """What the table must hold."""
        self.dirty: set[bytes] = set()
        """Tasks that have changed since somebody emptied the set."""
        self.horizon = -1
        self.created: list[Datum] = []
        """Data of every task's creation."""
        self._forgotten: dict[bytes, int] = {}
        self._partition = partition
        self._partitions = partitions
        self._plans = plans
        self._attempts = attempts
        self._findings = findings
        self._place: Place = ""

    def take(self, entry: Entry, command: Command | None, topic: str) -> None:
        """Judge an accepted record and fold it."""
        key = entry.record.key or b""
        if entry.name == "Forgotten":
            self._place = topic, self._partition, entry.record.offset, None
            self._forget(entry.datum)
            return
        self._place = topic, self._partition, entry.record.offset, key
        if len(key) != 16:
            self._add("raw", f"the key {key!r} is no task's")
        elif entry.datum["seq"] == 0:
            self._answer(key, entry.datum)
        elif partition_of(key, self._partitions) != self._partition:
            self._add("I4", f"the task belongs to partition {partition_of(key, self._partitions)}")
        else:
            self._decision(key, entry.datum, command)

    def _add(self, invariant: str, text: str) -> None:
        self._findings.add(invariant, self._place, text)

    # ------------------------------------------------------------------------------------------- records

    def _answer(self, key: bytes, datum: Datum) -> None:
        """A record of no task's history."""
        life = self.lives.get(key)
        if datum["transitions"]:
            self._add("I4", "seq 0 with transitions")
        if datum["answer"] is None:
            self._add("I4", "seq 0 without an answer")
        if datum["life"] != (-1 if life is None else life.value["life"]):
            self._add("I9", f"an answer about life {datum['life']}, which is not the task's")
        self._findings.count("answers_without_task")

    def _decision(self, key: bytes, datum: Datum, command: Command | None) -> None:
        first = datum["transitions"][0] if datum["transitions"] else None
        is_birth = first is not None and first["step"] is None and first["event"] == "initialize_requested"
        life = self._born(key, datum, command) if is_birth else self._known(key, datum)
        if life is None:
            return
        self.dirty.add(key)
        self._check_command(datum, command, life)
        self._findings.peak("max_seq", datum["seq"])
        self._findings.count("transitions", len(datum["transitions"]))
        life.begin(datum)
        closed = life.state if not is_birth and life.state in CLOSED_TASK else None
        if (
            closed
            and datum["transitions"]
            and not any(t["cause"] == "operator" for t in datum["transitions"])
        ):
            self._add(
                "I3", f"the task moves after it was closed as {closed}, and no operator has asked for it"
            )
        self._fold(life, datum, command, is_birth)
        if life.is_stub:
            self._findings.count(f"tasks_{life.state}")
            self._attempts.forget(life)

    def _fold(self, life: Life, datum: Datum, command: Command | None, is_birth: bool) -> None:
        unborn = {step["name"] for step in life.plan["steps"]} if is_birth else set()
        is_new = is_birth
        for transition in datum["transitions"]:
            name = transition["step"]
            if name is None:
                current, is_new = None if is_new else life.state, False
                if current in FINAL_TASK:
                    self._add("I3", f"{transition['event']} follows the end of the task as {current}")
            else:
                step = life.step(name)
                current = None if step is None or name in unborn else step["state"]
                unborn.discard(name)
            if (fault := fault_of(transition, current)) is not None:
                self._add("I4", fault)
            try:
                if name is not None:
                    self._attempts.judge(life, transition, command, self._place)
                life.take(transition)
            except (KeyError, TypeError) as error:
                self._add("I4", f"{transition['event']} has not the data that it needs ({error!r})")
        if unborn:
            self._add("I4", f"steps are not initialized: {', '.join(sorted(unborn))}")
        life.finish()

    def _check_command(self, datum: Datum, command: Command | None, life: Life) -> None:
        """The record is about its command: its time, its task, its kind."""
        if command is None:
            return
        if command.is_refused or command.task_id != life.value["task_id"]:
            self._add("I15", f"command {command.record.offset} is not one of this task")
            return
        expected = max(life.value["now"], command.record.timestamp)
        if datum["at"] != expected:
            self._add("I15", f"the decision's time is {datum['at']}, by the log {expected}")
        for transition in datum["transitions"]:
            kind = _KIND_OF.get(transition["cause"])
            if kind is not None and kind != command.kind:
                self._add(
                    "I15",
                    f"{transition['event']} says {transition['cause']}, the command is a {command.kind}",
                )

    # --------------------------------------------------------------------------------------------- lives

    def _born(self, key: bytes, datum: Datum, command: Command | None) -> Life | None:
        data = datum["transitions"][0]["data"]
        if not isinstance(data, dict) or (plan := self._plans.get(data.get("plan_hash", b""))) is None:
            self._add("raw", "a task is created without a plan that was published")
            return None
        if (before := self.lives.get(key)) is not None:
            self._add("I9", f"the task is created again while its life {before.value['life']} is remembered")
        if data["request"]["timestamp"] <= self.horizon:
            self._add("I9", "the request is not newer than the horizon, the task may be a second one")
        if data["task_id"] != key:
            self._add("I9", "another task's id under this key")
        if datum["life"] != datum["command_offset"]:
            self._add(
                "I9", f"life {datum['life']} is not the offset of its StartTask, {datum['command_offset']}"
            )
        if datum["seq"] != 1:
            self._add("I4", f"the life begins with seq {datum['seq']}")
        if command is not None and command.kind != "StartTask":
            self._add("I15", f"a task is created by a {command.kind or 'record that must be refused'}")
        self._findings.count("tasks")
        self._findings.count("steps", len(plan["steps"]))
        self.created.append(data)
        life = self.lives[key] = Life(key, datum, plan)
        return life

    def _known(self, key: bytes, datum: Datum) -> Life | None:
        life = self.lives.get(key)
        if life is None and self._forgotten.get(key) == datum["life"]:
            self._add("I3", f"seq {datum['seq']} follows the end of the task, which is forgotten")
            return None
        if life is None:
            self._add("I4", f"seq {datum['seq']} of life {datum['life']}, whose beginning is missing")
            return None
        if life.value["life"] != datum["life"]:
            self._add("I9", f"a record of life {datum['life']} in life {life.value['life']}")
            return None
        if life.is_stub:
            self._add("I3", f"seq {datum['seq']} follows the end of the task as {life.state}")
            return None
        if datum["seq"] != life.value["seq"] + 1:
            self._add("I4", f"seq {datum['seq']} follows seq {life.value['seq']}")
        return life

    # ---------------------------------------------------------------------------------------- forgetting

    def _forget(self, datum: Datum) -> None:
        """Failed tasks whose time has come become stubs, stubs whose time has come go, and the horizon moves."""
        until, horizon = datum["until"], self.horizon
        for key, life in list(self.lives.items()):
            if not life.is_stub and (due := retire_at(life.value, life.plan)) is not None and due <= until:
                life.shrink(due)
                self.dirty.add(key)
            if life.is_stub and life.value["forget_at"] <= until:
                horizon = max(horizon, life.value["created_at"])
                self._forgotten[key] = life.value["life"]
                del self.lives[key]
                self.dirty.add(key)
                self._findings.count("tasks_forgotten")
        if datum["horizon"] != horizon:
            self._add("I9", f"the horizon is said to be {datum['horizon']}, by the log {horizon}")
        self.horizon = datum["horizon"]
