"""Where a workflow test happens: in memory on a virtual clock, or on a real broker.

In memory nothing happens between two calls of the test: the loop runs only while a call waits, in the caller's
own thread (so a debugger stops in handlers as usual), and its clock jumps over every wait. Where the caller is
itself inside a running loop (an async test), the call is made in a thread, and the caller's loop stands still for
the milliseconds that it takes. On a broker the loop runs all the time, in a thread of its own, because members of
consumer groups must go on heartbeating.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from tasker_kafka.handlers.delivery.settings import DeliverySettings
from tasker_kafka.handlers.worker import WorkerSettings
from tasker_kafka.streams.lane import LaneSettings
from tasker_kafka.topics.log import Log
from tasker_kafka.topics.memory import MemoryCluster, VirtualTimeLoop

from .pace import PatientLog

__all__ = ["KafkaStage", "MemoryStage", "Stage"]

T = TypeVar("T")

_SHUTDOWN_SECONDS = 3.0
"""The end of a test does not wait long for a handler that hangs in a thread."""


class Stage(Protocol):
    """A log and a loop."""

    is_virtual: bool
    """Time is skipped, not waited for."""
    patience_seconds: float
    """How long a test waits for something unless it says otherwise."""
    poll_seconds: float
    """How often a condition is looked at."""
    lanes: LaneSettings
    worker: WorkerSettings
    delivery: DeliverySettings

    def new_log(self) -> Log:
        """A client process's log, not yet started."""
        ...

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run to the end, from any thread but the stage's own."""
        ...

    def close(self) -> None:
        """End the loop."""
        ...


class MemoryStage:
    """In memory, on a virtual clock."""

    is_virtual = True
    patience_seconds = 24 * 3600.0
    poll_seconds = 0.01
    # No stall is possible here, and a loop that looks rarely is none.
    lanes = LaneSettings(stall_ms=24 * 3_600_000)
    worker = WorkerSettings(announce_seconds=3600.0, shutdown_seconds=_SHUTDOWN_SECONDS)
    delivery = DeliverySettings(shutdown_seconds=_SHUTDOWN_SECONDS)

    def __init__(self) -> None:
        self.cluster = MemoryCluster()
        self._runner = asyncio.Runner(loop_factory=VirtualTimeLoop)

    def new_log(self) -> PatientLog:
        """A process of the cluster in memory."""
        return PatientLog(self.cluster)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Let time pass until `work` is done."""
        return _beside_a_loop(lambda: self._runner.run(work))

    def close(self) -> None:
        """End the loop."""
        _beside_a_loop(self._runner.close)


class KafkaStage:
    """On the broker at `bootstrap`, on a real clock."""

    is_virtual = False
    patience_seconds = 30.0
    poll_seconds = 0.02
    lanes = LaneSettings()
    worker = WorkerSettings(shutdown_seconds=_SHUTDOWN_SECONDS)
    delivery = DeliverySettings(shutdown_seconds=_SHUTDOWN_SECONDS, discover_seconds=1.0)

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="workflow-test", daemon=True)
        self._thread.start()

    def new_log(self) -> Log:
        """A client of the broker."""
        from tasker_kafka.topics.kafka import KafkaLog

        return KafkaLog(self._bootstrap)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait until `work` is done; Ctrl-C ends it too."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """End the loop."""
        self.run(self._loop.shutdown_asyncgens())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _beside_a_loop(call: Callable[[], T]) -> T:
    """Call it here, or in a thread where a loop runs here already."""
    if not _is_in_a_loop():
        return call()
    done: Future[T] = Future()

    def work() -> None:
        try:
            done.set_result(call())
        except BaseException as error:
            done.set_exception(error)

    thread = threading.Thread(target=work, name="workflow-test")
    thread.start()
    thread.join()
    return done.result()


def _is_in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
