"""One real Kafka broker in a child process: for tests, for demos, for development. No container engine, no root."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from tasker_kafka.topics.brokers import aot
from tasker_kafka.topics.brokers.errors import BrokerNotStarted
from tasker_kafka.topics.brokers.process import BrokerProcess
from tasker_kafka.topics.brokers.properties import HOST, NodeProperties
from tasker_kafka.topics.brokers.runtime import JvmOptions, Runtime
from tasker_kafka.topics.brokers.wire import free_port, is_free

__all__ = ["EmbeddedBroker", "require_free"]

START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 20.0
START_ATTEMPTS = 3


class EmbeddedBroker:
    """A Kafka broker on 127.0.0.1 that can be killed, paused and restarted; it dies with this process.

    `start` makes one. As a context manager it is stopped at the end of the block.
    """

    def __init__(
        self, node: NodeProperties, runtime: Runtime, options: JvmOptions, *, is_temporary: bool
    ) -> None:
        self.node = node
        self.runtime = runtime
        self.options = options
        self.is_temporary = is_temporary
        self.process: BrokerProcess | None = None

    @classmethod
    def start(
        cls,
        *,
        data_dir: Path | None = None,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
        listeners: Mapping[str, str] | None = None,
        format_arguments: Sequence[str] = (),
        heap_mb: int = 384,
        log_level: str = "warn",
        jvm_flags: Sequence[str] = (),
        maven_base: str | None = None,
        timeout_seconds: float = START_TIMEOUT_SECONDS,
    ) -> Self:
        """Start a broker and return when it answers: 0.6 s, 2 s the first time, plus 45 MB to fetch if never used.

        data_dir: folder of its data, log and properties; kept. Default: a temporary one, removed at the stop
        port: the client port. Default: a free one
        settings: further server properties, which win over ours
        listeners: further listeners, name → security protocol; see `listener_address`
        format_arguments: further arguments of Kafka's format tool, for instance `--add-scram`
        heap_mb, log_level, jvm_flags: the JVM's most heap, the level of `log_path`, flags that win over ours
        maven_base: the Maven repository the jars are fetched from, once; see `mirror.maven_base`

        Raises `BrokerNotSupported` (no Java, nothing to fetch from), `ChecksumMismatch`, `BrokerNotStarted`.
        """
        if port is not None:
            require_free(port)
        runtime = Runtime.prepare(maven_base=maven_base)
        options = JvmOptions(heap_mb, log_level, tuple(jvm_flags))
        for attempt in range(1, START_ATTEMPTS + 1):
            node = new_node(data_dir, port, listeners or {}, settings or {})
            broker = cls(node, runtime, options, is_temporary=data_dir is None)
            try:
                runtime.format(node, arguments=format_arguments)
                broker.launch(timeout_seconds=timeout_seconds)
            except BrokerNotStarted as error:
                broker.remove_temporary()
                # Between the choice of a port and its use another process may have taken it.
                if "Address already in use" not in error.message or attempt == START_ATTEMPTS:
                    raise
            else:
                aot.train_in_background(runtime.aot_cache)
                return broker
        raise AssertionError("unreachable: the last attempt returns or raises")

    @property
    def bootstrap_servers(self) -> str:
        """The address for clients, `127.0.0.1:port`."""
        return f"{HOST}:{self.port}"

    def listener_address(self, name: str) -> str:
        """The address of one of the further listeners."""
        return f"{HOST}:{self.node.listeners[name][1]}"

    @property
    def port(self) -> int:
        """The client port, the same after a restart."""
        return self.node.port

    @property
    def data_dir(self) -> Path:
        """The folder of the broker's data, log and properties."""
        return self.node.home

    @property
    def log_path(self) -> Path:
        """The broker's log."""
        return self.node.home / "broker.log"

    @property
    def is_running(self) -> bool:
        """Whether the process exists (a paused one does)."""
        return self.process is not None and self.process.is_running

    @property
    def pid(self) -> int:
        """The process id of the JVM; raises `BrokerNotStarted` when it is not running."""
        return self.running().pid

    def running(self) -> BrokerProcess:
        """The live process, or `BrokerNotStarted`."""
        if self.process is None or not self.process.is_running:
            raise BrokerNotStarted(
                f"The broker on {self.bootstrap_servers} is not running.", next_step="Call restart() first."
            )
        return self.process

    def launch(self, *, nodes: int = 1, timeout_seconds: float = START_TIMEOUT_SECONDS) -> None:
        """Start the process and wait until `nodes` live brokers are listed (0: do not wait)."""
        command = self.runtime.server_command(self.node, self.options)
        home = self.node.home if self.is_temporary else None
        self.process = BrokerProcess(command, self.log_path, remove_on_death=home)
        if nodes:
            self.process.wait_ready(self.port, nodes=nodes, timeout_seconds=timeout_seconds)

    def kill(self) -> None:
        """SIGKILL: what the broker had acknowledged stays in its data folder."""
        self.running().kill()
        self.process = None

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nobody answers."""
        self.running().stop_running()

    def resume(self) -> None:
        """SIGCONT after `pause`."""
        self.running().signal(signal.SIGCONT)

    def restart(self, *, settings: Mapping[str, str] | None = None, nodes: int = 1) -> None:
        """Stop the broker if it runs, then start it on the same port and data; `settings` are added to the old ones."""
        self.terminate()
        self.node = replace(self.node, settings={**self.node.settings, **(settings or {})})
        self.launch(nodes=nodes)

    def terminate(self) -> None:
        """Stop the process gracefully and keep the data."""
        if self.process is not None:
            self.process.terminate(timeout_seconds=STOP_TIMEOUT_SECONDS)
            self.process = None

    def stop(self) -> None:
        """Stop the broker for good; a temporary data folder is removed. Calling it again does nothing."""
        self.terminate()
        self.remove_temporary()

    def remove_temporary(self) -> None:
        """Remove the data folder if it was made for this broker."""
        if self.is_temporary:
            shutil.rmtree(self.node.home, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def new_node(
    data_dir: Path | None, port: int | None, listeners: Mapping[str, str], settings: Mapping[str, str]
) -> NodeProperties:
    """A single node with ports chosen for it, and a temporary home where none is given."""
    return NodeProperties(
        home=(data_dir or Path(tempfile.mkdtemp(prefix="tasker-kafka-"))).absolute(),
        port=port or free_port(),
        controller_port=free_port(),
        listeners={name: (protocol, free_port()) for name, protocol in listeners.items()},
        settings=dict(settings),
    )


def require_free(port: int) -> None:
    """Raise `BrokerNotStarted` when something listens on the loopback port."""
    if not is_free(port):
        raise BrokerNotStarted(
            f"Port {port} on {HOST} is taken.", next_step="Stop what listens there, or choose another port."
        )
