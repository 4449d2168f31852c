"""Threads for handlers that are plain functions.

Unlike the library's pool it never joins its threads: a handler that hangs must not keep the process from ending.
And it has no size: the worker bounds how many handlers run, and an abandoned one holds only its own thread.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec, TypeVar

__all__ = ["HandlerThreads"]

P = ParamSpec("P")
T = TypeVar("T")
_Job = tuple[Future[Any], Callable[[], Any]]


class HandlerThreads(Executor):
    """Runs each job in a daemon thread, an idle one if there is one."""

    def __init__(self) -> None:
        self._idle: list[queue.SimpleQueue[_Job | None]] = []
        self._lock = threading.Lock()
        self._is_closed = False
        self.started = 0
        """Threads made so far."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run `fn` in a thread."""
        future: Future[T] = Future()
        job: _Job = (future, lambda: fn(*args, **kwargs))
        with self._lock:
            inbox = self._idle.pop() if self._idle else None
        if inbox is None:
            inbox = queue.SimpleQueue()
            self.started += 1
            threading.Thread(target=self._work, args=(inbox,), name="tasker-step", daemon=True).start()
        inbox.put(job)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End idle threads; busy ones end with their job, and nobody waits for them."""
        with self._lock:
            idle, self._idle, self._is_closed = self._idle, [], True
        for inbox in idle:
            inbox.put(None)

    def _work(self, inbox: queue.SimpleQueue[_Job | None]) -> None:
        while (job := inbox.get()) is not None:
            future, call = job
            if future.set_running_or_notify_cancel():
                _settle(future, call)
            del job, future, call
            with self._lock:
                if self._is_closed:
                    return
                self._idle.append(inbox)


def _settle(future: Future[Any], call: Callable[[], Any]) -> None:
    try:
        result = call()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)
