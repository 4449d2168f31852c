"""Topic administration in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tasker_kafka.topics.log import Committed, MemberDescription, TopicDescription, TopicPartition
from tasker_kafka.topics.memory.cluster import MemoryCluster
from tasker_kafka.topics.memory.process import MemoryProcess

__all__ = ["MemoryAdmin"]


class MemoryAdmin:
    """A `TopicAdmin`."""

    def __init__(self, cluster: MemoryCluster, process: MemoryProcess) -> None:
        self._cluster = cluster
        self._process = process

    async def create(self, topics: Iterable[TopicDescription]) -> None:
        """Create topics; one that exists already is left alone."""
        await self._process.gate(self._cluster.latency)
        for topic in topics:
            self._cluster.create(topic)

    async def describe(self, names: Iterable[str]) -> dict[str, TopicDescription]:
        """Those of `names` that exist."""
        await self._process.gate(self._cluster.latency)
        topics = self._cluster.topics
        return {name: topics[name] for name in names if name in topics}

    async def names(self) -> set[str]:
        """Every topic's name."""
        await self._process.gate(self._cluster.latency)
        return set(self._cluster.topics)

    async def delete(self, names: Iterable[str]) -> None:
        """Delete topics; missing ones are ignored."""
        await self._process.gate(self._cluster.latency)
        for name in names:
            self._cluster.delete(name)

    async def update_config(self, name: str, config: Mapping[str, str]) -> None:
        """Set topic settings."""
        await self._process.gate(self._cluster.latency)
        self._cluster.update_config(name, config)

    async def group_offsets(self, group: str) -> dict[TopicPartition, Committed]:
        """A group's committed offsets with metadata."""
        await self._process.gate(self._cluster.latency)
        return dict(self._cluster.group(group).offsets)

    async def group_members(self, group: str) -> list[MemberDescription]:
        """Who is in a group now, by member id."""
        await self._process.gate(self._cluster.latency)
        return self._cluster.group(group).describe_members()
