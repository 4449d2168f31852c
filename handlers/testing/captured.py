"""Reads what a test wants to see of events: every one that was published, and every dead letter."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tasker_kafka.handlers.delivery.decoding import decode_event
from tasker_kafka.handlers.delivery.journey import FailureClass, Journey, is_letter, unwrap
from tasker_kafka.handlers.subscribing.event import DomainEvent
from tasker_kafka.schemas.errors import DecodeError
from tasker_kafka.topics.log import Isolation, Log, Record, TopicPartition
from tasker_kafka.topics.names import TopicNames

__all__ = ["Captured", "CapturedLetter"]


@dataclass(frozen=True, slots=True)
class CapturedLetter:
    """An event that a subscription did not take."""

    original: Record
    """As it was published, byte for byte."""
    journey: Journey
    """What became of it, and why."""
    record: Record = field(repr=False)
    """As it lies in the dead letter topic."""

    @property
    def failure_class(self) -> FailureClass | None:
        """Why it is dead."""
        return self.journey.failure_class


class Captured:
    """Follows the topics of events and of dead letters from their beginning, also those that are made later.

    `groups`: the groups that may have a dead letter topic of their own.
    """

    def __init__(self, log: Log, names: TopicNames, groups: Callable[[], Iterable[str]]) -> None:
        self._log = log
        self._names = names
        self._groups = groups
        self._positions: dict[TopicPartition, int] = {}
        self.events: list[DomainEvent[Any]] = []
        """Payloads are decoded JSON. Those of a partition are in its order; what is no event is left out."""
        self.letters: list[CapturedLetter] = []

    async def refresh(self) -> None:
        """Read everything that is in the log by now."""
        dead = {self._names.group_dlq(group) for group in self._groups()}
        for topic in sorted(await self._log.admin().names()):
            if self._names.namespace_of(topic) is not None:
                for record in await self._news(topic):
                    self._take_event(record)
            elif topic in dead or self._names.dead_letter_namespace_of(topic) is not None:
                for record in await self._news(topic):
                    if is_letter(record):
                        self.letters.append(CapturedLetter(*unwrap(record), record))

    async def _news(self, topic: str) -> list[Record]:
        """What of the topic was not read yet."""
        starts: dict[TopicPartition, int] = {}
        ends: dict[TopicPartition, int] = {}
        for number in range(await self._log.partition_count(topic)):
            place = TopicPartition(topic, number)
            end = await self._log.end_offset(place, isolation=Isolation.COMMITTED)
            start = self._positions.get(place, 0)
            if start < end:
                starts[place], ends[place] = start, end
        if not starts:
            return []
        found: list[Record] = []
        reader = await self._log.reader(starts)
        try:
            while any(reader.position(place) < end for place, end in ends.items()):
                for batch in (await reader.fetch(timeout=0.1)).values():
                    found += batch.records
            self._positions |= {place: reader.position(place) for place in starts}
        finally:
            await reader.close()
        return found

    def _take_event(self, record: Record) -> None:
        with suppress(DecodeError):
            self.events.append(decode_event(record))
