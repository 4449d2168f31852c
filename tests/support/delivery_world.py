"""A world for members of subscriber groups in memory: topics, events, handlers that remember, dead letters."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from opentelemetry.metrics import Meter

from tasker_kafka.handlers.delivery.crash_points import DeliveryCrashPoint
from tasker_kafka.handlers.delivery.journey import Journey, unwrap
from tasker_kafka.handlers.delivery.policy import DeliveryPolicy
from tasker_kafka.handlers.delivery.runtime import GroupMember
from tasker_kafka.handlers.delivery.settings import DeliverySettings
from tasker_kafka.handlers.subscribing.event import DomainEvent
from tasker_kafka.handlers.subscribing.subscription import SubscriberSpec, Subscription
from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.deliveries import DomainEvent as Envelope
from tasker_kafka.schemas.words import Delivery
from tasker_kafka.topics.crash_points import NO_CRASH_POINTS, CrashPoints
from tasker_kafka.topics.declarations import TopicPlan, declarations
from tasker_kafka.topics.headers import for_event
from tasker_kafka.topics.log import Log, Outbox, Record, TopicPartition, TopicPartitionOffset, Write
from tasker_kafka.topics.memory import MemoryCluster, MemoryLog
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.provision import create
from tests.support.log_sides import drain

__all__ = ["GROUP", "NAMESPACE", "Seen", "World", "envelope", "on", "policy_of", "spec_of"]

GROUP, NAMESPACE = "audit", "shop"


def policy_of(*delays: float, **fields: Any) -> DeliveryPolicy:
    """A policy with these delays, and as many attempts as that makes."""
    found: dict[str, Any] = {
        "delays": delays,
        "max_attempts": len(delays) + 1,
        "breaker_failures": 0,
        **fields,
    }
    return DeliveryPolicy(**found)


def envelope(number: int, key: str = "k", **fields: Any) -> Envelope:
    """An event; its payload is {"number": number}."""
    found: dict[str, Any] = {
        "event_id": number.to_bytes(16, "big"),
        "name": "payment.charged",
        "version": "1.0",
        "namespace": NAMESPACE,
        "delivery": Delivery.DURABLE,
        "key": key,
        "payload": msgspec.json.encode({"number": number, "key": key}),
        "fired_at": 1_767_225_600_000,
        "fired_by": "test",
        "environment": "test",
        **fields,
    }
    return Envelope(**found)


class Seen(list[DomainEvent[Any]]):
    """A handler that remembers; `end` is called with each event and may raise."""

    def __init__(self, end: Callable[[DomainEvent[Any]], Awaitable[None] | None] | None = None) -> None:
        super().__init__()
        self._end = end

    async def __call__(self, event: DomainEvent[Any]) -> None:
        self.append(event)
        if self._end is not None:
            waiting = self._end(event)
            if waiting is not None:
                await waiting

    @property
    def numbers(self) -> list[int]:
        """Of every delivery, in order."""
        return [event.payload["number"] for event in self]


def on(handler: Callable[[DomainEvent[Any]], Any], name: str = "record", **fields: Any) -> Subscription:
    """A subscription to every event."""
    is_async = fields.pop("is_async", True)
    found: dict[str, Any] = {
        "name": name,
        "patterns": ("**",),
        "handler": handler,
        "is_async": is_async,
        **fields,
    }
    return Subscription(**found)


def spec_of(*subscriptions: Subscription, **fields: Any) -> SubscriberSpec:
    """A group of the namespace."""
    found: dict[str, Any] = {
        "group": GROUP,
        "subscriptions": subscriptions,
        "namespaces": (NAMESPACE,),
        **fields,
    }
    return SubscriberSpec(**found)


@dataclasses.dataclass
class World:
    """A cluster with the topics of one namespace."""

    log: Log
    new_log: Callable[[], Log]
    names: TopicNames
    outbox: Outbox
    members: int = 0

    @classmethod
    @asynccontextmanager
    async def in_memory(cls, *, partitions: int = 2, latency: float = 0.001) -> AsyncIterator[World]:
        """A world on the virtual clock."""
        cluster = MemoryCluster(latency=latency)
        logs: list[MemoryLog] = []

        def new_log() -> MemoryLog:
            logs.append(MemoryLog(cluster))
            return logs[-1]

        async with cls.on(new_log, TopicNames(), partitions=partitions) as world:
            yield world
        for log in logs:
            await log.close()

    @classmethod
    @asynccontextmanager
    async def on(
        cls, new_log: Callable[[], Log], names: TopicNames, *, partitions: int
    ) -> AsyncIterator[World]:
        """A world on any log."""
        log = new_log()
        await log.start()
        plan = TopicPlan(partitions=partitions)
        await create(log.admin(), declarations(names, plan, namespaces=[NAMESPACE]))
        outbox = await log.outbox(client_id="test")
        await outbox.warm([names.domain_events(NAMESPACE)])
        yield cls(log, new_log, names, outbox)
        await log.close()

    @property
    def source(self) -> str:
        """The namespace's topic."""
        return self.names.domain_events(NAMESPACE)

    async def publish(self, *events: Envelope, partition: int | None = None) -> list[TopicPartitionOffset]:
        """Write events as the engine does."""
        writes = [
            Write(self.source, each.key.encode(), codec.encode(each), for_event(each), partition)
            for each in events
        ]
        return list(await asyncio.gather(*map(self.outbox.write, writes)))

    async def write(self, value: bytes | None, **fields: Any) -> TopicPartitionOffset:
        """Write anything to the namespace's topic."""
        return await self.outbox.write(Write(self.source, fields.pop("key", b"k"), value, **fields))

    @asynccontextmanager
    async def member(
        self,
        spec: SubscriberSpec,
        *,
        log: Log | None = None,
        crash_points: CrashPoints[DeliveryCrashPoint] = NO_CRASH_POINTS,
        meter: Meter | None = None,
        **settings: Any,
    ) -> AsyncIterator[GroupMember]:
        """A member while the block runs; it has its partitions."""
        log = log or self.new_log()
        await log.start()
        self.members += 1
        chosen: dict[str, Any] = {"commit_seconds": 0.05, **settings}
        made = GroupMember(
            log,
            self.names,
            spec,
            settings=DeliverySettings(**chosen),
            member_id=f"member-{self.members}",
            crash_points=crash_points,
            meter=meter,
        )
        running = asyncio.create_task(made.run())
        await made.wait_ready()
        try:
            yield made
        finally:
            await made.stop()
            await asyncio.wait([running])
            if not running.cancelled() and (error := running.exception()) is not None:
                raise error

    async def records(self, topic: str) -> list[Record]:
        """Everything in a topic, by partition."""
        found: list[Record] = []
        for number in range(await self.log.partition_count(topic)):
            found += await drain(self.log, TopicPartition(topic, number))
        return found

    async def dead(self, topic: str | None = None) -> list[tuple[Record, Journey]]:
        """The dead letters: original and journey."""
        return [unwrap(each) for each in await self.records(topic or self.names.domain_events_dlq(NAMESPACE))]

    async def lag(self, group: str = GROUP) -> int:
        """Records of sources and retry topics that are not committed."""
        offsets = await self.log.admin().group_offsets(self.names.subscriber_group(group))
        left = 0
        for topic in await self._topics(group):
            for number in range(await self.log.partition_count(topic)):
                place = TopicPartition(topic, number)
                committed = offsets[place].offset if place in offsets else 0
                left += await self.log.end_offset(place) - committed
        return left

    async def settled(self, seconds: float = 600.0) -> None:
        """Wait until the group has committed everything there is."""
        async with asyncio.timeout(seconds):
            while await self.lag():  # noqa: ASYNC110 - asked anew
                await asyncio.sleep(0.5)

    async def _topics(self, group: str) -> Iterable[str]:
        names = await self.log.admin().names()
        return [each for each in names if each == self.source or self.names.retry_delay_of(group, each)]


Headers = Mapping[str, bytes]
