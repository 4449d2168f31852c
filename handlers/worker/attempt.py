"""One attempt that this worker runs: what it was told, where it stands, and what is due when."""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Final, Protocol

import msgspec

from tasker_kafka.handlers.publishing.attempt import AttemptEvents
from tasker_kafka.handlers.publishing.declared import undeclared
from tasker_kafka.schemas.records import Cancellation, Dispatch, TaskRequest

from .answers import AttemptKey
from .steps import PreparedStep

__all__ = ["Attempt", "Attendant", "Delivery", "Stop"]

_NEVER: Final = float("inf")


class Stop(Enum):
    """Why a running handler is told to stop."""

    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    SHUTDOWN = "shutdown"


class Delivery(Protocol):
    """One record of a queue that has been started."""

    count: int
    """How often it is known to have been delivered."""

    def handler_ended(self) -> None:
        """Its handler has ended: what follows is waiting for the log. Repeats are harmless."""
        ...

    def finish(self) -> None:
        """The record need not be delivered again: it is answered, or the engine watches it. Repeats are harmless."""
        ...

    def drop(self) -> None:
        """It is left unfinished, to be delivered again."""
        ...

    @property
    def is_closing(self) -> bool:
        """Its partition is about to go, or gone."""
        ...

    @property
    def is_lost(self) -> bool:
        """Its partition is somebody else's now, who will get it again."""
        ...


class Attendant(Protocol):
    """Who looks after attempts (`Attempts`)."""

    def report(self, attempt: Attempt) -> None:
        """Tell the engine that it runs."""
        ...

    def beat(self, attempt: Attempt) -> None:
        """Send a heartbeat."""
        ...

    def stop(self, attempt: Attempt, reason: Stop) -> None:
        """Tell the handler to stop."""
        ...

    def abandon(self, attempt: Attempt) -> None:
        """Answer without waiting for the handler any longer."""
        ...

    async def submit(self, request: TaskRequest) -> None:
        """Write a task request."""
        ...


class Attempt(msgspec.Struct, eq=False):
    """An attempt in hand. It is the handler's `StepServices` and what the deadlines wake."""

    key: AttemptKey
    dispatch: Dispatch
    deliveries: list[Delivery]
    prepared: PreparedStep
    progress_seconds: float
    _attendant: Attendant
    _loop: asyncio.AbstractEventLoop
    _progress_timer: asyncio.TimerHandle | None = None
    events: AttemptEvents | None = None
    """None: the step declares no domain events."""
    task: asyncio.Task[None] | None = None
    started_at: int = 0
    progress: bytes | None = None
    cancellation: Cancellation | None = None
    stop_reason: Stop | None = None
    is_over: bool = False
    is_answered: bool = False
    is_released: bool = False
    report_at: float = _NEVER
    end_at: float = _NEVER
    give_up_at: float = _NEVER
    beat_at: float = _NEVER
    last_beat: float = -_NEVER

    # --------------------------------------------------------------------------- what deadlines ask

    def wake(self, now: float) -> float | None:
        """Do what is due; the next time to be woken."""
        if now >= self.report_at:
            self.report_at = _NEVER
            self.beat_at = now + self.prepared.heartbeat_seconds
            self._attendant.report(self)
        if now >= self.give_up_at:
            self._attendant.abandon(self)
            return None
        if now >= self.end_at:
            self.end_at = _NEVER
            self._attendant.stop(self, Stop.TIMEOUT)
        if now >= self.beat_at:
            self._beat(now)
        return min(self.report_at, self.end_at, self.give_up_at, self.beat_at)

    def _beat(self, now: float) -> None:
        self.last_beat = now
        self.beat_at = now + self.prepared.heartbeat_seconds
        if self.is_released:
            self._attendant.beat(self)

    # ---------------------------------------------------------------------- what the handler asks

    @property
    def is_cancelled(self) -> bool:
        """The handler is to stop."""
        return self.stop_reason is not None

    def heartbeat(self, progress: bytes | None) -> None:
        """The handler says that it is alive, from any thread."""
        if _running_loop() is self._loop:
            self._note_progress(progress)
        else:
            self._loop.call_soon_threadsafe(self._note_progress, progress)

    async def submit(self, request: TaskRequest) -> None:
        """The handler requests a further task."""
        await self._attendant.submit(request)

    def submit_and_wait(self, request: TaskRequest) -> None:
        """The same from a thread."""
        if _running_loop() is not None:
            raise RuntimeError(
                "submit_and_wait would block the loop: in an async handler, `await context.submit(…)`"
            )
        asyncio.run_coroutine_threadsafe(self.submit(request), self._loop).result()

    async def publish(self, name: str, payload: bytes) -> None:
        """The handler publishes a domain event."""
        if self.events is None:
            raise undeclared(name, f"step {self.dispatch.step}", ())
        await self.events.publish(name, payload)

    def publish_and_wait(self, name: str, payload: bytes) -> None:
        """The same from a thread."""
        if _running_loop() is not None:
            raise RuntimeError(
                "publish_and_wait would block the loop: in an async handler, `await context.publish(…)`"
            )
        asyncio.run_coroutine_threadsafe(self.publish(name, payload), self._loop).result()

    def _note_progress(self, progress: bytes | None) -> None:
        if progress is not None:
            self.progress = progress
        if self.is_over or not self.is_released or self._progress_timer is not None:
            return
        wait = self.last_beat + self.progress_seconds - self._loop.time()
        if wait <= 0:
            self._beat(self._loop.time())
        else:
            self._progress_timer = self._loop.call_later(wait, self._late_progress)

    def _late_progress(self) -> None:
        self._progress_timer = None
        if not self.is_over:
            self._beat(self._loop.time())


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
