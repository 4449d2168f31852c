"""A broker that stays when the command that started it ends: `tasker broker start`, `status`, `stop`.

One per user. What is known about it is in a state file; its process is recognised by a mark on its command line,
so a process id that the system gave to another program since is never signalled.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from tasker_kafka.topics.brokers import aot
from tasker_kafka.topics.brokers.embedded import START_TIMEOUT_SECONDS, require_free
from tasker_kafka.topics.brokers.errors import BrokerNotStarted
from tasker_kafka.topics.brokers.files import cache_root, file_lock, write_whole
from tasker_kafka.topics.brokers.process import log_tail, wait_until_ready
from tasker_kafka.topics.brokers.properties import HOST, NodeProperties
from tasker_kafka.topics.brokers.runtime import JvmOptions, Runtime
from tasker_kafka.topics.brokers.wire import free_port, is_free

__all__ = ["DetachedBroker", "start_detached", "status_detached", "stop_detached"]

PREFERRED_PORT = 9092
STOP_TIMEOUT_SECONDS = 20.0
POLL_SECONDS = 0.05
# The shell prints the broker's pid and ends, so the broker belongs to init and is nobody's zombie.
DETACH = 'log=$1; shift; "$@" </dev/null >>"$log" 2>&1 & echo $!'


@dataclass(frozen=True)
class DetachedBroker:
    """A broker that runs on its own: process id, client port, data folder, and the mark on its command line."""

    pid: int
    port: int
    data_dir: str
    mark: str

    @property
    def bootstrap_servers(self) -> str:
        """The address for clients, `127.0.0.1:port`."""
        return f"{HOST}:{self.port}"

    @property
    def log_path(self) -> Path:
        """The broker's log."""
        return Path(self.data_dir, "broker.log")

    @property
    def is_running(self) -> bool:
        """Whether the process with this id exists and is this broker."""
        return self.mark in command_line(self.pid)


def start_detached(
    *,
    data_dir: Path | None = None,
    port: int | None = None,
    settings: Mapping[str, str] | None = None,
    heap_mb: int = 384,
    maven_base: str | None = None,
    timeout_seconds: float = START_TIMEOUT_SECONDS,
) -> DetachedBroker:
    """Start the user's own broker and return when it answers; the one that runs already is returned as it is.

    data_dir: folder of its data and log, kept over restarts. Default: in the user's cache folder
    port: default 9092, or a free one where that is taken
    Other parameters and errors as of `EmbeddedBroker.start`.
    """
    with file_lock(state_path().with_suffix(".lock")):
        if running := read_state():
            return running
        if port is not None:
            require_free(port)
        home = (data_dir or state_path().parent / "data").absolute()
        node = NodeProperties(
            home=home,
            port=port or (PREFERRED_PORT if is_free(PREFERRED_PORT) else free_port()),
            controller_port=free_port(),
            settings=dict(settings or {}),
        )
        runtime = Runtime.prepare(maven_base=maven_base)
        runtime.format(node)
        broker = spawn(node, runtime, heap_mb)
        write_whole(state_path(), json.dumps(asdict(broker)).encode())
        wait_or_end(broker, timeout_seconds)
    aot.train_in_background(runtime.aot_cache)
    return broker


def status_detached() -> DetachedBroker | None:
    """The user's running broker, if there is one; a state file that a dead one left counts for nothing."""
    return read_state()


def stop_detached(*, timeout_seconds: float = STOP_TIMEOUT_SECONDS) -> DetachedBroker | None:
    """Stop the user's broker, by force after the timeout, and return what it was, or None. Its data stays."""
    with file_lock(state_path().with_suffix(".lock")):
        broker = read_state()
        if broker is not None:
            end(broker, timeout_seconds)
        state_path().unlink(missing_ok=True)
    return broker


def state_path() -> Path:
    """The state file of the user's broker."""
    return cache_root() / "broker" / "state.json"


def read_state() -> DetachedBroker | None:
    """The broker of the state file if its process is alive."""
    try:
        broker = DetachedBroker(**json.loads(state_path().read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return broker if broker.is_running else None


def spawn(node: NodeProperties, runtime: Runtime, heap_mb: int) -> DetachedBroker:
    """Start the process in a session of its own, so that neither a closed terminal nor Ctrl-C reaches it."""
    mark = f"tasker.broker={uuid.uuid4().hex}"
    command = runtime.server_command(node, JvmOptions(heap_mb, flags=(f"-D{mark}",)))
    log_path = node.home / "broker.log"
    shell = ["/bin/sh", "-c", DETACH, "sh", str(log_path), *command]
    printed = subprocess.run(shell, stdout=subprocess.PIPE, check=True, start_new_session=True).stdout
    return DetachedBroker(pid=int(printed), port=node.port, data_dir=str(node.home), mark=mark)


def wait_or_end(broker: DetachedBroker, timeout_seconds: float) -> None:
    """Wait until the broker answers; end it and raise `BrokerNotStarted` if it does not."""
    try:
        wait_until_ready(
            broker.port, nodes=1, timeout_seconds=timeout_seconds, is_running=lambda: broker.is_running
        )
    except BrokerNotStarted as error:
        end(broker, timeout_seconds=0)
        tail = log_tail(broker.log_path)
        raise BrokerNotStarted(f"{error.message} Its log {broker.log_path} ends with:\n{tail}") from None


def end(broker: DetachedBroker, timeout_seconds: float) -> None:
    """SIGTERM, then SIGKILL after the timeout; returns when the process is gone."""
    deadline = time.monotonic() + timeout_seconds
    send(broker, signal.SIGCONT)
    send(broker, signal.SIGTERM)
    while broker.is_running:
        if time.monotonic() > deadline:
            send(broker, signal.SIGKILL)
        time.sleep(POLL_SECONDS)


def send(broker: DetachedBroker, number: signal.Signals) -> None:
    """Signal the broker, if the process is still it."""
    if broker.is_running:
        os.kill(broker.pid, number)


def command_line(pid: int) -> str:
    """The command line of a process; empty for one that does not exist or has ended."""
    if Path("/proc/self/cmdline").exists():
        # For an instant within `exec` it reads as empty, like that of an ended process; hence the second look.
        return proc_command_line(pid) or proc_command_line(pid)
    listing = subprocess.run(
        ["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return listing.stdout


def proc_command_line(pid: int) -> str:
    """The command line as Linux shows it."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
    except OSError:
        return ""
