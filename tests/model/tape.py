"""Writes down what real lanes do to a log in memory, effect by effect, in the words of the model.

A cluster and a client log that note every call that others can tell, and crash points for what happens inside. The
broker's time is the model's, and each owner decides by its own release, so the bytes in the log are the model's, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar
from typing import NamedTuple

from msgspec.structs import replace

from tasker_kafka.schemas.errors import FencedError
from tasker_kafka.schemas.records import OWNER_KEY, Command
from tasker_kafka.schemas.state import Stub, TaskState
from tasker_kafka.streams.domain import Decision, Ignored, Moment
from tasker_kafka.streams.lane import CrashPoint
from tasker_kafka.topics.headers import owner_of
from tasker_kafka.topics.log import Isolation, TopicPartition, TopicPartitionOffset, Write
from tasker_kafka.topics.memory import MemoryCluster, MemoryLog
from tasker_kafka.topics.memory.store import Transaction, TransactionState
from tasker_kafka.topics.names import TopicNames

from .design import Step
from .domain import START_MS
from .rules import decide_by

__all__ = ["DECIDING", "Effect", "Tape", "WatchedCluster", "WatchedLog", "WatchedPoints", "decide_as"]

DECIDING: ContextVar[tuple[int, int]] = ContextVar("DECIDING")
"""The owner on whose behalf the code runs, and its release."""


class Effect(NamedTuple):
    """One thing that happened. `what`: the end of the model's label; `who` -1: the broker."""

    who: int
    what: str
    detail: object = None
    """The record's value, the output's (topic, key, value), the command's offset."""


class Tape:
    """What happened, in order."""

    def __init__(self, releases: tuple[int, ...]) -> None:
        self.effects: list[Effect] = []
        self.releases = releases
        self.numbers: dict[int, int] = {}
        """Owner number → owner."""
        self.live: set[int] = set()
        self.logs: list[MemoryLog] = []
        self._events = [asyncio.Event() for _ in releases]

    def note(self, who: int, what: str, detail: object = None) -> None:
        """One more."""
        self.effects.append(Effect(who, what, detail))
        if who >= 0:
            self._events[who].set()

    async def seen(self, who: int) -> None:
        """Wait for the first effect of an owner."""
        await self._events[who].wait()

    def fenced(self, who: int) -> None:
        """A writer was refused: its process ends at once."""
        self.note(who, "is refused as fenced, and dies")
        self.logs[who].kill()


class WatchedCluster(MemoryCluster):
    """Notes writes and transactions. There is one transactional id; its epochs are the owners, in order."""

    def __init__(self, names: TopicNames, *, latency: float, marker_delay: float) -> None:
        super().__init__(latency=latency, marker_delay=marker_delay)
        self.tape: Tape | None = None
        self._names = names
        self._watched = names.engine_writer(0)

    def init_producer(self, transactional_id: str) -> int:
        if self.tape is not None and transactional_id == self._watched:
            self.tape.note(self._epochs(transactional_id), Step.FENCE)
        return super().init_producer(transactional_id)

    def write_transaction(
        self, transactional_id: str, epoch: int, writes: Sequence[Write]
    ) -> list[TopicPartitionOffset]:
        tape = self.tape
        if tape is None or transactional_id != self._watched:
            return super().write_transaction(transactional_id, epoch, writes)
        places = super().write_transaction(transactional_id, epoch, writes)
        is_marker = writes[0].key == OWNER_KEY
        if is_marker:
            tape.numbers[places[0].offset] = epoch
        tape.note(epoch, Step.MARK_WRITE if is_marker else Step.WRITE)
        return places

    def begin(self, transactional_id: str, epoch: int, timeout_ms: int) -> Transaction:
        try:
            return super().begin(transactional_id, epoch, timeout_ms)
        except FencedError:
            if self.tape is not None and transactional_id == self._watched:
                self.tape.fenced(epoch)
            raise

    def end_transaction(self, transactional_id: str, epoch: int, *, commit: bool) -> None:
        tape = self.tape
        if tape is None or transactional_id != self._watched or not commit:
            super().end_transaction(transactional_id, epoch, commit=commit)
            return
        transaction = self._producers[transactional_id].transaction
        is_marker = transaction is not None and any(
            each.topic == self._names.transitions for each in transaction.partitions
        )
        # Noted first: without a delay its control record is written within the call.
        tape.note(epoch, Step.MARK_END if is_marker else Step.END)
        try:
            super().end_transaction(transactional_id, epoch, commit=True)
        except FencedError:
            tape.effects.pop()
            tape.fenced(epoch)
            raise

    def append(
        self, partition: TopicPartition, writes: Sequence[Write], transaction: Transaction | None = None
    ) -> int:
        offset = super().append(partition, writes, transaction)
        if self.tape is not None and transaction is None:
            for write in writes:
                number = owner_of(write.headers)
                if number is None:
                    continue
                who = self.tape.numbers[number]
                if partition.topic == self._names.transitions:
                    self.tape.note(who, "its first record on the way arrives", write.value)
                else:
                    self.tape.note(who, "an output arrives", (write.topic, write.key, write.value))
        return offset

    def ended(self, transaction: Transaction, state: TransactionState) -> None:
        """A control record was written."""
        if self.tape is not None and transaction.partitions:
            is_commit = state is TransactionState.COMMITTED
            self.tape.note(-1, "the commit can be seen" if is_commit else "the abort can be seen")

    def _epochs(self, transactional_id: str) -> int:
        producer = self._producers.get(transactional_id)
        return 0 if producer is None else producer.epoch + 1


class WatchedLog(MemoryLog):
    """One owner's log: notes what it asks for."""

    def __init__(self, cluster: WatchedCluster, names: TopicNames, who: int, tape: Tape) -> None:
        super().__init__(cluster)
        self._names = names
        self._who = who
        self._tape = tape
        tape.logs.append(self)

    async def end_offset(
        self, partition: TopicPartition, *, isolation: Isolation = Isolation.COMMITTED
    ) -> int:
        found = await super().end_offset(partition, isolation=isolation)
        if partition.topic == self._names.task_state:
            self._tape.note(self._who, Step.LOAD)
        elif partition.topic == self._names.transitions and self._who in self._tape.live:
            self._tape.note(self._who, Step.ASK_END)
        return found


class WatchedPoints:
    """One owner's crash points: notes what happens inside."""

    def __init__(self, who: int, tape: Tape) -> None:
        self._who = who
        self._tape = tape

    def reached(self, point: CrashPoint) -> None:
        """Note it, if the model knows it."""
        if point is CrashPoint.ACQUIRE_HISTORY_READ:
            # From here on it repeats outputs: the model has them all on the way at once.
            self._tape.note(self._who, Step.READ)
        elif point is CrashPoint.ACQUIRE_LIVE:
            self._tape.live.add(self._who)
        elif point is CrashPoint.CHECKPOINT_CUT:
            self._tape.note(self._who, Step.CUT)
        elif point is CrashPoint.CHECKPOINT_BARRIER:
            self._tape.note(self._who, Step.BARRIER)


def decide_as(tape: Tape) -> object:
    """A `decide` that follows the release of the owner in `DECIDING`, at the model's time."""

    def decide(state: TaskState | Stub | None, command: Command, moment: Moment) -> Decision | Ignored:
        who, release = DECIDING.get()
        tape.note(who, "decides the next command", moment.offset)
        return decide_by(release, state, command, replace(moment, timestamp=START_MS + 1000 * moment.offset))

    return decide
