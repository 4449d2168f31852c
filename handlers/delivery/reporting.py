"""What a watcher writes: for each missing receipt a dead letter and a mark, both or neither, and never twice."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from tasker_kafka.schemas.codec import Codec
from tasker_kafka.schemas.errors import LogError, RecordTooLarge
from tasker_kafka.schemas.records import Receipt
from tasker_kafka.schemas.words import ReceiptOutcome
from tasker_kafka.topics.log import Log, TopicPartition, TransactionalWriter, Write
from tasker_kafka.topics.names import TopicNames

from .dead_letters import dead_letters
from .journey import FailureClass, Journey
from .owing import Expected
from .policy import delay_ms
from .receipt_view import ReceiptView
from .receipts import receipt_write, receipts_partition
from .watching import WatcherCrashPoint, WatcherFigures, WatcherSettings

__all__ = ["Reports", "batched", "dead_letter_topic"]

_LOGGER: Final = logging.getLogger(__name__)
_BATCH_BYTES: Final = 4 * 1024 * 1024
_BATCH_HEAD: Final = 256
"""Bytes of a batch beside its record's key, value and headers."""
_SMALLEST: Final = 2
"""Sizes of letters. 0: all are whole; 1: those that their queue does not take are small; 2: all are small."""
_NAMED: Final = 5
"""Event ids that an alert names; the dead letters name all."""


class Reports:
    """The writing side of one watcher."""

    def __init__(
        self,
        log: Log,
        names: TopicNames,
        *,
        settings: WatcherSettings,
        codec: Codec,
        member_id: str,
        figures: WatcherFigures,
        reached: Callable[[WatcherCrashPoint], None],
    ) -> None:
        self._log = log
        self._names = names
        self._settings = settings
        self._codec = codec
        self._member_id = member_id
        self._figures = figures
        self._reached = reached
        self._views: dict[int, ReceiptView] = {}
        self._writers: dict[TopicPartition, TransactionalWriter] = {}

    async def settle(self, source: TopicPartition, expected: Sequence[Expected]) -> None:
        """Steps 2 to 4 of a turn: what is missing of `expected`, events of one partition, is reported.

        LogError when it could not be; it may be repeated, and writes nothing twice.
        """
        if not expected:
            return
        view = await self.view_of(source)
        await view.catch_up(min(each.record.timestamp for each in expected))
        repeated = [each for each in expected if view.is_marked(each.owed, each.record)]
        if any(view.is_missing(each.owed) for each in expected):
            try:
                await self._report(source, expected, view)
            except LogError:
                # What became of a transaction in flight only the log knows: the next writer waits for its end.
                await self.give_up((source,))
                raise
        # A watcher that died between the transaction and its commit may not have told anybody.
        self._alert(repeated)

    async def view_of(self, source: TopicPartition) -> ReceiptView:
        """The receipts of this partition's events; TopicsDrifted when there is no such topic."""
        count = await self._log.partition_count(self._names.receipts)
        place = receipts_partition(source.partition, count)
        if place not in self._views:
            self._views[place] = ReceiptView(
                self._log,
                TopicPartition(self._names.receipts, place),
                self._codec,
                late_ms=delay_ms(self._settings.late_seconds),
            )
        return self._views[place]

    def forget_before(self, at_ms: int) -> None:
        """Events as old as this are all settled."""
        for view in self._views.values():
            view.forget_before(at_ms)

    async def give_up(self, sources: Iterable[TopicPartition]) -> None:
        """These partitions are another's to watch, or their writers are unusable."""
        for source in sources:
            writer = self._writers.pop(source, None)
            if writer is not None:
                await writer.close()

    async def close(self) -> None:
        """Stop reading and writing."""
        await self.give_up(tuple(self._writers))
        for view in self._views.values():
            await view.close()

    async def _report(
        self, source: TopicPartition, expected: Sequence[Expected], view: ReceiptView, size: int = 0
    ) -> None:
        """Steps 3 and 4. What a queue refuses as too large is written smaller, by a writer of its own."""
        try:
            await self._report_as(source, expected, view, size)
        except RecordTooLarge as error:
            await self.give_up((source,))
            if size == _SMALLEST:
                raise LogError(error.message, next_step=error.next_step) from error
            _LOGGER.error(
                "a dead letter is too large for its queue, its bytes are left out: %s", error.message
            )
            await self._report(source, expected, view, size + 1)

    async def _report_as(
        self, source: TopicPartition, expected: Sequence[Expected], view: ReceiptView, size: int
    ) -> None:
        writer = self._writers.get(source)
        if writer is None:
            writer = self._log.transactional(self._names.watcher_writer(*source))
            self._writers[source] = writer
            await writer.start()
            self._reached(WatcherCrashPoint.FENCED)
            await view.catch_up(self._log.now_ms())
        # One of each: an event may have been published twice.
        missing = {each.owed: each for each in expected if view.is_missing(each.owed)}
        for part in batched(missing.values(), self._settings.batch):
            letters = [await self._letter(each, size) for each in part]
            marks = [await self._mark(each) for each in part]
            await writer.commit([*letters, *marks])
            self._reached(WatcherCrashPoint.REPORTED)
            self._alert(part)
        await view.catch_up(self._log.now_ms())

    async def _letter(self, each: Expected, size: int) -> Write:
        record, owed = each.record, each.owed
        now = self._log.now_ms()
        journey = Journey(
            group=owed.group,
            subscription=owed.subscription,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            timestamp=record.timestamp,
            event_id=owed.event_id,
            first_failed_at=now,
            last_failed_at=now,
            failure_class=FailureClass.UNACKNOWLEDGED,
            error_type="Unacknowledged",
            message=f"no receipt within {self._settings.deadline_seconds:g} s",
        )
        topic = dead_letter_topic(self._names, record.topic, owed.group)
        whole, *_, smallest = dead_letters(topic, await self._log.partition_count(topic), record, journey)
        if size == 0 or (size == 1 and size_of(whole) <= await self._most(topic)):
            return whole
        return smallest

    async def _most(self, topic: str) -> int:
        """Bytes of a record that the topic surely takes."""
        found = (await self._log.admin().describe([topic]))[topic].config.get("max.message.bytes")
        return 0 if found is None else int(found) - _BATCH_HEAD

    async def _mark(self, each: Expected) -> Write:
        record = each.record
        mark = Receipt(
            namespace=each.owed.namespace,
            event_id=each.owed.event_id,
            event_name=each.event_name,
            group=each.owed.group,
            subscription=each.owed.subscription,
            outcome=ReceiptOutcome.MISSING,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            at=self._log.now_ms(),
            deliveries=0,
            written_by=self._member_id,
        )
        return receipt_write(
            self._names, mark, await self._log.partition_count(self._names.receipts), self._codec
        )

    def _alert(self, missing: Sequence[Expected]) -> None:
        self._figures.missing += len(missing)
        whose = sorted({each.owed[2:] for each in missing})
        for group, subscription in whose:
            ids = [each.owed.event_id for each in missing if each.owed[2:] == (group, subscription)]
            more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
            _LOGGER.error(
                "%s/%s has left no receipt within %g s for %d acknowledged event(s): %s%s; "
                "they are dead letters now (`tasker dlq list --group %s`)",
                group, subscription, self._settings.deadline_seconds, len(ids), ", ".join(ids[:_NAMED]), more, group,
            )  # fmt: skip


def size_of(write: Write) -> int:
    """Bytes of a record's key, value and headers."""
    headers = sum(len(name.encode()) + len(value) + 8 for name, value in write.headers)
    return len(write.key or b"") + len(write.value or b"") + headers


def dead_letter_topic(names: TopicNames, source: str, group: str) -> str:
    """Where the group's dead letters of this topic of events lie."""
    namespace = names.namespace_of(source)
    return names.group_dlq(group) if namespace is None else names.domain_events_dlq(namespace)


def batched(items: Iterable[Expected], size: int) -> Iterator[list[Expected]]:
    """The items in parts of at most `size` and, unless it is one alone, 4 MiB of events."""
    part: list[Expected] = []
    held = 0
    for each in items:
        weight = len(each.record.value or b"")
        if part and (len(part) >= size or held + weight > _BATCH_BYTES):
            yield part
            part, held = [], 0
        part.append(each)
        held += weight
    if part:
        yield part
