"""Records that are written on the way of a failed event, and writing them until they are in the log.

A retry and a dead letter are both the original with a journey (`journey.wrap`). Which topic and partition: a retry
lies in the partition of its original's number, so its owner is its original's; a dead letter, too, as far as its
topic has as many.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import msgspec

from tasker_kafka.schemas.errors import RecordTooLarge, TaskerError
from tasker_kafka.topics.log import Outbox, Record, TopicPartitionOffset, Write

from .journey import Journey, wrap
from .left_out import without_bytes
from .settings import DeliverySettings

__all__ = ["PersistentWriter", "dead_letter", "dead_letters", "retry", "shortened"]

_logger = logging.getLogger(__name__)

_SHORT: Final = 200
"""Characters that are left of a message when a dead letter would be too large."""


def retry(topic: str, original: Record, journey: Journey) -> Write:
    """The record that waits in a retry topic."""
    return Write(topic, original.key, original.value, wrap(original, journey), original.partition)


def dead_letter(topic: str, partitions: int, original: Record, journey: Journey) -> Write:
    """The dead letter."""
    return Write(
        topic, original.key, original.value, wrap(original, journey), original.partition % partitions
    )


def dead_letters(topic: str, partitions: int, original: Record, journey: Journey) -> tuple[Write, ...]:
    """The dead letter, and smaller ones for a topic that does not take it: without stack, without the bytes."""
    smaller = shortened(journey)
    return (
        dead_letter(topic, partitions, original, journey),
        dead_letter(topic, partitions, original, smaller),
        dead_letter(topic, partitions, *without_bytes(original, smaller)),
    )


def shortened(journey: Journey) -> Journey:
    """The same journey in as few bytes as can be."""
    message = None if journey.message is None else journey.message[:_SHORT]
    return msgspec.structs.replace(journey, stack=None, message=message)


class PersistentWriter:
    """Writes until it is acknowledged."""

    def __init__(self, outbox: Outbox, settings: DeliverySettings) -> None:
        self._outbox = outbox
        self._first = settings.retry_seconds
        self._longest = settings.retry_max_seconds
        self.failed = 0
        """Writes that had to be repeated."""

    async def write(self, write: Write) -> TopicPartitionOffset:
        """Where it lies. RecordTooLarge when the topic will never take it; any other failure is repeated."""
        delay = self._first
        while True:
            try:
                return await self._outbox.write(write)
            except RecordTooLarge:
                raise
            except TaskerError as error:
                self.failed += 1
                _logger.warning("not written to %s, trying again: %s", write.topic, error.message)
            await asyncio.sleep(delay)
            delay = min(2 * delay, self._longest)

    async def write_one_of(self, *writes: Write) -> Write:
        """Write the first of these that its topic takes, and return it; while it takes none, try again."""
        delay = self._longest
        while True:
            for each in writes:
                try:
                    await self.write(each)
                    return each
                except RecordTooLarge as error:
                    self.failed += 1
                    _logger.error("too large for %s: %s", each.topic, error)
            await asyncio.sleep(delay)
