"""The parent's side of child processes: a pool of them, and how each is begun, spoken to and ended.

A child serves one call at a time and is used again for calls of the same memory limit. The talk with it is
blocking and happens in one of the caller's threads. Whatever ends the child (a crash, a signal, the memory limit,
our own kill) is a failure of the call and nothing more.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, Generic, TypeVar

import msgspec

from tasker_kafka.schemas.records import Failure

from .channel import Channel

__all__ = ["Child", "ChildPool", "ProcessDied"]

MessageT = TypeVar("MessageT")
ResultT = TypeVar("ResultT")


class ProcessDied(Exception):
    """A child process has ended before its call, or could not be begun; `failure` says how."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.failure = Failure(type="ProcessDied", code=code, message=message)


class Child(Generic[MessageT]):
    """One child process, begun with its first message. `send` and `receive` block; `kill` may be called meanwhile."""

    def __init__(self, module: str, kind: Any, memory_mb: int | None) -> None:
        self.memory_mb = memory_mb
        self.is_usable = True
        self._module = module
        self._kind = kind
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel[MessageT] | None = None
        self._killed = threading.Event()

    def send(self, message: msgspec.Struct) -> None:
        """Write one message. Raises ProcessDied."""
        try:
            self._connected().send(message)
        except ConnectionError:
            raise self._epitaph() from None
        except OSError as error:
            self.discard()
            raise ProcessDied("process_failed", f"the child process could not be reached: {error}") from error

    def receive(self) -> MessageT:
        """Read one message. Raises ProcessDied."""
        try:
            message = self._connected().receive()
        except OSError as error:
            self.discard()
            raise ProcessDied("process_failed", f"the child process could not be reached: {error}") from error
        if message is None:
            raise self._epitaph()
        return message

    def discard(self) -> None:
        """Use it for no further call."""
        self.is_usable = False

    def kill(self) -> None:
        """End it at once."""
        self._killed.set()
        self.discard()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._channel is not None:
            self._channel.close()

    def _connected(self) -> Channel[MessageT]:
        if self._channel is None:
            if self._killed.is_set():
                raise ProcessDied("process_failed", "the child process was ended before its call")
            ours, theirs = socket.socketpair()
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", self._module, str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                )
            self._channel = Channel(ours, self._kind)
            if self._killed.is_set():  # meanwhile
                self._process.kill()
        return self._channel

    def _epitaph(self) -> ProcessDied:
        """How the child ended."""
        self.discard()
        code = 0 if self._process is None else self._process.wait()
        if code >= 0:
            end = f"ended with exit code {code} before the handler did"
        else:
            end = f"was ended by signal {-code}"
            with contextlib.suppress(ValueError):
                end = f"was ended by {signal.Signals(-code).name}"
        return ProcessDied("process_died", f"the handler's process {end}")


class ChildPool(Generic[MessageT]):
    """At most `size` children that run calls at once, and as many idle ones.

    module: what a child runs, as `python -m module FD`; it calls `serving.serve`
    kind: what children send, a type or a union of types
    """

    def __init__(self, module: str, kind: Any, threads: Executor, size: int) -> None:
        self._module = module
        self._kind = kind
        self._threads = threads
        self._size = size
        self._free = asyncio.Semaphore(size)
        self._idle: list[Child[MessageT]] = []
        self._is_closed = False

    async def run(
        self,
        talk: Callable[[Child[MessageT]], ResultT],
        begin: Callable[[], None],
        *,
        memory_mb: int | None = None,
    ) -> ResultT:
        """Let `talk`, in a thread, make one call of a child, and return what it returns. Raises ProcessDied.

        begin: called once a child is free
        memory_mb: the limit that the call sets; None: none

        Cancelling kills the child.
        """
        async with self._free:
            begin()
            child = self._child(memory_mb)
            job = asyncio.get_running_loop().run_in_executor(self._threads, talk, child)
            try:
                return await asyncio.shield(job)
            except asyncio.CancelledError:
                child.kill()
                await asyncio.wait([job])
                raise
            except BaseException:
                child.discard()
                raise
            finally:
                self._keep(child)

    def close(self) -> None:
        """Hang up on idle children; busy ones are killed by whoever cancels their calls."""
        self._is_closed = True
        for child in self._idle:
            child.kill()
        self._idle.clear()

    def _child(self, memory_mb: int | None) -> Child[MessageT]:
        for place, child in enumerate(self._idle):
            if child.memory_mb == memory_mb:
                return self._idle.pop(place)
        return Child(self._module, self._kind, memory_mb)

    def _keep(self, child: Child[MessageT]) -> None:
        if not child.is_usable or self._is_closed:
            child.kill()
            return
        self._idle.append(child)
        while len(self._idle) > self._size:
            self._idle.pop(0).kill()
