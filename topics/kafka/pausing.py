"""Pauses partitions of a consumer, and sees to it that resuming them takes no time.

The driver has one fetch at the broker at a time. One that is made while partitions are paused leaves them out, and
waits there for records of the others: who resumes a moment later would get nothing until it comes back. So while
something is paused a fetch waits no longer than the pause has lasted: a pause at most doubles, and a long one costs
no more requests than before.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

from aiokafka import AIOKafkaConsumer

from tasker_kafka.topics.kafka.driver import let_fetches_wait
from tasker_kafka.topics.kafka.polling import driver_partition
from tasker_kafka.topics.log import TopicPartition

__all__ = ["Pauses"]

_LEAST_MS: Final = 5


class Pauses:
    """Of one consumer; a new assignment pauses nothing. `fetch_wait_ms`: of a fetch when nothing is paused."""

    def __init__(self, consumer: AIOKafkaConsumer, fetch_wait_ms: int) -> None:
        self._consumer = consumer
        self._fetch_wait_ms = fetch_wait_ms
        self._since: dict[TopicPartition, float] = {}

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Fetch nothing from these until resumed."""
        wanted = [each for each in partitions if each not in self._since]
        self._consumer.pause(*map(driver_partition, wanted))
        self._since.update(dict.fromkeys(wanted, time.monotonic()))
        self.look()

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """Fetch from these again."""
        wanted = list(partitions)
        self._consumer.resume(*map(driver_partition, wanted))
        for each in wanted:
            self._since.pop(each, None)
        self.look()

    def forget(self) -> None:
        """Other partitions are assigned now."""
        self._since = {}
        self.look()

    def look(self) -> None:
        """Fit the wait of the next fetch to how long the pauses last; to be called now and then."""
        wait_ms = self._fetch_wait_ms
        if self._since:
            lasted_ms = round(1000 * (time.monotonic() - max(self._since.values())))
            wait_ms = min(wait_ms, max(_LEAST_MS, lasted_ms))
        let_fetches_wait(self._consumer, wait_ms)
