"""What a watcher knows of receipts: it follows one partition of them, from the time of the oldest event it looks at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tasker_kafka.schemas.codec import Codec
from tasker_kafka.schemas.errors import DecodeError
from tasker_kafka.schemas.records import Receipt
from tasker_kafka.schemas.words import ReceiptOutcome
from tasker_kafka.topics.log import Isolation, Log, Reader, Record, TopicPartition

from .receipts import ACKNOWLEDGING, Owed, OwedSet, outcome_of, owed_of

__all__ = ["ReceiptView"]

_SETTLING: Final = ACKNOWLEDGING | {ReceiptOutcome.DEAD}
"""Outcomes after which nothing is missing: a dead letter is in its queue already."""
_CLOCK_MARGIN_MS: Final = 600_000
"""A receipt is written after its event, but by the clock of another host."""
_SLICE_MS: Final = 60_000


class ReceiptView:
    """One partition of the receipts topic, from some time on.

    It sees committed records only, other watchers' marks included, and goes to the end of all that is written: what
    follows an open transaction is waited for, at most for that transaction's timeout.
    Memory: about 100 bytes for each receipt of its span, and about 1 KiB for each that was missing.
    """

    def __init__(self, log: Log, where: TopicPartition, codec: Codec, *, late_ms: int) -> None:
        self._log = log
        self._where = where
        self._codec = codec
        self._late_ms = late_ms
        self._reader: Reader | None = None
        self._from_ms = 0
        self._settled = OwedSet(_SLICE_MS)
        self._missing: dict[Owed, Receipt] = {}
        self._late: dict[Owed, Receipt] = {}

    async def catch_up(self, from_ms: int) -> None:
        """Know every receipt since `from_ms` that is written by now. LogError when the log does not answer."""
        from_ms = max(0, from_ms - _CLOCK_MARGIN_MS)
        if self._reader is None or from_ms < self._from_ms:
            await self._begin(max(0, min(from_ms, self._log.now_ms() - self._late_ms)))
        assert self._reader is not None
        end = await self._log.end_offset(self._where, isolation=Isolation.UNCOMMITTED)
        while self._reader.position(self._where) < end:
            for batch in (await self._reader.fetch()).values():
                for record in batch.records:
                    self._take(record)

    def is_missing(self, owed: Owed) -> bool:
        """Whether nobody has settled it, and nobody has said that it is missing."""
        return owed not in self._missing and not self._settled.holds(owed)

    def is_marked(self, owed: Owed, record: Record) -> bool:
        """Whether a watcher has said of this very record that it is missing, and that still holds."""
        mark = self._missing.get(owed)
        return (
            mark is not None
            and (mark.topic, mark.partition, mark.offset) == (record.topic, record.partition, record.offset)
            and not self._settled.holds(owed)
        )

    @property
    def late(self) -> Mapping[Owed, Receipt]:
        """The marks of what was missing and has been settled after all, until they are `closed`."""
        return self._late

    def closed(self, owed: Owed) -> None:
        """Its dead letter is closed."""
        self._late.pop(owed, None)
        self._missing.pop(owed, None)

    def forget_before(self, settled_ms: int) -> None:
        """Drop receipts that are older, and marks of what is too long ago to be closed."""
        settled_ms = max(0, settled_ms - _CLOCK_MARGIN_MS)
        self._settled.forget_before(settled_ms)
        self._from_ms = max(self._from_ms, settled_ms)
        too_old = self._log.now_ms() - self._late_ms
        for owed in [owed for owed, mark in self._missing.items() if mark.at < too_old]:
            self.closed(owed)

    async def close(self) -> None:
        """Stop reading."""
        if self._reader is not None:
            await self._reader.close()
            self._reader = None

    async def _begin(self, from_ms: int) -> None:
        await self.close()
        self._settled = OwedSet(_SLICE_MS)
        self._missing.clear()
        self._late.clear()
        start = await self._log.offset_at(self._where, from_ms)
        self._reader = await self._log.reader({self._where: start})
        self._from_ms = from_ms

    def _take(self, record: Record) -> None:
        owed, outcome = owed_of(record), outcome_of(record)
        if owed is None or outcome is None:
            return
        if outcome in _SETTLING:
            self._settled.add(owed, record.timestamp)
            if owed in self._missing:
                self._late[owed] = self._missing[owed]
        elif outcome is ReceiptOutcome.MISSING:
            self._mark(owed, record)

    def _mark(self, owed: Owed, record: Record) -> None:
        try:
            mark = self._codec.decode(record.value, Receipt)
        except DecodeError:
            return  # of a newer release; its letter is in the queue
        self._missing[owed] = mark
        if self._settled.holds(owed):
            self._late[owed] = mark
