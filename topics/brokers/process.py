"""A broker's operating system process, which never outlives the process that started it.

A parent that is killed cannot clean up. So each broker has a watchdog: a shell that reads from a pipe whose other end
only the parent holds. When the parent dies, however it dies, the read ends and the shell kills the broker.
(A death signal set by the kernel would be bound to the parent's thread, not to the parent, and is Linux only.)
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from tasker_kafka.topics.brokers.errors import BrokerNotStarted
from tasker_kafka.topics.brokers.properties import HOST
from tasker_kafka.topics.brokers.wire import answering_nodes

__all__ = ["BrokerProcess", "log_tail", "wait_until_ready"]

POLL_SECONDS = 0.02
TAIL_LINES = 15
# First line: the broker's pid. Second: released. The end of the pipe instead of the second: the parent is dead.
WATCHDOG = """
read -r pid || exit 0
read -r released && exit 0
kill -9 "$pid" 2>/dev/null
[ -z "$1" ] || { sleep 0.2; rm -rf -- "$1"; }
"""


class Watchdog:
    """Kills one process, and removes a folder if told to, when this process dies."""

    open_pipes: ClassVar[set[int]] = set()

    def __init__(self, folder: Path | None) -> None:
        self.is_watching = False
        read_end, self.pipe = os.pipe()
        command = ["/bin/sh", "-c", WATCHDOG, "sh", str(folder or "")]
        try:
            self.shell = subprocess.Popen(command, stdin=read_end, start_new_session=True)
        finally:
            os.close(read_end)
        self.open_pipes.add(self.pipe)

    def watch(self, pid: int) -> None:
        """Say whom to kill."""
        os.write(self.pipe, b"%d\n" % pid)
        self.is_watching = True

    def release(self) -> None:
        """Nobody is to be killed any more."""
        if self.pipe not in self.open_pipes:
            return
        if self.is_watching:
            with contextlib.suppress(BrokenPipeError):
                os.write(self.pipe, b"released\n")
        self.open_pipes.discard(self.pipe)
        os.close(self.pipe)
        self.shell.wait()

    @classmethod
    def forget_in_child(cls) -> None:
        """A forked child must not hold the pipes open, or the watchdogs would wait for it too."""
        for pipe in cls.open_pipes:
            os.close(pipe)
        cls.open_pipes.clear()


os.register_at_fork(after_in_child=Watchdog.forget_in_child)


class BrokerProcess:
    """A running broker; `remove_on_death` is deleted when the parent is killed (a temporary home)."""

    def __init__(
        self, command: Sequence[str], log_path: Path, *, remove_on_death: Path | None = None
    ) -> None:
        self.log_path = log_path
        self.watchdog = Watchdog(remove_on_death)
        try:
            with log_path.open("ab") as output:
                self.process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
                )
        except OSError as error:
            self.watchdog.release()
            raise BrokerNotStarted(f"{command[0]} could not be run: {error.strerror}.") from error
        self.watchdog.watch(self.process.pid)

    @property
    def pid(self) -> int:
        """The process id of the JVM itself."""
        return self.process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process exists (a paused one does)."""
        return self.process.returncode is None and self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens when the process has ended."""
        self.process.send_signal(number)

    def stop_running(self) -> None:
        """SIGSTOP, and wait until it stands still: on a busy machine that takes a while, and it goes on answering."""
        self.signal(signal.SIGSTOP)
        if hasattr(os, "waitid") and self.is_running:  # not on macOS before Python 3.13
            os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def terminate(self, *, timeout_seconds: float) -> None:
        """Ask the broker to stop and wait for it; kill it after the timeout."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            self.process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        finally:
            self.watchdog.release()

    def kill(self) -> None:
        """SIGKILL, and wait until the process is gone."""
        self.process.kill()
        self.process.wait()
        self.watchdog.release()

    def wait_ready(self, port: int, *, nodes: int, timeout_seconds: float) -> None:
        """Wait until the broker answers and lists `nodes` live ones; kills it and raises `BrokerNotStarted` if not."""
        try:
            wait_until_ready(
                port, nodes=nodes, timeout_seconds=timeout_seconds, is_running=lambda: self.is_running
            )
        except BrokerNotStarted as error:
            self.kill()
            raise BrokerNotStarted(
                f"{error.message} Its log {self.log_path} ends with:\n{self.log_tail()}"
            ) from None

    def log_tail(self) -> str:
        """The last lines of the broker's log, indented."""
        return log_tail(self.log_path)


def wait_until_ready(
    port: int, *, nodes: int, timeout_seconds: float, is_running: Callable[[], bool]
) -> None:
    """Wait until the broker on the loopback port lists `nodes` live ones; raises `BrokerNotStarted`."""
    deadline = time.monotonic() + timeout_seconds
    while len(answering_nodes(HOST, port)) < nodes:
        if not is_running():
            raise BrokerNotStarted("The broker's process ended while it was starting.")
        if time.monotonic() > deadline:
            raise BrokerNotStarted(
                f"The broker on {HOST}:{port} did not answer within {timeout_seconds:g} s."
            )
        time.sleep(POLL_SECONDS)


def log_tail(path: Path) -> str:
    """The last lines of a log, indented; says so when there is none."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    return "\n".join(f"    {line}" for line in lines[-TAIL_LINES:]) or "    (it is empty)"
