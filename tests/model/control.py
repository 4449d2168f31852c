"""The transaction coordinator, as far as one transactional id can tell, and the group's committed offset."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

__all__ = ["Control", "Status", "Subject"]


class Subject(IntEnum):
    """What the transaction in the making writes."""

    NOTHING = 0
    MARKER = 1
    CHECKPOINT = 2


class Status(IntEnum):
    """How far it is. COMMITTING and ABORTING: answered, but its control record is not written yet."""

    NONE = 0
    OPEN = 1
    COMMITTING = 2
    ABORTING = 3


class Control(NamedTuple):
    """One state of the coordinator."""

    epoch: int = 0
    """2 (k + 1): the writer of owner k is the newest; one more: a timeout has ended its epoch."""
    subject: Subject = Subject.NOTHING
    status: Status = Status.NONE
    owner: int = -1
    content: int = 0
    """The Checkpoint that the transaction writes."""
    offset: int = 0
    """The group's committed offset."""

    def is_newest(self, who: int) -> bool:
        """Whether this owner's writer is not fenced."""
        return self.epoch == 2 * who + 2

    def fenced_by(self, who: int) -> Control:
        """A newer writer is started: what is open is aborted."""
        status = Status.ABORTING if self.status is Status.OPEN else self.status
        return self._replace(epoch=2 * who + 2, status=status)

    def timed_out(self) -> Control:
        """The open transaction took too long: it is aborted, and its writer is fenced."""
        return self._replace(epoch=self.epoch | 1, status=Status.ABORTING)

    def begun(self, subject: Subject, who: int, content: int = 0) -> Control:
        """A transaction is open."""
        return self._replace(subject=subject, status=Status.OPEN, owner=who, content=content)

    def committing(self) -> Control:
        """The commit is acknowledged."""
        return self._replace(status=Status.COMMITTING)

    def ended(self) -> Control:
        """The control record is written."""
        return Control(self.epoch, offset=self.offset)
