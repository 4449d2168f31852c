"""A copy of a good log on the bench, with the tools to damage it: find a record, change it, take it out, put one in.

A tool that does not find what it looks for raises LookupError; the test then takes the next seed.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from tests.checker import Ledger, RawLog, RawPartition, RawRecord
from tests.checker.history import History
from tests.checker.report import Findings
from tests.checker.wire import CHECKPOINT_KEY, Datum, Wire

__all__ = ["Bench", "Found"]


class Found(NamedTuple):
    """A record in its place, decoded."""

    partition: RawPartition
    place: int
    record: RawRecord
    name: str
    datum: Datum

    @property
    def edges(self) -> list[Datum]:
        """A record's transitions."""
        found: list[Datum] = self.datum["transitions"]
        return found

    def edge(self, event: str, step: bool | None = None) -> Datum:
        """The first transition of an event, of a step or of the task if asked for."""
        for each in self.edges:
            if each["event"] == event and step in (None, each["step"] is not None):
                return each
        raise LookupError(event)


Where = Callable[[Found], bool]


class Bench:
    """`raw` and `ledger` may be damaged; `dice` says where."""

    def __init__(self, raw: RawLog, ledger: Ledger, seed: int) -> None:
        self.raw = RawLog(raw.prefix, groups=copy.deepcopy(raw.groups))
        for each in raw.all():
            own = RawPartition(each.topic, each.partition, list(each.records), each.start, each.end)
            self.raw.partitions.setdefault(each.topic, {})[each.partition] = own
        self.ledger = Ledger(
            list(ledger.acked), list(ledger.operator_acked), list(ledger.started), list(ledger.ended)
        )
        self.dice = random.Random(seed)
        self.wire = Wire()

    # ------------------------------------------------------------------------------------------- finding

    def records(self, name: str) -> Iterator[Found]:
        """Every committed record of a topic that can be decoded."""
        for partition in self.raw.of(name).values():
            for index, record in enumerate(partition.records):
                if record.committed and record.value is not None and record.value[:2] == b"\xc3\x01":
                    yield Found(partition, index, record, *self.wire.decode(record.value))

    def accepted(self) -> Iterator[Found]:
        """Every record of transitions that counts and is about a task's history."""
        for partition in self.raw.of("transitions").values():
            counted = {each.record.offset for each in History(partition, self.wire, Findings()).accepted()}
            for index, record in enumerate(partition.records):
                if record.offset not in counted:
                    continue
                name, datum = self.wire.decode(record.value)
                if name == "Transitions" and datum["seq"]:
                    yield Found(partition, index, record, name, datum)

    def one(self, where: Where = lambda _: True) -> Found:
        """An accepted record, at random among those that fit."""
        found: Found = self.choose([each for each in self.accepted() if where(each)])
        return found

    def one_of(self, name: str, where: Where = lambda _: True) -> Found:
        """A record of a topic, at random among those that fit."""
        found: Found = self.choose([each for each in self.records(name) if where(each)])
        return found

    def choose(self, found: list[Any]) -> Any:
        """One of them at random; LookupError without any."""
        if not found:
            raise LookupError("the log has no such record")
        return self.dice.choice(found)

    def of_task(self, found: Found) -> list[Found]:
        """The accepted records of the same life, in order."""
        return [
            each
            for each in self.accepted()
            if each.record.key == found.record.key and each.datum["life"] == found.datum["life"]
        ]

    def checkpoints(self, number: int | None = None) -> list[Found]:
        """The committed checkpoints (of a partition), in order."""
        return [
            each
            for each in self.records("task-state")
            if each.record.key == CHECKPOINT_KEY and number in (None, each.partition.partition)
        ]

    # ------------------------------------------------------------------------------------------ changing

    def change(self, found: Found, **fields: Any) -> None:
        """Write the record anew, with what was changed in its datum and these fields."""
        value = self.wire.encode(found.name, {**found.datum, **fields})
        self.replace(found, value=value)

    def replace(self, found: Found, **fields: Any) -> None:
        """Other bytes, key or headers for a record."""
        found.partition.records[found.place] = msgspec.structs.replace(found.record, **fields)

    def drop(self, found: Found) -> None:
        """Take the record out, and with it every repeat of it."""
        found.partition.records[:] = [
            each
            for each in found.partition.records
            if (each.key, each.value) != (found.record.key, found.record.value)
        ]

    def add_record(self, like: Found, **fields: Any) -> None:
        """A changed copy of an accepted record at the end of its partition, by the owner in office.

        Its command is one above the highest that was decided, unless the fields say which.
        """
        same = [each for each in self.records("transitions") if each.partition is like.partition]
        last = max(each.datum.get("command_offset", -1) for each in same)
        datum = {**like.datum, "command_offset": last + 1, "ignored": [], **fields}
        self.append(
            "transitions", like.partition.partition, like.record.key, self.wire.encode(like.name, datum)
        )

    def append(self, name: str, number: int, key: bytes | None, value: bytes | None) -> int:
        """A record at the end of a partition: its offset."""
        partition = self.raw.of(name)[number]
        last = partition.records[-1] if partition.records else None
        timestamp = last.timestamp if last else 0
        headers = last.headers if last else ()
        partition.records.append(RawRecord(partition.end, timestamp, key, value, headers))
        partition.end += 1
        return partition.end - 1
