"""Closes dead letters of class `unacknowledged` whose receipt came after all.

A group that was down for an hour leaves a dead letter for every event of that hour, and handles all of them when it is
back. Nobody should have to tell these from the ones that need a person.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection
from typing import Final

from tasker_kafka.schemas.codec import Codec
from tasker_kafka.schemas.records import DeadLetterAct, Receipt
from tasker_kafka.schemas.words import DeadLetterAction
from tasker_kafka.topics.log import Log, Outbox, TopicPartition, Write
from tasker_kafka.topics.names import TopicNames

from .journey import FailureClass, Journey
from .letters import ACT, DeadLetter, DeadLetterQueue, LetterFilter, letters_of
from .receipt_view import ReceiptView
from .receipts import Owed
from .reporting import dead_letter_topic
from .watching import WatcherCrashPoint, WatcherFigures

__all__ = ["LateReceipts"]

_CLOCK_MARGIN_MS: Final = 60_000


class LateReceipts:
    """Writes the acts; repeating one says nothing new."""

    def __init__(
        self,
        log: Log,
        names: TopicNames,
        *,
        codec: Codec,
        member_id: str,
        figures: WatcherFigures,
        reached: Callable[[WatcherCrashPoint], None],
    ) -> None:
        self._log = log
        self._names = names
        self._codec = codec
        self._member_id = member_id
        self._figures = figures
        self._reached = reached
        self._outbox: Outbox | None = None

    async def close_letters(self, view: ReceiptView, held: Collection[TopicPartition]) -> None:
        """Close the letters of what came late, of events of the partitions held. LogError: to be repeated."""
        queues: dict[TopicPartition, dict[Owed, Receipt]] = defaultdict(dict)
        for owed, mark in view.late.items():
            if TopicPartition(mark.topic, mark.partition) in held:
                topic = dead_letter_topic(self._names, mark.topic, mark.group)
                partition = mark.partition % await self._log.partition_count(topic)
                queues[TopicPartition(topic, partition)][owed] = mark
        for queue, marks in queues.items():
            await self._close_in(queue, marks)
            for owed in marks:
                view.closed(owed)

    async def close(self) -> None:
        """Stop writing."""
        if self._outbox is not None:
            await self._outbox.close()

    async def _close_in(self, where: TopicPartition, marks: dict[Owed, Receipt]) -> None:
        """One look through the partition for all of them."""
        whose = {_whose(mark) for mark in marks.values()}
        wanted = LetterFilter(
            event_ids=frozenset(owed.event_id for owed in marks),
            failure_class=FailureClass.UNACKNOWLEDGED,
            since=min(mark.at for mark in marks.values()) - _CLOCK_MARGIN_MS,
        )
        queue = DeadLetterQueue(where.topic, where.topic, self._names)
        async for letter in letters_of(self._log, queue, where.partition, wanted, codec=self._codec):
            if _whose(letter.journey) in whose:
                await self._write(where, letter)
                self._figures.late += 1
                self._reached(WatcherCrashPoint.CLOSED)

    async def _write(self, where: TopicPartition, letter: DeadLetter) -> None:
        if self._outbox is None:
            self._outbox = await self._log.outbox(client_id=f"{self._member_id}-acts")
        act = DeadLetterAct(
            action=DeadLetterAction.ACKNOWLEDGED,
            offset=letter.place.offset,
            group=letter.journey.group,
            subscription=letter.journey.subscription,
            at=self._log.now_ms(),
            actor=self._member_id,
            reason="its receipt came after the deadline",
            event_id=letter.journey.event_id,
        )
        headers = ((ACT, act.action.value.encode()),)
        await self._outbox.warm([where.topic])
        await self._outbox.write(
            Write(where.topic, letter.key, self._codec.encode(act), headers, where.partition)
        )


def _whose(said: Journey | Receipt) -> tuple[str, int, int, str, str]:
    """The event's place and the subscription: what a letter and a mark have in common."""
    return said.topic, said.partition, said.offset, said.group, said.subscription
