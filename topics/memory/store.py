"""A partition's records in memory, with what a real one has besides them: transactions, markers, gaps.

Offsets are given out as Kafka does: a control record ends every transaction in a partition and takes an offset;
compaction removes records and leaves their offsets empty.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Sequence
from enum import Enum

import msgspec

from tasker_kafka.topics.log import Isolation, Record, Write

__all__ = ["PartitionStore", "Transaction", "TransactionState"]


class TransactionState(Enum):
    """How a transaction stands."""

    OPEN = "open"
    COMMITTED = "committed"
    ABORTED = "aborted"


class Transaction:
    """Records of several partitions that become visible together or never."""

    __slots__ = ("partitions", "state")

    def __init__(self) -> None:
        self.state = TransactionState.OPEN
        self.partitions: dict[PartitionStore, None] = {}

    def end(self, state: TransactionState, now_ms: int) -> None:
        """Commit or abort: a control record in every partition that was written."""
        self.state = state
        for partition in self.partitions:
            partition.end_transaction(self, now_ms)


class _Entry(msgspec.Struct):
    """What lies at an offset. `record` is None for a control record."""

    offset: int
    timestamp: int
    record: Record | None
    transaction: Transaction | None


class PartitionStore:
    """One partition."""

    def __init__(self, topic: str, partition: int) -> None:
        self.topic = topic
        self.partition = partition
        self.begin = 0
        self.end = 0
        self._entries: list[_Entry] = []
        self._offsets: list[int] = []
        self._open: dict[Transaction, int] = {}
        self._watchers: list[asyncio.Future[None]] = []

    @property
    def last_stable(self) -> int:
        """Below it every transaction has ended."""
        return min(self._open.values(), default=self.end)

    def append(
        self,
        writes: Sequence[Write],
        *,
        now_ms: int,
        append_time: bool,
        transaction: Transaction | None = None,
    ) -> int:
        """Append records; the offset of the first."""
        base = self.end
        if transaction is not None and transaction not in self._open:
            self._open[transaction] = base
            transaction.partitions[self] = None
        for write in writes:
            timestamp = now_ms if append_time or write.timestamp is None else write.timestamp
            record = Record(
                self.topic, self.partition, self.end, timestamp, write.key, write.value, tuple(write.headers)
            )
            self._add(_Entry(self.end, timestamp, record, transaction))
        self._wake()
        return base

    def end_transaction(self, transaction: Transaction, now_ms: int) -> None:
        """Write the control record of a transaction that has just ended."""
        self._open.pop(transaction, None)
        self._add(_Entry(self.end, now_ms, None, transaction))
        self._wake()

    def read(self, position: int, limit: int, isolation: Isolation) -> tuple[list[Record], int]:
        """Up to `limit` records from `position` on, and the position after them."""
        stop = self.last_stable if isolation is Isolation.COMMITTED else self.end
        position = max(position, self.begin)
        records: list[Record] = []
        for entry in self._entries[bisect_left(self._offsets, position) :]:
            if entry.offset >= stop or len(records) >= limit:
                break
            position = entry.offset + 1
            if entry.record is not None and _is_visible(entry, isolation):
                records.append(entry.record)
        else:
            position = max(position, stop)
        return records, position

    def at(self, offset: int) -> Record | None:
        """The record at an offset, if it is there and committed."""
        index = bisect_left(self._offsets, offset)
        if index == len(self._offsets) or self._offsets[index] != offset or offset >= self.last_stable:
            return None
        entry = self._entries[index]
        return entry.record if _is_visible(entry, Isolation.COMMITTED) else None

    def offset_at(self, timestamp_ms: int) -> int:
        """Offset of the first record at or after a time; the last stable offset when there is none."""
        stop = self.last_stable
        for entry in self._entries:
            if entry.offset < stop and entry.record is not None and entry.timestamp >= timestamp_ms:
                return entry.offset
        return stop

    def newest_before(self, timestamp_ms: int) -> int:
        """Offset after the last of the leading records older than a time."""
        offset = self.begin
        for entry in self._entries:
            if entry.timestamp >= timestamp_ms or entry.offset >= self.last_stable:
                break
            offset = entry.offset + 1
        return offset

    def truncate(self, before: int) -> None:
        """Remove what lies below an offset, as retention does."""
        self.begin = max(self.begin, min(before, self.end))
        self._keep([entry for entry in self._entries if entry.offset >= self.begin])
        self._wake()

    def compact(self, *, drop_tombstones: bool) -> None:
        """Keep the newest stable record of each key; records of aborted transactions go, keyless ones stay."""
        stop = self.last_stable
        newest: dict[bytes, int] = {}
        for entry in self._entries:
            record = entry.record
            if (
                record is not None
                and record.key is not None
                and entry.offset < stop
                and not _is_aborted(entry)
            ):
                newest[record.key] = entry.offset

        def stays(entry: _Entry) -> bool:
            record = entry.record
            if entry.offset >= stop or record is None or record.key is None:
                return True
            if newest.get(record.key) != entry.offset:
                return False
            return record.value is not None or not drop_tombstones

        self._keep([entry for entry in self._entries if stays(entry)])

    def watch(self, future: asyncio.Future[None]) -> None:
        """Resolve the future at the next change."""
        self._watchers = [watcher for watcher in self._watchers if not watcher.done()]
        self._watchers.append(future)

    def _add(self, entry: _Entry) -> None:
        self._entries.append(entry)
        self._offsets.append(entry.offset)
        self.end = entry.offset + 1

    def _keep(self, entries: list[_Entry]) -> None:
        self._entries = entries
        self._offsets = [entry.offset for entry in entries]

    def _wake(self) -> None:
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            if not watcher.done():
                watcher.set_result(None)


def _is_aborted(entry: _Entry) -> bool:
    return entry.transaction is not None and entry.transaction.state is TransactionState.ABORTED


def _is_visible(entry: _Entry, isolation: Isolation) -> bool:
    if isolation is Isolation.UNCOMMITTED or entry.transaction is None:
        return True
    return entry.transaction.state is TransactionState.COMMITTED
