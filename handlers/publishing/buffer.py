"""Fire-and-forget events on their way out: bounded, never waited for, and every one accounted for.

At most `size` events wait. What happens when one more comes is the installation's choice: the oldest goes
(`drop_oldest`), the new one goes (`drop_newest`), or it is taken all the same and whoever brings events is asked to
pause (`block`: a worker starts no handler meanwhile). Always: accepted = sent + failed + dropped + waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from typing import Final, Literal, NamedTuple

from tasker_kafka.handlers.event_metrics import EventMetrics
from tasker_kafka.schemas.codec import Codec
from tasker_kafka.schemas.errors import TaskerError
from tasker_kafka.schemas.records import DomainEvent
from tasker_kafka.topics.events import event_write
from tasker_kafka.topics.log import Log, Outbox, Write
from tasker_kafka.topics.names import TopicNames

from .figures import PublishingFigures

__all__ = ["EventBuffer", "Overflow"]

Overflow = Literal["drop_oldest", "drop_newest", "block"]

_logger = logging.getLogger("tasker.events")
_AT_ONCE: Final = 256
"""Events handed to the broker together; the next wait until these are acknowledged."""
_APART_SECONDS: Final = 0.01
"""Between two requests, unless many wait: one for each event costs 0.4 ms of CPU time, a shared one 0.02 per event."""
_RETRY_SECONDS: Final = 1.0
"""Before a broker that could not be reached is tried again."""
_MISSING_SECONDS: Final = 30.0
"""How long a topic that is missing is not asked for again."""
_SAY_EVERY_SECONDS: Final = 10.0


class _Waiting(NamedTuple):
    event: DomainEvent
    traceparent: str | None


class EventBuffer:
    """Sends events through an outbox of its own, made at the first one, so that nothing else waits for them."""

    def __init__(
        self,
        log: Log,
        names: TopicNames,
        codec: Codec,
        figures: PublishingFigures,
        *,
        client_id: str,
        size: int,
        overflow: Overflow,
        on_room: Callable[[], None] | None = None,
        metrics: EventMetrics | None = None,
    ) -> None:
        self._log = log
        self._names = names
        self._encode = codec.encode
        self._figures = figures
        self._metrics = EventMetrics() if metrics is None else metrics
        self._client_id = client_id
        self._size = size
        self._overflow = overflow
        self._on_room = on_room
        self._waiting: deque[_Waiting] = deque()
        self._flying = 0
        self._more = asyncio.Event()
        self._plenty_at = min(_AT_ONCE, size // 2)
        self._plenty = asyncio.Event()
        self._next_at = 0.0
        self._room = asyncio.Event()
        self._room.set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._outbox: Outbox | None = None
        self._warm: set[str] = set()
        self._missing: dict[str, float] = {}
        self._task: asyncio.Task[None] | None = None
        self._said_at = float("-inf")
        self._is_closed = False
        self.is_blocking = False
        """Whoever brings events is asked to pause (`block` only)."""

    @property
    def waiting(self) -> int:
        """Events that are neither sent nor given up."""
        return len(self._waiting) + self._flying

    async def wait_room(self) -> None:
        """Wait until there is room; at once unless it is blocking."""
        await self._room.wait()

    def put(self, event: DomainEvent, traceparent: str | None = None) -> None:
        """Take an event. Never waits and never raises."""
        figures = self._figures
        figures.accepted += 1
        if self._is_closed:
            figures.dropped += 1
            self._metrics.dropped(event)
            return
        if len(self._waiting) >= self._size and self._overflow != "block":
            figures.dropped += 1
            self._say_dropped()
            if self._overflow == "drop_newest":
                self._metrics.dropped(event)
                return
            self._metrics.dropped(self._waiting.popleft().event)
        self._waiting.append(_Waiting(event, traceparent))
        if len(self._waiting) >= self._plenty_at:
            self._plenty.set()
        if self._overflow == "block" and len(self._waiting) >= self._size:
            self.is_blocking = True
            self._room.clear()
        self._idle.clear()
        self._more.set()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="fire-and-forget")

    async def close(self, seconds: float) -> None:
        """Send what waits, for at most `seconds`; what is left then is dropped, and counted."""
        if self._task is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), seconds)
            self._task.cancel()
            await asyncio.wait([self._task])
        self._is_closed = True
        self._figures.dropped += len(self._waiting)
        for each in self._waiting:
            self._metrics.dropped(each.event)
        self._waiting.clear()
        self._make_room()
        if self._outbox is not None:
            with contextlib.suppress(TimeoutError, TaskerError):
                async with asyncio.timeout(seconds):
                    await self._outbox.close()

    # -------------------------------------------------------------------------------------- sending

    async def _run(self) -> None:
        while True:
            await self._more.wait()
            outbox = await self._connected()
            while self._waiting:
                await self._collect()
                chunk = [self._waiting.popleft() for _ in range(min(_AT_ONCE, len(self._waiting)))]
                self._flying = len(chunk)
                self._make_room()
                try:
                    await self._send(outbox, chunk)
                finally:  # also when it is closed meanwhile: they are not known to be in the log
                    self._figures.failed += self._flying
                    self._flying = 0
            self._more.clear()
            self._idle.set()

    async def _collect(self) -> None:
        """An event that comes alone is sent at once; those that follow it closely wait for each other."""
        loop = asyncio.get_running_loop()
        left = self._next_at - loop.time()
        if len(self._waiting) < self._plenty_at and left > 0:
            self._plenty.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._plenty.wait(), left)
        self._next_at = loop.time() + _APART_SECONDS

    async def _connected(self) -> Outbox:
        while self._outbox is None:
            try:
                self._outbox = await self._log.outbox(client_id=self._client_id)
            except TaskerError as error:
                _logger.warning(
                    "fire-and-forget events wait, the broker cannot be reached: %s", error.message
                )
                await asyncio.sleep(_RETRY_SECONDS)
        return self._outbox

    async def _send(self, outbox: Outbox, chunk: list[_Waiting]) -> None:
        """Send these and wait for their acknowledgement. What stays in `_flying` was not acknowledged."""
        events, writes = await self._writable(outbox, chunk)
        if not writes:
            return
        track = outbox.track()
        try:
            for write in writes:
                outbox.send(write, track)
            await track.barrier()
        except TaskerError as error:
            _logger.warning("%d fire-and-forget events are lost: %s", len(writes), error.message)
        else:
            self._figures.sent += len(writes)
            self._flying -= len(writes)
            for event in events:
                self._metrics.published(event, event.delivery)

    async def _writable(self, outbox: Outbox, chunk: list[_Waiting]) -> tuple[list[DomainEvent], list[Write]]:
        """Those events whose topic is there, and their records."""
        events: list[DomainEvent] = []
        found: list[Write] = []
        for event, traceparent in chunk:
            try:
                write = event_write(event, self._names, self._encode, traceparent=traceparent)
                await self._make_known(outbox, write.topic)
            except TaskerError as error:
                self._say(f"event {event.name} is lost: {error.message}")
            else:
                events.append(event)
                found.append(write)
        return events, found

    async def _make_known(self, outbox: Outbox, topic: str) -> None:
        if topic in self._warm:
            return
        now = asyncio.get_running_loop().time()
        if self._missing.get(topic, 0.0) > now:
            raise TaskerError(f"topic {topic} was missing a moment ago")
        try:
            await outbox.warm([topic])
        except TaskerError:
            self._missing[topic] = now + _MISSING_SECONDS
            raise
        self._warm.add(topic)

    def _make_room(self) -> None:
        if not self.is_blocking or len(self._waiting) >= self._size:
            return
        self.is_blocking = False
        self._room.set()
        if self._on_room is not None:
            self._on_room()

    def _say_dropped(self) -> None:
        self._say(
            f"the buffer of fire-and-forget events is full ({self._size:,}, {self._overflow}): "
            f"{self._figures.dropped:,} dropped so far"
        )

    def _say(self, text: str) -> None:
        """A warning, now and then: the counters say how many."""
        now = asyncio.get_running_loop().time()
        if now - self._said_at >= _SAY_EVERY_SECONDS:
            self._said_at = now
            _logger.warning("%s", text)
