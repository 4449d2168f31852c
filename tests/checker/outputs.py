"""What decisions sent out: dispatches (I5, I15), rejections (I12, I15), cancellations and ledger entries (I15).

Dispatches leave before their decision is recorded, and are repeated by the next owner; a repeat is byte-identical.
A dispatch that history never granted is the class of the honest limit: it may exist only where rules have changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping
from typing import Any, TypeAlias

from .history import Entry
from .raw import RawLog, RawPartition, RawRecord
from .report import Findings, Place, place_of
from .wire import Datum, Wire, WireError

__all__ = ["Attempt", "Dispatches", "Rejections", "check_repeats", "name_of"]

StepPlace: TypeAlias = tuple[bytes, int, str]
"""Task, life, step."""
Attempt: TypeAlias = tuple[bytes, int, str, int]
"""Task, life, step, attempt."""


class Dispatches:
    """Every dispatch of every queue."""

    def __init__(self, raw: RawLog, wire: Wire, findings: Findings, *, rules_changed: bool) -> None:
        self._findings = findings
        self.rules_changed = rules_changed
        self.sent: dict[Attempt, int] = {}
        """Attempt → how many different records say so."""
        topics = raw.topics_of("steps.")
        self.is_whole = bool(topics)
        self._places: dict[Attempt, str] = {}
        self._values: dict[Attempt, bytes] = {}
        self._wire = wire
        for partitions in topics.values():
            for partition in partitions.values():
                self._read(partition)

    def _read(self, partition: RawPartition) -> None:
        self.is_whole = self.is_whole and partition.start == 0
        for record in partition.records:
            if record.committed:
                self.take(record, place_of(partition.topic, partition.partition, record.offset))

    def take(self, record: RawRecord, where: str) -> None:
        """Note a dispatch."""
        try:
            datum = self._wire.decode_as(record.value, "Dispatch")
        except WireError as error:
            self._findings.add("raw", where, f"a dispatch cannot be read: {error}")
            return
        place = (datum["task_id"], datum["life"], datum["step"], datum["attempt"])
        value = record.value or b""
        self._findings.count("dispatches")
        if place not in self._values:
            self._values[place] = value
            self._places[place] = where
            self.sent[place] = 1
        elif self._values[place] == value:
            self._findings.count("dispatches_repeated")
        else:
            self.sent[place] += 1
            self._places[place] = where

    def compare(self, place: Attempt, expected: Datum, where: Place) -> None:
        """The first dispatch of an attempt says what follows from its grant, byte for byte."""
        value = self._values.get(place)
        if value is None or self.rules_changed or value == self._wire.encode("Dispatch", expected):
            return
        found = self._wire.decode_as(value, "Dispatch")
        fields = [field for field in expected if found[field] != expected[field]]
        text = f"{name_of(place)} was dispatched otherwise than was granted: {', '.join(fields)}"
        self._findings.add("I15", where, text)

    def check(
        self, granted: Container[Attempt], redispatched: Mapping[StepPlace, int], *, settled: bool
    ) -> None:
        """Every dispatch was granted, and its copies are the same bytes."""
        for place, different in self.sent.items():
            if place not in granted:
                self._findings.count("dispatches_unrecorded")
                if settled and not self.rules_changed:
                    self._findings.add("I5", self._places[place], f"{name_of(place)} was never granted")
            elif different > 1 + redispatched.get(place[:3], 0) and not self.rules_changed:
                text = f"{name_of(place)} was dispatched with {different} different contents"
                self._findings.add("I15", self._places[place], text)


def name_of(place: Attempt) -> str:
    """An attempt for people."""
    task_id, life, step, attempt = place
    return f"task {task_id.hex()} life {life} step {step} attempt {attempt}"


class Rejections:
    """Every rejection by what it is about."""

    def __init__(self, raw: RawLog, wire: Wire, findings: Findings) -> None:
        self._findings = findings
        self.places: set[tuple[str, int, int]] = set()
        """Topic, partition and offset of what was rejected."""
        self.request_ids: set[bytes] = set()
        self.task_ids: set[bytes] = set()
        own = raw.of("rejections")
        self.is_whole = bool(own) and all(each.start == 0 for each in own.values())
        seen: dict[Any, RawRecord] = {}
        for partition in own.values():
            for record in partition.records:
                where = place_of(partition.topic, partition.partition, record.offset)
                try:
                    datum = wire.decode_as(record.value, "Rejection")
                except WireError as error:
                    findings.add("raw", where, f"a rejection cannot be read: {error}")
                    continue
                self._take(datum, record, where, seen)

    def _take(self, datum: Datum, record: RawRecord, where: str, seen: dict[Any, RawRecord]) -> None:
        place = datum["topic"], datum["partition"], datum["offset"]
        self.places.add(place)
        self._findings.count("rejections")
        if datum["request_id"] is not None:
            self.request_ids.add(datum["request_id"])
        if datum["task_id"] is not None:
            self.task_ids.add(datum["task_id"])
        first = seen.setdefault(place, record)
        if first is not record:
            self._findings.count("rejections_repeated")
            if (first.key, first.value) != (record.key, record.value):
                self._findings.add("I15", where, "the same record is rejected in other words")

    def check(self, refused: list[Entry], topic: str, partition: int) -> None:
        """Every record that refuses a command has its rejection."""
        for entry in refused:
            if self.is_whole and (topic, partition, entry.command_offset) not in self.places:
                where = place_of(topic, partition, entry.command_offset)
                self._findings.add("I12", where, "the command was refused, but no rejection says so")


def check_repeats(raw: RawLog, wire: Wire, findings: Findings, *, rules_changed: bool) -> None:
    """Cancellations of one moment about one step, sent again by another owner, are the same bytes."""
    seen: dict[Any, bytes | None] = {}
    repeats: Counter[str] = Counter()
    for partition in raw.of("control").values():
        for record in partition.records:
            where = place_of(partition.topic, partition.partition, record.offset)
            try:
                datum = wire.decode_as(record.value, "Cancellation")
            except WireError as error:
                findings.add("raw", where, f"a cancellation cannot be read: {error}")
                continue
            place = record.key, datum["life"], datum["step"], datum["attempt"], datum["at"]
            repeats["cancellations"] += 1
            if seen.setdefault(place, record.value) != record.value and not rules_changed:
                findings.add("I15", where, "the same cancellation in other words")
    findings.figures.update(repeats)
