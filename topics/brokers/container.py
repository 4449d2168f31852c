"""Kafka in a container, for whoever asks for it and for platforms without the embedded broker.

testcontainers' own Kafka class drives the start script of another image family; this one uses the image that the
Kafka project publishes, configured by its documented environment variables.
"""

from __future__ import annotations

import io
import tarfile
import time
from typing import Self

from testcontainers.core.container import DockerContainer

from tasker_kafka.topics.brokers.errors import BrokerNotStarted
from tasker_kafka.topics.brokers.jars import JarLock
from tasker_kafka.topics.brokers.properties import SINGLE_NODE
from tasker_kafka.topics.brokers.wire import answering_nodes

__all__ = ["KafkaContainer"]

CLIENT_PORT = 9092
START_SCRIPT = "/tmp/start-kafka.sh"
START_TIMEOUT_SECONDS = 90.0
LISTENERS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.quorum.voters": "1@localhost:9094",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "BROKER",
    "listeners": f"EXTERNAL://:{CLIENT_PORT},BROKER://:9093,CONTROLLER://:9094",
    "listener.security.protocol.map": "EXTERNAL:PLAINTEXT,BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
}


class KafkaContainer(DockerContainer):
    """One broker of the image `apache/kafka`, of the version that the lock names, with the embedded one's settings."""

    def __init__(self, image: str | None = None) -> None:
        super().__init__(image or f"apache/kafka:{JarLock.committed().kafka_version}")
        self.with_exposed_ports(CLIENT_PORT)
        self.with_envs(
            **{environment_name(key): value for key, value in (LISTENERS | dict(SINGLE_NODE)).items()}
        )
        # The advertised address has the mapped port, which is known only once the container runs.
        self.with_command(
            ["sh", "-c", f"until [ -f {START_SCRIPT} ]; do sleep 0.05; done; exec sh {START_SCRIPT}"]
        )
        self.address = ("", 0)

    @property
    def bootstrap_servers(self) -> str:
        """The address for clients outside of the container, `host:port`."""
        return f"{self.address[0]}:{self.address[1]}"

    def start(self) -> Self:
        """Start the container and wait until the broker in it answers; raises `BrokerNotStarted`."""
        super().start()
        try:
            # Not simply localhost: in a container of its own, the tests reach this one through the gateway.
            self.address = (self.get_container_host_ip(), self.get_exposed_port(CLIENT_PORT))
            advertised = f"EXTERNAL://{self.bootstrap_servers},BROKER://localhost:9093"
            script = f"export KAFKA_ADVERTISED_LISTENERS={advertised}\nexec /etc/kafka/docker/run\n"
            self.get_wrapped_container().put_archive("/", archive(START_SCRIPT, script))
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def wait_ready(self) -> None:
        """Wait for the answer to a Kafka request, not for a line in the log."""
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not answering_nodes(*self.address):
            self.reload()
            if self.status not in {"running", "created"} or time.monotonic() > deadline:
                tail = self.get_wrapped_container().logs(tail=15).decode(errors="replace")
                raise BrokerNotStarted(
                    f"Kafka in the container of {self.image} did not start; its log ends with:\n{tail}"
                )
            time.sleep(0.05)


def environment_name(key: str) -> str:
    """The image's variable for a server property."""
    return "KAFKA_" + key.upper().replace(".", "_")


def archive(path: str, text: str) -> bytes:
    """A tar with one file, as the engine takes it."""
    content, buffer = text.encode(), io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        entry = tarfile.TarInfo(path.lstrip("/"))
        entry.size, entry.mode = len(content), 0o644
        tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
