"""The real rules, behind small numbers: tables, commands, records and outputs are named by index.

The search must be cheap, the rules must be the product's own. So every decision, fold and repeat of outputs is made
once by the real functions, on real encoded records, and remembered by the numbers of what went in.
"""

from __future__ import annotations

from typing import Final, NamedTuple, cast

from msgspec.structs import replace

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.records import (
    Command,
    Dispatch,
    IgnoredRange,
    RequestPlace,
    StartTask,
    StepResult,
    Transitions,
)
from tasker_kafka.schemas.state import Stub, TaskState
from tasker_kafka.schemas.words import Outcome
from tasker_kafka.streams.domain import Decision, Moment, fold, outputs
from tasker_kafka.streams.lane.emit import Emitter
from tasker_kafka.streams.lane.metrics import EngineMetrics
from tasker_kafka.topics.log import Outbox, Record, Track, Write
from tasker_kafka.topics.names import TopicNames

from .rules import DOUBTED, TRUSTED, decide_by
from .shapes import plan_of

__all__ = ["BROKEN", "EMPTY", "Decided", "Domain", "bits"]

State = TaskState | Stub | None

EMPTY: Final = 0
"""The table without the task."""
BROKEN: Final = -1
"""The table of a history that does not fold: a gap in seq, or a record that builds on what is not there."""
TASK_ID: Final = bytes(range(16))
START_MS: Final = 1_700_000_000_000
"""Broker time of command 0; each later command comes one second after."""


class Decided(NamedTuple):
    """What an accepted command leads to."""

    record: int
    table: int
    outputs: int
    """Bit set of outputs."""


class _Silent:
    """An outbox that nothing is sent through: the emitter only builds."""

    def track(self) -> Track | None:
        return None

    def send(self, write: Write, track: Track | None = None) -> None:
        raise AssertionError(f"the model sends nothing: {write} {track}")


def bits(mask: int) -> list[int]:
    """Positions of the set bits, ascending."""
    return [each for each in range(mask.bit_length()) if mask >> each & 1]


def _ranges(mask: int) -> tuple[IgnoredRange, ...]:
    """A bit set of offsets as the records list it."""
    found: list[IgnoredRange] = []
    for offset in bits(mask):
        if found and found[-1].last == offset - 1:
            found[-1] = IgnoredRange(found[-1].first, offset)
        else:
            found.append(IgnoredRange(offset, offset))
    return tuple(found)


class Domain:
    """One task of one shape, its commands, and everything that can become of them."""

    def __init__(self, shape: str) -> None:
        self.plan = plan_of(shape)
        self.names = TopicNames()
        self._steps = self.names.steps("model")
        self.records: list[bytes] = []
        """Record number → its bytes."""
        self.decoded: list[Transitions] = []
        self.outputs: list[tuple[str, bytes | None, bytes | None]] = []
        """Output number (a bit) → topic, key, value."""
        self.commands: list[Command] = []
        self._states: list[State] = [None]
        self._table_of: dict[bytes, int] = {b"": EMPTY}
        self._record_of: dict[tuple[bytes, int], int] = {}
        self._decided_of: list[int] = []
        self._output_of: dict[tuple[str, bytes | None, bytes | None], int] = {}
        self._command_of: dict[tuple[str, int, str], int] = {}
        self._answers: list[tuple[int, ...]] = []
        self._decided: dict[tuple[int, int, int, int, int], Decided | None] = {}
        self._folded: dict[tuple[int, int], int] = {}
        self._repeated: dict[tuple[int, int], int] = {}
        self._offered: dict[int, tuple[int, ...]] = {}
        self._emitter = Emitter(
            outbox=cast("Outbox", _Silent()),
            names=self.names,
            codec=codec,
            partition=0,
            owner=0,
            metrics=EngineMetrics(),
        )
        self.start = self._add_command(self._start())

    # ------------------------------------------------------------------------------------------ commands

    def offered(self, offset: int, landed: int) -> tuple[int, ...]:
        """Commands that may lie at an offset: the start at 0, else an answer to any dispatch that has arrived.

        Each worker may answer each of them, and again: a dispatch is delivered at least once.
        """
        if offset == 0:
            return (self.start,)
        found = self._offered.get(landed)
        if found is None:
            each = {answer for bit in bits(landed) for answer in self._answers[bit]}
            found = self._offered[landed] = tuple(sorted(each))
        return found

    def is_dispatch(self, topic: str) -> bool:
        """Whether an output on this topic is a dispatch."""
        return topic == self._steps

    def _start(self) -> Command:
        place = RequestPlace(0, 0, START_MS)
        body = StartTask(plan_hash=self.plan.hash, request_id=TASK_ID, context=b"{}", request=place)
        return Command(TASK_ID, body)

    def _answers_to(self, dispatch: Dispatch) -> tuple[int, ...]:
        return tuple(self.answer(dispatch, worker) for worker in (TRUSTED, DOUBTED))

    def answer(self, dispatch: Dispatch, worker: str) -> int:
        """A worker's success on a dispatch: the command's number."""
        key = (dispatch.step, dispatch.attempt, worker)
        if key not in self._command_of:
            body = StepResult(
                life=0,
                step=dispatch.step,
                attempt=dispatch.attempt,
                outcome=Outcome.SUCCESS,
                worker_id=worker,
                started_at=START_MS,
                finished_at=START_MS,
                result=b'"done"',
            )
            self._command_of[key] = self._add_command(Command(TASK_ID, body))
        return self._command_of[key]

    def _add_command(self, command: Command) -> int:
        self.commands.append(command)
        return len(self.commands) - 1

    # ------------------------------------------------------------------------------------------ the rules

    def decide(self, table: int, command: int, offset: int, release: int, ignored: int) -> Decided | None:
        """What an owner of this release makes of a command; None: it is ignored. `ignored`: yet to be listed."""
        key = (table, command, offset, release, ignored)
        if key not in self._decided:
            self._decided[key] = self._decide(*key)
        return self._decided[key]

    def _decide(self, table: int, command: int, offset: int, release: int, ignored: int) -> Decided | None:
        moment = Moment(0, offset, START_MS + 1000 * offset, self.plan)
        before, asked = self._states[table], self.commands[command]
        decision = decide_by(release, before, asked, moment)
        if not isinstance(decision, Decision):
            return None
        assert decision.fault is None, decision.fault
        record = replace(decision.record, ignored=_ranges(ignored)) if ignored else decision.record
        number = self._number_record(record, command)
        sent = self._build(before, decision.state, asked, record, offset)
        return Decided(number, self._number_table(decision.state), sent)

    def fold(self, table: int, record: int) -> int:
        """The table after one more record, or BROKEN."""
        key = (table, record)
        if key not in self._folded:
            self._folded[key] = self._fold(table, self.decoded[record])
        return self._folded[key]

    def _fold(self, table: int, record: Transitions) -> int:
        if table == BROKEN:
            return BROKEN
        before = self._states[table]
        last = before.seq if isinstance(before, TaskState) else 0
        if record.seq not in (0, last + 1):
            return BROKEN
        return self._number_table(fold(before, record, self.plan))

    def outputs_of(self, table: int, record: int) -> int:
        """The outputs of a recorded decision, as a new owner finds them (bit set)."""
        key = (table, record)
        if key not in self._repeated:
            self._repeated[key] = self._repeat(table, record)
        return self._repeated[key]

    def _repeat(self, table: int, record: int) -> int:
        after = self.fold(table, record)
        if after == BROKEN:
            return 0
        found, command = self.decoded[record], self.commands[self._decided_of[record]]
        return self._build(self._states[table], self._states[after], command, found, found.command_offset)

    def _build(self, before: State, after: State, command: Command, record: Transitions, offset: int) -> int:
        """The real records of a decision's outputs, numbered."""
        place = Record(
            self.names.commands, 0, offset, START_MS + 1000 * offset, TASK_ID, codec.encode(command)
        )
        produced = outputs(before, after, command, record, self.plan)
        mask = 0
        for write in self._emitter.outputs(TASK_ID, record, produced, self.plan, place):
            mask |= 1 << self._number_output((write.topic, write.key, write.value))
        return mask

    # ------------------------------------------------------------------------------------------ numbers

    def ignored_in(self, record: int) -> int:
        """The offsets that a record lists as ignored (bit set)."""
        mask = 0
        for each in self.decoded[record].ignored:
            for offset in range(each.first, each.last + 1):
                mask |= 1 << offset
        return mask

    def state(self, table: int) -> State:
        """What a table's number stands for."""
        return self._states[table]

    def _number_table(self, state: State) -> int:
        data = b"" if state is None else codec.encode(state)
        if data not in self._table_of:
            self._table_of[data] = len(self._states)
            self._states.append(state)
        return self._table_of[data]

    def _number_record(self, record: Transitions, command: int) -> int:
        key = (codec.encode(record), command)
        if key not in self._record_of:
            self._record_of[key] = len(self.records)
            self.records.append(key[0])
            self._decided_of.append(command)
            decoded = codec.decode_transition_record(key[0])
            assert isinstance(decoded, Transitions)
            self.decoded.append(decoded)
        return self._record_of[key]

    def _number_output(self, output: tuple[str, bytes | None, bytes | None]) -> int:
        if output not in self._output_of:
            self._output_of[output] = len(self.outputs)
            self.outputs.append(output)
            topic, _, value = output
            answers: tuple[int, ...] = ()
            if value is not None and self.is_dispatch(topic):
                answers = self._answers_to(codec.decode(value, Dispatch))
            self._answers.append(answers)
        return self._output_of[output]
