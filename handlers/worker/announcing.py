"""The worker's word of itself, on a compacted topic: who takes what, and when it was last seen."""

from __future__ import annotations

import asyncio
import os
import socket

import msgspec

from tasker_kafka.schemas.codec import Codec
from tasker_kafka.schemas.errors import TaskerError
from tasker_kafka.schemas.records import WorkerAnnouncement
from tasker_kafka.topics.log import Log, Write

from .sender import Sender
from .settings import WorkerSettings

__all__ = ["Announcer"]


class Announcer:
    """Announces one worker; key = worker id, a tombstone when it stops cleanly."""

    def __init__(self, log: Log, sender: Sender, codec: Codec, topic: str, settings: WorkerSettings) -> None:
        self._log = log
        self._sender = sender
        self._codec = codec
        self._topic = topic
        self._settings = settings
        self._key = b""

    async def run(self, worker_id: str, queues: tuple[str, ...], handlers: tuple[str, ...]) -> None:
        """Announce at once and then at intervals, until cancelled."""
        from tasker_kafka import __version__

        now = self._log.now_ms()
        self._key = worker_id.encode()
        word = WorkerAnnouncement(
            worker_id=worker_id,
            queues=queues,
            handlers=handlers,
            version=__version__,
            host=socket.gethostname(),
            pid=os.getpid(),
            started_at=now,
            seen_at=now,
        )
        while True:
            self._sender.send_lossy(Write(self._topic, self._key, self._codec.encode(word)))
            await asyncio.sleep(self._settings.announce_seconds)
            word = msgspec.structs.replace(word, seen_at=self._log.now_ms())

    def farewell(self) -> None:
        """The worker is gone, and nobody need miss it."""
        if self._key:
            self._sender.send(Write(self._topic, self._key, None), _Farewell())


class _Farewell:
    """Nobody waits for it: if it does not arrive, `seen_at` grows old."""

    def acknowledged(self) -> None:
        pass

    def is_wanted(self) -> bool:
        return False

    def refused(self, error: TaskerError) -> None:
        pass
