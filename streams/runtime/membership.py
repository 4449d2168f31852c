"""Static membership: a member id that survives a restart, and leaving the group for good on a clean stop.

With a static id the restarted owner has its partitions back in about a second instead of a session timeout.
Two processes of one host must not share an id, so each holds an ordinal by a file lock.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from aiokafka import AIOKafkaConsumer

from tasker_kafka.schemas.errors import ConfigurationError

__all__ = ["Ordinal", "leave_group"]

MOST_ORDINALS = 256
LEAVE_SECONDS = 2.0


class Ordinal:
    """The number of this process among the orchestrators of one prefix on this host, held until `release`."""

    def __init__(self, number: int, lock: IO[str]) -> None:
        self.number = number
        self._lock = lock

    @classmethod
    def take(cls, prefix: str, wanted: int | None = None) -> Ordinal:
        """Take `wanted`, or the first free ordinal.

        Raises ConfigurationError when another process holds the wanted one.
        """
        for number in range(MOST_ORDINALS) if wanted is None else (wanted,):
            lock = _lock_path(prefix, number).open("a")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.close()
                continue
            return cls(number, lock)
        text = f"ordinal {wanted} is" if wanted is not None else f"all {MOST_ORDINALS} ordinals are"
        raise ConfigurationError(
            f"{text} held by other orchestrators of prefix {prefix!r} on this host",
            next_step="stop the other process, or choose another --ordinal",
        )

    @property
    def instance_id(self) -> str:
        """The group's static member id."""
        return f"{socket.gethostname()}-{self.number}"

    def release(self) -> None:
        """Let another process take the number."""
        self._lock.close()


def _lock_path(prefix: str, number: int) -> Path:
    return Path(tempfile.gettempdir()) / f"tasker-{os.getuid()}-{prefix}-orchestrator-{number}.lock"


async def leave_group(consumer: AIOKafkaConsumer) -> None:
    """Leave the consumer group at once, also as a static member (aiokafka skips LeaveGroup for those).

    The coordinator is closed as a dynamic member, which makes it send the request; without an answer within
    `LEAVE_SECONDS` the group notices by the session timeout.
    """
    coordinator: Any = consumer._coordinator  # a member's or, before it has joined, nobody's
    if coordinator is None:
        return
    coordinator._group_instance_id = None
    with suppress(TimeoutError):
        async with asyncio.timeout(LEAVE_SECONDS):
            await coordinator.close()
