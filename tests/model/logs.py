"""The transitions partition, and what readers make of it by the product's own rule.

A log is a tuple of entries, named by a number; it only grows. An entry is a record of an owner, an owner's marker
(in a transaction, or plain), or the control record that ends a transaction. Offsets are positions in the tuple,
control records included, as in Kafka. A reader is a function of the log: it begins at offset 0, or at a mark that was
made from the same log, sees what is committed below the last stable offset, and does nothing that anybody else could
see. So no reader is part of the state; what every reader knows is computed once for each log.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final, NamedTuple

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.records import OWNER_KEY, OwnerMarker
from tasker_kafka.topics import headers
from tasker_kafka.topics.history import AcceptedHistory, HistoryMark
from tasker_kafka.topics.log import Record

from .domain import EMPTY, TASK_ID, Domain

__all__ = [
    "ABORTED",
    "COMMITTED",
    "Accepted",
    "Log",
    "Logs",
    "Place",
    "ReadersRule",
    "marker",
    "number_and_owner",
    "owner_of_marker",
    "plain_marker",
    "record",
]

COMMITTED: Final = -100
"""Control record: the transaction before it is committed."""
ABORTED: Final = -101
_PLAIN: Final = 10
_OWNERS: Final = 8
_MARKER: Final = codec.encode(OwnerMarker(at=0, instance="model", version="0"))


def record(number: int, owner: int) -> int:
    """Entry: an owner's record."""
    return number * _OWNERS + owner


def number_and_owner(entry: int) -> tuple[int, int]:
    """What `record` has put into an entry."""
    return divmod(entry, _OWNERS)


def marker(owner: int) -> int:
    """Entry: an owner's marker in a transaction."""
    return -1 - owner


def plain_marker(owner: int) -> int:
    """Entry: a marker that a producer without transactions wrote."""
    return -1 - owner - _PLAIN


def owner_of_marker(entry: int) -> int:
    """Whose marker an entry is."""
    return -1 - entry - (_PLAIN if entry < -_PLAIN else 0)


class ReadersRule(StrEnum):
    """How readers choose; `RULE` is the product's."""

    RULE = "the rule"
    FIRST = "the first record of each command"
    UNCOMMITTED = "the rule, but with read_uncommitted"
    OWNER_ONLY = "every record of the highest owner"


class Accepted(NamedTuple):
    """What a reader knows: its mark, and the records it has accepted, by number."""

    owner: int
    command_offset: int
    records: tuple[int, ...]


class Place(NamedTuple):
    """An accepted history up to some command offset. The last three are bit sets."""

    table: int
    outputs: int
    offsets: int
    listed: int
    """Offsets that the records list as ignored."""


class Log(NamedTuple):
    """One state of the partition."""

    entries: tuple[int, ...]
    stable: int
    """Number of the history that readers accept below the last stable offset."""
    pending: int
    """Offset of the marker whose transaction has not ended; -1: none."""
    numbers: tuple[int, ...]
    """Each owner's number: the offset of its marker; -1: it has none."""

    @property
    def last_stable(self) -> int:
        """The last stable offset."""
        return len(self.entries) if self.pending < 0 else self.pending


class Logs:
    """Numbers logs and histories, and remembers what readers make of them."""

    def __init__(
        self, domain: Domain, owners: int, rule: ReadersRule = ReadersRule.RULE, *, markers: bool = True
    ) -> None:
        self._domain = domain
        self._rule = rule
        self._topic = domain.names.transitions
        self._accepted: list[Accepted] = []
        self._number_of: dict[Accepted, int] = {}
        self._stepped: dict[tuple[ReadersRule, int, int, int], int] = {}
        self._places: dict[tuple[int, int], Place] = {}
        self._later: dict[tuple[int, int], int] = {}
        self._rests: dict[tuple[ReadersRule, tuple[int, ...], HistoryMark], Accepted] = {}
        numbers = (-1,) * owners if markers else tuple(range(owners))
        self.all: list[Log] = [Log((), self._number(Accepted(-1, -1, ())), -1, numbers)]
        self._log_of: dict[tuple[int, ...], int] = {(): 0}

    # ------------------------------------------------------------------------------------------ growing

    def append(self, log: int, entry: int) -> int:
        """The log with one more entry."""
        key = (log, entry)
        found = self._later.get(key)
        if found is None:
            before = self.all[log]
            entries = (*before.entries, entry)
            if entries not in self._log_of:
                self._log_of[entries] = len(self.all)
                self.all.append(self._grown(before, entries, entry))
            found = self._later[key] = self._log_of[entries]
        return found

    def _grown(self, log: Log, entries: tuple[int, ...], entry: int) -> Log:
        at, numbers, pending = len(log.entries), log.numbers, log.pending
        if entry >= 0:
            seen = range(at, at + 1) if pending < 0 else range(0)
        elif entry in (COMMITTED, ABORTED):
            seen, pending = range(pending, at), -1
            if entry == ABORTED:
                numbers = tuple(-1 if each == log.pending else each for each in numbers)
        else:
            owner = owner_of_marker(entry)
            numbers = tuple(at if each == owner else number for each, number in enumerate(numbers))
            pending = pending if entry < -_PLAIN or self._rule is ReadersRule.UNCOMMITTED else at
            seen = range(at, at + 1) if pending < 0 else range(0)
        stable = self._take(self._rule, log.stable, entries, numbers, seen)
        return Log(entries, stable, pending, numbers)

    # ------------------------------------------------------------------------------------------ reading

    def eventual(self, log: int) -> int:
        """What readers will accept once the marker that is being committed can be seen: a history's number."""
        found = self.all[log]
        if found.pending < 0:
            return found.stable
        ended = (*found.entries, COMMITTED)
        waiting = range(found.pending, len(found.entries))
        return self._take(self._rule, found.stable, ended, found.numbers, waiting)

    def accepted(self, history: int) -> Accepted:
        """What a history's number stands for."""
        return self._accepted[history]

    def following(self, history: int, owner_number: int, records: Iterable[int]) -> int:
        """The history after records of one owner have arrived, too."""
        for each in records:
            history = self._step(self._rule, history, owner_number, each)
        return history

    def rest(self, rule: ReadersRule, log: int, end: int, mark: HistoryMark) -> Accepted:
        """What a reader accepts that goes on from a mark up to `end`, which is not after the last stable offset."""
        found = self.all[log]
        key = (rule, found.entries[:end], mark)
        if key not in self._rests:
            begin = self._number(Accepted(mark.owner, mark.command_offset, ()))
            history = self._take(rule, begin, found.entries, found.numbers, range(mark.position, end))
            self._rests[key] = self._accepted[history]
        return self._rests[key]

    def place(self, history: int, before: int) -> Place:
        """The part of a history that is below a command offset, folded from the beginning."""
        key = (history, before)
        if key not in self._places:
            domain, table, sent, offsets, listed = self._domain, EMPTY, 0, 0, 0
            for each in self._accepted[history].records:
                listed |= domain.ignored_in(each)
                offset = domain.decoded[each].command_offset
                if offset < before:
                    sent |= domain.outputs_of(table, each)
                    table = domain.fold(table, each)
                    offsets |= 1 << offset
            self._places[key] = Place(table, sent, offsets, listed)
        return self._places[key]

    def _take(
        self, rule: ReadersRule, history: int, entries: tuple[int, ...], numbers: tuple[int, ...], seen: range
    ) -> int:
        """Read on. Entries of transactions that were aborted are not seen."""
        for at in seen:
            entry = entries[at]
            if entry >= 0:
                history = self._step(rule, history, numbers[entry % _OWNERS], entry // _OWNERS)
            elif entry > COMMITTED and (rule is ReadersRule.UNCOMMITTED or _is_committed(entries, at)):
                history = self._step(rule, history, at, -1)
        return history

    def _step(self, rule: ReadersRule, history: int, owner_number: int, number: int) -> int:
        """One more record of this owner number; -1: its marker."""
        key = (rule, history, owner_number, number)
        found = self._stepped.get(key)
        if found is None:
            before = self._accepted[history]
            found = self._stepped[key] = self._number(self._read(rule, before, owner_number, number))
        return found

    def _read(self, rule: ReadersRule, before: Accepted, owner_number: int, number: int) -> Accepted:
        """One record, by the product's own code."""
        if number < 0:
            taken = Record(self._topic, 0, owner_number, 0, OWNER_KEY, _MARKER)
        else:
            own = headers.for_owner(owner_number)
            taken = Record(self._topic, 0, 0, 0, TASK_ID, self._domain.records[number], own)
        mark = HistoryMark(0, before.owner, before.command_offset)
        if rule is ReadersRule.FIRST:
            mark = HistoryMark(0, -1, before.command_offset)
        elif rule is ReadersRule.OWNER_ONLY:
            mark = HistoryMark(0, before.owner, -1)
        reader = AcceptedHistory(mark)
        assert taken.value is not None
        is_accepted = reader.accept(taken, codec.decode_transition_record(taken.value))
        return Accepted(
            max(before.owner, reader.owner),
            max(before.command_offset, reader.command_offset),
            (*before.records, number) if is_accepted else before.records,
        )

    def _number(self, accepted: Accepted) -> int:
        if accepted not in self._number_of:
            self._number_of[accepted] = len(self._accepted)
            self._accepted.append(accepted)
        return self._number_of[accepted]


def _is_committed(entries: tuple[int, ...], at: int) -> bool:
    """Whether the marker at this offset counts: it is plain, or its transaction was committed."""
    if entries[at] < -_PLAIN:
        return True
    return next((each == COMMITTED for each in entries[at:] if each in (COMMITTED, ABORTED)), False)
