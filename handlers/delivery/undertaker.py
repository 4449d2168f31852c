"""Last things: dead letters, receipts, and records that only a newer release can read."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from tasker_kafka.handlers.subscribing.event import DomainEvent
from tasker_kafka.schemas.errors import DecodeError, LogError, SchemaUnknown, TaskerError
from tasker_kafka.schemas.records import Receipt
from tasker_kafka.schemas.words import ReceiptOutcome
from tasker_kafka.topics.crash_points import CrashPoints
from tasker_kafka.topics.log import Log, Record
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.releases import is_published

from .crash_points import DeliveryCrashPoint
from .dead_letters import PersistentWriter, dead_letters
from .figures import Figures
from .journey import Journey, unwrap
from .receipts import ReceiptBook
from .retry_topics import GroupTopics

__all__ = ["Undertaker"]

_logger = logging.getLogger(__name__)
_SCHEMAS_TIMEOUT_MS: Final = 30_000


class Undertaker:
    """Of one member. `receipts` None: this group can acknowledge nothing."""

    def __init__(
        self,
        log: Log,
        names: TopicNames,
        topics: GroupTopics,
        writer: PersistentWriter,
        *,
        group: str,
        member_id: str,
        receipts: ReceiptBook | None,
        figures: Figures,
        crash_points: CrashPoints[DeliveryCrashPoint],
    ) -> None:
        self._log = log
        self._names = names
        self._topics = topics
        self._writer = writer
        self._group = group
        self._member_id = member_id
        self._receipts = receipts
        self._figures = figures
        self._reached = crash_points.reached
        self._asking = asyncio.Lock()

    def unwrapped(self, stored: Record) -> tuple[Record, Journey]:
        """The original and the journey of a retry topic's record. DecodeError when it is none of this group."""
        original, journey = unwrap(stored)
        if journey.group != self._group or original.partition != stored.partition:
            raise DecodeError(
                f"a retry of group {journey.group} and partition {original.partition} does not belong here"
            )
        return original, journey

    async def bury(self, original: Record, journey: Journey) -> None:
        """Write a dead letter; returns when it is acknowledged."""
        topic = self._topics.dead_letters.get(journey.topic, self._topics.fallback)
        count = await self._partitions(topic)
        self._reached(DeliveryCrashPoint.DLQ_BEGUN)
        letters = dead_letters(topic, count, original, journey)
        written = await self._writer.write_one_of(*letters)
        self._reached(DeliveryCrashPoint.DLQ_WRITTEN)
        self._figures.dead += 1
        if written is letters[-1]:
            self._figures.left_out += 1
            _logger.error(
                "%s is too small for %s/%s@%s: its dead letter holds its place and a hash; raise `max.message.bytes`",
                topic, journey.topic, journey.partition, journey.offset,
            )  # fmt: skip
        _logger.warning(
            "%s/%s@%s is a dead letter of %s in %s (%s: %s: %s)",
            journey.topic, journey.partition, journey.offset, journey.subscription or journey.group, topic,
            journey.failure_class, journey.error_type, journey.message,
        )  # fmt: skip

    async def newer_release(self, error: TaskerError) -> TaskerError | None:
        """Why this process must end: a newer release has written a record that it cannot read. None: it is damaged."""
        if not isinstance(error, SchemaUnknown):
            return None
        async with self._asking:
            try:
                is_newer = await is_published(
                    self._log, self._names, error.fingerprint, timeout_ms=_SCHEMAS_TIMEOUT_MS
                )
            except LogError as failure:
                return failure
            except TaskerError:
                return None  # without Tasker's topics there is no other release either
        return error if is_newer else None

    def is_acknowledged(self, partition: int, event: DomainEvent[Any], subscription: str) -> bool:
        """Whether a receipt says that the subscription is done with the event."""
        receipts = self._receipts
        return receipts is not None and receipts.is_acknowledged(
            partition, event.namespace, event.event_id, subscription
        )

    async def acknowledge(
        self,
        record: Record,
        event: DomainEvent[Any],
        subscription: str,
        outcome: ReceiptOutcome,
        deliveries: int,
    ) -> None:
        """Write a receipt; returns when it is acknowledged."""
        if self._receipts is None:
            return
        receipt = Receipt(
            namespace=event.namespace,
            event_id=event.event_id,
            event_name=event.name,
            group=self._group,
            subscription=subscription,
            outcome=outcome,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            at=self._log.now_ms(),
            deliveries=deliveries,
            written_by=self._member_id,
        )
        self._reached(DeliveryCrashPoint.RECEIPT_BEGUN)
        await self._receipts.write(receipt)
        self._reached(DeliveryCrashPoint.RECEIPT_WRITTEN)
        self._figures.receipts += 1

    async def _partitions(self, topic: str) -> int:
        """Of a topic; asked until the log answers."""
        while True:
            try:
                return await self._log.partition_count(topic)
            except TaskerError as error:
                _logger.error("no dead letter can be written to %s: %s", topic, error.message)
            await asyncio.sleep(1.0)
