"""Roles as child processes: of `tasker dev`, of a supervisor. Started, restarted and ended by their parent, which
prints their lines.

A child is a session of its own, so that Ctrl-C in the terminal reaches the parent only, which ends the children in
order. A parent that is killed can do nothing; so a child that is told whose child it is (`end_with_parent`)
watches and ends by itself.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

__all__ = ["LOG_VARIABLE", "PARENT_VARIABLE", "Child", "end_with_parent", "log_as_json"]

PARENT_VARIABLE = "TASKER_DEV_PARENT"
"""Process id of the parent, in the environment of its children."""
LOG_VARIABLE = "TASKER_CHILD_LOG"
"""`json` or `text`: how a child writes its log, since its parent's terminal is not its own."""
STOP_SECONDS = 30.0
PARENT_POLL_SECONDS = 0.5
ORPHAN_SECONDS = 5.0
LINE_BYTES = 1024 * 1024

PrintLine = Callable[[str, str], None]
"""Called with a child's name and one line of its output."""


class Child:
    """One role as a child process; it can be stopped and started again."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        print_line: PrintLine,
        *,
        log_as_json: bool = False,
    ) -> None:
        self.name = name
        self._command = tuple(command)
        self._environment = {
            **environment,
            PARENT_VARIABLE: str(os.getpid()),
            LOG_VARIABLE: "json" if log_as_json else "text",
        }
        self._print_line = print_line
        self._process: asyncio.subprocess.Process | None = None
        self._lines: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Start the process."""
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            env=dict(self._environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            limit=LINE_BYTES,
        )
        self._lines = asyncio.create_task(self._pump(self._process))

    async def wait(self) -> int:
        """Wait until the process has ended and its last line is printed: its exit code (negative: the signal)."""
        if self._process is None or self._lines is None:
            return 0
        code = await self._process.wait()
        # Who gives up waiting must not take the reading of the lines along.
        await asyncio.shield(self._lines)
        return code

    async def stop(self, *, timeout_seconds: float = STOP_SECONDS) -> None:
        """SIGTERM; after the timeout SIGKILL to it and whatever it started. Stopping twice does nothing."""
        process, lines = self._process, self._lines
        if process is None or lines is None:
            return
        self._process = None
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), timeout_seconds)
        except TimeoutError:
            self._print_line(self.name, f"did not stop within {timeout_seconds:g} s: killed")
        # What a handler left behind would keep the pipe open.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        await lines

    async def _pump(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None, "it was started with a pipe"
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:
                # Longer than the limit: the reader has dropped it.
                line = b"(a line of more than 1 MiB was left out)\n"
            if not line:
                return
            self._print_line(self.name, line.decode(errors="replace").rstrip("\r\n"))


def log_as_json(environment: Mapping[str, str] = os.environ) -> bool | None:
    """How this process is to write its log; None: as it finds its standard error, since nobody has said."""
    if PARENT_VARIABLE not in environment:
        return None
    return environment.get(LOG_VARIABLE) == "json"


def end_with_parent(environment: Mapping[str, str] = os.environ) -> None:
    """In a child of ours: end as by SIGTERM when the parent is gone. Elsewhere: do nothing."""
    parent = environment.get(PARENT_VARIABLE, "")
    if parent.isdecimal():
        threading.Thread(target=_watch, args=(int(parent),), name="parent-watch", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    # The broker died with the parent: a graceful end may wait long for it, in vain.
    time.sleep(ORPHAN_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)
