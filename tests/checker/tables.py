"""The changelog against the fold: every checkpoint is exactly the fold up to its position (I8), and no older owner's
checkpoint is committed behind a newer owner's (I14).

A checkpoint at N holds what the commands below N made of the tasks. So while accepted records are folded in order,
each checkpoint is judged at the moment when the next record is of a command at or above its N: what it wrote, and
what it should have written because a record has changed it since the checkpoint before.

Compaction leaves one record of each key in the beginning of the log that it has cleaned, and so one checkpoint: at
that one and the next, a value that is missing where offsets are counts as compacted if a newer one follows.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

from .history import History
from .raw import RawPartition, RawRecord
from .report import Findings, place_of
from .tasks import Tasks
from .wire import CHECKPOINT_KEY, Datum, Wire, WireError

__all__ = ["Checkpoint", "Table"]


class Checkpoint(NamedTuple):
    """One committed checkpoint and what it wrote."""

    offset: int
    datum: Datum
    images: list[RawRecord]
    is_compacted: bool
    """Some of what it wrote may have been compacted."""

    @property
    def next_command(self) -> int:
        """N: the first command that is not in it."""
        found: int = self.datum["next_command"]
        return found


class Table:
    """One partition of task-state, judged while the history is walked."""

    def __init__(self, partition: RawPartition, partitions: int, wire: Wire, findings: Findings) -> None:
        self._topic, self._number = partition.topic, partition.partition
        self._partitions = partitions
        self._wire = wire
        self._findings = findings
        self._values: dict[bytes, bytes] = {}
        self._next = 0
        self._newest: dict[bytes, int] = {}
        self.checkpoints = self._read(partition)

    def reach(self, command_offset: int, tasks: Tasks) -> None:
        """Every command below this one is folded: judge the checkpoints that end there."""
        while (
            self._next < len(self.checkpoints) and self.checkpoints[self._next].next_command <= command_offset
        ):
            self._judge(self.checkpoints[self._next], tasks)
            self._next += 1

    def finish(self, history: History, tasks: Tasks, *, settled: bool) -> None:
        """Everything is folded: judge the rest, and the order of the checkpoints."""
        for checkpoint in self.checkpoints[self._next :]:
            self._judge(checkpoint, tasks)
        self._check_owners(history)
        last = self.checkpoints[-1].next_command if self.checkpoints else 0
        if settled and history.commands and history.commands[-1] >= last:
            text = f"the table ends before command {last}, the history has command {history.commands[-1]}"
            self._findings.add("I8", place_of(self._topic, self._number), text)

    # ------------------------------------------------------------------------------------------ reading

    def _read(self, partition: RawPartition) -> list[Checkpoint]:
        found: list[Checkpoint] = []
        images: list[RawRecord] = []
        is_open, has_gap, free = False, False, partition.start
        for record in partition.records:
            self._findings.count("aborted_transactions", not record.committed and not is_open)
            is_open = not record.committed
            has_gap = has_gap or record.offset > free
            # The end of a transaction takes an offset of its own.
            free = record.offset + 1 + (is_open or record.key == CHECKPOINT_KEY)
            if not record.committed:
                continue
            if record.key != CHECKPOINT_KEY:
                images.append(record)
                self._newest[record.key or b""] = record.offset
                continue
            try:
                datum = self._wire.decode_as(record.value, "Checkpoint")
            except WireError as error:
                self._add("raw", record.offset, f"a checkpoint cannot be read: {error}")
                continue
            found.append(Checkpoint(record.offset, datum, images, has_gap and len(found) <= 1))
            images, has_gap = [], False
        for record in images:
            self._add("I8", record.offset, "a value that no checkpoint follows", record.key)
        self._findings.count("checkpoints", len(found))
        return found

    def _add(self, invariant: str, offset: int | None, text: str, key: bytes | None = None) -> None:
        self._findings.add(invariant, place_of(self._topic, self._number, offset, key), text)

    # ------------------------------------------------------------------------------------------- values

    def _judge(self, checkpoint: Checkpoint, tasks: Tasks) -> None:
        written: dict[bytes, int] = {}
        for image in checkpoint.images:
            key = image.key or b""
            written[key] = image.offset
            if image.value is None:
                self._values.pop(key, None)
            else:
                self._values[key] = image.value
            self._findings.count("table_values", image.value is not None)
            self._findings.count("table_tombstones", image.value is None)
        for key in tasks.dirty.union(written):
            self._compare(key, checkpoint, written.get(key), tasks)
        tasks.dirty.clear()
        if checkpoint.datum["horizon"] != tasks.horizon:
            text = f"horizon {checkpoint.datum['horizon']}, by the log {tasks.horizon}"
            self._add("I8", checkpoint.offset, text)

    def _compare(self, key: bytes, checkpoint: Checkpoint, offset: int | None, tasks: Tasks) -> None:
        life, value = tasks.lives.get(key), self._values.get(key)
        expected = None if life is None else self._wire.encode(life.name, life.value)
        is_gone = checkpoint.is_compacted and self._newest.get(key, -1) > checkpoint.offset
        if value == expected or (is_gone and offset is None):
            return
        where = offset if offset is not None else checkpoint.offset
        n = checkpoint.next_command
        if value is None:
            self._add("I8", where, f"the table has no value up to command {n}, the history has one", key)
        elif expected is None:
            self._add("I8", where, f"the table has a value up to command {n}, the history has none", key)
        else:
            text = f"up to command {n} the table's value is not the fold's: {self._difference(value, life)}"
            self._add("I8", where, text, key)

    def _difference(self, value: bytes, life: object) -> str:
        """The first field that differs, for people."""
        folded = getattr(life, "value", {})
        try:
            name, datum = self._wire.decode(value)
        except WireError as error:
            return str(error)
        if name != getattr(life, "name", ""):
            return f"a {name} instead of a {getattr(life, 'name', '')}"
        for field, held in datum.items():
            if field == "steps":
                for mine, theirs in zip(folded["steps"], held, strict=False):
                    for own, found in theirs.items():
                        if mine[own] != found:
                            return f"{own} of step {theirs['name']} is {found!r}, by the log {mine[own]!r}"
            elif folded[field] != held:
                return f"{field} is {held!r}, by the log {folded[field]!r}"
        return "the same fields in another encoding"

    # ------------------------------------------------------------------------------------------- owners

    def _check_owners(self, history: History) -> None:
        before: Datum | None = None
        for checkpoint in self.checkpoints:
            datum, offset = checkpoint.datum, checkpoint.offset
            if datum["partition_count"] != self._partitions:
                self._add(
                    "I14", offset, f"{datum['partition_count']} partitions, there are {self._partitions}"
                )
            self._check_owner(datum, offset, history)
            if before is not None:
                if datum["owner"] < before["owner"]:
                    text = f"owner {datum['owner']} has saved after owner {before['owner']}"
                    self._add("I14", offset, text)
                for field in ("next_command", "next_transition", "horizon"):
                    if datum[field] < before[field]:
                        text = f"{field} goes back from {before[field]} to {datum[field]}"
                        self._add("I14", offset, text)
            before = datum

    def _check_owner(self, datum: Datum, offset: int, history: History) -> None:
        owner, next_transition = datum["owner"], datum["next_transition"]
        place = bisect_left(history.markers, owner)
        if place == len(history.markers) or history.markers[place] != owner:
            self._add("I14", offset, f"no owner {owner} has marked its beginning")
        elif place + 1 < len(history.markers) and next_transition > history.markers[place + 1]:
            newer = history.markers[place + 1]
            text = (
                f"owner {owner} has saved with transitions up to {next_transition}, after owner {newer} began"
            )
            self._add("I14", offset, text)
        covered = bisect_left(history.places, next_transition)
        if covered and history.commands[covered - 1] >= datum["next_command"]:
            text = (
                f"who reads on from transition {next_transition} misses command {history.commands[covered - 1]},"
                f" which is not in the table up to {datum['next_command']}"
            )
            self._add("I8", offset, text)
