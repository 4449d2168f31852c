"""What makes skipping hours of virtual time cheap: in memory, whoever only looks whether something is due looks rarely.

A process that has nothing to do still ticks twenty times a second and asks its log twice a second. A virtual clock
jumps from one of these moments to the next, so a day of doing nothing would cost minutes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from tasker_kafka.topics.log import Batch, Isolation, TopicPartition
from tasker_kafka.topics.memory import MemoryLog
from tasker_kafka.topics.memory.consumer import MemoryGroupConsumer
from tasker_kafka.topics.memory.reader import MemoryReader

__all__ = ["IdlePace", "PatientLog"]

_SHARE: Final = 0.01
_LONGEST_SECONDS: Final = 60.0
_PATIENCE_SECONDS: Final = 24 * 3600.0
"""Whoever reads is woken by what arrives; the time only bounds how long nothing does."""
SESSION_MS: Final = 600_000
HEARTBEAT_MS: Final = 120_000
"""Nobody in this process stands still, so nobody need prove often that it lives."""
_SUBSCRIBER_PATIENCE_SECONDS: Final = 10.0
"""Between two reads a subscriber sees whether it is to stop, and whether what was full has room again."""
_SUBSCRIBER_SESSION_SECONDS: Final = 30.0
_SUBSCRIBER_HEARTBEAT_SECONDS: Final = 5.0
"""Tests let subscribers come and go, and what is due is not to wait for minutes meanwhile."""


class IdlePace:
    """Intervals that grow while nothing happens: to 1 % of the time since something did, at most a minute.

    So a timer fires late by 1 % of its own length at most, and a day costs some thousand looks.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._moved_at = self._loop.time()
        self._moved = asyncio.Event()

    def moved(self) -> None:
        """Something happened: look again at once, and often."""
        self._moved_at = self._loop.time()
        self._moved.set()

    async def wait(self, seconds: float) -> None:
        """Until the next look; `seconds` is the shortest interval."""
        grown = min(_SHARE * (self._loop.time() - self._moved_at), _LONGEST_SECONDS)
        if grown <= seconds:
            await asyncio.sleep(seconds)
            return
        self._moved.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._moved.wait(), grown)


class _PatientReader(MemoryReader):
    async def fetch(self, *, timeout: float = 0.5, max_records: int = 5000) -> dict[TopicPartition, Batch]:
        """As usual, without coming back empty-handed soon."""
        return await super().fetch(timeout=_patient(timeout), max_records=max_records)


class _PatientConsumer(MemoryGroupConsumer):
    _patience_seconds = _PATIENCE_SECONDS

    def suit_subscribers(self) -> None:
        """Before it starts: live in shorter steps."""
        self._patience_seconds = _SUBSCRIBER_PATIENCE_SECONDS
        self._session_seconds = _SUBSCRIBER_SESSION_SECONDS
        self._heartbeat_seconds = _SUBSCRIBER_HEARTBEAT_SECONDS

    async def fetch(self, *, timeout: float = 0.5, max_records: int = 500) -> dict[TopicPartition, Batch]:
        """As usual, without coming back empty-handed soon."""
        seconds = _patient(timeout, self._patience_seconds)
        return await super().fetch(timeout=seconds, max_records=max_records)


class PatientLog(MemoryLog):
    """A log in memory whose readers wait for what arrives instead of asking again and again."""

    async def reader(
        self, positions: Mapping[TopicPartition, int], *, isolation: Isolation = Isolation.COMMITTED
    ) -> MemoryReader:
        """A started reader."""
        await self._process.gate(self.cluster.latency)
        return self._remember(_PatientReader(self.cluster, self._process, positions, isolation))

    def group(
        self,
        group: str,
        *,
        client_id: str,
        instance_id: str | None = None,
        session_timeout_ms: int = SESSION_MS,
        heartbeat_ms: int = HEARTBEAT_MS,
        co_partitioned: bool = False,
    ) -> MemoryGroupConsumer:
        """A member of a group, not yet started."""
        consumer = _PatientConsumer(
            self.cluster,
            self._process,
            self.cluster.group(group),
            client_id=client_id,
            instance_id=instance_id,
            session_seconds=max(session_timeout_ms, SESSION_MS) / 1000,
            heartbeat_seconds=max(heartbeat_ms, HEARTBEAT_MS) / 1000,
            co_partitioned=co_partitioned,
        )
        if co_partitioned:
            consumer.suit_subscribers()
        return self._remember(consumer)


def _patient(timeout: float, patience: float = _PATIENCE_SECONDS) -> float:
    return timeout if timeout <= 0 else max(timeout, patience)
