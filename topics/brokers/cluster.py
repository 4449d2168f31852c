"""Three real brokers on loopback, for what one cannot show: the death of a leader, replication, min.insync.replicas."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tasker_kafka.topics.brokers import aot
from tasker_kafka.topics.brokers.embedded import START_TIMEOUT_SECONDS, EmbeddedBroker
from tasker_kafka.topics.brokers.properties import FAST_FAILOVER, HOST, NodeProperties
from tasker_kafka.topics.brokers.runtime import JvmOptions, Runtime
from tasker_kafka.topics.brokers.storage import new_cluster_id
from tasker_kafka.topics.brokers.wire import answering_nodes, free_port

__all__ = ["EmbeddedCluster"]

NODES = 3


class EmbeddedCluster:
    """Three embedded brokers, each also a controller; topics have three replicas and need two for an acks=all write.

    `start` makes one (about 3 s, 500 MB). Nodes are numbered 1 to 3.
    """

    def __init__(self, nodes: Mapping[int, EmbeddedBroker]) -> None:
        self.nodes = nodes

    @classmethod
    def start(
        cls,
        *,
        data_dir: Path | None = None,
        settings: Mapping[str, str] | None = None,
        heap_mb: int = 384,
        log_level: str = "warn",
        timeout_seconds: float = START_TIMEOUT_SECONDS,
    ) -> Self:
        """Start three nodes and return when each of them lists all three; parameters as of `EmbeddedBroker.start`."""
        runtime, options = Runtime.prepare(), JvmOptions(heap_mb, log_level)
        ports = {number: (free_port(), free_port()) for number in range(1, NODES + 1)}
        voters = ",".join(f"{number}@{HOST}:{controller}" for number, (_, controller) in ports.items())
        cluster_id = new_cluster_id()
        nodes: dict[int, EmbeddedBroker] = {}
        for number, (port, controller_port) in ports.items():
            home = data_dir / f"node-{number}" if data_dir else Path(tempfile.mkdtemp(prefix="tasker-kafka-"))
            node = NodeProperties(
                home=home.absolute(),
                port=port,
                controller_port=controller_port,
                node_id=number,
                voters=voters,
                settings={**FAST_FAILOVER, **(settings or {})},
            )
            runtime.format(node, cluster_id=cluster_id)
            nodes[number] = EmbeddedBroker(node, runtime, options, is_temporary=data_dir is None)
        cluster = cls(nodes)
        try:
            for broker in nodes.values():
                broker.launch(nodes=0)
            cluster.wait_complete(timeout_seconds=timeout_seconds)
        except BaseException:
            cluster.stop()
            raise
        aot.train_in_background(runtime.aot_cache)
        return cluster

    @property
    def bootstrap_servers(self) -> str:
        """The addresses of all three, separated by commas."""
        return ",".join(broker.bootstrap_servers for broker in self.nodes.values())

    def wait_complete(self, *, timeout_seconds: float = START_TIMEOUT_SECONDS) -> None:
        """Wait until every running node lists all running nodes; raises `BrokerNotStarted`."""
        started = [broker for broker in self.nodes.values() if broker.process is not None]
        for broker in started:
            broker.running().wait_ready(broker.port, nodes=len(started), timeout_seconds=timeout_seconds)

    def live_nodes(self) -> frozenset[int]:
        """The nodes that the cluster lists as alive, asked of the first that answers."""
        for broker in self.nodes.values():
            if broker.is_running and (nodes := answering_nodes(HOST, broker.port)):
                return nodes
        return frozenset()

    def kill(self, number: int) -> None:
        """SIGKILL one node."""
        self.nodes[number].kill()

    def restart(self, number: int) -> None:
        """Start a killed node again, or stop and start a running one; returns when it lists all running nodes."""
        running = [other for other, broker in self.nodes.items() if broker.is_running or other == number]
        self.nodes[number].restart(nodes=len(running))

    def stop(self) -> None:
        """Stop all nodes for good, together: the last one has no quorum left to leave in order."""
        for broker in self.nodes.values():
            if broker.is_running and broker.is_temporary:
                broker.kill()  # nothing to keep
            elif broker.is_running:
                broker.running().signal(signal.SIGTERM)
        for broker in self.nodes.values():
            broker.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
