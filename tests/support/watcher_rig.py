"""A system of domain events with groups that acknowledge, and watchers over it, on either side of the log."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from tasker_kafka.handlers.delivery.groups import GroupRegistry
from tasker_kafka.handlers.delivery.journey import Journey, is_letter, unwrap
from tasker_kafka.handlers.delivery.receipts import receipt_write
from tasker_kafka.handlers.delivery.watcher import ReceiptWatcher
from tasker_kafka.handlers.delivery.watching import WatcherCrashPoint, WatcherSettings
from tasker_kafka.handlers.subscribing.subscription import SubscriberSpec, Subscription
from tasker_kafka.schemas.codec import decode, encode
from tasker_kafka.schemas.identity import format_id
from tasker_kafka.schemas.records import DeadLetterAct, DomainEvent, Receipt
from tasker_kafka.schemas.words import Delivery, ReceiptOutcome
from tasker_kafka.topics import provision
from tasker_kafka.topics.declarations import TopicPlan, declarations, group_dlq_declaration
from tasker_kafka.topics.headers import for_event
from tasker_kafka.topics.log import Log, Outbox, Record, TopicDescription, TopicPartition, Write
from tasker_kafka.topics.memory import MemoryLog
from tasker_kafka.topics.names import TopicNames

from .log_sides import Side, drain

__all__ = ["DEADLINE", "FAST", "Dying", "WatchedWorld", "spec_of", "subscription_of", "watched"]

DEADLINE = 2.0
FAST = WatcherSettings(
    deadline_seconds=DEADLINE,
    late_seconds=3_600,
    discover_seconds=0.5,
    retry_seconds=0.05,
    session_timeout_ms=3_000,
    heartbeat_ms=200,
)
PARTITIONS = 2
NAMESPACE = "shop"


class Dying:
    """Crash points of a process that dies the first time it reaches `point`; no point: it lives."""

    def __init__(self, point: WatcherCrashPoint | None = None, log: Log | None = None) -> None:
        self.point = point
        self.passed: list[WatcherCrashPoint] = []
        self._log = log

    def reached(self, point: WatcherCrashPoint, /) -> None:
        self.passed.append(point)
        if point is self.point:
            if isinstance(self._log, MemoryLog):
                self._log.kill()
            raise asyncio.CancelledError(f"died at {point}")


def subscription_of(name: str = "record", *patterns: str, delivery: Delivery | None = None) -> Subscription:
    """A subscription; its handler is not called here."""
    return Subscription(
        name=name, patterns=patterns or ("payment.*",), handler=print, is_async=False, delivery=delivery
    )


def spec_of(group: str, *subscriptions: Subscription, topics: tuple[str, ...] = ()) -> SubscriberSpec:
    """A group."""
    return SubscriberSpec(group=group, subscriptions=subscriptions or (subscription_of(),), topics=topics)


class WatchedWorld:
    """What publishers, groups and watchers write."""

    def __init__(self, side: Side, log: Log, outbox: Outbox) -> None:
        self.side = side
        self.log = log
        self.names = TopicNames(side.prefix)
        self.outbox = outbox
        self._events = 0

    async def announce(self, *specs: SubscriberSpec) -> None:
        """The groups announce themselves."""
        registry = GroupRegistry(self.log, self.names)
        for spec in specs:
            await registry.announce(spec, self.outbox, member="m")
        await registry.close()

    async def publish(
        self,
        count: int = 1,
        *,
        delivery: Delivery = Delivery.ACKNOWLEDGED,
        name: str = "payment.charged",
        partition: int = 0,
        namespace: str = NAMESPACE,
        payload: bytes = b'{"n": 1}',
    ) -> list[Record]:
        """Events in the topic of the namespace: the records as they lie there."""
        found = []
        for _ in range(count):
            self._events += 1
            event = DomainEvent(
                event_id=self._events.to_bytes(16, "big"), name=name, version="1.0", namespace=namespace,
                delivery=delivery, key="k", payload=payload, fired_at=self.log.now_ms(), fired_by="t",
                environment="test",
            )  # fmt: skip
            topic = self.names.domain_events(namespace)
            headers = for_event(event)
            place = await self.outbox.write(Write(topic, b"k", encode(event), headers, partition))
            found.append(await self.log.fetch_at(place))
        return found

    async def receipt(
        self,
        record: Record,
        group: str = "audit",
        subscription: str = "record",
        outcome: ReceiptOutcome = ReceiptOutcome.HANDLED,
    ) -> None:
        """The group leaves a receipt for the event."""
        event = decode(record.value, DomainEvent)
        receipt = Receipt(
            namespace=event.namespace, event_id=format_id(event.event_id), event_name=event.name, group=group,
            subscription=subscription, outcome=outcome, topic=record.topic, partition=record.partition,
            offset=record.offset, at=self.log.now_ms(), deliveries=1, written_by="m",
        )  # fmt: skip
        count = await self.log.partition_count(self.names.receipts)
        await self.outbox.write(receipt_write(self.names, receipt, count))

    @asynccontextmanager
    async def watcher(
        self, *, log: Log | None = None, dying: Dying | None = None, settings: WatcherSettings = FAST
    ) -> AsyncIterator[ReceiptWatcher]:
        """A watcher that runs while the block does, or until it dies."""
        own = await self.side.log() if log is None else log
        watcher = ReceiptWatcher(own, self.names, settings=settings, crash_points=dying or Dying())
        running = asyncio.create_task(watcher.run())
        ready = asyncio.create_task(watcher.wait_ready())
        await asyncio.wait([running, ready], return_when=asyncio.FIRST_COMPLETED)
        try:
            yield watcher
        finally:
            ready.cancel()
            await watcher.stop()
            with contextlib.suppress(asyncio.CancelledError):
                await running

    async def dies_at(self, point: WatcherCrashPoint) -> Dying:
        """A watcher runs until it dies there."""
        log = await self.side.log()
        dying = Dying(point, log)
        watcher = ReceiptWatcher(log, self.names, settings=FAST, crash_points=dying)
        running = asyncio.create_task(watcher.run())
        done, _ = await asyncio.wait([running], timeout=60)
        assert done, f"it never reached {point}: {dying.passed}"
        assert running.cancelled(), running.exception()
        return dying

    # --------------------------------------------------------------------------------- what is in the log

    async def records(self, topic: str) -> list[Record]:
        """Every committed record of a topic."""
        found = []
        for partition in range(await self.log.partition_count(topic)):
            found += await drain(self.log, TopicPartition(topic, partition))
        return found

    async def letters(self, topic: str | None = None) -> list[tuple[Record, Journey]]:
        """The dead letters: each original with its journey."""
        records = await self.records(topic or self.names.domain_events_dlq(NAMESPACE))
        return [unwrap(record) for record in records if is_letter(record)]

    async def acts(self) -> list[DeadLetterAct]:
        """What was done about dead letters."""
        records = await self.records(self.names.domain_events_dlq(NAMESPACE))
        return [decode(record.value, DeadLetterAct) for record in records if not is_letter(record)]

    async def marks(self) -> list[Receipt]:
        """Receipts that are missing, as watchers wrote them down."""
        found = [decode(each.value, Receipt) for each in await self.records(self.names.receipts)]
        return [each for each in found if each.outcome is ReceiptOutcome.MISSING]


@asynccontextmanager
async def watched(side: Side, *, foreign: Iterable[str] = ()) -> AsyncIterator[WatchedWorld]:
    """The topics, and one group `audit` that takes `payment.*` as it is published."""
    log = await side.log()
    names = TopicNames(side.prefix)
    plan = TopicPlan(partitions=PARTITIONS)
    wanted = declarations(names, plan, namespaces=[NAMESPACE])
    kept = {names.groups, names.receipts, names.domain_events(NAMESPACE), names.domain_events_dlq(NAMESPACE)}
    declared = [each for each in wanted if each.name in kept]
    if foreign:
        declared.append(group_dlq_declaration(names, "audit", partitions=PARTITIONS))
    await provision.create(log.admin(), declared)
    await log.admin().create([TopicDescription(each, PARTITIONS, 1, {}) for each in foreign])
    outbox = await log.outbox(client_id="test")
    await outbox.warm([*(each.name for each in declared), *foreign])
    world = WatchedWorld(side, log, outbox)
    await world.announce(spec_of("audit"))
    yield world
    await outbox.close()
