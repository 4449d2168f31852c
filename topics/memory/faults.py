"""What can go wrong with a write in memory, arranged beforehand and in order.

Each rule applies to the next `count` batches of a topic; rules are used up in the order they were made. A rule
sees batches, not records, as a broker does.
"""

from __future__ import annotations

import asyncio

import msgspec

from tasker_kafka.schemas.errors import LogError, TaskerError
from tasker_kafka.topics.log import TopicPartition

__all__ = ["Faults", "WriteFault"]


class WriteFault(msgspec.Struct, frozen=True):
    """What happens to one batch."""

    written: bool = True
    acknowledged: bool = True
    delay: float = 0.0
    error: TaskerError | None = None


class _Rule(msgspec.Struct):
    fault: WriteFault
    topic: str | None
    partition: int | None
    left: int


class Faults:
    """The faults of a cluster in memory. None are active at first."""

    def __init__(self) -> None:
        self._rules: list[_Rule] = []
        self._held_commits: dict[str, asyncio.Event] = {}

    def fail_writes(
        self,
        topic: str | None = None,
        *,
        partition: int | None = None,
        count: int = 1,
        error: TaskerError | None = None,
    ) -> None:
        """The next `count` batches are not written and answered with an error (a LogError by default)."""
        answer = error if error is not None else LogError("the broker refused the write (arranged)")
        self._add(WriteFault(written=False, error=answer), topic, partition, count)

    def lose_writes(self, topic: str | None = None, *, partition: int | None = None, count: int = 1) -> None:
        """The next `count` batches are neither written nor answered."""
        self._add(WriteFault(written=False, acknowledged=False), topic, partition, count)

    def lose_acknowledgements(
        self, topic: str | None = None, *, partition: int | None = None, count: int = 1
    ) -> None:
        """The next `count` batches are written, and nobody hears of it."""
        self._add(WriteFault(acknowledged=False), topic, partition, count)

    def delay_writes(
        self, seconds: float, topic: str | None = None, *, partition: int | None = None, count: int = 1
    ) -> None:
        """The next `count` batches arrive and are acknowledged this much later."""
        self._add(WriteFault(delay=seconds), topic, partition, count)

    def hold_commits(self, transactional_id: str) -> None:
        """Commits of this id stop between writing and ending the transaction, until `release_commits`."""
        self._held_commits.setdefault(transactional_id, asyncio.Event())

    def release_commits(self, transactional_id: str) -> None:
        """Let commits of this id go on."""
        held = self._held_commits.pop(transactional_id, None)
        if held is not None:
            held.set()

    def held_commit(self, transactional_id: str) -> asyncio.Event | None:
        """What a commit of this id has to wait for; None when nothing."""
        return self._held_commits.get(transactional_id)

    def clear(self) -> None:
        """Forget everything arranged."""
        self._rules.clear()
        for transactional_id in list(self._held_commits):
            self.release_commits(transactional_id)

    def next_for(self, place: TopicPartition) -> WriteFault | None:
        """What happens to the next batch for this partition; uses the rule up."""
        for rule in self._rules:
            if rule.topic in (None, place.topic) and rule.partition in (None, place.partition):
                rule.left -= 1
                if rule.left <= 0:
                    self._rules.remove(rule)
                return rule.fault
        return None

    def _add(self, fault: WriteFault, topic: str | None, partition: int | None, count: int) -> None:
        self._rules.append(_Rule(fault, topic, partition, count))
