"""The cluster in memory: what all clients of a test or a simulation share.

It answers as Kafka does (the contract suite runs on both) and is deterministic: time is the running loop's, ids are
counted, nothing is random.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence

import msgspec

from tasker_kafka.schemas.errors import FencedError, LogError, RecordTooLarge, TopicsDrifted
from tasker_kafka.topics.log import TopicDescription, TopicPartition, TopicPartitionOffset, Write
from tasker_kafka.topics.memory.faults import Faults
from tasker_kafka.topics.memory.groups import GroupCoordinator
from tasker_kafka.topics.memory.loop import VirtualTimeLoop
from tasker_kafka.topics.memory.store import PartitionStore, Transaction, TransactionState
from tasker_kafka.topics.partitioner import partition_for

__all__ = ["EPOCH_MS", "MemoryCluster", "ProducerState"]

# Virtual time begins here: 2026-01-01T00:00:00Z.
EPOCH_MS = 1_767_225_600_000

# A record batch's header and, generously, a record's own fields.
_BATCH_OVERHEAD = 61
_RECORD_OVERHEAD = 10

TOPIC_DEFAULTS: Mapping[str, str] = {
    "cleanup.policy": "delete",
    "compression.type": "producer",
    "delete.retention.ms": "86400000",
    "max.message.bytes": "1048588",
    "message.timestamp.type": "CreateTime",
    "min.insync.replicas": "1",
    "retention.bytes": "-1",
    "retention.ms": "604800000",
    "segment.ms": "604800000",
}


class ProducerState:
    """A transactional id: its epoch and its open transaction."""

    __slots__ = ("ended", "epoch", "expiry", "transaction")

    def __init__(self) -> None:
        self.epoch = -1
        self.transaction: Transaction | None = None
        self.expiry: asyncio.TimerHandle | None = None
        # Resolved when the control records of the transaction before are written.
        self.ended: asyncio.Future[None] | None = None


class MemoryCluster:
    """Topics, transactions and groups.

    In seconds of the loop's clock: `latency` is what every call takes, `marker_delay` how long after a commit's answer
    its control records come.
    """

    def __init__(self, *, latency: float = 0.0, marker_delay: float = 0.0) -> None:
        self.latency = latency
        self.marker_delay = marker_delay
        self.faults = Faults()
        self._topics: dict[str, TopicDescription] = {}
        self._stores: dict[str, list[PartitionStore]] = {}
        self._producers: dict[str, ProducerState] = {}
        self._groups: dict[str, GroupCoordinator] = {}
        self._now_ms = EPOCH_MS

    def now_ms(self) -> int:
        """Wall time in ms: of the loop where it is virtual, else real."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return self._now_ms
        if isinstance(loop, VirtualTimeLoop):
            self._now_ms = EPOCH_MS + round(loop.time() * 1000)
        else:
            self._now_ms = round(time.time() * 1000)
        return self._now_ms

    # ------------------------------------------------------------ topics

    @property
    def topics(self) -> Mapping[str, TopicDescription]:
        """What exists."""
        return self._topics

    def create(self, topic: TopicDescription) -> None:
        """Create a topic; one that exists already is left alone."""
        if topic.name not in self._topics:
            config = {**TOPIC_DEFAULTS, **topic.config}
            self._topics[topic.name] = msgspec.structs.replace(topic, config=config)
            self._stores[topic.name] = [
                PartitionStore(topic.name, partition) for partition in range(topic.partitions)
            ]
            self._topics_changed(topic.name)

    def delete(self, name: str) -> None:
        """Delete a topic with its records; a missing one is ignored."""
        if self._topics.pop(name, None) is not None:
            del self._stores[name]
            self._topics_changed(name)

    def update_config(self, name: str, config: Mapping[str, str]) -> None:
        """Set topic settings."""
        topic = self._topic(name)
        self._topics[name] = msgspec.structs.replace(topic, config={**topic.config, **config})

    def store(self, partition: TopicPartition) -> PartitionStore:
        """A partition's records."""
        self._topic(partition.topic)
        stores = self._stores[partition.topic]
        if not 0 <= partition.partition < len(stores):
            raise TopicsDrifted(f"topic {partition.topic!r} has no partition {partition.partition}")
        return stores[partition.partition]

    def partitions(self, topic: str) -> int:
        """Partitions of a topic; TopicsDrifted when it does not exist."""
        return self._topic(topic).partitions

    def compact(self, topic: str, *, drop_tombstones: bool = False) -> None:
        """Compact a topic now, whatever its policy; tombstones stay unless `delete.retention.ms` is to be over."""
        self._topic(topic)
        for store in self._stores[topic]:
            store.compact(drop_tombstones=drop_tombstones)

    def expire(self, topic: str) -> None:
        """Apply a topic's `retention.ms` now."""
        retention = int(self._topic(topic).config["retention.ms"])
        if retention >= 0:
            for store in self._stores[topic]:
                store.truncate(store.newest_before(self.now_ms() - retention))

    # ------------------------------------------------------------ writes

    def append(
        self, partition: TopicPartition, writes: Sequence[Write], transaction: Transaction | None = None
    ) -> int:
        """Append a batch; the offset of its first record. RecordTooLarge when the topic refuses it."""
        store = self.store(partition)
        config = self._topics[partition.topic].config
        size, limit = _BATCH_OVERHEAD + sum(map(record_size, writes)), int(config["max.message.bytes"])
        if size > limit:
            raise RecordTooLarge(f"{size} bytes for {partition.topic}, which accepts {limit}")
        append_time = config["message.timestamp.type"] == "LogAppendTime"
        return store.append(writes, now_ms=self.now_ms(), append_time=append_time, transaction=transaction)

    # ------------------------------------------------------------ transactions

    def init_producer(self, transactional_id: str) -> int:
        """A new epoch; the older one is fenced and its open transaction aborted."""
        producer = self._producers.setdefault(transactional_id, ProducerState())
        producer.epoch += 1
        self._end(producer, TransactionState.ABORTED)
        return producer.epoch

    async def markers_written(self, transactional_id: str) -> None:
        """Wait until the last transaction of this id has its control records."""
        producer = self._producers.get(transactional_id)
        if producer is not None and producer.ended is not None:
            await asyncio.shield(producer.ended)

    def begin(self, transactional_id: str, epoch: int, timeout_ms: int) -> Transaction:
        """Open a transaction; it is aborted after `timeout_ms`."""
        producer = self._checked(transactional_id, epoch)
        producer.transaction = Transaction()
        producer.expiry = asyncio.get_running_loop().call_later(
            timeout_ms / 1000, self._expire, transactional_id, epoch
        )
        return producer.transaction

    def write_transaction(
        self, transactional_id: str, epoch: int, writes: Sequence[Write]
    ) -> list[TopicPartitionOffset]:
        """Write into the open transaction: visible once it is committed."""
        transaction = self._checked(transactional_id, epoch).transaction
        if transaction is None:
            raise FencedError(f"the transaction of {transactional_id!r} has been aborted")
        places = []
        for write in writes:
            partition = write.partition
            if partition is None:
                partition = partition_for(write.key or b"", self.partitions(write.topic))
            place = TopicPartition(write.topic, partition)
            places.append(TopicPartitionOffset(*place, self.append(place, [write], transaction)))
        return places

    def end_transaction(self, transactional_id: str, epoch: int, *, commit: bool) -> None:
        """Commit or abort; FencedError when a newer epoch or the timeout was first."""
        producer = self._checked(transactional_id, epoch)
        if producer.transaction is None:
            raise FencedError(f"the transaction of {transactional_id!r} has been aborted")
        self._end(producer, TransactionState.COMMITTED if commit else TransactionState.ABORTED)

    # ------------------------------------------------------------ groups

    def group(self, name: str) -> GroupCoordinator:
        """The coordinator of a group; made when first asked for."""
        if name not in self._groups:
            self._groups[name] = GroupCoordinator(name, self.partitions_of)
        return self._groups[name]

    def partitions_of(self, topic: str) -> int:
        """Partitions of a topic, 0 when it does not exist."""
        topic_description = self._topics.get(topic)
        return 0 if topic_description is None else topic_description.partitions

    # ------------------------------------------------------------ inside

    def _topic(self, name: str) -> TopicDescription:
        topic = self._topics.get(name)
        if topic is None:
            raise TopicsDrifted(f"topic {name!r} does not exist", next_step="create it: tasker topics create")
        return topic

    def _topics_changed(self, name: str) -> None:
        for group in self._groups.values():
            group.topics_changed(name)

    def _checked(self, transactional_id: str, epoch: int) -> ProducerState:
        producer = self._producers.get(transactional_id)
        if producer is None:
            raise LogError(f"the writer {transactional_id!r} was not started")
        if producer.epoch != epoch:
            raise FencedError(f"a newer writer {transactional_id!r} has started")
        return producer

    def _expire(self, transactional_id: str, epoch: int) -> None:
        producer = self._producers[transactional_id]
        if producer.epoch == epoch and producer.transaction is not None:
            self._end(producer, TransactionState.ABORTED)
            # The broker bumps the epoch of a transaction it had to abort.
            producer.epoch += 1

    def _end(self, producer: ProducerState, state: TransactionState) -> None:
        transaction, producer.transaction = producer.transaction, None
        if producer.expiry is not None:
            producer.expiry.cancel()
            producer.expiry = None
        if transaction is None:
            return
        if not self.marker_delay:
            transaction.end(state, self.now_ms())
            return
        loop = asyncio.get_running_loop()
        ended = producer.ended = loop.create_future()

        def write_markers() -> None:
            transaction.end(state, self.now_ms())
            ended.set_result(None)

        loop.call_later(self.marker_delay, write_markers)


def record_size(write: Write) -> int:
    """About as many bytes as the record takes in a batch."""
    size = _RECORD_OVERHEAD + len(write.key or b"") + len(write.value or b"")
    return size + sum(len(name.encode()) + len(value or b"") + 2 for name, value in write.headers)
