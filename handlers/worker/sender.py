"""Writes that must arrive: answers and start reports, pipelined, and repeated until they are acknowledged.

An outbox treats a failed write as final for its track. So after a failure everything not yet known to be
acknowledged is sent again on a new track, one record at a time if the log refuses one for its size. Repeats are
harmless: the engine recognises them.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from tasker_kafka.schemas.errors import RecordTooLarge, TaskerError
from tasker_kafka.topics.crash_points import NO_CRASH_POINTS, CrashPoints
from tasker_kafka.topics.log import Outbox, Track, Write

from .crash_points import WorkerCrashPoint
from .settings import WorkerSettings

__all__ = ["Receipt", "Sender"]

_logger = logging.getLogger(__name__)


class Receipt(Protocol):
    """Who wants to know what became of a record."""

    def acknowledged(self) -> None:
        """It is in the log."""
        ...

    def is_wanted(self) -> bool:
        """Asked after a failure: whether to send it again."""
        ...

    def refused(self, error: TaskerError) -> None:
        """The log can never take it (too large)."""
        ...


_Entry = tuple[Write, Receipt]


class Sender:
    """Sends through one outbox and says when each record is acknowledged."""

    def __init__(
        self,
        outbox: Outbox,
        settings: WorkerSettings,
        crash_points: CrashPoints[WorkerCrashPoint] = NO_CRASH_POINTS,
    ) -> None:
        self._outbox = outbox
        self._reached = crash_points.reached
        self._settings = settings
        self._track: Track | None = outbox.track()
        self._lossy = outbox.track()
        self._sent: list[_Entry] = []
        self._more = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self.resent = 0
        """Records that had to be sent again."""

    def send(self, write: Write, receipt: Receipt) -> None:
        """Send, and tell `receipt` once it is acknowledged."""
        self._sent.append((write, receipt))
        if self._track is not None:
            try:
                self._outbox.send(write, self._track)
            except TaskerError as error:
                _logger.warning("could not send to %s: %s", write.topic, error.message)
                self._track = None
        if not self._more.is_set():
            self._more.set()
            self._idle.clear()

    def send_lossy(self, write: Write) -> None:
        """Send without waiting or repeating (heartbeats). One that is lost takes its track along, and no later one."""
        try:
            self._outbox.send(write, self._lossy)
        except TaskerError:
            self._lossy = self._outbox.track()
            try:
                self._outbox.send(write, self._lossy)
            except TaskerError as error:
                _logger.debug("not sent to %s: %s", write.topic, error.message)

    async def run(self) -> None:
        """Take acknowledgements in; until cancelled."""
        while True:
            await self._more.wait()
            self._more.clear()
            waiting, self._sent = self._sent, []
            try:
                if self._track is None:
                    raise _NOT_SENT
                await self._track.barrier()
            except TaskerError as error:
                self._track = None
                await self._send_again(waiting, error)
            else:
                for _, receipt in waiting:
                    receipt.acknowledged()
            if not self._sent:
                self._idle.set()

    async def drain(self, timeout: float) -> bool:
        """Wait until all is acknowledged, at most `timeout` seconds: whether it is."""
        try:
            await asyncio.wait_for(self._idle.wait(), timeout)
        except TimeoutError:
            return False
        return True

    async def _send_again(self, waiting: list[_Entry], error: TaskerError) -> None:
        """One at a time and in order, until every record is acknowledged, refused or not wanted any more."""
        _logger.warning("%d records were not acknowledged, sending again: %s", len(waiting), error.message)
        delay = self._settings.retry_seconds
        # What `send` adds meanwhile is not handed to the outbox (the track is gone), and goes after these.
        while waiting:
            await asyncio.sleep(delay)
            delay = min(delay * 2, self._settings.retry_max_seconds)
            waiting = await self._send_singly(waiting)
            if not waiting:
                waiting, self._sent = self._sent, []
                delay = 0.0 if waiting else delay
        self._track = self._outbox.track()

    async def _send_singly(self, waiting: list[_Entry]) -> list[_Entry]:
        for place, (write, receipt) in enumerate(waiting):
            if not receipt.is_wanted():
                continue
            try:
                self.resent += 1
                await self._outbox.write(write)
            except RecordTooLarge as error:
                _logger.error("a record for %s can never be written: %s", write.topic, error.message)
                receipt.refused(error)
            except TaskerError as error:
                _logger.warning("still not acknowledged: %s", error.message)
                return waiting[place:]
            else:
                self._reached(WorkerCrashPoint.SENT_AGAIN)
                receipt.acknowledged()
        return []


_NOT_SENT = TaskerError("the outbox did not take the record")
