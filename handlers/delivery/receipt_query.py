"""Asking for receipts: what has become of an acknowledged event, and who still owes its receipt.

For publishers and operators. It reads the log: receipts have no index by event, so a question about one event reads
what is kept of them, or what is younger than `since_ms`.
"""

from __future__ import annotations

import heapq
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

import msgspec

from tasker_kafka.schemas.codec import Codec
from tasker_kafka.schemas.codec import codec as default_codec
from tasker_kafka.schemas.errors import ConfigurationError, DecodeError, NotFoundError, TopicsDrifted
from tasker_kafka.schemas.records import Receipt
from tasker_kafka.schemas.words import ReceiptOutcome
from tasker_kafka.topics.backward import newest_first
from tasker_kafka.topics.headers import header_of
from tasker_kafka.topics.log import Log, Record, TopicPartition, TopicPartitionOffset
from tasker_kafka.topics.names import TopicNames

from .decoding import decode_event, name_of
from .groups import GroupRegistry
from .owing import Debtors, expected_of
from .receipts import Owed, OwedSet, outcome_of, owed_of

__all__ = ["OWED", "EventReceipts", "ReceiptRow", "list_receipts", "read_receipts"]

OWED: Final = "owed"
"""Outcome of a receipt that is not there yet, and not missing either."""
_CE_ID: Final = "ce_id"


class ReceiptRow(msgspec.Struct, frozen=True, kw_only=True):
    """One subscription and one event. Times are ms since 1970 UTC."""

    namespace: str
    """Of a foreign event its source."""
    event_id: str
    event_name: str
    group: str
    subscription: str
    outcome: str
    """A `ReceiptOutcome`, or `owed`."""
    source: str
    """Where the event lies, `topic/partition:offset`."""
    at: int | None = None
    """When it was written; None: not yet."""
    deliveries: int = 0
    written_by: str | None = None
    was_missing: bool = False
    """It came after its deadline."""


class EventReceipts(msgspec.Struct, frozen=True, kw_only=True):
    """What has become of one event."""

    namespace: str
    event_id: str
    event_name: str
    source: str
    published_at: int | None
    """None: the event itself is no longer kept, so nobody can tell who else owed a receipt."""
    receipts: tuple[ReceiptRow, ...]
    """By group and subscription."""

    @property
    def is_acknowledged(self) -> bool:
        """Whether every subscription that owes a receipt has acknowledged the event."""
        done = (ReceiptOutcome.HANDLED, ReceiptOutcome.FILTERED)
        return self.published_at is not None and all(each.outcome in done for each in self.receipts)


async def list_receipts(
    log: Log,
    names: TopicNames,
    *,
    limit: int,
    group: str | None = None,
    outcome: ReceiptOutcome | None = None,
    codec: Codec = default_codec,
) -> list[ReceiptRow]:
    """The newest receipts, newest first. `missing` are those alone that have not come since."""
    found: list[ReceiptRow] = []
    for partition in range(await log.partition_count(names.receipts)):
        seen = OwedSet(1)
        taken = 0
        async with aclosing(_newest(log, TopicPartition(names.receipts, partition))) as records:
            async for record in records:
                owed, said = owed_of(record), outcome_of(record)
                if owed is None or said is None:
                    continue
                is_late = said is ReceiptOutcome.MISSING and seen.holds(owed)
                if said is not ReceiptOutcome.MISSING:
                    seen.add(owed, 0)
                if is_late or group not in (None, owed.group) or outcome not in (None, said):
                    continue
                if (row := _row(record, codec)) is not None:
                    found.append(row)
                    taken += 1
                if taken == limit:
                    break
    return heapq.nlargest(limit, found, key=lambda row: row.at or 0)


async def read_receipts(
    log: Log,
    names: TopicNames,
    event_id: str,
    *,
    namespace: str | None = None,
    since_ms: int | None = None,
    codec: Codec = default_codec,
) -> EventReceipts:
    """Every receipt of an event, and who owes one. NotFoundError when there is neither receipt nor event.

    namespace: of the event; of a foreign one its source, needed where two sources have given the same id
    (ConfigurationError then).
    """
    receipts = await _receipts_of(log, names, event_id, since_ms, codec)
    receipts = {owed: row for owed, row in receipts.items() if namespace in (None, owed.namespace)}
    if len(known := sorted({owed.namespace for owed in receipts})) > 1:
        raise ConfigurationError(
            f"several events have the id {event_id[:80]!r}", next_step=f"name the source: {', '.join(known)}"
        )
    event = await _event(log, names, event_id, namespace=namespace, receipts=receipts, since_ms=since_ms)
    if event is not None:
        registry = GroupRegistry(log, names, codec=codec)
        try:
            debtors = Debtors(await registry.refresh(), names)
        finally:
            await registry.close()
        for owed, name, record in _expected(event, debtors, codec):
            receipts.setdefault(owed, _owing(owed, name, record))
    rows = tuple(receipts[owed] for owed in sorted(receipts))
    if event is None and not rows:
        raise NotFoundError(
            f"there is neither a receipt nor an event of id {event_id[:80]!r}",
            next_step="give the id as the event carries it (ce_id); what is older than its retention is gone",
        )
    return EventReceipts(
        namespace=_namespace(names, event) if not rows else rows[0].namespace,
        event_id=event_id,
        event_name=rows[0].event_name if event is None else _name(event, codec),
        source=rows[0].source if event is None else _source(event),
        published_at=None if event is None else event.timestamp,
        receipts=rows,
    )


async def _receipts_of(
    log: Log, names: TopicNames, event_id: str, since_ms: int | None, codec: Codec
) -> dict[Owed, ReceiptRow]:
    """One row for each subscription: its receipt, else the mark that it is missing."""
    said: dict[Owed, ReceiptRow] = {}
    missing: dict[Owed, ReceiptRow] = {}
    for partition in range(await log.partition_count(names.receipts)):
        where = TopicPartition(names.receipts, partition)
        async with aclosing(_newest(log, where, await _begin(log, where, since_ms))) as records:
            async for record in records:
                owed = owed_of(record)
                if owed is None or owed.event_id != event_id or (row := _row(record, codec)) is None:
                    continue
                kind = missing if outcome_of(record) is ReceiptOutcome.MISSING else said
                kind.setdefault(owed, row)
    for owed, row in missing.items():
        there = said.get(owed)
        said[owed] = row if there is None else msgspec.structs.replace(there, was_missing=True)
    return said


async def _event(
    log: Log,
    names: TopicNames,
    event_id: str,
    *,
    namespace: str | None,
    receipts: dict[Owed, ReceiptRow],
    since_ms: int | None,
) -> Record | None:
    """The event itself: where a receipt says it lies, else looked for in the topics of Tasker's events."""
    for row in receipts.values():
        topic, _, place = row.source.rpartition("/")
        number, _, offset = place.partition(":")
        try:
            return await log.fetch_at(TopicPartitionOffset(topic, int(number), int(offset)))
        except (NotFoundError, TopicsDrifted):
            return None
    wanted = event_id.encode()

    def take(record: Record) -> Record | None:
        return record if header_of(record.headers, _CE_ID) == wanted else None

    for topic in sorted(await log.admin().names()):
        found_in = names.namespace_of(topic)
        if found_in is None or namespace not in (None, found_in):
            continue
        for partition in range(await log.partition_count(topic)):
            where = TopicPartition(topic, partition)
            found = newest_first(log, where, take, begin=await _begin(log, where, since_ms))
            async with aclosing(found) as records:
                async for record in records:
                    return record
    return None


async def _begin(log: Log, where: TopicPartition, since_ms: int | None) -> int | None:
    return None if since_ms is None else await log.offset_at(where, since_ms)


def _newest(log: Log, where: TopicPartition, begin: int | None = None) -> AsyncGenerator[Record, None]:
    return newest_first(log, where, lambda record: record, begin=begin)


def _expected(record: Record, debtors: Debtors, codec: Codec) -> list[tuple[Owed, str, Record]]:
    try:
        return [(each.owed, each.event_name, each.record) for each in expected_of(record, debtors, codec)]
    except DecodeError:
        return []


def _name(record: Record, codec: Codec) -> str:
    try:
        return name_of(record) or decode_event(record, codec).name
    except DecodeError:
        return ""


def _namespace(names: TopicNames, event: Record | None) -> str:
    """Of an event that was found in a namespace's topic."""
    return "" if event is None else names.namespace_of(event.topic) or ""


def _source(record: Record) -> str:
    return f"{record.topic}/{record.partition}:{record.offset}"


def _owing(owed: Owed, name: str, record: Record) -> ReceiptRow:
    return ReceiptRow(
        namespace=owed.namespace,
        event_id=owed.event_id,
        event_name=name,
        group=owed.group,
        subscription=owed.subscription,
        outcome=OWED,
        source=_source(record),
    )


def _row(record: Record, codec: Codec) -> ReceiptRow | None:
    try:
        said = codec.decode(record.value, Receipt)
    except DecodeError:
        return None
    return ReceiptRow(
        namespace=said.namespace,
        event_id=said.event_id,
        event_name=said.event_name,
        group=said.group,
        subscription=said.subscription,
        outcome=said.outcome.value,
        source=f"{said.topic}/{said.partition}:{said.offset}",
        at=said.at,
        deliveries=said.deliveries,
        written_by=said.written_by,
    )
