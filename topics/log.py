"""The port to the log: read, write, transact, consume as a group.

Lane, worker, delivery and client are written against these protocols; `topics.kafka` is the Kafka side and
`topics.memory` its in-process twin with a virtual clock. Both pass one contract suite (tests/contract).

Rules both sides keep:

- Positions are offsets of the next record to read; they move over control records, offsets of records do not
  count them. A batch carries the position after it.
- Relative waits use the running loop's clock (`asyncio.sleep`, `wait_for`), wall time is `Log.now_ms()`; so a loop
  with a virtual clock makes both virtual.
- The default partitioner is murmur2 over the key (`topics.partitioner`), as the Java client's.
- Every failure is a `schemas.errors.LogError` (or its subclass `FencedError`, `BrokerUnavailable`) or
  `RecordTooLarge`; the driver's own exceptions never leave a side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

import msgspec

__all__ = [
    "Batch",
    "Committed",
    "GroupConsumer",
    "Headers",
    "Isolation",
    "Log",
    "LogFailure",
    "MemberDescription",
    "Outbox",
    "Reader",
    "RebalanceListener",
    "Record",
    "TopicAdmin",
    "TopicDescription",
    "TopicPartition",
    "TopicPartitionOffset",
    "Track",
    "TransactionalWriter",
    "Write",
]

Headers = tuple[tuple[str, bytes], ...]


class TopicPartition(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int


class Record(msgspec.Struct, frozen=True):
    """One record as read. `timestamp` is the broker's, in ms."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Write(msgspec.Struct, frozen=True):
    """One record to be written. `partition` None: the partitioner's choice for the key."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    partition: int | None = None
    timestamp: int | None = None


class Batch(msgspec.Struct, frozen=True):
    """Records of one partition in order, with the positions before the first and after the last."""

    first_position: int
    next_position: int
    records: tuple[Record, ...]


class Isolation(StrEnum):
    """Whether records of open and aborted transactions are seen."""

    COMMITTED = "read_committed"
    UNCOMMITTED = "read_uncommitted"


class Track(Protocol):
    """Counts the acknowledgements of what one lane sent through an outbox."""

    @property
    def in_flight(self) -> int:
        """Records sent and not yet acknowledged."""
        ...

    async def barrier(self) -> None:
        """Wait until everything sent with this track before the call is acknowledged.

        Raises the failure of the first record that could not be written.
        """
        ...


class Outbox(Protocol):
    """Idempotent writes, pipelined: one open batch per topic-partition, the next grows while one is in flight.

    Order per topic-partition is the order of `send` calls. A failed write is final: it fails the track's
    barriers and is given once to `on_failure`.
    """

    def track(self) -> Track:
        """A new counter for one lane's writes."""
        ...

    def send(self, write: Write, track: Track | None = None) -> None:
        """Queue a record; never blocks. Topics must have been made known by `warm` (else LogError)."""
        ...

    async def write(self, write: Write) -> TopicPartitionOffset:
        """Write one record and wait for its acknowledgement: where it lies."""
        ...

    async def warm(self, topics: Iterable[str]) -> None:
        """Fetch the metadata of topics, so that `send` can choose partitions. TopicsDrifted if one is missing."""
        ...

    async def flush(self) -> None:
        """Wait until all that was sent is acknowledged; raises the first failure."""
        ...

    async def close(self) -> None:
        """Flush as far as possible, then stop. Never raises for records of others."""
        ...


class TopicPartitionOffset(NamedTuple):
    """Where a record lies."""

    topic: str
    partition: int
    offset: int


class TransactionalWriter(Protocol):
    """A transactional producer: at most one transaction at a time; a newer one of the same id fences it."""

    async def start(self) -> None:
        """InitProducerId: fences the older writer of this id and aborts its open transaction."""
        ...

    async def commit(self, writes: Sequence[Write]) -> list[TopicPartitionOffset]:
        """Write all records in one transaction and commit it; the places are in the order of `writes`.

        Committed readers see them a moment later (the control records follow the answer), so to read one's own
        records wait for the position to pass their places. A newer writer's `start` returns after that moment.
        Raises FencedError when a newer writer has started; after any error the writer is unusable.
        """
        ...

    async def close(self) -> None:
        """Stop without waiting for a transaction in flight."""
        ...


class Reader(Protocol):
    """Reads assigned partitions without a group."""

    async def fetch(self, *, timeout: float = 0.5, max_records: int = 5000) -> dict[TopicPartition, Batch]:
        """What has arrived since the last call, up to `max_records`; waits up to `timeout` seconds for something.

        A partition may come with an empty batch whose `next_position` moved (control records).
        """
        ...

    def position(self, partition: TopicPartition) -> int:
        """Offset of the next record to read."""
        ...

    async def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from `offset`."""
        ...

    async def close(self) -> None:
        """Give up the connection."""
        ...


class Committed(NamedTuple):
    """A group's committed offset and the text kept beside it."""

    offset: int
    metadata: str


class RebalanceListener(Protocol):
    """Told of partitions taken and lost; both are awaited before reading goes on."""

    async def on_assigned(self, partitions: set[TopicPartition]) -> None:
        """The group gave us these partitions (all of them, at every rebalance)."""
        ...

    async def on_revoked(self, partitions: set[TopicPartition]) -> None:
        """These partitions are about to go; commits are still possible unless we were fenced."""
        ...


class GroupConsumer(Protocol):
    """A member of a consumer group, read_committed, manual commits, eager rebalances, earliest by default."""

    async def start(self, topics: Iterable[str], listener: RebalanceListener) -> None:
        """Join the group."""
        ...

    async def fetch(self, *, timeout: float = 0.5, max_records: int = 500) -> dict[TopicPartition, Batch]:
        """As `Reader.fetch`, of the partitions assigned and not paused. Nothing while `is_heard` says no."""
        ...

    def is_heard(self) -> bool:
        """Whether the group has heard of this member within its session.

        If not (the process stood still, the broker is away), others may have its partitions: whoever begins something
        then does what they do, too.
        """
        ...

    def assignment(self) -> set[TopicPartition]:
        """The partitions now assigned."""
        ...

    def position(self, partition: TopicPartition) -> int:
        """Offset of the next record to read."""
        ...

    async def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from `offset`."""
        ...

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Fetch nothing from these until resumed."""
        ...

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """Undo `pause`."""
        ...

    async def commit(self, offsets: Mapping[TopicPartition, Committed]) -> None:
        """Commit, checked: raises FencedError when the group has moved on, LogError otherwise."""
        ...

    async def committed(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, Committed]:
        """The group's committed offsets with their metadata; a partition without one is absent."""
        ...

    async def close(self, *, leave: bool = True) -> None:
        """Revoke, then leave the group (also as a static member, if `leave`)."""
        ...


class TopicDescription(msgspec.Struct, frozen=True):
    """A topic as the broker has it."""

    name: str
    partitions: int
    replication_factor: int
    config: dict[str, str]


class MemberDescription(msgspec.Struct, frozen=True):
    """A member of a consumer group as the broker has it; `partitions` are those assigned to it."""

    member_id: str
    client_id: str
    host: str
    partitions: tuple[TopicPartition, ...]


class TopicAdmin(Protocol):
    """Creates and describes topics; used by `tasker topics` and tests."""

    async def create(self, topics: Iterable[TopicDescription]) -> None:
        """Create topics; one that exists already is left alone."""
        ...

    async def describe(self, names: Iterable[str]) -> dict[str, TopicDescription]:
        """Those of `names` that exist."""
        ...

    async def names(self) -> set[str]:
        """Every topic's name."""
        ...

    async def delete(self, names: Iterable[str]) -> None:
        """Delete topics; missing ones are ignored."""
        ...

    async def update_config(self, name: str, config: Mapping[str, str]) -> None:
        """Set topic settings."""
        ...

    async def group_offsets(self, group: str) -> dict[TopicPartition, Committed]:
        """A group's committed offsets with metadata."""
        ...

    async def group_members(self, group: str) -> list[MemberDescription]:
        """Who is in a group now, by member id; empty for one that nobody has joined."""
        ...


class Log(Protocol):
    """A cluster. Everything else is made from it."""

    def now_ms(self) -> int:
        """Wall time in ms since 1970 UTC (virtual in memory)."""
        ...

    async def start(self) -> None:
        """Connect; BrokerUnavailable names the address and the likely cause."""
        ...

    async def close(self) -> None:
        """Close everything made from this log that is still open."""
        ...

    async def outbox(
        self, *, client_id: str, on_failure: Callable[[LogFailure], None] | None = None
    ) -> Outbox:
        """A started outbox. `on_failure` is called once, from the loop, at the first failed write."""
        ...

    def transactional(self, transactional_id: str, *, timeout_ms: int = 10_000) -> TransactionalWriter:
        """A transactional writer, not yet started."""
        ...

    async def reader(
        self, positions: Mapping[TopicPartition, int], *, isolation: Isolation = Isolation.COMMITTED
    ) -> Reader:
        """A started reader at the given offsets (below the first available: the first available)."""
        ...

    async def fetch_at(self, place: TopicPartitionOffset) -> Record:
        """The one record at this place; NotFoundError when it is gone."""
        ...

    def group(
        self,
        group: str,
        *,
        client_id: str,
        instance_id: str | None = None,
        session_timeout_ms: int = 10_000,
        heartbeat_ms: int = 1_000,
        co_partitioned: bool = False,
    ) -> GroupConsumer:
        """A member of a group, not yet started. With `instance_id` it is a static member.

        With `co_partitioned` (all members alike) partition p of every topic goes to the same member: the one at
        p modulo their number, in the order of their ids. Where that one does not read the topic, nobody does.
        """
        ...

    async def partition_count(self, topic: str) -> int:
        """Partitions of a topic; TopicsDrifted when it does not exist. Cached."""
        ...

    async def end_offset(
        self, partition: TopicPartition, *, isolation: Isolation = Isolation.COMMITTED
    ) -> int:
        """Position after the last record; for COMMITTED the last stable offset."""
        ...

    async def begin_offset(self, partition: TopicPartition) -> int:
        """Offset of the first record still available."""
        ...

    async def offset_at(self, partition: TopicPartition, timestamp_ms: int) -> int:
        """Offset of the first record at or after this broker time; the end offset when there is none."""
        ...

    def admin(self) -> TopicAdmin:
        """Topic administration."""
        ...


LogFailure = Exception
