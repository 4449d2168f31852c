"""Which records of a transitions partition count: the rule that every reader of it keeps.

A partition's owner may be deposed without knowing it and go on writing for a moment. So each owner announces
itself with a marker, of which the offset is its number, and carries that number in every record. A reader skips a
record of a lower owner than the highest it has seen, and every further record of a command it has seen one of. All
readers of the same partition then see the same history, whatever a zombie writes and however often a decision
is written.
"""

from __future__ import annotations

from typing import Self

import msgspec

from tasker_kafka.schemas.records import OWNER_KEY, Forgotten, OwnerMarker, Transitions

from .headers import owner_of
from .log import Record

__all__ = ["AcceptedHistory", "AcceptedRecord", "HistoryMark"]


class AcceptedRecord(msgspec.Struct, frozen=True):
    """A transitions record that counts, and where it lies."""

    offset: int
    timestamp: int
    record: Transitions


class HistoryMark(msgspec.Struct, frozen=True):
    """How far one partition was read: to be kept together with what was made of it."""

    position: int = 0
    """Offset of the next record to read."""
    owner: int = -1
    """Highest owner number seen."""
    command_offset: int = -1
    """Highest command offset accepted."""


class AcceptedHistory:
    """The rule, for one partition read in order with read_committed.

    Exact when it begins at the partition's first record or goes on from a mark. Begun elsewhere, it cannot tell a
    zombie's record before it has seen one of the owner in office.
    """

    __slots__ = ("_command_offset", "_owner", "_position")

    _position: int
    _owner: int
    _command_offset: int

    def __init__(self, mark: HistoryMark | None = None) -> None:
        self.restore(HistoryMark() if mark is None else mark)

    @property
    def position(self) -> int:
        """Offset after the last record seen."""
        return self._position

    @property
    def owner(self) -> int:
        """Highest owner number seen; -1 for none."""
        return self._owner

    @property
    def command_offset(self) -> int:
        """Highest command offset accepted; -1 for none."""
        return self._command_offset

    def see(self, record: Record) -> bool:
        """Take note of a record's owner, without decoding it: whether that owner is in office.

        Enough for a record of another task, when a reader cares for one only: two records of one command have the
        same key.
        """
        self._position = record.offset + 1
        owner = record.offset if record.key == OWNER_KEY else owner_of(record.headers)
        if owner is None or owner < self._owner:
            return False
        self._owner = owner
        return True

    def accept(self, record: Record, decoded: Transitions | OwnerMarker | Forgotten) -> bool:
        """Take note of the next record: whether it is a Transitions or Forgotten that counts."""
        if not self.see(record) or isinstance(decoded, OwnerMarker):
            return False
        if decoded.command_offset <= self._command_offset:
            return False
        self._command_offset = decoded.command_offset
        return True

    def snapshot(self) -> HistoryMark:
        """The mark to go on from."""
        return HistoryMark(self._position, self._owner, self._command_offset)

    def restore(self, mark: HistoryMark) -> Self:
        """Go on from a mark."""
        self._position = mark.position
        self._owner = mark.owner
        self._command_offset = mark.command_offset
        return self
