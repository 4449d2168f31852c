"""The worker's side of child processes.

A child serves one call at a time and is used again for calls of the same memory limit. The talk with it is
blocking and happens in one of the worker's threads. Whatever ends the child (a crash, a signal, the memory limit,
our own kill) is a failure of the call and nothing more.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Executor

from tasker_kafka.handlers.calls import StepCall, StepServices
from tasker_kafka.handlers.definition import HandlerDefinition
from tasker_kafka.handlers.publishing.errors import EventError
from tasker_kafka.handlers.results import CallEnd, Failed
from tasker_kafka.schemas.records import Failure

from .messages import Beat, End, Publish, Published, Run, Submit, Submitted, receive, send

__all__ = ["ChildProcesses"]


class ChildProcesses:
    """At most `size` children that run calls at once, and as many idle ones."""

    def __init__(self, threads: Executor, size: int) -> None:
        self._threads = threads
        self._free = asyncio.Semaphore(size)
        self._size = size
        self._idle: list[_Child] = []
        self._is_closed = False

    async def run(
        self, handler: HandlerDefinition, call: StepCall, services: StepServices, begin: Callable[[], None]
    ) -> CallEnd:
        """Run a call in a child; `begin` is called once a child is free. Cancelling kills the child."""
        loop = asyncio.get_running_loop()
        async with self._free:
            begin()
            child = self._child(handler.memory_mb)
            job = loop.run_in_executor(self._threads, child.run, handler, call, services)
            try:
                end = await asyncio.shield(job)
            except asyncio.CancelledError:
                child.kill()
                await asyncio.wait([job])
                raise
        self._keep(child)
        return end

    def close(self) -> None:
        """Hang up on idle children; busy ones are killed by whoever cancels their calls."""
        self._is_closed = True
        for child in self._idle:
            child.kill()
        self._idle.clear()

    def _child(self, memory_mb: int | None) -> _Child:
        for place, child in enumerate(self._idle):
            if child.memory_mb == memory_mb:
                return self._idle.pop(place)
        return _Child(memory_mb)

    def _keep(self, child: _Child) -> None:
        if not child.is_usable or self._is_closed:
            child.kill()
            return
        self._idle.append(child)
        while len(self._idle) > self._size:
            self._idle.pop(0).kill()


class _Child:
    """One child process. `run` blocks; `kill` may be called meanwhile."""

    def __init__(self, memory_mb: int | None) -> None:
        self.memory_mb = memory_mb
        self.is_usable = True
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self._is_killed = False

    def run(self, handler: HandlerDefinition, call: StepCall, services: StepServices) -> CallEnd:
        """Run one call to its end, or to the child's."""
        try:
            connection = self._connected()
            send(connection, Run(handler.place, sys.path, self.memory_mb, call))
            while (message := receive(connection)) is not None:
                if isinstance(message, End):
                    self.is_usable = not _is_spoiled(message.end)
                    return message.end
                if isinstance(message, Beat):
                    services.heartbeat(message.progress)
                elif isinstance(message, Submit):
                    send(connection, _submitted(services, message))
                elif isinstance(message, Publish):
                    send(connection, _published(services, message))
        except OSError as error:
            self.is_usable = False
            return _failed("process_failed", f"the child process could not be reached: {error}")
        self.is_usable = False
        return self._epitaph()

    def kill(self) -> None:
        """End it at once."""
        self._is_killed = True
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._connection is not None:
            self._connection.close()

    def _connected(self) -> socket.socket:
        if self._connection is None:
            ours, theirs = socket.socketpair()
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", f"{__package__}.child", str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                )
            self._connection = ours
            if self._is_killed:
                self._process.kill()
        return self._connection

    def _epitaph(self) -> Failed:
        """How the child ended."""
        if self._process is None:
            return _failed("process_failed", "there was no child process")
        code = self._process.wait()
        if code >= 0:
            return _failed(
                "process_died", f"the handler's process ended with exit code {code} before the handler did"
            )
        with contextlib.suppress(ValueError):
            name = signal.Signals(-code).name
            return _failed("process_died", f"the handler's process was ended by {name}")
        return _failed("process_died", f"the handler's process was ended by signal {-code}")


def _submitted(services: StepServices, message: Submit) -> Submitted:
    try:
        services.submit_and_wait(message.request)
    except Exception as error:
        return Submitted(str(error))
    return Submitted(None)


def _published(services: StepServices, message: Publish) -> Published:
    try:
        services.publish_and_wait(message.name, message.payload)
    except EventError as error:
        return Published(error.message, error.code, error.next_step)
    except Exception as error:
        return Published(str(error), "publish_failed")
    return Published()


def _is_spoiled(end: CallEnd) -> bool:
    """After the memory limit was hit nobody knows what is left of the process."""
    return isinstance(end, Failed) and end.failure.code == "memory_limit"


def _failed(code: str, message: str) -> Failed:
    return Failed(Failure(type="ProcessDied", code=code, message=message))
