"""Subscribers of domain events in a test, without an orchestrator: a bus on which the test publishes.

def test_audit() -> None:
    with EventBus(audit) as bus:
        bus.fail("record", times=2)
        bus.publish("payment.charged", {"amount": 7}, key="customer 1")
        bus.settle()
        assert [event.payload["amount"] for event in bus.handled("record")] == [7]

Nothing is imitated but the log and the clock: events travel through their topics, a real member of each group delivers
them, retries go through retry topics, and dead letters lie where an operator finds them.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from tasker_kafka.handlers.delivery.settings import DeliverySettings
from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.deliveries import DomainEvent
from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.identity import format_id, new_request_id
from tasker_kafka.schemas.words import Delivery
from tasker_kafka.topics.declarations import TopicPlan, declarations
from tasker_kafka.topics.headers import for_event
from tasker_kafka.topics.log import Outbox, TopicDescription, TopicPartitionOffset, Write
from tasker_kafka.topics.names import TopicNames

from .delivering import Delivering
from .guard import Guard
from .members import Member
from .sources import SubscriberSource, specs_from
from .stages import KafkaStage, MemoryStage, Stage
from .view import EventView
from .waiting import answer

__all__ = ["EventBus"]

T = TypeVar("T")


class EventBus(EventView):
    """Use as `with EventBus(audit, billing) as bus:`, in plain and in async tests alike.

    subscribers: `Subscriber`s and `BaseSubscriber` classes. Each group gets one member.
    namespaces: whose topics exist; an event goes to the first unless it says otherwise.
    topics: further topics that exist, of other publishers' CloudEvents.
    broker: bootstrap servers of a real Kafka; None (default): in memory, on a virtual clock.
    prefix: of the topics; default one of its own, whose topics are deleted at the end.
    partitions: of each topic.
    settings: of delivery; default those of an empty settings file, with a quick end.
    """

    def __init__(
        self,
        *subscribers: SubscriberSource,
        namespaces: Sequence[str] = ("default",),
        topics: Sequence[str] = (),
        broker: str | None = None,
        prefix: str | None = None,
        partitions: int = 1,
        settings: DeliverySettings | None = None,
    ) -> None:
        self._specs = specs_from(subscribers)
        self._namespaces = tuple(namespaces)
        self._topics = tuple(topics)
        self._broker = broker
        self._partitions = partitions
        self._settings = settings
        self.names = TopicNames(prefix or f"test-{uuid.uuid4().hex[:12]}")
        self._stage: Stage | None = None
        self._open: _Open | None = None

    # ------------------------------------------------------------------------------------- its life

    def __enter__(self) -> Self:
        if self._open is not None:
            raise ConfigurationError("this bus is entered already")
        stage = self._stage = MemoryStage() if self._broker is None else KafkaStage(self._broker)
        try:
            self._open = stage.run(self._opened(stage))
        except BaseException:
            stage.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stage, inside = self._on(), self._inside()
        self._open = None
        try:
            stage.run(inside.close())
        finally:
            stage.close()

    async def _opened(self, stage: Stage) -> _Open:
        inside = _Open(stage, self.names, self._settings or stage.delivery)
        try:
            await inside.start(self._topic_descriptions())
            await inside.delivering.add(self._specs)
        except BaseException:
            with suppress(Exception):
                await inside.close()
            raise
        return inside

    def _topic_descriptions(self) -> list[TopicDescription]:
        declared = declarations(
            self.names, TopicPlan(partitions=self._partitions), namespaces=self._namespaces
        )
        kept = {self.names.receipts, self.names.groups, self.names.schemas}
        for namespace in self._namespaces:
            kept |= {self.names.domain_events(namespace), self.names.domain_events_dlq(namespace)}
        own = [each.described(1) for each in declared if each.name in kept]
        return own + [TopicDescription(name, self._partitions, 1, {}) for name in self._topics]

    def add(self, *subscribers: SubscriberSource) -> None:
        """Take in further groups and start a member of each."""
        self._run(self._inside().delivering.add(specs_from(subscribers)))

    # ---------------------------------------------------------------------------------- publishing

    def publish(
        self,
        name: str,
        payload: Any = None,
        *,
        key: str | None = None,
        namespace: str | None = None,
        delivery: Delivery | str = Delivery.DURABLE,
        **envelope: Any,
    ) -> str:
        """Publish an event as a step would have; acknowledged when it returns: its event id.

        payload: what JSON can hold. key: the ordering key; default one of its own.
        envelope: fields of the envelope (`schemas.deliveries.DomainEvent`), e.g. version, event_id, fired_at.
        """
        event_id = envelope.pop("event_id", None) or new_request_id()
        fields: dict[str, Any] = {
            "version": "1.0",
            "fired_at": self.now_ms,
            "fired_by": "test",
            "environment": "test",
            **envelope,
        }
        event = DomainEvent(
            event_id=event_id,
            name=name,
            namespace=namespace or self._namespaces[0],
            delivery=Delivery(delivery),
            key=format_id(event_id) if key is None else key,
            payload=msgspec.json.encode(payload),
            **fields,
        )
        self.send(self.written(event))
        return format_id(event_id)

    def written(self, event: DomainEvent) -> Write:
        """The record of this envelope, for `send`."""
        topic = self.names.domain_events(event.namespace)
        return Write(topic, event.key.encode(), codec.encode(event), for_event(event))

    def send(self, write: Write) -> TopicPartitionOffset:
        """Write any record, as a foreign publisher might; acknowledged when it returns: where it lies."""
        return self._run(self._inside().write(write))

    def send_all(self, writes: Iterable[Write]) -> None:
        """Write many records, in this order; acknowledged when it returns."""
        self._run(self._inside().write_all(list(writes)))

    # ---------------------------------------------------------------------------------------- time

    @property
    def now_ms(self) -> int:
        """The test's wall time, ms since 1970: virtual in memory."""
        return self._run(answer(self._inside().log.now_ms))

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass: skipped in memory, waited for on a broker."""
        self._run(asyncio.sleep(seconds))

    # -------------------------------------------------------------------------------------- inside

    def _inside(self) -> _Open:
        if self._open is None:
            raise ConfigurationError("the bus is not entered", next_step="use `with EventBus(…) as bus:`")
        return self._open

    def _on(self) -> Stage:
        self._inside()
        assert self._stage is not None, "it is entered"
        return self._stage

    def _delivering(self) -> Delivering:
        return self._inside().delivering

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            stage, inside = self._on(), self._inside()
        except ConfigurationError:
            work.close()
            raise
        return stage.run(inside.guard.wait(work))


class _Open:
    """What a bus consists of while it is entered."""

    def __init__(self, stage: Stage, names: TopicNames, settings: DeliverySettings) -> None:
        self._stage = stage
        self.log = stage.new_log()
        self.delivering = Delivering(self.log, stage.new_log, names, settings, self._member_ended)
        self._outbox: Outbox | None = None
        self._own = names.every_topic
        self._created: set[str] = set()
        self.guard = Guard()

    async def start(self, topics: Iterable[TopicDescription]) -> None:
        await self.log.start()
        wanted = list(topics)
        self._created = {each.name for each in wanted} - await self.log.admin().names()
        await self.log.admin().create(wanted)
        self._outbox = await self.log.outbox(client_id="bus")

    async def write(self, write: Write) -> TopicPartitionOffset:
        assert self._outbox is not None, "it is started first"
        await self._outbox.warm([write.topic])
        return await self._outbox.write(write)

    async def write_all(self, writes: Sequence[Write]) -> None:
        assert self._outbox is not None, "it is started first"
        await self._outbox.warm({write.topic for write in writes})
        for write in writes:
            self._outbox.send(write)
        await self._outbox.flush()

    async def close(self) -> None:
        await self.delivering.close()
        if self._outbox is not None:
            await self._outbox.close()
        if not self._stage.is_virtual:
            admin = self.log.admin()
            own = self._own
            made = {name for name in await admin.names() if name.startswith(own)} | self._created
            await admin.delete(made)
        await self.log.close()

    def _member_ended(self, member: Member, error: BaseException) -> None:
        self.guard.fail(error)
