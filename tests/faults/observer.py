"""Follows the log while faults are injected: owners, accepted records with their broker times, where each task rests.

It keeps the readers' rule with the product's own `AcceptedHistory`; the checker judges independently afterwards.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.errors import DecodeError, LogError
from tasker_kafka.schemas.records import AttemptGranted, OwnerMarker, Rejection, Transitions
from tasker_kafka.schemas.words import CLOSED_TASK_STATES, TaskStatus
from tasker_kafka.topics.headers import owner_of
from tasker_kafka.topics.history import AcceptedHistory
from tasker_kafka.topics.log import Log, Reader, Record, TopicPartition
from tasker_kafka.topics.names import TopicNames

__all__ = ["RESTING", "Observer", "Owner", "PartitionView"]

RESTING = CLOSED_TASK_STATES | {TaskStatus.BLOCKED_BY_FAILURES}
"""Terminal, or waiting for a person."""


@dataclass(frozen=True)
class Owner:
    """An owner marker."""

    number: int
    instance: str
    at: int
    """Broker time, ms."""


@dataclass
class PartitionView:
    """What one partition of the transitions has said."""

    history: AcceptedHistory = field(default_factory=AcceptedHistory)
    owners: list[Owner] = field(default_factory=list)
    accepted_at: list[int] = field(default_factory=list)
    """Broker time of each accepted record."""
    accepted_owner: list[int] = field(default_factory=list)
    commands: list[int] = field(default_factory=list)
    """Command offset of each accepted record; rises."""
    refused: int = 0
    """Records that do not count: repeats and zombies'."""
    stale: int = 0
    """Of these: written by a deposed owner."""

    def next_accepted(self, after_ms: int, *, owner_above: int = -1) -> int | None:
        """Broker time of the first accepted record at or after a time, of a later owner than this one."""
        for place in range(bisect_left(self.accepted_at, after_ms), len(self.accepted_at)):
            if self.accepted_owner[place] > owner_above:
                return self.accepted_at[place]
        return None


class Observer:
    """Start with `run`; it survives the broker's faults by reading on from where it was."""

    def __init__(self, log: Log, names: TopicNames, partitions: int) -> None:
        self._log = log
        self._names = names
        self.views = {number: PartitionView() for number in range(partitions)}
        self.resting: dict[bytes, TaskStatus] = {}
        """Tasks that rest, and in which state."""
        self.moving: set[bytes] = set()
        self.rejected: set[bytes] = set()
        """Request ids of rejections."""
        self.granted = 0
        self._positions: dict[TopicPartition, int] = {}
        self._changed = asyncio.Condition()

    async def run(self) -> None:
        """Read transitions and rejections; until cancelled."""
        topics = [self._names.transitions, self._names.rejections]
        for topic in topics:
            for number in range(await self._log.partition_count(topic)):
                self._positions[TopicPartition(topic, number)] = 0
        reader: Reader | None = None
        while True:
            try:
                if reader is None:
                    reader = await self._log.reader(self._positions)
                await self._read(reader)
            except LogError:
                reader = None
                await asyncio.sleep(0.2)

    async def _read(self, reader: Reader) -> None:
        for place, batch in (await reader.fetch(timeout=0.3)).items():
            for record in batch.records:
                if place.topic == self._names.transitions:
                    self._take(record)
                else:
                    self._take_rejection(record)
            self._positions[place] = batch.next_position
        async with self._changed:
            self._changed.notify_all()

    def _take(self, record: Record) -> None:
        view = self.views[record.partition]
        decoded = codec.decode_transition_record(record.value or b"")
        is_new = view.history.accept(record, decoded)
        if isinstance(decoded, OwnerMarker):
            view.owners.append(Owner(record.offset, decoded.instance, record.timestamp))
            return
        if not is_new:
            view.refused += 1
            owner = owner_of(record.headers)
            view.stale += owner is not None and owner < view.history.owner
            return
        view.accepted_at.append(max(record.timestamp, view.accepted_at[-1] if view.accepted_at else 0))
        view.accepted_owner.append(view.history.owner)
        view.commands.append(view.history.command_offset)
        if isinstance(decoded, Transitions) and decoded.seq:
            self._move(record.key or b"", decoded)

    def _move(self, task_id: bytes, record: Transitions) -> None:
        for each in record.transitions:
            self.granted += isinstance(each.data, AttemptGranted)
            if each.step is None:
                if each.to_state in RESTING:
                    self.resting[task_id] = TaskStatus(each.to_state)
                    self.moving.discard(task_id)
                else:
                    self.resting.pop(task_id, None)
                    self.moving.add(task_id)

    def _take_rejection(self, record: Record) -> None:
        try:
            rejection = codec.decode(record.value or b"", Rejection)
        except DecodeError:
            return
        if rejection.request_id is not None:
            self.rejected.add(rejection.request_id)

    # ------------------------------------------------------------------------------------------ questions

    def owner(self, partition: int) -> Owner | None:
        """The owner in office, as far as markers tell."""
        owners = self.views[partition].owners
        return owners[-1] if owners else None

    def owned_by(self, instance_end: str, since_ms: int = 0) -> dict[int, int]:
        """The partitions whose owner's member id ends so, with the owner's number; owners since that time only."""
        found = {number: self.owner(number) for number in self.views}
        return {
            number: owner.number
            for number, owner in found.items()
            if owner is not None and owner.instance.endswith(instance_end) and owner.at >= since_ms
        }

    async def until(self, is_so: Callable[[], bool], seconds: float) -> bool:
        """Wait until it is so, at most so long: whether it is."""
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(is_so)
        except TimeoutError:
            return False
        return True

    async def newer_owners(self, than: dict[int, int], seconds: float) -> bool:
        """Wait until each of these partitions has an owner of a higher number."""

        def is_newer(partition: int, number: int) -> bool:
            owner = self.owner(partition)
            return owner is not None and owner.number > number

        return await self.until(lambda: all(is_newer(*each) for each in than.items()), seconds)

    async def go_on(self, partitions: dict[int, int], since_ms: int, seconds: float) -> bool:
        """Wait until each of these partitions has accepted a record of a later owner."""
        return await self.until(
            lambda: all(
                self.views[number].next_accepted(since_ms, owner_above=owner) is not None
                for number, owner in partitions.items()
            ),
            seconds,
        )
