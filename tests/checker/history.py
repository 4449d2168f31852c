"""The readers' rule over one partition of transitions: which records count, and what the others are.

A reader keeps the highest owner number (a marker's offset; a record's header raises it as a marker does) and the
highest command offset it has seen, and skips a record of a lower owner or of a command offset it has passed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from .raw import RawPartition, RawRecord
from .report import Findings, place_of
from .wire import FORGET_KEY, OWNER_KEY, Datum, Wire, WireError, owner_of

__all__ = ["Entry", "History"]


class Entry(NamedTuple):
    """A record of a decision."""

    record: RawRecord
    owner: int
    name: str
    """`Transitions` or `Forgotten`."""
    datum: Datum

    @property
    def command_offset(self) -> int:
        """Which command was decided."""
        found: int = self.datum["command_offset"]
        return found


class History:
    """One partition of transitions. Iterate `accepted()` once; the rest is known afterwards."""

    def __init__(self, partition: RawPartition, wire: Wire, findings: Findings) -> None:
        self._partition = partition
        self.topic, self.number = partition.topic, partition.partition
        self._wire = wire
        self._findings = findings
        self._owner = -1
        self._command = -1
        self.markers: list[int] = []
        """Offsets of the committed owner markers so far."""
        self.places: list[int] = []
        """Offsets of the accepted records."""
        self.commands: list[int] = []
        """Their command offsets."""
        self.skipped: list[Entry] = []

    def accepted(self) -> Iterator[Entry]:
        """The records that count, in order."""
        is_open = False
        for record in self._partition.records:
            self._findings.count("aborted_transactions", not record.committed and not is_open)
            is_open = not record.committed
            entry = self._entry(record) if record.committed else None
            if entry is not None and self._counts(entry):
                self.places.append(record.offset)
                self.commands.append(entry.command_offset)
                yield entry

    def _entry(self, record: RawRecord) -> Entry | None:
        place = self._place(record)
        try:
            name, datum = self._wire.decode(record.value)
        except WireError as error:
            self._findings.add("raw", place, f"a transitions record cannot be read: {error}")
            return None
        if (name == "OwnerMarker") != (record.key == OWNER_KEY):
            self._findings.add("raw", place, f"a {name} under the key {record.key!r}")
            return None
        if name == "OwnerMarker":
            self.markers.append(record.offset)
            self._owner = max(self._owner, record.offset)
            self._findings.count("owners")
            return None
        if name not in {"Transitions", "Forgotten"} or (name == "Forgotten") != (record.key == FORGET_KEY):
            self._findings.add("raw", place, f"a {name} under the key {record.key!r}")
            return None
        owner = self._owner_of(record)
        return None if owner is None else Entry(record, owner, name, datum)

    def _owner_of(self, record: RawRecord) -> int | None:
        owner = owner_of(record)
        if owner is None:
            self._findings.add("I14", self._place(record), "a record without the number of its owner")
        elif owner not in self.markers[-50:] and owner not in self.markers and self._partition.start <= owner:
            self._findings.add(
                "I14", self._place(record), f"no owner {owner} has marked its beginning before"
            )
        else:
            return owner
        return None

    def _counts(self, entry: Entry) -> bool:
        if entry.owner < self._owner or entry.command_offset <= self._command:
            self.skipped.append(entry)
            self._findings.count("transitions_skipped")
            return False
        self._owner = entry.owner
        self._command = entry.command_offset
        return True

    def _place(self, record: RawRecord) -> str:
        return place_of(self._partition.topic, self._partition.partition, record.offset)
