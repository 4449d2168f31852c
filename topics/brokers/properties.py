"""The server properties of an embedded node: a development broker that starts, rebalances and comes back fast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tasker_kafka.topics.brokers.files import write_whole

__all__ = ["FAST_FAILOVER", "SINGLE_NODE", "NodeProperties"]

HOST = "127.0.0.1"

SINGLE_NODE: Mapping[str, str] = {
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "500",
    "offsets.topic.num.partitions": "1",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # After a kill the old registration must expire before the node may come back: 9 s by default.
    "broker.session.timeout.ms": "1000",
    "broker.heartbeat.interval.ms": "200",
    # The default of 128 MB is taken from the heap at the start.
    "log.cleaner.dedupe.buffer.size": "16777216",
}
"""One node; the cheapest that keeps every promise of the log."""

FAST_FAILOVER: Mapping[str, str] = {
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "share.coordinator.state.topic.replication.factor": "3",
    "share.coordinator.state.topic.min.isr": "2",
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "controller.quorum.election.timeout.ms": "500",
    "controller.quorum.fetch.timeout.ms": "1000",
    "replica.lag.time.max.ms": "3000",
}
"""On top of `SINGLE_NODE` for three nodes: a leader's death stalls its partitions for 3 to 5 s instead of 9."""


@dataclass(frozen=True)
class NodeProperties:
    """Where a node lives and what it listens on; `write` makes the file that the broker is started with.

    home: the folder of the node's properties, log and data
    port, controller_port: loopback ports of the client and the controller listener
    voters: the controllers of the cluster, `id@host:port,…`; empty for this node alone
    listeners: further ones, name → (security protocol, port)
    settings: further server properties; they win over the defaults
    """

    home: Path
    port: int
    controller_port: int
    node_id: int = 1
    voters: str = ""
    listeners: Mapping[str, tuple[str, int]] = field(default_factory=dict[str, tuple[str, int]])
    settings: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def log_dir(self) -> Path:
        """Kafka's own data folder."""
        return self.home / "data"

    @property
    def path(self) -> Path:
        """The properties file."""
        return self.home / "server.properties"

    def write(self) -> Path:
        """Write the properties file and give its path."""
        lines = [f"{key}={escaped(value)}" for key, value in self.values().items()]
        write_whole(self.path, ("\n".join(lines) + "\n").encode())
        return self.path

    def values(self) -> dict[str, str]:
        """All properties, later ones winning: where, then how, then the caller's."""
        own = {"PLAINTEXT": ("PLAINTEXT", self.port), **self.listeners}
        clients = ",".join(f"{name}://{HOST}:{port}" for name, (_, port) in own.items())
        protocols = [f"{name}:{protocol}" for name, (protocol, _) in own.items()]
        return {
            "process.roles": "broker,controller",
            "node.id": str(self.node_id),
            "controller.quorum.voters": self.voters or f"{self.node_id}@{HOST}:{self.controller_port}",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "listeners": f"{clients},CONTROLLER://{HOST}:{self.controller_port}",
            "advertised.listeners": clients,
            "listener.security.protocol.map": ",".join([*protocols, "CONTROLLER:PLAINTEXT"]),
            "log.dirs": str(self.log_dir),
            **SINGLE_NODE,
            **self.settings,
        }


def escaped(value: str) -> str:
    """`value` as a properties file needs it: backslashes doubled, lines joined by \\n."""
    return value.replace("\\", "\\\\").replace("\n", "\\n")
