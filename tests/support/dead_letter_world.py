"""Dead letters as a group's member writes them, on either side of the log port."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from tasker_kafka.handlers.delivery.journey import FailureClass, Journey, unwrap, wrap
from tasker_kafka.handlers.delivery.letters import (
    DeadLetter,
    LetterFilter,
    LetterPlace,
    letter_queues,
    letters_of,
)
from tasker_kafka.handlers.delivery.policy import REDRIVE_TIER
from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.deliveries import DomainEvent
from tasker_kafka.schemas.identity import format_id
from tasker_kafka.schemas.words import Delivery
from tasker_kafka.topics.headers import for_event
from tasker_kafka.topics.log import Log, Outbox, Record, TopicDescription, TopicPartition, Write
from tasker_kafka.topics.names import TopicNames

from .log_sides import Side, drain

__all__ = ["NAMESPACE", "LetterWorld", "event", "original"]

NAMESPACE = "shop"
GROUP = "audit"


def event(number: int, *, key: str = "customer 1", payload: bytes = b'{"amount":7}') -> DomainEvent:
    """A domain event of the shop; its number makes its id."""
    return DomainEvent(
        event_id=number.to_bytes(16, "big"),
        name="payment.charged",
        version="1.0",
        namespace=NAMESPACE,
        delivery=Delivery.DURABLE,
        key=key,
        payload=payload,
        fired_at=1_767_225_600_000 + number,
        fired_by="shop",
        environment="test",
        task_id=b"t" * 16,
    )


def original(names: TopicNames, number: int, *, partition: int = 0, **parts: object) -> Record:
    """The event's record as it lies in its source, at the offset `number`. `parts` replaces fields of it."""
    made = event(number)
    record = Record(
        names.domain_events(NAMESPACE),
        partition,
        number,
        made.fired_at,
        made.key.encode(),
        codec.encode(made),
        for_event(made),
    )
    return msgspec.structs.replace(record, **parts)


class LetterWorld:
    """A namespace with events, their dead letters, and a group's topic for redriven events."""

    def __init__(self, log: Log, names: TopicNames, outbox: Outbox) -> None:
        self.log = log
        self.names = names
        self.topic = names.domain_events_dlq(NAMESPACE)
        self._outbox = outbox

    @classmethod
    async def make(cls, side: Side, *, partitions: int = 2, groups: Iterable[str] = (GROUP,)) -> LetterWorld:
        """Make the topics."""
        log, names = await side.log(), TopicNames(side.prefix)
        redriven = [names.retry(group, REDRIVE_TIER) for group in groups]
        topics = [names.domain_events(NAMESPACE), names.domain_events_dlq(NAMESPACE), *redriven]
        await log.admin().create([TopicDescription(each, partitions, 1, {}) for each in topics])
        outbox = await log.outbox(client_id="test")
        await outbox.warm(topics)
        return cls(log, names, outbox)

    async def die(
        self,
        record: Record,
        *,
        group: str = GROUP,
        subscription: str = "record",
        failure: FailureClass = FailureClass.HANDLER,
        at: int | None = None,
        is_own: bool = False,
        **journey: object,
    ) -> LetterPlace:
        """Write the dead letter of an original, dead `at` this time (default now): where it lies.

        is_own: in the group's own queue, as where the namespace has none
        """
        made = Journey(
            group=group,
            subscription=subscription,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            timestamp=record.timestamp,
            attempts=3,
            failure_class=failure,
            event_id=format_id(record.offset.to_bytes(16, "big")),
            error_type="ValueError",
            message="no",
        )
        journey_of = msgspec.structs.replace(made, **journey)
        headers = wrap(record, journey_of)
        topic = await self._own_queue(group) if is_own else self.topic
        write = Write(topic, record.key, record.value, headers, record.partition, at)
        place = await self._outbox.write(write)
        return LetterPlace(f"group:{group}" if is_own else NAMESPACE, place.partition, place.offset)

    async def _own_queue(self, group: str) -> str:
        topic = self.names.group_dlq(group)
        await self.log.admin().create([TopicDescription(topic, 1, 1, {})])
        await self._outbox.warm([topic])
        return topic

    async def write(self, write: Write) -> None:
        """Write any record."""
        await self._outbox.write(write)

    async def letters(self, wanted: LetterFilter = LetterFilter()) -> list[DeadLetter]:  # noqa: B008 - immutable
        """The letters that are meant, the highest offset of each partition first."""
        found: list[DeadLetter] = []
        for queue in await letter_queues(self.log, self.names):
            for partition in range(await self.log.partition_count(queue.topic)):
                found += [each async for each in letters_of(self.log, queue, partition, wanted)]
        return found

    async def redriven(
        self, *, group: str = GROUP, since: Sequence[int] = (0, 0)
    ) -> list[tuple[Record, Journey]]:
        """What lies in the group's topic of redriven events, by partition; `since`: from these offsets on."""
        topic = self.names.retry(group, REDRIVE_TIER)
        found = []
        for partition in range(await self.log.partition_count(topic)):
            found += [
                unwrap(each)
                for each in await drain(self.log, TopicPartition(topic, partition), start=since[partition])
            ]
        return found
