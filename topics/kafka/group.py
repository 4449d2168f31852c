"""A member of a consumer group: what the driver does in the background, put in order.

The driver rejoins on its own and may hand out records while its listener still runs; it swallows what the listener
raises, and says nothing to the listener when it stops. Here reading waits until `on_assigned` has returned, a failure
of the listener is raised by the next `fetch`, and `close` revokes first.

A static member that another process has replaced would join again under its name, and the two would throw each other
out for ever. Here it is told from one whose session ran out, and stays out.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.errors import IllegalStateError, UnknownError
from aiokafka.structs import OffsetAndMetadata
from aiokafka.structs import TopicPartition as DriverPartition

from tasker_kafka.schemas.errors import BrokerUnavailable, FencedError, LogError
from tasker_kafka.topics.kafka.driver import group_member, hear_heartbeats, keep_membership, stop_consumer
from tasker_kafka.topics.kafka.lookup import Lookup
from tasker_kafka.topics.kafka.pausing import Pauses
from tasker_kafka.topics.kafka.polling import Poller, driver_partition
from tasker_kafka.topics.kafka.translation import translating
from tasker_kafka.topics.log import Batch, Committed, RebalanceListener, TopicPartition

__all__ = ["KafkaGroupConsumer"]

_JOIN_SECONDS = 90.0
_COMMIT_SECONDS = 15.0
_STOP_SECONDS = 5.0
_UUID_SUFFIX = len("-00000000-0000-0000-0000-000000000000")


class _DriverListener(ConsumerRebalanceListener):
    """Passes the driver's calls on."""

    def __init__(self, consumer: KafkaGroupConsumer) -> None:
        self._consumer = consumer

    # The driver awaits what these return.
    async def on_partitions_revoked(  # pyright: ignore[reportIncompatibleMethodOverride] - typed as if sync
        self, revoked: set[DriverPartition]
    ) -> None:
        await self._consumer.give_up()
        if await self._consumer.is_replaced():
            # Ends the driver's coordination: it catches whatever else a listener raises, and joins again.
            raise asyncio.CancelledError

    async def on_partitions_assigned(  # pyright: ignore[reportIncompatibleMethodOverride] - as above
        self, assigned: set[DriverPartition]
    ) -> None:
        await self._consumer.take({TopicPartition(place.topic, place.partition) for place in assigned})


class KafkaGroupConsumer:
    """A `GroupConsumer`."""

    def __init__(
        self,
        group: str,
        consumer: AIOKafkaConsumer,
        lookup: Lookup,
        *,
        instance_id: str | None,
        session_seconds: float = 10.0,
        fetch_wait_ms: int = 200,
    ) -> None:
        self._group = group
        self._consumer = consumer
        self._lookup = lookup
        self._instance_id = instance_id
        self._session_seconds = session_seconds
        self._heard_at = 0.0
        """When something was sent that the group has taken as a sign of life (`time.monotonic`)."""
        self._has_joined = False
        self._poller = Poller(consumer)
        self._pauses = Pauses(consumer, fetch_wait_ms)
        self._listener: RebalanceListener | None = None
        self._held: set[TopicPartition] = set()
        self._reading = asyncio.Event()
        self._poll_limit: asyncio.Timeout | None = None
        """Of the `fetch` that waits for the driver now."""
        self._revoking = asyncio.Lock()
        self._failure: Exception | None = None
        self.is_closed = False

    # ------------------------------------------------------------ the port

    async def start(self, topics: Iterable[str], listener: RebalanceListener) -> None:
        """Join, and wait until the first assignment has been taken."""
        wanted = tuple(topics)
        for topic in wanted:
            await self._lookup.partition_count(topic)
        self._listener = listener
        try:
            async with asyncio.timeout(_JOIN_SECONDS):
                with translating(f"joining group {self._group!r}"):
                    self._consumer.subscribe(list(wanted), listener=_DriverListener(self))
                    await self._consumer.start()
                await self._reading.wait()
        except TimeoutError as error:
            raise BrokerUnavailable(
                f"group {self._group!r} gave no assignment within {_JOIN_SECONDS:g} s"
            ) from error
        self._raise_failure()

    async def fetch(self, *, timeout: float = 0.5, max_records: int = 500) -> dict[TopicPartition, Batch]:
        """What has arrived; see the port."""
        self._raise_failure()
        self._pauses.look()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        try:
            async with asyncio.timeout_at(deadline):
                await self._reading.wait()
        except TimeoutError:
            return {}
        self._raise_failure()
        if not self._reading.is_set():
            return {}  # revoked again before this task had its turn
        try:
            # A rebalance may begin while the driver waits. It would wait for the end of it, and then hand out records
            # of partitions that the listener has not taken yet: nobody would ask for them again.
            async with asyncio.timeout_at(max(deadline, loop.time()) + 0.05) as self._poll_limit:
                return await self._poller.fetch(
                    timeout=max(0.0, deadline - loop.time()),
                    max_records=max_records,
                    may_return=self.is_heard,
                )
        except TimeoutError:
            return {}
        except LogError as error:
            if isinstance(error.__cause__, IllegalStateError):
                return {}
            # The driver does not know the code "fenced instance" and calls it unknown.
            if isinstance(error.__cause__, UnknownError) and self._instance_id is not None:
                await self._has_successor(group_member(self._consumer)[0])
                self._raise_failure()
            raise
        finally:
            self._poll_limit = None

    def is_heard(self) -> bool:
        """Whether nobody else can have its partitions; see the port.

        By a clock that goes on while the process stands still, read anew: the loop's may be as old as its last turn.
        """
        return time.monotonic() - self._heard_at < self._session_seconds

    def assignment(self) -> set[TopicPartition]:
        """The partitions now assigned."""
        return set(self._held)

    def position(self, partition: TopicPartition) -> int:
        """Offset of the next record to read."""
        if partition not in self._held:
            raise LogError(f"{partition.topic}/{partition.partition} is not assigned to this member")
        return self._poller.positions[partition]

    async def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from `offset`."""
        self.position(partition)
        await self._poller.seek(partition, offset)

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Fetch nothing from these until resumed."""
        self._pauses.pause(self._held.intersection(partitions))

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """Undo `pause`."""
        self._pauses.resume(self._held.intersection(partitions))

    async def commit(self, offsets: Mapping[TopicPartition, Committed]) -> None:
        """Commit, checked."""
        what = {
            driver_partition(partition): OffsetAndMetadata(committed.offset, committed.metadata)
            for partition, committed in offsets.items()
        }
        try:
            with translating(f"committing offsets of group {self._group!r}"):
                async with asyncio.timeout(_COMMIT_SECONDS):
                    await self._consumer.commit(what)
        except LogError as error:
            if isinstance(error.__cause__, IllegalStateError):
                raise FencedError(f"group {self._group!r} has moved on: {error.__cause__}") from error
            raise

    async def committed(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, Committed]:
        """The group's committed offsets with their metadata."""
        return await self._lookup.group_offsets(self._group, tuple(partitions))

    async def close(self, *, leave: bool = True) -> None:
        """Revoke, then leave. A dynamic member always leaves: nothing could come back as it."""
        if self.is_closed:
            return
        self.is_closed = True
        member_id, _ = group_member(self._consumer)
        try:
            await self.give_up()
        finally:
            # If the farewell is not heard the session runs out instead.
            await stop_consumer(self._consumer, seconds=_STOP_SECONDS)
            if leave and self._instance_id is not None and member_id:
                with suppress(LogError, TimeoutError):
                    async with asyncio.timeout(_STOP_SECONDS):
                        await self._lookup.leave_group(self._group, member_id)

    # ------------------------------------------------------------ the driver's calls

    async def give_up(self) -> None:
        """Stop reading and let the listener finish what it holds."""
        self._reading.clear()
        if self._poll_limit is not None and not self._poll_limit.expired():
            self._poll_limit.reschedule(asyncio.get_running_loop().time())
        async with self._revoking:
            if self._held and self._listener is not None:
                try:
                    await self._listener.on_revoked(set(self._held))
                except Exception as error:
                    self._fail(error)
            self._held = set()
            self._poller.forget()

    async def is_replaced(self) -> bool:
        """Whether this static member has lost its place to another process; then `fetch` raises FencedError."""
        member_id, _ = group_member(self._consumer)
        if self._instance_id is None or not self._has_joined or member_id:
            return False
        return await self._has_successor(member_id)

    async def take(self, partitions: set[TopicPartition]) -> None:
        """Find the positions, let the listener prepare, then read."""
        if not self._has_joined:
            hear_heartbeats(self._consumer, self._heard)
        self._has_joined = True
        self._heard(time.monotonic())
        keep_membership(self._consumer)
        try:
            await self._poller.locate(sorted(partitions))
            self._held = set(partitions)
            self._pauses.forget()
            if self._listener is not None:
                await self._listener.on_assigned(set(partitions))
        except Exception as error:
            self._fail(error)
        self._reading.set()

    def _heard(self, sent: float) -> None:
        self._heard_at = max(self._heard_at, sent)

    async def _has_successor(self, member_id: str) -> bool:
        with suppress(LogError):
            # A broker names a static member after its instance, then "-" and a UUID.
            for other in await self._lookup.group_members(self._group):
                if other != member_id and other[:-_UUID_SUFFIX] == self._instance_id:
                    text = f"another process has joined group {self._group!r} as {self._instance_id!r}"
                    self._fail(FencedError(text))
                    return True
        return False

    def _fail(self, error: Exception) -> None:
        if self._failure is None:
            self._failure = error
        self._reading.set()

    def _raise_failure(self) -> None:
        if self.is_closed:
            raise LogError("the consumer is closed")
        if self._failure is not None:
            raise self._failure
