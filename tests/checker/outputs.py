"""What decisions sent out: dispatches (I5, I15), rejections (I12, I15), cancellations and ledger entries (I15).

Dispatches leave before their decision is recorded, and are repeated by the next owner; a repeat is byte-identical.
A dispatch that history never granted is the class of the honest limit: it may exist only where rules have changed.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from .attempts import Attempt, Attempts
from .history import Entry
from .raw import RawLog, RawPartition, RawRecord
from .report import Findings, place_of
from .wire import Datum, Wire, WireError

__all__ = ["Dispatches", "Rejections", "check_repeats"]


class Dispatches:
    """Every dispatch of every queue."""

    def __init__(self, raw: RawLog, wire: Wire, findings: Findings) -> None:
        self._findings = findings
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
            if not record.committed:
                continue
            where = place_of(partition.topic, partition.partition, record.offset)
            try:
                datum = self._wire.decode_as(record.value, "Dispatch")
            except WireError as error:
                self._findings.add("raw", where, f"a dispatch cannot be read: {error}")
                continue
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

    def of(self, place: Attempt) -> Datum | None:
        """The first dispatch of an attempt."""
        value = self._values.get(place)
        return None if value is None else self._wire.decode_as(value, "Dispatch")

    def check(self, attempts: Attempts, *, settled: bool, rules_changed: bool) -> None:
        """Every granted attempt was dispatched, every dispatch was granted, copies are the same bytes."""
        for place, different in self.sent.items():
            if place not in attempts.granted:
                self._findings.count("dispatches_unrecorded")
                if settled and not rules_changed:
                    self._findings.add("I5", self._places[place], f"{name_of(place)} was never granted")
            elif different > 1 + attempts.redispatched[place[:3]] and not rules_changed:
                text = f"{name_of(place)} was dispatched with {different} different contents"
                self._findings.add("I15", self._places[place], text)
        if not settled or not self.is_whole:
            return
        for place in attempts.granted:
            if place not in self.sent:
                self._findings.add("I5", name_of(place), "the attempt was granted and never dispatched")


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
