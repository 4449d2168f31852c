"""What every embedded node of this user shares: the Java runtime, the verified jars, the AOT cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tasker_kafka.topics.brokers import aot
from tasker_kafka.topics.brokers.jars import verified_jars
from tasker_kafka.topics.brokers.java import Java, find_java, java_command
from tasker_kafka.topics.brokers.properties import NodeProperties
from tasker_kafka.topics.brokers.storage import format_folder, is_formatted, new_cluster_id

__all__ = ["JvmOptions", "Runtime"]


@dataclass(frozen=True)
class JvmOptions:
    """How much memory (MB) a node may take for its heap, what it logs, and further JVM flags, which win."""

    heap_mb: int = 384
    log_level: str = "warn"
    flags: Sequence[str] = ()


@dataclass(frozen=True)
class Runtime:
    """A Java runtime and the jars of Kafka, both checked."""

    java: Java
    jars: Sequence[Path]

    @classmethod
    def prepare(cls, *, maven_base: str | None = None) -> Runtime:
        """Find Java and the jars, fetching what is missing; raises `BrokerNotSupported` or `ChecksumMismatch`."""
        return cls(find_java(), verified_jars(base=maven_base))

    @property
    def aot_cache(self) -> Path | None:
        """Where the AOT cache of this runtime is or will be; none for a Java that is not ours."""
        return aot.cache_path(self.java, self.jars) if self.java.is_bundled else None

    def format(
        self, node: NodeProperties, *, cluster_id: str | None = None, arguments: Sequence[str] = ()
    ) -> None:
        """Format the node's data folder, unless it is already."""
        if not is_formatted(node):
            format_folder(
                node,
                self.java,
                self.jars,
                cluster_id=cluster_id or new_cluster_id(),
                format_arguments=arguments,
            )

    def server_command(
        self, node: NodeProperties, options: JvmOptions, *, aot_flags: Sequence[str] | None = None
    ) -> list[str]:
        """The command line of the node, after writing its properties. Without `aot_flags`: the cache if it is there."""
        if aot_flags is None:
            aot_flags = aot.use_flags(self.aot_cache)
        scratch = node.home / "tmp"
        scratch.mkdir(parents=True, exist_ok=True)
        return java_command(
            self.java,
            self.jars,
            "kafka.Kafka",
            [str(node.write())],
            flags=[*aot_flags, f"-Djava.io.tmpdir={scratch}", *options.flags],
            heap_mb=options.heap_mb,
            log_level=options.log_level,
        )
