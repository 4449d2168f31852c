"""Single questions to a cluster over one connection per broker: partitions, offsets, one record, a group's offsets.

They do not go through a consumer: its long polls would stand before them in the same connection, and it forgets what is
asked here (a commit's metadata), or reads a megabyte where one record is wanted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

from aiokafka import errors
from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.consumer.fetcher import READ_COMMITTED, READ_UNCOMMITTED, PartitionRecords
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.protocol.admin import DescribeGroupsRequest
from aiokafka.protocol.api import Request
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.group import LeaveGroupRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.record.memory_records import MemoryRecords

from tasker_kafka.schemas.errors import NotFoundError, TopicsDrifted
from tasker_kafka.topics.kafka.polling import driver_partition, to_record
from tasker_kafka.topics.kafka.translation import translating
from tasker_kafka.topics.log import (
    Committed,
    Isolation,
    MemberDescription,
    Record,
    TopicPartition,
    TopicPartitionOffset,
)

__all__ = ["EARLIEST", "LATEST", "Lookup"]

T = TypeVar("T")

# Timestamps with a meaning of their own in a ListOffsets request.
LATEST = -1
EARLIEST = -2

# From this version of a fetch's answer on a field stands between aborted transactions and records.
_PREFERRED_REPLICA_SINCE = 11

_BACKOFF_SECONDS = 0.05
# A topic that was created a moment ago may not have reached this broker.
_NEW_TOPIC_SECONDS = 0.3


class Lookup:
    """Questions to a cluster. Each is asked again while the cluster is changing, for `patience` seconds."""

    def __init__(self, client: AIOKafkaClient, *, patience: float) -> None:
        self._client = client
        self._patience = patience
        self._counts: dict[str, int] = {}

    async def start(self) -> None:
        """Connect; raises the driver's errors."""
        await self._client.bootstrap()

    async def close(self) -> None:
        """Give up the connections."""
        await self._client.close()

    # ------------------------------------------------------------ topics

    async def topics(self, names: Sequence[str] | None = None) -> dict[str, dict[str, Any]]:
        """Metadata by name of these topics (all, if None) as far as they exist. Creates none."""

        async def ask() -> dict[str, dict[str, Any]]:
            request = MetadataRequest(None if names is None else list(names), allow_auto_topic_creation=False)
            response = await self._client.send(self._some_node(), request)
            found = {}
            for topic in response.to_object()["topics"]:
                error = errors.for_code(topic["error_code"])
                if error is errors.NoError:
                    found[topic["topic"]] = topic
                elif error is not errors.UnknownTopicOrPartitionError:
                    raise error(topic["topic"])
            return found

        return await self._insist("asking for topics", ask)

    async def partition_count(self, topic: str) -> int:
        """Partitions of a topic; TopicsDrifted when it does not exist."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _NEW_TOPIC_SECONDS
        while topic not in self._counts:
            found = await self.topics([topic])
            if topic in found:
                self._counts[topic] = len(found[topic]["partitions"])
            elif loop.time() > deadline:
                raise TopicsDrifted(
                    f"topic {topic!r} does not exist", next_step="create it: tasker topics create"
                )
            else:
                await asyncio.sleep(_BACKOFF_SECONDS)
        return self._counts[topic]

    def forget_topics(self, names: Iterable[str]) -> None:
        """They were created or deleted."""
        for name in names:
            self._counts.pop(name, None)

    # ------------------------------------------------------------ offsets and records

    async def offset(self, partition: TopicPartition, timestamp: int, isolation: Isolation) -> int | None:
        """ListOffsets: by time, or LATEST or EARLIEST; None when no record is that late."""
        await self._check(partition)
        level = READ_COMMITTED if isolation is Isolation.COMMITTED else READ_UNCOMMITTED

        async def ask() -> int | None:
            request = OffsetRequest(-1, level, [(partition.topic, [(partition.partition, timestamp)])])
            response = await self._client.send(await self._leader(partition), request)
            answer = response.to_object()["topics"][0]["partitions"][0]
            _check_code(answer["error_code"], partition)
            offset: int = answer["offset"]
            return offset if offset >= 0 else None

        return await self._insist(f"asking for offsets of {partition.topic}/{partition.partition}", ask)

    async def record_at(self, place: TopicPartitionOffset) -> Record:
        """One committed record; the broker sends the one batch it lies in."""
        partition = TopicPartition(place.topic, place.partition)
        await self._check(partition)

        async def ask() -> Record | None:
            # One byte is not too little: a broker always sends the first batch whole.
            wanted = [(place.topic, [(place.partition, place.offset, 1)])]
            request = FetchRequest(0, 0, 1, READ_COMMITTED, wanted)
            response = await self._client.send(await self._leader(partition), request)
            ((_, ((_, code, *_, last_but_two, last_but_one, message_set),)),) = response.topics
            if errors.for_code(code) is errors.OffsetOutOfRangeError:
                return None
            _check_code(code, partition)
            aborted = last_but_two if response.API_VERSION >= _PREFERRED_REPLICA_SINCE else last_but_one
            place_read = driver_partition(partition)
            records = PartitionRecords(
                place_read,
                MemoryRecords(message_set),
                aborted,
                place.offset,
                None,
                None,
                True,
                READ_COMMITTED,
            )
            first = next(records, None)
            return to_record(first) if first is not None and first.offset == place.offset else None

        record = await self._insist(f"reading {place.topic}/{place.partition}/{place.offset}", ask)
        if record is None:
            raise NotFoundError(f"no record at {place.topic}/{place.partition}/{place.offset}")
        return record

    # ------------------------------------------------------------ groups

    async def group_offsets(
        self, group: str, partitions: Sequence[TopicPartition] | None = None
    ) -> dict[TopicPartition, Committed]:
        """A group's committed offsets with metadata: of these partitions, or all."""
        topics: dict[str, list[int]] = {}
        for partition in partitions or ():
            topics.setdefault(partition.topic, []).append(partition.partition)
        wanted = None if partitions is None else list(topics.items())

        async def ask() -> dict[TopicPartition, Committed]:
            response = await self._ask_coordinator(group, OffsetFetchRequest(group, wanted))
            # A coordinator that is not ready says so once for all partitions. Read as "nothing is committed", which
            # is what the driver does, a whole queue would be delivered again.
            _check_code(response.error_code, group)
            found = {}
            for topic, answers in response.topics:
                for number, offset, metadata, code in answers:
                    _check_code(code, group)
                    if offset >= 0:
                        found[TopicPartition(topic, number)] = Committed(offset, metadata or "")
            return found

        return await self._insist(f"asking for offsets of group {group!r}", ask)

    async def group_members(self, group: str) -> list[str]:
        """The ids of a group's members."""

        async def ask() -> list[str]:
            response = await self._ask_coordinator(group, DescribeGroupsRequest([group]))
            ((code, _, _, _, _, members, *_),) = response.groups
            _check_code(code, group)
            return [member[0] for member in members]

        return await self._insist(f"asking for members of group {group!r}", ask)

    async def describe_members(self, group: str) -> list[MemberDescription]:
        """A group's members with their partitions, by member id; while it rebalances they have none."""

        async def ask() -> list[MemberDescription]:
            response = await self._ask_coordinator(group, DescribeGroupsRequest([group]))
            ((code, _, _, _, _, members, *_),) = response.groups
            _check_code(code, group)
            return [_described(*member[:5]) for member in sorted(members)]

        return await self._insist(f"asking for members of group {group!r}", ask)

    async def leave_group(self, group: str, member_id: str) -> None:
        """Take a member out; one that is none any more is ignored."""

        async def ask() -> None:
            response = await self._ask_coordinator(group, LeaveGroupRequest(group, member_id))
            error = errors.for_code(response.error_code)
            if error not in (errors.NoError, errors.UnknownMemberIdError):
                raise error(group)

        await self._insist(f"leaving group {group!r}", ask)

    # ------------------------------------------------------------ inside

    async def _check(self, partition: TopicPartition) -> None:
        count = await self.partition_count(partition.topic)
        if not 0 <= partition.partition < count:
            raise TopicsDrifted(f"topic {partition.topic!r} has no partition {partition.partition}")

    async def _leader(self, partition: TopicPartition) -> int:
        cluster = self._client.cluster
        leader: int | None = cluster.leader_for_partition(driver_partition(partition))
        if leader is None or leader == -1:
            self._client.add_topic(partition.topic)
            await self._client.force_metadata_update()
            leader = cluster.leader_for_partition(driver_partition(partition))
        if leader is None or leader == -1:
            raise errors.LeaderNotAvailableError(partition)
        return leader

    async def _ask_coordinator(self, group: str, request: Request[Any]) -> Any:
        node = await self._client.coordinator_lookup(CoordinationType.GROUP, group)
        return await self._client.send(node, request, group=ConnectionGroup.COORDINATION)

    def _some_node(self) -> int:
        node: int | None = self._client.get_random_node()
        if node is None:
            raise errors.NoBrokersAvailable()
        return node

    async def _insist(self, doing: str, ask: Callable[[], Awaitable[T]]) -> T:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience
        with translating(doing):
            while True:
                try:
                    return await ask()
                except errors.KafkaError as error:
                    if not error.retriable or loop.time() > deadline:
                        raise
                    if error.invalid_metadata:
                        self._client.force_metadata_update()
                await asyncio.sleep(_BACKOFF_SECONDS)


def _described(member_id: str, client_id: str, host: str, _: bytes, assignment: bytes) -> MemberDescription:
    held = ConsumerProtocolMemberAssignment.decode(assignment).partitions() if assignment else []
    partitions = tuple(sorted(TopicPartition(each.topic, each.partition) for each in held))
    return MemberDescription(member_id, client_id, host.removeprefix("/"), partitions)


def _check_code(code: int, subject: object) -> None:
    error = errors.for_code(code)
    if error is not errors.NoError:
        raise error(subject)
