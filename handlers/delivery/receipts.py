"""Receipts: what became of an acknowledged event at each subscription that took it.

They lie in one compacted topic. A receipt's partition is its event's, modulo the count, so whoever owns partition p of
a group knows from one partition what the owners before have acknowledged, and a repeat of an event is not handled
again. That holds while the receipt is younger than the time to live; it makes effects rare twice, not impossible: a
process may die after the effect and before the receipt.

That an event's receipt was missing has a key of its own. A receipt that comes late lies beside it and does not
replace it, nor is it replaced, whichever was written first.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from hashlib import blake2b
from typing import Final, NamedTuple, Protocol

import msgspec

from tasker_kafka.schemas.codec import Codec
from tasker_kafka.schemas.codec import codec as default_codec
from tasker_kafka.schemas.records import Receipt
from tasker_kafka.schemas.words import ReceiptOutcome
from tasker_kafka.topics.headers import header_of
from tasker_kafka.topics.log import Isolation, Log, Record, TopicPartition, TopicPartitionOffset, Write
from tasker_kafka.topics.names import TopicNames

from .policy import delay_ms

__all__ = [
    "ACKNOWLEDGING",
    "OUTCOME",
    "Owed",
    "OwedSet",
    "ReceiptBook",
    "Writer",
    "outcome_of",
    "owed_in",
    "owed_of",
    "receipt_write",
    "receipts_partition",
]

ACKNOWLEDGING: Final = frozenset({ReceiptOutcome.HANDLED, ReceiptOutcome.FILTERED})
"""Outcomes after which the event is not delivered to the subscription again."""
OUTCOME: Final = "tasker-receipt"
"""Header of a receipt: its outcome, so that nothing need be decoded to know it."""

_MISSING: Final = ReceiptOutcome.MISSING.value
_SLICES: Final = 24
_CLOCK_MARGIN_MS: Final = 60_000
"""The members' clocks differ: reading begins this much earlier than the time to live says."""

_encode_key = msgspec.json.Encoder().encode
_decode_key = msgspec.json.Decoder(tuple[str, ...]).decode


class Owed(NamedTuple):
    """What one receipt is about. Ids of foreign events are unique for their source only, which is their namespace."""

    namespace: str
    event_id: str
    group: str
    subscription: str


class Writer(Protocol):
    """Whatever writes records and waits for the acknowledgement; an `Outbox` does."""

    async def write(self, write: Write) -> TopicPartitionOffset:
        """Where it lies."""
        ...


def receipts_partition(source_partition: int, count: int) -> int:
    """Where the receipts of this partition's events lie."""
    return source_partition % count


def receipt_write(names: TopicNames, receipt: Receipt, count: int, codec: Codec = default_codec) -> Write:
    """The record of a receipt; `count`: partitions of the receipts topic."""
    key: tuple[str, ...] = owed_in(receipt)
    if receipt.outcome is ReceiptOutcome.MISSING:
        key = (*key, _MISSING)
    return Write(
        names.receipts,
        _encode_key(key),
        codec.encode(receipt),
        ((OUTCOME, receipt.outcome.value.encode()),),
        receipts_partition(receipt.partition, count),
    )


def owed_of(record: Record) -> Owed | None:
    """What a record of the receipts topic is about; None for what is no receipt."""
    try:
        parts = _decode_key(record.key or b"")
    except msgspec.DecodeError:
        return None
    return Owed(*parts[:4]) if len(parts) in (4, 5) else None


def owed_in(receipt: Receipt) -> Owed:
    """What a receipt is about."""
    return Owed(receipt.namespace, receipt.event_id, receipt.group, receipt.subscription)


def outcome_of(record: Record) -> ReceiptOutcome | None:
    """A receipt's outcome, without decoding it; None for a tombstone, or a word that a newer release made."""
    found = header_of(record.headers, OUTCOME)
    try:
        return None if found is None or record.value is None else ReceiptOutcome(found.decode())
    except ValueError:
        return None


class ReceiptBook:
    """What one group has acknowledged of the partitions that one member owns.

    Memory: about 100 bytes for each receipt within the time to live. Each member has its own book.
    """

    def __init__(
        self,
        log: Log,
        names: TopicNames,
        group: str,
        *,
        ttl_seconds: float,
        writer: Writer,
        codec: Codec = default_codec,
    ) -> None:
        self._log = log
        self._names = names
        self._group = group
        self._ttl_ms = max(1, delay_ms(ttl_seconds))
        self._writer = writer
        self._codec = codec
        self._count = 0
        self._known: dict[int, OwedSet] = {}
        """By receipts partition."""
        self._loaded: set[int] = set()
        """Source partitions."""

    async def load(self, partition: int) -> None:
        """Learn what the group has acknowledged of events of source partition `partition`, up to now.

        Call when the partition is ours and no other member handles its events any more. LogError when the log does
        not answer, TopicsDrifted when there is no receipts topic.
        """
        self._count = await self._log.partition_count(self._names.receipts)
        place = receipts_partition(partition, self._count)
        known = self._known.setdefault(place, OwedSet(self._ttl_ms // _SLICES))
        self._loaded.add(partition)
        async for record in self._read(TopicPartition(self._names.receipts, place)):
            owed = owed_of(record)
            if owed is not None and owed.group == self._group and outcome_of(record) in ACKNOWLEDGING:
                known.add(owed, record.timestamp)
        known.forget_before(self._since_ms())

    def drop(self, partition: int) -> None:
        """The source partition is not ours any more."""
        self._loaded.discard(partition)
        still = {receipts_partition(each, self._count) for each in self._loaded}
        self._known = {place: known for place, known in self._known.items() if place in still}

    def is_acknowledged(self, partition: int, namespace: str, event_id: str, subscription: str) -> bool:
        """Whether this subscription is done with the event, as far as the receipts say.

        `partition`: where the event lies. Nothing is known of one that is not loaded. `namespace`: of a foreign
        event its source.
        """
        known = self._known.get(receipts_partition(partition, self._count)) if self._count else None
        owed = Owed(namespace, event_id, self._group, subscription)
        return known is not None and known.holds(owed, self._since_ms())

    async def write(self, receipt: Receipt) -> None:
        """Write a receipt of this group; returns when it is acknowledged. LogError when it cannot be written.

        Call after the handler has ended and before the event counts as finished.
        """
        count = await self._log.partition_count(self._names.receipts)
        await self._writer.write(receipt_write(self._names, receipt, count, self._codec))
        known = self._known.get(receipts_partition(receipt.partition, count))
        if known is None or receipt.outcome not in ACKNOWLEDGING:
            return
        if known.add(owed_in(receipt), self._log.now_ms()):
            known.forget_before(self._since_ms())

    def _since_ms(self) -> int:
        return max(0, self._log.now_ms() - self._ttl_ms)

    async def _read(self, where: TopicPartition) -> AsyncIterator[Record]:
        """Records of the time to live. Also those that follow an open transaction of a watcher.

        A reader of committed records would stop before it and miss acknowledgements; what a watcher writes says
        nothing here, so it may be seen before it is committed.
        """
        begin = await self._log.offset_at(where, max(0, self._log.now_ms() - self._ttl_ms - _CLOCK_MARGIN_MS))
        end = await self._log.end_offset(where, isolation=Isolation.UNCOMMITTED)
        if begin >= end:
            return
        reader = await self._log.reader({where: begin}, isolation=Isolation.UNCOMMITTED)
        try:
            while reader.position(where) < end:
                for batch in (await reader.fetch()).values():
                    for record in batch.records:
                        yield record
        finally:
            await reader.close()


class OwedSet:
    """Digests of what is settled, in slices of time that are forgotten whole."""

    def __init__(self, width_ms: int) -> None:
        self._width_ms = max(1, width_ms)
        self._slices: dict[int, set[bytes]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._slices.values()))

    def add(self, owed: Owed, at_ms: int) -> bool:
        """Settled then. True when that began a new slice: time to forget an old one."""
        place = at_ms // self._width_ms
        is_new = place not in self._slices
        self._slices.setdefault(place, set()).add(_digest(owed))
        return is_new

    def holds(self, owed: Owed, since_ms: int = 0) -> bool:
        """Whether it was settled at or after `since_ms`, or not long before."""
        oldest = since_ms // self._width_ms
        digest = _digest(owed)
        return any(place >= oldest and digest in held for place, held in self._slices.items())

    def forget_before(self, at_ms: int) -> None:
        """Drop the slices that ended before."""
        oldest = at_ms // self._width_ms
        self._slices = {place: held for place, held in self._slices.items() if place >= oldest}


def _digest(owed: Owed) -> bytes:
    return blake2b(_encode_key(owed), digest_size=16).digest()
