"""The parent's side of handlers with `isolation="process"`: what such a handler does to its process, only that feels.

A child serves one delivery at a time and is used again. The talk with it is blocking and happens in a thread. Whatever
ends the child (a crash, a signal, the time limit) is a failed delivery and nothing more.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from tasker_kafka.handlers.subscribing.event import DomainEvent
from tasker_kafka.handlers.subscribing.subscription import Subscription
from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.records import Failure

from .child import Ended, Order, Stream, found, receive, send

__all__ = ["ChildFailed", "EventChildren", "check_isolated"]


class ChildFailed(Exception):
    """A handler in a child process has failed; `failure` is how."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def check_isolated(said: Subscription) -> None:
    """ConfigurationError for a handler or model that a child process could not find by its name."""
    for what in (said.handler, said.model):
        if what is None:
            continue
        place = _place(what)
        try:
            is_found = not place.startswith("__main__:") and found(place) is what
        except (ImportError, AttributeError):
            is_found = False
        if not is_found:
            raise ConfigurationError(
                f'subscription {said.name}: {place} cannot be found by a child process (isolation="process")',
                next_step="define it at the top of a module that can be imported, or leave isolation out",
            )


def _place(what: Any) -> str:
    return f"{getattr(what, '__module__', '')}:{getattr(what, '__qualname__', repr(what))}"


class EventChildren:
    """At most `size` children that run handlers at once, and as many idle ones."""

    def __init__(self, threads: Executor, size: int) -> None:
        self._threads = threads
        self._size = size
        self._free = asyncio.Semaphore(size)
        self._idle: list[_Child] = []
        self._is_closed = False

    async def run(self, said: Subscription, event: DomainEvent[Any], begin: Callable[[], None]) -> None:
        """Deliver to a handler in a child; `begin` is called once a child is free. Raises ChildFailed when it fails.

        `event`: with its payload as decoded JSON. Cancelling kills the child.
        """
        order = Order(
            _place(said.handler),
            None if said.model is None else _place(said.model),
            sys.path,
            dataclasses.replace(event, headers=dict(event.headers)),
        )
        async with self._free:
            begin()
            child = self._idle.pop() if self._idle else _Child()
            job = asyncio.get_running_loop().run_in_executor(self._threads, child.run, order)
            try:
                failure = await asyncio.shield(job)
            except asyncio.CancelledError:
                child.kill()
                await asyncio.wait([job])
                raise
        if self._is_closed or not child.is_usable or len(self._idle) >= self._size:
            child.kill()
        else:
            self._idle.append(child)
        if failure is not None:
            raise ChildFailed(failure)

    def close(self) -> None:
        """Hang up on idle children; busy ones are killed by whoever cancels their deliveries."""
        self._is_closed = True
        for child in self._idle:
            child.kill()
        self._idle.clear()


class _Child:
    """One child process. `run` blocks; `kill` may be called meanwhile."""

    def __init__(self) -> None:
        self.is_usable = True
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self._stream: Stream | None = None
        self._is_killed = False

    def run(self, order: Order) -> Failure | None:
        """Run one handler to its end, or to the child's."""
        try:
            stream = self._connected()
            send(stream, order)
            ended = receive(stream, Ended)
        except OSError as error:
            ended = Ended(_died(f"the child process could not be reached: {error}"))
            self.is_usable = False
        if ended is None:
            self.is_usable = False
            return _died(self._epitaph())
        return ended.failure

    def kill(self) -> None:
        """End it at once."""
        self._is_killed = True
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)
            self._connection.close()

    def _connected(self) -> Stream:
        if self._stream is None:
            ours, theirs = socket.socketpair()
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", f"{__package__}.child", str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                )
            self._connection = ours
            self._stream = ours.makefile("rwb")
            if self._is_killed:
                self._process.kill()
        return self._stream

    def _epitaph(self) -> str:
        """How the child ended."""
        code = 0 if self._process is None else self._process.wait()
        if code >= 0:
            return f"the handler's process ended with exit code {code} before the handler did"
        with contextlib.suppress(ValueError):
            return f"the handler's process was ended by {signal.Signals(-code).name}"
        return f"the handler's process was ended by signal {-code}"


def _died(message: str) -> Failure:
    return Failure(type="ProcessDied", code="process_died", message=message)
